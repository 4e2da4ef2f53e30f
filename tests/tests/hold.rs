//! Requests that no endpoint has room for wait at the router: F12, F42, and the order of turns.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::h2c::H2;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::{speech, wait};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

/// An engine that answers when the test says so, and a grid in which it runs one request at a time.
fn one_at_a_time() -> (Mock, Config) {
    let mock = Mock::start("a", vec![Step::Gate, Step::Answer(3)]);
    let config = Config::over(&[&mock]).endpoint(0, |e| e.concurrency = 1);
    (mock, config)
}

fn body(name: &str, stream: bool) -> Vec<u8> {
    let mut body = speech::ask(stream);
    body["user"] = json!(name);
    body.to_string().into_bytes()
}

/// Sends a request and waits until it is counted among those of its priority that wait.
fn queued(gateway: &Gateway, headers: &str, name: &str, priority: &str, length: usize) -> Client {
    let mut client = gateway.client();
    client.send(&post(CHAT, headers, &body(name, true)));
    await_queue(gateway, priority, length);
    client
}

fn await_queue(gateway: &Gateway, priority: &str, length: usize) {
    let series = format!("rhumb_queue_length{{priority=\"{priority}\"}}");
    wait::until_true("the queue is so long", || gateway.metric(&series) == length as f64);
}

/// Names in the order in which the engine saw them.
fn order(mock: &Mock) -> Vec<String> {
    mock.seen().iter().map(|s| s.json()["user"].as_str().unwrap().to_owned()).collect()
}

/// The one that keeps the engine busy.
fn busy(gateway: &Gateway, mock: &Mock) -> Client {
    let mut client = gateway.client();
    client.send(&post(CHAT, "", &body("first", true)));
    mock.await_requests(1);
    client
}

fn is_whole(client: &mut Client) {
    let answer = client.answer();
    assert_eq!((answer.status, answer.whole), (200, true));
    assert_eq!(speech::text_of(&answer.events()), speech::text(3));
}

#[test]
fn f12_those_who_leave_the_queue_are_never_dispatched() {
    let (mock, config) = one_at_a_time();
    let gateway = config.policy("priority: standard").start();
    let mut first = busy(&gateway, &mock);
    let mut clients: Vec<Option<Client>> = Vec::new();
    for i in 0..100 {
        clients.push(Some(gateway.client()));
        let client = clients[i].as_mut().unwrap();
        client.send(&post(CHAT, "", &body(&format!("q{i}"), i % 4 < 2)));
    }
    await_queue(&gateway, "standard", 100);
    for (i, client) in clients.iter_mut().enumerate().filter(|(i, _)| i % 2 == 0) {
        let client = client.take().unwrap();
        if i % 3 == 0 { client.reset() } else { drop(client) }
    }
    await_queue(&gateway, "standard", 50);
    mock.release();
    is_whole(&mut first);
    for client in clients.iter_mut().flatten() {
        let answer = client.answer();
        assert_eq!((answer.status, answer.whole), (200, true));
    }
    assert_eq!(mock.requests(), 51, "the first and the fifty that stayed");
    assert!(order(&mock).iter().skip(1).all(|name| name[1..].parse::<usize>().unwrap() % 2 == 1));
    let rows = gateway.stop().rows;
    let count = |outcome: &str| rows.iter().filter(|r| r.outcome == outcome).count();
    assert_eq!((rows.len(), count("complete"), count("client_gone")), (101, 51, 50));
    assert!(rows.iter().filter(|r| r.outcome == "client_gone").all(|r| r.attempts == 0 && r.usd == 0.0));
}

#[test]
fn f12_streams_of_one_h2_connection_leave_the_queue_too() {
    let (mock, config) = one_at_a_time();
    let gateway = config.policy("priority: standard").start();
    let mut first = busy(&gateway, &mock);
    let mut h2 = H2::connect(gateway.address);
    let calls: Vec<_> = (0..20).map(|i| h2.post(CHAT, &body(&format!("q{i}"), true))).collect();
    await_queue(&gateway, "standard", 20);
    drop(calls);
    drop(h2);
    await_queue(&gateway, "standard", 0);
    mock.release();
    is_whole(&mut first);
    gateway.await_rest();
    assert_eq!(mock.requests(), 1);
    assert_eq!(gateway.stop().rows.iter().filter(|r| r.outcome == "client_gone").count(), 20);
}

#[test]
fn the_urgent_go_first_and_batch_waits() {
    let (mock, config) = one_at_a_time();
    let gateway = config.policy("priority: standard").start();
    let mut first = busy(&gateway, &mock);
    let of = |p: &str| format!("x-rhumb-priority: {p}\r\n");
    let mut all = vec![
        queued(&gateway, &of("batch"), "batch", "batch", 1),
        queued(&gateway, "", "standard", "standard", 1),
        queued(&gateway, &of("interactive"), "interactive", "interactive", 1),
    ];
    let mut flex = gateway.client();
    let mut tiered: serde_json::Value = serde_json::from_slice(&body("flex", true)).unwrap();
    tiered["service_tier"] = json!("flex");
    flex.send(&post(CHAT, "", tiered.to_string().as_bytes()));
    await_queue(&gateway, "batch", 2);
    all.push(flex);
    mock.release();
    is_whole(&mut first);
    all.iter_mut().for_each(is_whole);
    assert_eq!(order(&mock), ["first", "interactive", "standard", "batch", "flex"]);
    gateway.stop();
}

const TENANTS: &str = "tenants:
  - {name: crowd, keys: [{name: k, key: sk-crowd}], allow_policies: [test]}
  - {name: quiet, keys: [{name: k, key: sk-quiet}], allow_policies: [test], highest_priority: standard}
";

#[test]
fn a_tenant_that_sends_much_does_not_keep_another_waiting() {
    let (mock, config) = one_at_a_time();
    let gateway = config.policy("priority: standard").tail(TENANTS).start();
    let (crowd, quiet) = ("authorization: Bearer sk-crowd\r\n", "authorization: Bearer sk-quiet\r\n");
    let mut first = gateway.client();
    first.send(&post(CHAT, crowd, &body("first", true)));
    mock.await_requests(1);
    let mut all: Vec<Client> = (1..=6).map(|i| queued(&gateway, crowd, &format!("crowd{i}"), "standard", i)).collect();
    all.extend((1..=2).map(|i| queued(&gateway, quiet, &format!("quiet{i}"), "standard", 6 + i)));
    mock.release();
    is_whole(&mut first);
    all.iter_mut().for_each(is_whole);
    // In turn, or the quiet one first, once it is seen to be within its share.
    let order = order(&mock);
    let at = |name: &str| order.iter().position(|n| n == name).unwrap();
    assert!(at("quiet1") <= 2 && at("quiet2") <= 4, "{order:?}");
    assert!((1..6).all(|i| at(&format!("crowd{i}")) < at(&format!("crowd{}", i + 1))), "{order:?}");
    let refused = gateway.client().exchange(&post(
        CHAT,
        &format!("{quiet}x-rhumb-priority: interactive\r\n"),
        &body("above", true),
    ));
    assert!(refused.error(400, "invalid_request").contains("at most `standard`"));
    gateway.stop();
}

#[test]
fn where_another_endpoint_has_room_nobody_waits() {
    let (a, b) = (Mock::start("a", vec![Step::Gate, Step::Answer(3)]), Mock::answering("b", 3));
    let config = Config::over(&[&a, &b]).endpoint(0, |e| e.concurrency = 1);
    let gateway = config.start();
    let mut first = busy(&gateway, &a);
    let answer = gateway.chat(&speech::ask(true));
    assert_eq!((answer.status, a.requests(), b.requests()), (200, 1, 1));
    a.release();
    is_whole(&mut first);
    gateway.stop();
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let (mock, config) = one_at_a_time();
    let gateway = config.gateway("max_queue: 2").policy("priority: standard").start();
    let mut first = busy(&gateway, &mock);
    let mut waiting: Vec<Client> = (1..=2).map(|i| queued(&gateway, "", &format!("q{i}"), "standard", i)).collect();
    let refused = gateway.chat(&speech::ask(true));
    refused.error(429, "rate_limit_exceeded");
    let ms: u64 = refused.header("retry-after-ms").parse().unwrap();
    assert!((250..=90_000).contains(&ms), "{ms}");
    assert_eq!(refused.header("retry-after"), ms.div_ceil(1_000).to_string());
    assert_eq!(refused.header("x-should-retry"), "true");
    mock.release();
    is_whole(&mut first);
    waiting.iter_mut().for_each(is_whole);
    assert_eq!(mock.requests(), 3);
    let rows = gateway.stop().rows;
    let shed: Vec<_> = rows.iter().filter(|r| r.outcome == "shed").collect();
    assert_eq!((shed.len(), shed[0].status, shed[0].attempts), (1, 429, 0));
}

#[test]
fn nobody_waits_longer_than_its_policy_or_its_deadline_says() {
    let (mock, config) = one_at_a_time();
    let gateway = config.policy("priority: standard").policy("max_wait_ms: 30000").start();
    let mut first = busy(&gateway, &mock);
    let refused = gateway.client().exchange(&post(CHAT, "x-rhumb-deadline-ms: 50\r\n", &body("late", true)));
    refused.error(429, "rate_limit_exceeded");
    mock.release();
    is_whole(&mut first);
    assert_eq!(mock.requests(), 1);
    gateway.stop();
}

#[test]
fn f42_what_would_multiply_the_work_is_refused_before_anything_is_sent() {
    let mock = Mock::answering("a", 3);
    let gateway = Config::over(&[&mock]).policy("max_choices: 2").policy("max_answer_tokens: 100").start();
    for (field, value, limit) in
        [("n", 3, 2), ("best_of", 3, 2), ("max_tokens", 101, 100), ("max_completion_tokens", 101, 100)]
    {
        let mut ask = speech::ask(false);
        ask[field] = json!(value);
        let said = gateway.chat(&ask).error(400, "invalid_request");
        assert!(said.contains(&format!("at most {limit}")), "{said}");
    }
    for (header, value) in [
        ("x-rhumb-priority", "urgent"),
        ("x-rhumb-deadline-ms", "0"),
        ("x-rhumb-deadline-ms", "-5"),
        ("x-rhumb-deadline-ms", "soon"),
    ] {
        let asked = post(CHAT, &format!("{header}: {value}\r\n"), speech::ask(false).to_string().as_bytes());
        let said = gateway.client().exchange(&asked).error(400, "invalid_request");
        assert!(said.contains(header), "{said}");
    }
    assert_eq!(mock.requests(), 0);
    let mut ask = speech::ask(false);
    ask["n"] = json!(2);
    assert_eq!(gateway.chat(&ask).status, 200);
    assert_eq!(mock.seen()[0].json()["max_tokens"], 100, "an answer without a length has the policy's");
    gateway.stop();
}
