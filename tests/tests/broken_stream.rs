//! F6 and F7: a target fails after it has said something. What was said stays, and nothing takes it for a whole answer.

use rhumb_tests::client::{Answer, Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::frames::{END_HEADERS, END_STREAM, Wire, block, frame, kind};
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step};
use rhumb_tests::{CANARY, speech, sse};
use serde_json::Value;

const TOKENS: usize = 17;

/// Asks for a stream, and says whether the connection is closed after it.
fn ask(gateway: &Gateway) -> (Answer, Client) {
    let mut client = gateway.client();
    let ask = speech::ask(true).to_string();
    let answer = client.exchange(&post("/v1/chat/completions", "", ask.as_bytes()));
    (answer, client)
}

/// Holds a stream to be the first tokens and then an error, with nothing that looks like an end.
fn is_broken(what: &str, script: Script) {
    let (a, b) = (Mock::start("a", script), Mock::answering("b", 30));
    // How long a broken stream stays open for its reader is bounded by the second.
    let gateway = Config::over(&[&a, &b]).policy("idle_timeout_ms: 300").gateway("client_stall_ms: 1000").start();
    let (answer, mut client) = ask(&gateway);
    assert_eq!(answer.status, 200, "{what}");
    let events = answer.events();
    let (last, before) = events.split_last().expect("events");
    assert_eq!(before.len(), 1 + TOKENS, "the role and the tokens: {what}");
    assert_eq!(speech::text_of(before), speech::text(TOKENS), "{what}");
    let error: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(error["error"]["code"], "upstream_failed", "{what}");
    let text = answer.text();
    assert_eq!((text.matches("\"error\"").count(), text.matches("[DONE]").count()), (1, 0), "{what}");
    assert!(!text.contains(CANARY) && !text.contains("finish_reason\":\"stop"), "{what}");
    assert!(!answer.whole && client.is_closed(), "the framing must not say that this is all: {what}");
    assert_eq!((a.requests(), b.requests()), (1, 0), "what a client has seen is not begun again elsewhere: {what}");
    let rows = gateway.stop().rows;
    assert_eq!(rows.len(), 1, "{what}");
    assert_eq!((rows[0].outcome.as_str(), rows[0].status, rows[0].endpoint.as_str()), ("broken", 200, "a"), "{what}");
    assert_eq!((rows[0].estimated, rows[0].completion_tokens), (true, TOKENS as u64), "billed as delivered: {what}");
    assert!(rows[0].usd > 0.0, "{what}");
}

fn after_tokens(rest: &[Step]) -> Script {
    [&[Step::Head, Step::Role, Step::Tokens(TOKENS)], rest].concat()
}

#[test]
fn f06_a_reset_after_seventeen_tokens_is_an_error_and_no_end() {
    is_broken("RST", after_tokens(&[Step::Reset]));
}

#[test]
fn f06_a_stall_after_seventeen_tokens_is_an_error_and_no_end() {
    is_broken("a stall", after_tokens(&[Step::Hang]));
}

#[test]
fn f06_garbage_after_seventeen_tokens_is_an_error_and_no_end() {
    is_broken("no chunk", after_tokens(&[Step::Raw(b"zz\r\nnot a chunk".to_vec()), Step::Hang]));
    let cut_event = b"data: {\"choices\":[{\"delta\":{\"content\":\"half";
    is_broken("half an event", after_tokens(&[Step::Chunk(cut_event.to_vec()), Step::Fin]));
}

#[test]
fn f06_an_error_event_of_the_engine_is_replaced_by_our_own() {
    let event = format!("data: {{\"error\":{{\"message\":\"{CANARY}\"}}}}\n\ndata: [DONE]\n\n");
    is_broken("an error event", after_tokens(&[Step::Chunk(event.into_bytes()), Step::ZeroChunk]));
}

/// More than all buffers between the engine and a narrow client hold.
const MANY: usize = 3_000;

/// A stream of so many tokens that ends without being complete.
fn breaking(tokens: usize) -> Mock {
    Mock::start("a", vec![Step::Head, Step::Role, Step::Tokens(tokens), Step::Fin])
}

/// Holds these to be the events of a stream that broke off after so many tokens.
fn are_all_and_the_error(events: &[String], tokens: usize) {
    let (last, before) = events.split_last().expect("events");
    assert_eq!(speech::text_of(before), speech::text(tokens));
    let error: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(error["error"]["code"], "upstream_failed");
}

#[test]
fn f06_a_slow_reader_gets_all_of_a_broken_stream() {
    let a = breaking(MANY);
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 5000").start();
    let mut client = Client::connect_narrow(gateway.address, 4 << 10);
    let answer = client.exchange(&post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes()));
    assert!(!answer.whole, "the framing must not say that this is all");
    are_all_and_the_error(&answer.events(), MANY);
    assert_eq!(gateway.stop().rows[0].outcome, "broken");
}

#[test]
fn f06_on_http_1_0_only_a_reset_ends_a_broken_stream() {
    for tokens in [TOKENS, MANY] {
        let a = breaking(tokens);
        let gateway = Config::over(&[&a]).gateway("client_stall_ms: 5000").start();
        let mut client = Client::connect_narrow(gateway.address, 4 << 10);
        let ask = String::from_utf8(post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes()));
        client.send(ask.expect("text").replacen("HTTP/1.1", "HTTP/1.0", 1).as_bytes());
        let (said, reset) = client.to_the_end();
        assert!(reset, "a close alone is a clean end on HTTP/1.0");
        let body = said.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        are_all_and_the_error(&sse::data(&said[body..]), tokens);
        gateway.stop();
    }
}

#[test]
fn f06_on_http_2_all_comes_before_the_reset() {
    let a = breaking(TOKENS);
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 2000").start();
    let said: String = (1..=TOKENS).map(|i| speech::said("a", &speech::token(i))).collect();
    // The window shuts inside the error event, and opens again when the stream is over for the gateway.
    let window = u32::try_from((speech::role("a") + &said).len()).expect("small") + 10;
    let mut wire = Wire::open_with(gateway.address, &[(4, window)]);
    let (method, path) = ((":method", "POST"), (":path", "/v1/chat/completions"));
    let head = block(&[method, (":scheme", "http"), path, (":authority", "grid")]);
    let ask = speech::ask(true).to_string();
    wire.send(&frame(kind::HEADERS, END_HEADERS, 1, &head));
    wire.send(&frame(kind::DATA, END_STREAM, 1, ask.as_bytes()));
    let mut read = Vec::new();
    loop {
        let came = wire.read().expect("a frame");
        if came.kind == kind::RST_STREAM {
            break;
        }
        assert!(came.kind != kind::DATA || came.flags & END_STREAM == 0, "the stream must not end clean");
        if came.kind == kind::DATA {
            read.extend(came.payload);
        }
        if read.len() == window as usize {
            gateway.await_rest();
            wire.send(&frame(kind::WINDOW_UPDATE, 0, 1, &10_000_u32.to_be_bytes()));
        }
    }
    are_all_and_the_error(&sse::data(&read), TOKENS);
    gateway.stop();
}

#[test]
fn f06_a_reader_that_stops_and_goes_on_gets_all_of_a_broken_stream() {
    // More than the kernels hold, and less than all that may wait here, where what comes together waits as one.
    let said: String = (1..=300).map(|i| speech::said("a", &speech::token(i))).collect();
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Chunk(said.into_bytes()), Step::Fin]);
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 3000").start();
    let mut client = Client::connect_narrow(gateway.address, 4 << 10);
    client.send(&post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes()));
    a.await_requests(1);
    // The engine is done with, and the request settled, while its client has yet to read.
    gateway.await_rest();
    client.read_until("upstream_failed");
    // Many clients drop what they have not looked at when they see the end: they have time to close first.
    assert!(!client.is_closed_by_now());
    let answer = client.answer();
    assert!(!answer.whole, "the framing must not say that this is all");
    are_all_and_the_error(&answer.events(), 300);
    gateway.stop();
}

#[test]
fn f07_a_clean_end_without_the_end_marker_is_an_error_and_no_end() {
    is_broken("FIN", after_tokens(&[Step::Fin]));
    is_broken("the zero chunk", after_tokens(&[Step::ZeroChunk]));
    is_broken("the zero chunk and FIN", after_tokens(&[Step::ZeroChunk, Step::Fin]));
}

#[test]
fn f07_a_body_that_ends_with_its_connection_needs_the_end_marker_too() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec();
    let said: String = (1..=TOKENS).map(|i| speech::said("a", &speech::token(i))).collect();
    let body = speech::role("a") + &said;
    is_broken("FIN", vec![Step::Raw(head.clone()), Step::Raw(body.into_bytes()), Step::Fin]);
    let a = Mock::start("a", vec![Step::Raw(head), Step::Raw(speech::stream("a", 3, false).into_bytes()), Step::Fin]);
    let gateway = Config::over(&[&a]).start();
    let (answer, _) = ask(&gateway);
    assert_eq!((answer.whole, answer.text()), (true, speech::stream("a", 3, false)));
    assert_eq!(gateway.stop().rows[0].outcome, "complete");
}

#[test]
fn f07_an_end_marker_without_its_empty_line_is_an_end() {
    let text = speech::stream("a", 3, false);
    let body = text.trim_end().as_bytes().to_vec();
    let a = Mock::start("a", vec![Step::Head, Step::Chunk(body), Step::ZeroChunk]);
    let gateway = Config::over(&[&a]).start();
    let (answer, _) = ask(&gateway);
    assert_eq!((answer.whole, answer.text()), (true, text));
    assert_eq!(gateway.stop().rows[0].outcome, "complete");
}

#[test]
fn f07_a_plain_answer_that_is_cut_short_is_retried() {
    let whole = speech::plain("a", "/v1/chat/completions", 20);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", whole.len());
    let half = whole.as_bytes()[..whole.len() / 2].to_vec();
    let to_the_end = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n".to_vec();
    for end in [Step::Fin, Step::Reset] {
        for head in [head.clone().into_bytes(), to_the_end.clone()] {
            let a = Mock::start("a", vec![Step::Raw(head), Step::Raw(half.clone()), end.clone()]);
            let b = Mock::answering("b", 20);
            let gateway = Config::over(&[&a, &b]).start();
            let answer = gateway.chat(&speech::ask(false));
            assert_eq!((answer.status, answer.text()), (200, speech::plain("b", "/v1/chat/completions", 20)));
            let rows = gateway.stop().rows;
            assert_eq!((rows[0].outcome.as_str(), rows[0].attempts, rows[0].completion_tokens), ("complete", 2, 20));
        }
    }
}
