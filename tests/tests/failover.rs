//! F1 to F5: a target fails before it has said anything, and the client does not notice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Step, die_before_content, silent, status};
use rhumb_tests::{CANARY, speech};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

#[test]
fn f01_a_site_that_refuses_connections_costs_no_request() {
    let mut a = Mock::answering("a", 3);
    let (b, c) = (Mock::answering("b", 3), Mock::answering("c", 3));
    let gateway = Config::over(&[&a, &b, &c]).start();
    let mut client = gateway.client();
    let (streamed, plain) = (speech::ask(true).to_string(), speech::ask(false).to_string());
    for i in 0..1_000 {
        if i == 100 {
            assert_eq!(a.requests(), 100, "the cheapest serves while it can");
            a.close();
        }
        let answer = client.exchange(&post(CHAT, "", if i % 2 == 0 { &streamed } else { &plain }.as_bytes()));
        assert_eq!((answer.status, answer.whole), (200, true), "request {i}");
        let said = if i % 2 == 0 { speech::text_of(&answer.events()) } else { text_of_plain(&answer.json()) };
        assert_eq!(said, speech::text(3), "request {i}");
    }
    assert_eq!((b.requests(), c.requests()), (900, 0));
    let failed = gateway.metric("rhumb_attempts_total{endpoint=\"a\",result=\"failed\"}");
    let rows = gateway.stop().rows;
    assert_eq!(rows.len(), 1_000);
    assert!(rows.iter().all(|r| r.outcome == "complete" && r.status == 200 && r.attempts <= 2));
    let retried = rows.iter().filter(|r| r.attempts == 2).count();
    assert_eq!(retried as f64, failed);
    assert!((1..=45).contains(&retried), "after three failures the site rests; {retried} requests were retried");
}

fn text_of_plain(answer: &serde_json::Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn f01_all_sites_refuse_connections() {
    let (mut a, mut b) = (Mock::answering("a", 3), Mock::answering("b", 3));
    a.close();
    b.close();
    let gateway = Config::over(&[&a, &b]).start();
    gateway.chat(&speech::ask(true)).error(502, "upstream_failed");
    let rows = gateway.stop().rows;
    assert_eq!((rows[0].outcome.as_str(), rows[0].attempts, rows[0].usd), ("failed", 2, 0.0));
}

#[test]
fn f01_a_connection_that_died_while_it_was_kept_is_no_failure_of_its_site() {
    for end in [Step::Fin, Step::Reset] {
        let (a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
        let gateway = Config::over(&[&a, &b]).start();
        let mut client = gateway.client();
        let ask = post(CHAT, "", speech::ask(true).to_string().as_bytes());
        assert_eq!(client.exchange(&ask).status, 200);
        // The second request meets a connection whose engine is just closing it, the usual race of keep-alive.
        a.once(vec![end]);
        assert_eq!(client.exchange(&ask).text(), speech::stream("a", 3, false));
        assert_eq!((a.requests(), b.requests()), (3, 0));
        assert!(gateway.stop().rows.iter().all(|r| r.attempts == 1 && r.outcome == "complete"));
    }
}

/// Engines that take a request and do not begin to answer it, each in its own way.
fn silences() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("nothing", silent()),
        ("half a head", vec![Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-".to_vec()), Step::Hang]),
        ("a head", vec![Step::Head, Step::Hang]),
        ("a role", vec![Step::Head, Step::Role, Step::Hang]),
        (
            "heartbeats",
            vec![Step::Head, Step::Chunk(b": ping\n\n".to_vec()), Step::Chunk(b": ping\n\n".to_vec()), Step::Hang],
        ),
    ]
}

#[test]
fn f02_a_site_that_never_answers_is_left_for_another_and_told_so() {
    for (what, script) in silences() {
        let (a, b) = (Mock::start("a", script), Mock::answering("b", 4));
        let gateway = Config::over(&[&a, &b]).policy("first_token_timeout_ms: 300").start();
        let answer = gateway.chat(&speech::ask(true));
        assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "b"), "{what}");
        assert_eq!(answer.text(), speech::stream("b", 4, false), "{what}");
        a.await_cancels(1);
        assert_eq!((a.requests(), b.requests(), b.cancels()), (1, 1, 0), "{what}");
        let rows = gateway.stop().rows;
        assert_eq!((rows.len(), rows[0].attempts, rows[0].endpoint.as_str()), (1, 2, "b"), "{what}");
        assert_eq!((rows[0].prompt_tokens, rows[0].completion_tokens), b.answered().1, "{what}");
    }
}

#[test]
fn f02_the_same_for_a_plain_answer() {
    let (a, b) = (Mock::start("a", silent()), Mock::answering("b", 4));
    let gateway = Config::over(&[&a, &b]).policy("first_token_timeout_ms: 300").start();
    let mut ask = speech::ask(false);
    ask["max_tokens"] = 1.into();
    let answer = gateway.chat(&ask);
    assert_eq!((answer.status, answer.text()), (200, speech::plain("b", CHAT, 4)));
    a.await_cancels(1);
    gateway.stop();
}

#[test]
fn f02_no_site_answers() {
    let (a, b) = (Mock::start("a", silent()), Mock::start("b", silent()));
    let gateway = Config::over(&[&a, &b]).policy("first_token_timeout_ms: 100").start();
    gateway.chat(&speech::ask(true)).error(504, "upstream_timeout");
    a.await_cancels(1);
    b.await_cancels(1);
    let rows = gateway.stop().rows;
    assert_eq!((rows[0].outcome.as_str(), rows[0].status, rows[0].completion_tokens), ("failed", 504, 0));
}

/// What an engine says as an error: the operator reads it in the log, clients never do.
const WORDS: &str = "the words of the engine";

/// Engines that fail with words of their own, in places where these could leak.
fn error_pages() -> Vec<(&'static str, Vec<Step>)> {
    let canary_header = format!("x-error: {CANARY}\r\n");
    let in_stream = format!("data: {{\"error\":{{\"message\":\"{WORDS}\"}}}}\n\n");
    let named = format!("event: error\ndata: {{\"error\":{{\"message\":\"{WORDS}\"}}}}\n\n");
    let not_sse = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 25\r\n\r\n{CANARY}");
    assert_eq!(CANARY.len(), 25);
    vec![
        ("500", status(500, &canary_header, CANARY)),
        ("502", status(502, &canary_header, &format!("<html>{CANARY}</html>"))),
        ("504", status(504, "", CANARY)),
        ("500 as JSON", status(500, "", &json!({"error": {"message": WORDS, "code": CANARY}}).to_string())),
        ("401 for the gateway's own key", status(401, "", CANARY)),
        ("a redirect", status(302, &format!("location: http://127.0.0.1/{CANARY}\r\n"), CANARY)),
        ("an error event", vec![Step::Head, Step::Chunk(in_stream.into_bytes()), Step::ZeroChunk]),
        ("a named error event", vec![Step::Head, Step::Role, Step::Chunk(named.into_bytes()), Step::ZeroChunk]),
        ("a page in place of a stream", vec![Step::Raw(not_sse.into_bytes())]),
        ("no HTTP at all", vec![Step::Raw(format!("{CANARY}\r\n\r\n").into_bytes()), Step::Fin]),
    ]
}

#[test]
fn f03_a_server_error_is_retried_and_its_page_stays_inside() {
    for (what, script) in error_pages() {
        let (a, b) = (Mock::start("a", script.clone()), Mock::answering("b", 4));
        let gateway = Config::over(&[&a, &b]).start();
        let answer = gateway.chat(&speech::ask(true));
        assert_eq!((answer.status, answer.text()), (200, speech::stream("b", 4, false)), "{what}");
        b.set(script);
        let answer = gateway.chat(&speech::ask(true));
        answer.error(502, "upstream_failed");
        assert_eq!(answer.header("x-should-retry"), "true", "{what}");
        let shown = format!("{:?}{}", answer.headers, answer.text());
        assert!(!shown.contains(CANARY) && !shown.contains(WORDS), "{what}: {shown}");
        // The rest (its own output, its metrics, its log) is held when it stops.
        let rows = gateway.stop().rows;
        assert_eq!(rows.iter().map(|r| r.attempts).collect::<Vec<_>>(), [2, 2], "{what}");
        assert_eq!((rows[1].outcome.as_str(), rows[1].usd), ("failed", 0.0), "{what}");
    }
}

#[test]
fn f03_a_request_that_the_engine_calls_invalid_is_not_sent_to_others() {
    for code in [400, 413, 415, 422] {
        let (a, b) = (Mock::answering("a", 4), Mock::answering("b", 4));
        let gateway = Config::over(&[&a, &b]).start();
        // One that has shown that it serves is believed.
        assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
        a.set(status(code, "", CANARY));
        let answer = gateway.chat(&speech::ask(true));
        answer.error(code, "invalid_request");
        assert!(!answer.text().contains(CANARY));
        assert_eq!((a.requests(), b.requests()), (2, 0));
        let rows = gateway.stop().rows;
        assert_eq!((rows[1].outcome.as_str(), rows[1].status), ("rejected", code));
    }
}

#[test]
fn f04_a_busy_site_is_left_for_another_and_is_not_ill() {
    for code in [429, 503] {
        let (a, b) = (Mock::start("a", status(code, "retry-after: 7\r\n", CANARY)), Mock::answering("b", 2));
        let gateway = Config::over(&[&a, &b]).start();
        for _ in 0..10 {
            assert_eq!(gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint"), "b");
        }
        assert_eq!((a.requests(), gateway.of_endpoint("healthy", "a")), (1, 1.0), "it has said for how long");
        let rows = gateway.stop().rows;
        let attempts: Vec<u32> = rows.iter().map(|r| r.attempts).collect();
        assert_eq!(attempts, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert!(rows.iter().all(|r| r.outcome == "complete"));
    }
}

#[test]
fn f04_when_all_sites_are_busy_the_client_is_told_to_wait_for_the_longest() {
    let a = Mock::start("a", status(429, "retry-after: 2\r\n", CANARY));
    let b = Mock::start("b", status(503, "retry-after-ms: 3500\r\n", CANARY));
    let c = Mock::start("c", status(429, "", CANARY));
    let gateway = Config::over(&[&a, &b, &c]).start();
    for _ in 0..5 {
        let answer = gateway.chat(&speech::ask(true));
        answer.error(429, "rate_limit_exceeded");
        assert!(!answer.text().contains(CANARY));
        assert!(answer.header("retry-after-ms").parse::<u64>().unwrap() >= 3_500);
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 4);
    }
    for e in ["a", "b", "c"] {
        assert_eq!(gateway.of_endpoint("healthy", e), 1.0);
    }
    let rows = gateway.stop().rows;
    assert!(rows.iter().all(|r| (r.outcome.as_str(), r.status, r.attempts) == ("failed", 429, 3)));
}

#[test]
fn f05_a_death_before_the_first_content_leaves_no_trace_in_the_answer() {
    let two_frames = vec![Step::Head, Step::Role, Step::Role, Step::Chunk(b": ping\n\n".to_vec()), Step::Reset];
    let clean_end = vec![Step::Head, Step::Role, Step::ZeroChunk];
    let fin = vec![Step::Head, Step::Role, Step::Fin];
    for script in [die_before_content(), two_frames, clean_end, fin, vec![Step::Reset], vec![Step::Fin]] {
        let (a, b) = (Mock::start("a", script.clone()), Mock::answering("b", 5));
        let gateway = Config::over(&[&a, &b]).start();
        let answer = gateway.chat(&speech::ask(true));
        assert_eq!((a.requests(), b.requests()), (1, 1));
        a.set(vec![Step::Answer(5)]);
        let clean = Config::over(&[&b]).start();
        let want = clean.chat(&speech::ask(true));
        assert_eq!(answer.text(), want.text());
        let text = answer.text();
        assert_eq!((text.matches("\"role\"").count(), text.matches("chatcmpl-a").count()), (1, 0));
        assert_eq!((answer.whole, answer.header("x-rhumb-endpoint")), (true, "b"));
        let rows = gateway.stop().rows;
        assert_eq!((rows.len(), rows[0].outcome.as_str(), rows[0].attempts), (1, "complete", 2));
        assert_eq!(rows[0].completion_tokens, 5);
        clean.stop();
    }
}

#[test]
fn f18_when_everyone_is_busy_retries_stay_a_share_of_the_requests() {
    let busy = || status(429, "retry-after: 1\r\n", "{}");
    let (a, b) = (Mock::start("a", busy()), Mock::start("b", busy()));
    // Without holding, requests go on to where nobody has time for them.
    let gateway = Config::over(&[&a, &b]).gateway("hold: false").start();
    let mut client = gateway.client();
    let body = speech::ask(true).to_string();
    for _ in 0..500 {
        client.exchange(&post(CHAT, "", body.as_bytes())).error(429, "rate_limit_exceeded");
    }
    // Twenty retries are saved up at first, for each of two sites, and a few come with time.
    let asked = a.requests() + b.requests();
    assert!((500..=500 + 100 + 40 + 10).contains(&asked), "{asked} attempts for 500 requests");
    gateway.stop();
}

#[test]
fn f18_while_everyone_is_busy_requests_wait_and_nobody_is_asked_again() {
    let busy = || status(429, "retry-after: 3600\r\n", "{}");
    let (a, b) = (Mock::start("a", busy()), Mock::start("b", busy()));
    let gateway = Config::over(&[&a, &b]).policy("max_wait_ms: 200").start();
    let body = speech::ask(true).to_string();
    gateway.chat(&speech::ask(true)).error(429, "rate_limit_exceeded");
    let mut clients: Vec<_> = (0..100).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|c| c.send(&post(CHAT, "", body.as_bytes())));
    for client in &mut clients {
        client.answer().error(429, "rate_limit_exceeded");
    }
    assert_eq!(a.requests() + b.requests(), 2, "each has said once that it is busy");
    gateway.stop();
}
