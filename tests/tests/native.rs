//! Endpoints that speak a client's own dialect get its requests as they are, and their answers pass as they came.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, status, stream_in_pieces};
use rhumb_tests::{MODEL, speech};
use serde_json::{Value, json};

const VERSION: &str = "anthropic-version: 2023-06-01\r\nanthropic-beta: of-2026\r\n";

fn ask(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    let headers = if path == "/v1/messages" { VERSION } else { "" };
    gateway.client().exchange(&post(path, headers, body.to_string().as_bytes()))
}

/// Mocks of which the first few speak these dialects, and the others chat completions.
fn speaking(mocks: &[&Mock], dialects: &[&str]) -> Config {
    let mut config = Config::over(mocks);
    for (endpoint, dialects) in config.endpoints.iter_mut().zip(dialects) {
        endpoint.more = format!(", dialects: [{dialects}]");
    }
    config
}

fn message(stream: bool) -> Value {
    json!({"model": MODEL, "max_tokens": 50, "stream": stream, "thinking": {"type": "enabled", "budget_tokens": 9},
        "messages": [{"role": "user", "content": "Which way?"}]})
}

fn response(stream: bool) -> Value {
    json!({"model": MODEL, "stream": stream, "input": "Which way?"})
}

fn json_answer(body: &Value) -> Script {
    let body = body.to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    vec![Step::Raw([head, body].concat().into_bytes())]
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// A stream of Anthropic's, up to the reason for its end.
fn message_events() -> Vec<String> {
    [
        json!({"type": "message_start", "message": {"id": "msg_own", "type": "message", "role": "assistant", "content": [],
            "model": "own", "usage": {"input_tokens": 6, "cache_read_input_tokens": 5, "output_tokens": 1}}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "North."}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 9}}),
    ]
    .iter()
    .map(event)
    .collect()
}

const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn message_stream() -> String {
    message_events().concat() + STOP
}

/// A stream of OpenAI's Responses.
fn response_stream() -> String {
    let usage = json!({"input_tokens": 11, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 3}});
    let begun = json!({"id": "resp_own", "object": "response", "status": "in_progress", "output": [], "error": null});
    let whole = json!({"id": "resp_own", "object": "response", "status": "completed", "output": [], "usage": usage});
    [
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.output_text.delta", "item_id": "m", "delta": "North."}),
        json!({"type": "response.completed", "response": whole}),
    ]
    .iter()
    .map(event)
    .collect()
}

#[test]
fn a_message_and_its_answer_pass_as_they_are() {
    let said = json!({"id": "msg_own", "type": "message", "role": "assistant", "model": "own", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": "North."}],
        "usage": {"input_tokens": 6, "cache_read_input_tokens": 5, "output_tokens": 9}});
    let mock = Mock::start("a", json_answer(&said));
    let gateway = speaking(&[&mock], &["chat, messages"]).start();
    let answer = ask(&gateway, "/v1/messages", &message(false));
    assert_eq!((answer.status, answer.text()), (200, said.to_string()));
    assert_eq!(answer.header("x-rhumb-dropped"), "");
    let seen = mock.seen().remove(0);
    assert_eq!((seen.path.as_str(), seen.body), ("/v1/messages", message(false).to_string().into_bytes()));
    let header =
        |name: &str| seen.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    assert_eq!(
        (header("anthropic-version"), header("anthropic-beta")),
        (vec!["2023-06-01".into()], vec!["of-2026".into()])
    );
    let row = gateway.stop().rows.remove(0);
    assert_eq!((row.outcome.as_str(), row.prompt_tokens, row.completion_tokens), ("complete", 11, 9));
}

#[test]
fn streams_pass_byte_for_byte_however_they_are_cut() {
    for (path, dialect, request, text, tokens) in [
        ("/v1/messages", "messages", message(true), message_stream(), (11, 9)),
        ("/v1/responses", "responses", response(true), response_stream(), (11, 4)),
    ] {
        for size in [1, 7, 64, text.len()] {
            let mock = Mock::start("a", stream_in_pieces(text.as_bytes(), size));
            let gateway = speaking(&[&mock], &[dialect]).start();
            let answer = ask(&gateway, path, &request);
            assert_eq!((answer.status, answer.whole, answer.text()), (200, true, text.clone()), "{path}");
            assert_eq!(mock.seen()[0].path, path);
            let row = gateway.stop().rows.remove(0);
            assert_eq!(
                (row.outcome.as_str(), row.prompt_tokens, row.completion_tokens),
                ("complete", tokens.0, tokens.1)
            );
        }
    }
}

#[test]
fn a_plain_response_passes_and_its_name_and_length_are_the_endpoints() {
    let said = json!({"id": "resp_own", "object": "response", "status": "completed", "error": null, "output": [],
        "usage": {"input_tokens": 11, "output_tokens": 4}});
    let mock = Mock::start("a", json_answer(&said));
    let config = speaking(&[&mock], &["responses"]).policy("max_answer_tokens: 77");
    let gateway = config.start();
    let request = json!({"model": MODEL, "input": "x", "priority": 9, "tools": [{"type": "web_search"}]});
    let answer = ask(&gateway, "/v1/responses", &request);
    assert_eq!((answer.status, answer.text()), (200, said.to_string()));
    // A length under another name sets none, and is held against the limit.
    let mut long = request.clone();
    long["max_completion_tokens"] = json!(1);
    assert_eq!(ask(&gateway, "/v1/responses", &long).status, 200);
    assert_eq!(mock.seen().last().unwrap().json()["max_output_tokens"], 77);
    long["n_predict"] = json!(78);
    assert_eq!(ask(&gateway, "/v1/responses", &long).status, 400);
    let seen = mock.seen().remove(0).json();
    assert_eq!((&seen["max_output_tokens"], &seen["tools"]), (&json!(77), &request["tools"]));
    assert!(seen.get("priority").is_none(), "what steers an engine is cut out: {seen}");
}

#[test]
fn where_the_dialect_is_not_spoken_the_same_request_is_translated() {
    // The first endpoint, which speaks the client's dialect, dies before it has said anything.
    let (a, b) = (Mock::start("a", vec![Step::Reset]), Mock::start("b", vec![Step::Answer(3)]));
    let gateway = speaking(&[&a, &b], &["chat, messages"]).start();
    let answer = ask(&gateway, "/v1/messages", &message(true));
    assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "b"), "{}", answer.text());
    assert_eq!(answer.header("x-rhumb-dropped"), "thinking.budget_tokens");
    let text: String = answer
        .events()
        .iter()
        .filter_map(|data| {
            let event: Value = serde_json::from_str(data).unwrap();
            event["delta"]["text"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(text, speech::text(3));
    assert_eq!((a.seen()[0].path.as_str(), b.seen()[0].path.as_str()), ("/v1/messages", "/v1/chat/completions"));
    // And the other way round: the endpoint that is tried second gets the client's own words.
    let (a, b) =
        (Mock::start("a", vec![Step::Reset]), Mock::start("b", stream_in_pieces(message_stream().as_bytes(), 9)));
    let gateway = speaking(&[&a, &b], &["chat", "messages"]).start();
    let answer = ask(&gateway, "/v1/messages", &message(true));
    assert_eq!((answer.text(), answer.header("x-rhumb-dropped")), (message_stream(), ""));
}

#[test]
fn what_cannot_be_translated_goes_only_where_it_is_spoken() {
    let untranslatable = [
        json!({"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "a"}],
            "mcp_servers": [{"type": "url", "url": "https://example.com", "name": "m"}]}),
        json!({"model": MODEL, "max_tokens": 5,
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "The answer is ("}]}),
        json!({"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "of_tomorrow"}]}]}),
    ];
    let said = json!({"type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}});
    let (a, b) = (Mock::start("a", vec![Step::Answer(3)]), Mock::start("b", json_answer(&said)));
    let gateway = speaking(&[&a, &b], &["chat", "messages"]).start();
    let alone = Config::over(&[&a]).start();
    for request in &untranslatable {
        let answer = ask(&gateway, "/v1/messages", request);
        assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "b"), "{}", answer.text());
        assert_eq!(b.seen().last().unwrap().json(), *request);
        let refused = ask(&alone, "/v1/messages", request);
        assert_eq!(refused.json()["error"]["type"], "invalid_request_error", "{}", refused.text());
    }
    assert_eq!(a.requests(), 0);
    // Chat completions are not put in Anthropic's dialect.
    let only = speaking(&[&b], &["messages"]).start();
    let refused = ask(&only, "/v1/chat/completions", &speech::ask(false));
    assert!(refused.text().contains("`dialects`"), "{}", refused.text());
    assert_eq!(refused.status, 400);
}

#[test]
fn what_an_engine_would_have_to_keep_is_not_passed_on() {
    // An engine knows one key, the gateway's: it would give one tenant what it kept for another.
    let mock = Mock::start("a", stream_in_pieces(response_stream().as_bytes(), 99));
    let gateway = speaking(&[&mock], &["chat, responses"]).start();
    for (member, value, status) in [
        ("previous_response_id", json!("resp_own"), 404),
        ("conversation", json!("conv_1"), 404),
        ("prompt", json!({"id": "p"}), 400),
        ("input", json!([{"type": "item_reference", "id": "rs_1"}]), 400),
        ("background", json!(true), 400),
    ] {
        let mut request = response(false);
        request[member] = value;
        assert_eq!(ask(&gateway, "/v1/responses", &request).status, status, "{member}");
    }
    assert_eq!(mock.requests(), 0);
}

#[test]
fn a_stream_that_breaks_off_ends_in_its_own_dialect() {
    let events = message_events();
    let begun = events[..8].concat();
    let said =
        event(&json!({"type": "error", "error": {"type": "overloaded_error", "message": "at 10.0.0.7 of the pool"}}));
    for (text, ends_whole) in [
        // Everything was said; the last event is missing, or its empty line.
        (events.concat(), true),
        (events.concat() + STOP.trim_end(), true),
        (begun.clone(), false),
        (begun.clone() + &said, false),
    ] {
        let mock = Mock::start("a", stream_in_pieces(text.as_bytes(), 50));
        let gateway = speaking(&[&mock], &["messages"]).start();
        let answer = ask(&gateway, "/v1/messages", &message(true));
        if ends_whole {
            assert_eq!((answer.whole, answer.text()), (true, message_stream()));
            continue;
        }
        let rest = answer.text().strip_prefix(begun.as_str()).unwrap().to_owned();
        assert!(!answer.whole && rest.starts_with("event: error\ndata: {") && !rest.contains("10.0.0.7"), "{rest}");
        assert_eq!(gateway.stop().rows[0].outcome, "broken");
    }
}

#[test]
fn an_error_before_the_first_content_moves_the_request_on() {
    let failed = event(&json!({"type": "response.failed", "response": {"object": "response", "output": [],
        "error": {"code": "server_error", "message": "no"}}}));
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    for (path, dialect, request, fails, text) in [
        ("/v1/messages", "messages", message(true), status(529, "", &overloaded.to_string()), message_stream()),
        (
            "/v1/messages",
            "messages",
            message(true),
            stream_in_pieces(event(&overloaded).as_bytes(), 9),
            message_stream(),
        ),
        ("/v1/responses", "responses", response(true), stream_in_pieces(failed.as_bytes(), 9), response_stream()),
    ] {
        let (a, b) = (Mock::start("a", fails), Mock::start("b", stream_in_pieces(text.as_bytes(), 99)));
        let gateway = speaking(&[&a, &b], &[dialect, dialect]).start();
        let answer = ask(&gateway, path, &request);
        assert_eq!((answer.text(), answer.header("x-rhumb-endpoint")), (text, "b"));
        assert_eq!(a.requests(), 1);
    }
}

#[test]
fn tenants_whose_caches_are_kept_apart_are_translated_for_engines_that_take_no_salt_in_messages() {
    let mock = Mock::start("a", vec![Step::Answer(3)]);
    let config =
        speaking(&[&mock], &["chat, messages"]).tail("tenants:\n  - {name: t, keys: [{name: k, key: secret-of-t}]}\n");
    let gateway = config.start();
    let headers = format!("{VERSION}x-api-key: secret-of-t\r\n");
    let answer = gateway.client().exchange(&post("/v1/messages", &headers, message(false).to_string().as_bytes()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = mock.seen().remove(0);
    assert_eq!(seen.path, "/v1/chat/completions");
    assert!(seen.json()["cache_salt"].is_string());
}
