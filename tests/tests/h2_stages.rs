//! Connections of HTTP/2 that stop at one stage or another, and many that ask for nothing: each ends, and whoever asks how
//! the gateway is gets an answer.

use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::frames::kind::{CONTINUATION, HEADERS, PING, RST_STREAM, SETTINGS};
use rhumb_tests::frames::{END_HEADERS, END_STREAM, PREFACE, Wire, block, frame, settings};
use rhumb_tests::mock::Mock;
use rhumb_tests::{speech, wait};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/v1/models"), (":authority", "localhost")];

/// What a connection has sent when its client falls silent.
fn stages() -> Vec<(&'static str, Vec<u8>)> {
    let opened = [PREFACE, &settings(&[])].concat();
    let half = frame(HEADERS, END_STREAM, 1, &block(&GET)[..10]);
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET));
    vec![
        ("a part of the preface", PREFACE[..10].to_vec()),
        ("the preface alone", PREFACE.to_vec()),
        ("no request", opened.clone()),
        ("half a header block", [&opened[..], &half].concat()),
        ("no window for the answer", [PREFACE, &settings(&[(4, 0)]), &get].concat()),
    ]
}

#[test]
fn every_stage_of_a_connection_ends() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 1000").start();
    let mut standing = Vec::new();
    for address in [gateway.address, gateway.admin] {
        for (what, bytes) in stages() {
            let mut wire = Wire::connect(address);
            wire.send(&bytes);
            standing.push((format!("{what} on {address}"), wire));
        }
    }
    // One whose stream is reset for want of a window has had a request, so that it stands for as long as any idle one.
    standing.retain(|(what, _)| !what.starts_with("no window") || what.ends_with(&gateway.admin.to_string()));
    for (what, wire) in &mut standing {
        wait::until_true(&format!("a connection with {what} ends"), || wire.is_closed_by_now());
    }
    gateway.stop();
}

#[test]
fn a_header_block_without_an_end_ends_its_connection() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let before = gateway.peak_memory();
    let mut wire = Wire::open(gateway.address);
    wire.send(&frame(HEADERS, END_STREAM, 1, &block(&GET)));
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", &"y".repeat(8_000))]));
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(100);
    wait::until_true("it is cut off", || !(wire.send(&more) && wire.send(&empty)));
    assert!(gateway.peak_memory() - before < 16 << 20);
    assert_eq!(gateway.health("/health/live"), (200, 200));
    gateway.stop();
}

#[test]
fn floods_of_small_frames_cost_nobody_else_anything() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let before = gateway.peak_memory();
    let rapid = |i: u32| {
        let stream = 2 * i + 1;
        let get = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&GET));
        [get, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let floods: [Vec<u8>; 3] = [
        frame(PING, 0, 0, &[0; 8]).repeat(50_000),
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(20_000),
        (0..20_000).flat_map(rapid).collect(),
    ];
    for flood in floods {
        let mut wire = Wire::open(gateway.address);
        // Nothing is read of what it answers; it may cut the connection off, or not read on either.
        let sending = std::thread::spawn(move || wire.send(&flood));
        let ask = post("/v1/chat/completions", "", speech::ask(false).to_string().as_bytes());
        (0..20).for_each(|_| assert_eq!(gateway.client().exchange(&ask).status, 200));
        let _ = sending.join();
    }
    assert!(gateway.peak_memory() - before < 64 << 20);
    gateway.stop();
}

#[test]
fn connections_that_ask_for_nothing_leave_health_its_place() {
    let a = Mock::answering("a", 2);
    let tenants = "tenants:\n  - {name: one, keys: [{name: k, key: sk-the-right-one}]}\n";
    let gateway = Config::over(&[&a]).gateway("max_connections: 64").tail(tenants).start();
    let opened = [PREFACE, &settings(&[])].concat();
    let half = frame(HEADERS, END_STREAM, 1, &block(&GET)[..10]);
    let starts = [&opened[..], PREFACE, &[&opened[..], &half].concat()].map(<[u8]>::to_vec);
    let stand = |address, count: usize| -> Vec<Wire> {
        let open = |i: usize| {
            let mut wire = Wire::connect(address);
            wire.send(&starts[i % starts.len()]);
            wire
        };
        (0..count).map(open).collect()
    };
    let admins = stand(gateway.admin, 70);
    let clients = stand(gateway.address, 200);
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(gateway.health(path), (200, 200));
    }
    drop((admins, clients));
    gateway.stop();
}
