//! H1: what the gateway says reaches nobody. It goes on, counts what was lost, and stops when told.

use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Attention, Gateway};
use rhumb_tests::mock::Mock;
use rhumb_tests::{speech, wait};

const LOST: &str = "rhumb_log_lines_lost_total";

/// Has it say a line: a configuration that cannot be used.
fn complain(gateway: &Gateway, number: usize) {
    let refused = "rhumb_config_reloads_total{result=\"refused\"}";
    let before = gateway.metric(refused);
    let wrong: String = (0..200).map(|key| format!("wrong-{number}-{key}: 1\n")).collect();
    std::fs::write(gateway.file(), wrong).expect("the file can be written");
    gateway.signal("HUP");
    wait::until_true("it is refused", || gateway.metric(refused) > before);
}

fn is_well_and_stops(gateway: Gateway) {
    assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    assert_eq!(gateway.health("/health/ready"), (200, 200));
    assert_eq!(gateway.stop().rows.len(), 1);
}

#[test]
fn h1_a_standard_error_stream_that_is_closed_loses_lines_and_nothing_else() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    assert_eq!(gateway.metric(LOST), 0.0);
    gateway.pay(Attention::HangsUp);
    let mut number = 0;
    wait::until_true("lines are lost", || {
        number += 1;
        complain(&gateway, number);
        gateway.metric(LOST) > 0.0
    });
    is_well_and_stops(gateway);
}

#[test]
fn h1_a_pipe_that_nobody_reads_loses_lines_and_nothing_else() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    gateway.pay(Attention::Ignores);
    let mut number = 0;
    wait::until_true("lines are lost", || {
        number += 1;
        complain(&gateway, number);
        gateway.metric(LOST) > 0.0
    });
    is_well_and_stops(gateway);
}
