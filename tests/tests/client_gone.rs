//! F11: the client leaves, in every way a client can, and the work for it stops.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::h2c::{Call, H2};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, silent, stall};
use rhumb_tests::speech;
use serde_json::Value;

const CHAT: &str = "/v1/chat/completions";

/// Where a request stands when its client leaves.
struct Phase {
    name: &'static str,
    script: Script,
    stream: bool,
    /// What the client has read by then.
    read: &'static str,
    /// Tokens that it is billed for, and the status in the log.
    billed: u64,
    status: u16,
}

fn phases() -> Vec<Phase> {
    vec![
        Phase { name: "silent", script: silent(), stream: true, read: "", billed: 0, status: 0 },
        Phase {
            name: "no content yet",
            script: vec![Step::Head, Step::Role, Step::Hang],
            stream: true,
            read: "",
            billed: 0,
            status: 0,
        },
        Phase { name: "in a stream", script: stall(3), stream: true, read: "t3 ", billed: 3, status: 200 },
        Phase { name: "a plain answer", script: silent(), stream: false, read: "", billed: 0, status: 0 },
    ]
}

fn body(phase: &Phase) -> String {
    speech::ask(phase.stream).to_string()
}

/// Holds what follows every departure: the engine is told, the place is free, and the log has one row.
fn holds(phase: &Phase, how: &str, leave: impl FnOnce(&Gateway, &Mock)) {
    let what = format!("{}, {how}", phase.name);
    // The second engine shows that nothing is begun anew for a client that is gone.
    let (a, b) = (Mock::start("a", phase.script.clone()), Mock::answering("b", 3));
    let gateway = Config::over(&[&a, &b]).start();
    leave(&gateway, &a);
    a.await_cancels(1);
    gateway.await_rest();
    assert_eq!((a.requests(), b.requests()), (1, 0), "{what}");
    let rows = gateway.stop().rows;
    assert_eq!(rows.len(), 1, "{what}");
    assert_eq!((rows[0].outcome.as_str(), rows[0].status), ("client_gone", phase.status), "{what}");
    assert_eq!(rows[0].completion_tokens, phase.billed, "{what}");
    assert_eq!(rows[0].usd > 0.0, phase.billed > 0, "{what}");
}

/// One that has asked and has seen what the phase wants.
fn h1(phase: &Phase, gateway: &Gateway, a: &Mock) -> Client {
    let mut client = gateway.client();
    client.send(&post(CHAT, "", body(phase).as_bytes()));
    a.await_requests(1);
    client.read_until(phase.read);
    client
}

#[test]
fn f11_h1_the_client_closes() {
    for phase in phases() {
        holds(&phase, "FIN", |gateway, a| drop(h1(&phase, gateway, a)));
    }
}

#[test]
fn f11_h1_the_client_resets() {
    for phase in phases() {
        holds(&phase, "RST", |gateway, a| h1(&phase, gateway, a).reset());
    }
}

#[test]
fn f11_h1_the_client_half_closes() {
    for phase in phases() {
        let mut kept = None;
        holds(&phase, "half-close", |gateway, a| {
            let client = h1(&phase, gateway, a);
            client.half_close();
            kept = Some(client);
        });
    }
}

fn h2(phase: &Phase, gateway: &Gateway, a: &Mock) -> (H2, Call) {
    let mut client = H2::connect(gateway.address);
    let mut call = client.post(CHAT, body(phase).as_bytes());
    a.await_requests(1);
    if !phase.read.is_empty() {
        assert!(client.read_until(&mut call, phase.read).unwrap());
    }
    (client, call)
}

#[test]
fn f11_h2_the_client_resets_the_stream() {
    for phase in phases() {
        let mut kept = None;
        holds(&phase, "RST_STREAM", |gateway, a| {
            let (mut client, call) = h2(&phase, gateway, a);
            client.cancel(call);
            a.await_cancels(1);
            let mut other = client.post(CHAT, b"not JSON");
            client.head(&mut other);
            assert_eq!(other.status, 400, "the connection stands and serves: {}", phase.name);
            kept = Some(client);
        });
    }
}

#[test]
fn f11_h2_the_client_closes() {
    for phase in phases() {
        holds(&phase, "FIN", |gateway, a| h2(&phase, gateway, a).0.close());
    }
}

#[test]
fn f11_h2_the_client_resets_the_connection() {
    for phase in phases() {
        holds(&phase, "RST", |gateway, a| {
            let (client, call) = h2(&phase, gateway, a);
            drop(call);
            client.reset();
        });
    }
}

#[test]
fn f11_h2_the_client_half_closes() {
    for phase in phases() {
        let mut kept = None;
        holds(&phase, "half-close", |gateway, a| {
            let (client, call) = h2(&phase, gateway, a);
            client.half_close();
            kept = Some((client, call));
        });
    }
}

#[test]
fn f11_a_flowing_stream_is_cancelled_and_billed_as_far_as_it_came() {
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Trickle]);
    let gateway = Config::over(&[&a]).start();
    let mut client = gateway.client();
    client.send(&post(CHAT, "", speech::ask(true).to_string().as_bytes()));
    client.read_until("t20 ");
    drop(client);
    a.await_cancels(1);
    let rows = gateway.stop().rows;
    let (billed, written) = (rows[0].completion_tokens as usize, a.tokens());
    assert_eq!(rows[0].outcome, "client_gone");
    assert!((20..=written).contains(&billed), "{billed} billed, {written} written");
}

#[test]
fn f11_a_client_that_has_sent_its_next_request_already_may_leave_too() {
    // What is unread on its connection hides the end of it, until the next token cannot be delivered.
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Trickle]);
    let gateway = Config::over(&[&a]).start();
    let mut client = gateway.client();
    let ask = post(CHAT, "", speech::ask(true).to_string().as_bytes());
    client.send(&[ask.clone(), ask].concat());
    client.read_until("t3 ");
    drop(client);
    a.await_cancels(1);
    let rows = gateway.stop().rows;
    assert_eq!(rows.iter().map(|r| r.outcome.as_str()).collect::<Vec<_>>(), ["client_gone"]);
}

#[test]
fn f11_five_hundred_at_once() {
    const EACH: usize = 125;
    let a = Mock::start("a", stall(2));
    let gateway = Config::over(&[&a]).start();
    let ask = speech::ask(true).to_string();
    let ask = post(CHAT, "", ask.as_bytes());
    let mut clients: Vec<Client> = (0..3 * EACH)
        .map(|_| {
            let mut client = gateway.client();
            client.send(&ask);
            client
        })
        .collect();
    let mut multiplexed = H2::connect(gateway.address);
    let body: Value = speech::ask(true);
    let mut calls: Vec<Call> = (0..EACH).map(|_| multiplexed.post(CHAT, body.to_string().as_bytes())).collect();
    clients.iter_mut().for_each(|c| c.read_until("t2 "));
    calls.iter_mut().for_each(|c| assert!(multiplexed.read_until(c, "t2 ").unwrap()));
    assert_eq!(gateway.of_endpoint("in_flight", "a"), 4.0 * EACH as f64);
    for (i, client) in clients.into_iter().enumerate() {
        match i % 2 {
            0 => drop(client),
            _ => client.reset(),
        }
    }
    calls.into_iter().for_each(|c| multiplexed.cancel(c));
    a.await_cancels(4 * EACH);
    let rows = gateway.stop().rows;
    assert_eq!(rows.len(), 4 * EACH);
    assert!(rows.iter().all(|r| r.outcome == "client_gone" && r.completion_tokens == 2));
}
