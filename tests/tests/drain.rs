//! Draining a site or an endpoint: what is there ends, what comes goes elsewhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Gateway, rhumb};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::{speech, wait};
use serde_json::Value;

const CHAT: &str = "/v1/chat/completions";

fn drain(gateway: &Gateway, args: &[&str]) -> Output {
    let admin = format!("http://{}", gateway.admin);
    rhumb(&[&["drain", "--admin", &admin, "--json"], args].concat())
}

/// The state of the endpoints that were named.
fn drained(gateway: &Gateway, args: &[&str]) -> Vec<(String, String)> {
    let output = drain(gateway, args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |e: &Value, member: &str| e[member].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(|e| (text(e, "endpoint"), text(e, "accepts"))).collect()
}

fn in_session(gateway: &Gateway, session: &str) -> String {
    let headers = format!("connection: close\r\nx-rhumb-session: {session}\r\n");
    let body = speech::ask(true).to_string();
    let answer = gateway.client().exchange(&post(CHAT, &headers, body.as_bytes()));
    assert_eq!(answer.status, 200);
    answer.header("x-rhumb-endpoint").to_owned()
}

fn served_by(gateway: &Gateway) -> String {
    gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint").to_owned()
}

fn started(gateway: &Gateway, mock: &Mock) -> Client {
    let (mut client, before) = (gateway.client(), mock.requests());
    client.send(&post(CHAT, "", speech::ask(true).to_string().as_bytes()));
    mock.await_requests(before + 1);
    client
}

#[test]
fn a_drained_endpoint_ends_what_it_has_and_gets_nothing_new() {
    let (a, b) = (Mock::start("a", vec![Step::Gate, Step::Answer(3)]), Mock::answering("b", 3));
    let gateway = Config::over(&[&a, &b]).start();
    let mut under_way = started(&gateway, &a);
    assert_eq!(drained(&gateway, &["a"]), [("a".into(), "none".into())]);
    (0..5).for_each(|_| assert_eq!(served_by(&gateway), "b"));
    let all = drained(&gateway, &[]);
    assert_eq!(all, [("a".into(), "none".into()), ("b".into(), "new_and_existing".into())]);
    // It waits for the one request, which waits for the gate.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drained(&gateway, &["a", "--wait"]));
        assert!(!waiting.is_finished());
        a.release();
        let answer = under_way.answer();
        assert_eq!((answer.status, answer.whole), (200, true));
        assert_eq!(waiting.join().unwrap(), [("a".into(), "none".into())]);
    });
    assert_eq!(drained(&gateway, &["a", "--undo"]), [("a".into(), "new_and_existing".into())]);
    assert_eq!(served_by(&gateway), "a");
    assert_eq!(gateway.stop().rows.len(), 7);
}

#[test]
fn existing_only_keeps_sessions_and_sends_new_ones_elsewhere() {
    let (a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
    let gateway = Config::over(&[&a, &b]).start();
    assert_eq!(in_session(&gateway, "old"), "a");
    // By the name of its site.
    let state = drained(&gateway, &["site-a", "--accepts", "existing_only"]);
    assert_eq!(state, [("a".into(), "existing_only".into())]);
    assert_eq!((in_session(&gateway, "old"), in_session(&gateway, "new")), ("a".into(), "b".into()));
    assert_eq!(served_by(&gateway), "b");
    // The narrower of site and endpoint counts; the session moves, and stays where it has moved to.
    drained(&gateway, &["a"]);
    assert_eq!(in_session(&gateway, "old"), "b");
    gateway.stop();
}

#[test]
fn those_who_wait_for_a_drained_endpoint_go_elsewhere_or_are_told() {
    let (a, b) = (Mock::start("a", vec![Step::Gate, Step::Answer(3)]), Mock::answering("b", 3));
    let gateway = Config::over(&[&a, &b]).endpoint(0, |e| e.concurrency = 1).start();
    drained(&gateway, &["b"]);
    let mut first = started(&gateway, &a);
    let mut second = gateway.client();
    second.send(&post(CHAT, "", speech::ask(true).to_string().as_bytes()));
    wait::until_true("the second waits", || gateway.metric("rhumb_queue_length{priority=\"batch\"}") == 1.0);
    drained(&gateway, &["a"]);
    let told = second.answer();
    let text = told.error(503, "server_is_overloaded");
    assert!(text.contains("2 draining"), "{text}");
    a.release();
    assert!(first.answer().whole);
    gateway.stop();
}

#[test]
fn a_restart_does_not_forget_what_is_drained() {
    let (a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
    let config = Config::over(&[&a, &b]);
    let gateway = config.start();
    drained(&gateway, &["site-a"]);
    let stopped = gateway.stop();
    let gateway = config.start_in(stopped);
    assert_eq!(served_by(&gateway), "b");
    drained(&gateway, &["site-a", "--undo"]);
    assert_eq!(served_by(&gateway), "a");
    gateway.stop();
}

#[test]
fn what_cannot_be_drained_is_said() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    let refused = |args: &[&str], code: i32, words: &str| {
        let output = drain(&gateway, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words) && output.stdout.is_empty(), "{args:?}: {said}");
    };
    refused(&["c"], 4, "no site or endpoint `c`");
    refused(&["a", "--accepts", "half"], 2, "existing_only");
    refused(&["--undo"], 2, "required");
    for (body, words) in [("{", "The body must be"), (r#"{"name":"a","accepts":"x"}"#, "existing_only")] {
        let request = String::from_utf8(post("/admin/v1/drain", "connection: close\r\n", body.as_bytes())).unwrap();
        let request = request.replacen("host: grid", "host: localhost", 1);
        let text = Client::connect(gateway.admin).exchange(request.as_bytes()).error(400, "invalid_request");
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(served_by(&gateway), "a");
    gateway.stop();
    let output = rhumb(&["drain", "--admin", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(6));
}
