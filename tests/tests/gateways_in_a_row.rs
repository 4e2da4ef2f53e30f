//! F19: gateways behind gateways do not multiply tries, keep to one deadline, and notice a loop.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};

use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{die_before_content, silent, status};
use rhumb_tests::speech;

const CHAT: &str = "/v1/chat/completions";

fn mocks(script: &[rhumb_tests::script::Step]) -> Vec<Mock> {
    ["a", "b", "c", "d"].map(|name| Mock::start(name, script.to_vec())).into()
}

fn over(mocks: &[Mock], max_attempts: u32) -> Config {
    Config::over(&mocks.iter().collect::<Vec<_>>()).policy(&format!("max_attempts: {max_attempts}"))
}

fn with(gateway: &Gateway, headers: &str, stream: bool) -> Answer {
    gateway.client().exchange(&post(CHAT, headers, speech::ask(stream).to_string().as_bytes()))
}

fn asked(mocks: &[Mock]) -> usize {
    mocks.iter().map(Mock::requests).sum()
}

#[test]
fn f19_three_gateways_in_a_row_try_no_more_than_the_first_one_may() {
    three_in_a_row("standard", |max_attempts| max_attempts);
}

/// One of three is kept back at the first gateway, for when it is preempted; with fewer it never does.
#[test]
fn f19_nor_does_batch_work_which_keeps_a_try_for_when_it_gives_way() {
    three_in_a_row("batch", |max_attempts| max_attempts.min(2));
}

fn three_in_a_row(priority: &str, tries: fn(usize) -> usize) {
    for script in [status(500, "", "{}"), status(429, "", "{}"), die_before_content()] {
        for max_attempts in 1..=3 {
            let mocks = mocks(&script);
            let of = |config: Config| config.policy(&format!("priority: {priority}")).start();
            let c = of(over(&mocks, 3));
            let b = of(Config::default().through("c", c.address).policy("max_attempts: 3"));
            let a = of(Config::default().through("b", b.address).policy(&format!("max_attempts: {max_attempts}")));
            assert!(with(&a, "", true).status >= 400);
            assert_eq!(asked(&mocks), tries(max_attempts), "there is one way in, so the last has all the tries");
            assert!(mocks.iter().flat_map(Mock::seen).all(|s| s.header("x-rhumb-hops") == "3"));
            for gateway in [a, b, c] {
                assert_eq!(gateway.stop().rows.len(), 1);
            }
        }
    }
}

#[test]
fn f19_a_gateway_that_can_go_elsewhere_leaves_one_try_to_those_behind() {
    let (near, far) = (mocks(&status(500, "", "{}")), mocks(&status(500, "", "{}")));
    let (b, c) = (over(&near, 3).start(), over(&far, 3).start());
    let a = Config::default().through("c", c.address).through("b", b.address).policy("max_attempts: 3").start();
    with(&a, "", true).error(502, "upstream_failed");
    assert_eq!((asked(&near), asked(&far)), (1, 2), "one while there is another way, then all that are left");
    // Nobody from outside gets more than the policy's.
    with(&b, "x-rhumb-tries: 99\r\n", true).error(502, "upstream_failed");
    assert_eq!(asked(&near), 4);
    with(&b, "x-rhumb-tries: 1\r\n", true).error(502, "upstream_failed");
    assert_eq!(asked(&near), 5);
    with(&b, "x-rhumb-tries: 0\r\n", true).error(400, "invalid_request");
    with(&b, "x-rhumb-hops: many\r\n", true).error(400, "invalid_request");
    for gateway in [a, b, c] {
        gateway.stop();
    }
}

/// Passes connections on to an address that is known later.
fn forwarder(to: &Arc<OnceLock<SocketAddr>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (listener.local_addr().unwrap(), Arc::clone(to));
    std::thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let Some(to) = to.get().and_then(|a| TcpStream::connect(a).ok()) else { continue };
            for (mut from, mut to) in
                [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to.try_clone().unwrap(), from)]
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

#[test]
fn f19_a_gateway_that_leads_to_itself_says_so_and_storms_nobody() {
    let itself = Arc::new(OnceLock::new());
    let a = Config::default().through("again", forwarder(&itself)).start();
    itself.set(a.address).unwrap();
    for stream in [true, false] {
        let message = with(&a, "", stream).error(508, "loop_detected");
        assert!(message.contains("x-rhumb-hops"), "{message}");
    }
    assert_eq!(a.of_endpoint("healthy", "again"), 1.0);
    let rows = a.stop().rows;
    assert_eq!(rows.len(), 2 * 9, "once around for each of the hops");
    assert!(rows.iter().all(|r| (r.outcome.as_str(), r.status, r.attempts) == ("failed", 508, 1)));
}

#[test]
fn f19_a_loop_beside_a_way_out_costs_a_try_and_no_answer() {
    let itself = Arc::new(OnceLock::new());
    let b = Mock::answering("b", 3);
    let a = Config::over(&[&b]).through("again", forwarder(&itself)).start();
    itself.set(a.address).unwrap();
    let answer = with(&a, "", true);
    assert_eq!((answer.status, answer.header("x-rhumb-endpoint"), b.requests()), (200, "b", 1));
    assert_eq!(a.stop().rows.len(), 9);
}

#[test]
fn f02_a_deadline_ends_the_request_everywhere_and_nobody_is_ill_for_it() {
    let (a, b) = (Mock::start("a", silent()), Mock::answering("b", 3));
    let inner = Config::over(&[&a, &b]).start();
    let outer = Config::default().through("inner", inner.address).start();
    for (i, stream) in [true, false, true, false].into_iter().enumerate() {
        for (j, gateway) in [&inner, &outer].into_iter().enumerate() {
            with(gateway, "x-rhumb-deadline-ms: 500\r\n", stream).error(504, "deadline_exceeded");
            a.await_cancels(2 * i + j + 1);
        }
    }
    assert_eq!(b.requests(), 0, "there is no time for another");
    assert_eq!((inner.of_endpoint("healthy", "a"), outer.of_endpoint("healthy", "inner")), (1.0, 1.0));
    let ended = |r: &rhumb_tests::rows::Row| (r.outcome.clone(), r.status, r.attempts);
    let late = ("failed".to_owned(), 504, 1);
    assert!(outer.stop().rows.iter().all(|r| ended(r) == late));
    // Where both notice at the same moment, the outer one may have hung up first.
    assert!(inner.stop().rows.iter().all(|r| ended(r) == late || ended(r) == ("client_gone".to_owned(), 0, 1)));
}

#[test]
fn f19_what_is_left_of_a_deadline_goes_on_to_the_next_gateway() {
    let a = Mock::answering("a", 3);
    let inner = Config::over(&[&a]).start();
    let outer = Config::default().through("inner", inner.address).start();
    assert_eq!(with(&outer, "x-rhumb-deadline-ms: 60000\r\n", true).status, 200);
    // Beyond what a clock can count there is none.
    assert_eq!(with(&outer, &format!("x-rhumb-deadline-ms: {}\r\n", u64::MAX), true).status, 200);
    assert_eq!(with(&outer, "", true).status, 200);
    let said: Vec<String> = a.seen().iter().map(|s| s.header("x-rhumb-deadline-ms").to_owned()).collect();
    assert!((1..60_000).contains(&said[0].parse::<u64>().unwrap()), "{said:?}");
    assert_eq!(said[2], "");
    outer.stop();
    inner.stop();
}
