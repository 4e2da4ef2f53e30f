//! F10: an engine that lives and no longer works. What counts is the content that it sends, not that it sends.

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::speech;
use serde_json::Value;

const TOKENS: usize = 5;

/// What engines and proxies send to keep a connection open, and what is not even an event yet.
fn signs_of_life() -> Vec<(&'static str, Step)> {
    let beat = |text: String| Step::Beat(text.into_bytes());
    vec![
        ("comments", beat(": ping\n\n".into())),
        ("a flood of comments", Step::Chunks(b": ping\n\n".repeat(10), usize::MAX)),
        ("events without data", beat("event: ping\n\n".into())),
        ("empty objects", beat("data: {}\n\n".into())),
        ("roles", beat(speech::role("a"))),
        ("usage", beat(speech::usage_frame("a", TOKENS))),
        ("empty deltas", beat(speech::said("a", ""))),
        ("a line that does not end", beat("x".into())),
        ("an event that does not end", beat(": ping\n".into())),
    ]
}

#[test]
fn f10_heartbeats_do_not_make_up_for_tokens() {
    for (what, step) in signs_of_life() {
        let (a, b) =
            (Mock::start("a", vec![Step::Head, Step::Role, Step::Tokens(TOKENS), step]), Mock::answering("b", 30));
        let gateway = Config::over(&[&a, &b]).policy("idle_timeout_ms: 300").gateway("client_stall_ms: 1000").start();
        let mut client = gateway.client();
        let answer = client.exchange(&post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes()));
        a.await_cancels(1);
        let events = answer.events();
        let (last, before) = events.split_last().expect("events");
        assert_eq!(speech::text_of(before), speech::text(TOKENS), "{what}");
        let error: Value = serde_json::from_str(last).expect("JSON");
        assert_eq!(error["error"]["code"], "upstream_failed", "{what}");
        assert!(!answer.text().contains("[DONE]") && !answer.whole && client.is_closed(), "{what}");
        assert_eq!((a.requests(), b.requests()), (1, 0), "{what}");
        gateway.await_rest();
        let rows = gateway.stop().rows;
        assert_eq!(rows.len(), 1, "{what}");
        assert_eq!((rows[0].outcome.as_str(), rows[0].endpoint.as_str()), ("broken", "a"), "{what}");
        assert_eq!(rows[0].completion_tokens, TOKENS as u64, "signs of life are not billed: {what}");
    }
}

#[test]
fn f10_a_flood_of_comments_to_a_client_that_does_not_read_ends_in_time() {
    let flood = Step::Chunks(b": ping\n\n".repeat(1_000), usize::MAX);
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Tokens(TOKENS), flood]);
    // Its patience with the client would last for longer than this test.
    let gateway = Config::over(&[&a]).policy("idle_timeout_ms: 300").gateway("client_stall_ms: 600000").start();
    let mut client = Client::connect_narrow(gateway.address, 4 << 10);
    client.send(&post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes()));
    a.await_cancels(1);
    gateway.await_rest();
    client.read_until("upstream_failed");
    let text = client.unread_text();
    assert!(text.contains(&speech::token(TOKENS)) && text.contains(": ping"), "{text}");
    drop(client);
    assert_eq!(gateway.stop().rows[0].outcome, "broken");
}

#[test]
fn f10_heartbeats_before_the_first_token_do_not_make_up_for_it() {
    for (what, step) in signs_of_life() {
        let (a, b) = (Mock::start("a", vec![Step::Head, Step::Role, step]), Mock::answering("b", 3));
        let gateway = Config::over(&[&a, &b]).policy("first_token_timeout_ms: 300").start();
        let answer = gateway.chat(&speech::ask(true));
        a.await_cancels(1);
        assert_eq!((answer.status, answer.text()), (200, speech::stream("b", 3, false)), "{what}");
        let rows = gateway.stop().rows;
        assert_eq!((rows.len(), rows[0].outcome.as_str(), rows[0].attempts), (1, "complete", 2), "{what}");
    }
}

#[test]
fn f10_a_slow_engine_that_says_something_is_no_stalled_one() {
    // Each token by itself comes within the limit; together they take many times as long.
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Trickle]);
    let gateway = Config::over(&[&a]).policy("idle_timeout_ms: 100").start();
    let mut client = gateway.client();
    client.send(&post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes()));
    client.read_until("t500 ");
    drop(client);
    a.await_cancels(1);
    assert_eq!(gateway.stop().rows[0].outcome, "client_gone");
}
