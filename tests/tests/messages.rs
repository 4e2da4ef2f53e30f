//! Anthropic's Messages in front of endpoints that speak chat completions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::MODEL;
use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, status, stream_in_pieces};
use rhumb_tests::speech;
use serde_json::{Value, json};

fn request(stream: bool) -> Value {
    json!({"model": MODEL, "max_tokens": 50, "stream": stream, "messages": [{"role": "user", "content": "Which way?"}]})
}

fn ask(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    let headers = "anthropic-version: 2023-06-01\r\nanthropic-beta: x-2026\r\n";
    gateway.client().exchange(&post(path, headers, body.to_string().as_bytes()))
}

fn one(script: Script) -> (Mock, Gateway) {
    let mock = Mock::start("a", script);
    let gateway = Config::over(&[&mock]).start();
    (mock, gateway)
}

/// An error in Anthropic's shape: its type and message.
fn error(answer: &Answer, status: u16) -> (String, String) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!((&body["type"], body["request_id"].as_str()), (&json!("error"), Some(answer.header("request-id"))));
    let text = |key: &str| body["error"][key].as_str().unwrap().to_owned();
    (text("type"), text("message"))
}

/// The events of a stream; each has its type for a name.
fn events(answer: &Answer) -> Vec<Value> {
    let events: Vec<Value> = answer.events().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let names: Vec<String> =
        answer.text().lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names, types);
    events
}

fn text_of(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect()
}

#[test]
fn a_plain_answer_is_a_message() {
    let (mock, gateway) = one(vec![Step::Answer(3)]);
    let answer = ask(&gateway, "/v1/messages?beta=true", &request(false));
    assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "a"), "{}", answer.text());
    assert_eq!(answer.header("request-id"), answer.header("x-rhumb-decision"));
    let message = answer.json();
    assert_eq!(
        (&message["type"], &message["role"], &message["model"]),
        (&json!("message"), &json!("assistant"), &json!(MODEL))
    );
    assert_eq!(message["content"], json!([{"type": "text", "text": speech::text(3)}]));
    assert_eq!(
        (&message["stop_reason"], &message["usage"]["input_tokens"]),
        (&json!("end_turn"), &json!(speech::PROMPT_TOKENS))
    );
    let seen = mock.seen().remove(0);
    assert_eq!((seen.path.as_str(), &seen.json()["max_tokens"]), ("/v1/chat/completions", &json!(50)));
    assert!(seen.header("anthropic-beta").is_empty() && seen.header("anthropic-version").is_empty());
    let rows = gateway.stop().rows;
    assert_eq!((rows[0].outcome.as_str(), rows[0].completion_tokens), ("complete", 3));
}

#[test]
fn a_stream_is_translated_whole_however_it_is_cut() {
    let text = speech::stream("a", 5, true);
    for size in [1, 7, 64, text.len()] {
        let (_mock, gateway) = one(stream_in_pieces(text.as_bytes(), size));
        let answer = ask(&gateway, "/v1/messages", &request(true));
        assert!(answer.whole && answer.header("content-type").starts_with("text/event-stream"));
        let events = events(&answer);
        let kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
        assert_eq!(kinds[..2], ["message_start", "content_block_start"]);
        assert_eq!(kinds[7..], ["content_block_stop", "message_delta", "message_stop"]);
        assert_eq!(text_of(&events), speech::text(5));
        assert!(events[0]["message"]["usage"]["input_tokens"].as_u64().unwrap() > 0);
        let usage = &events[8]["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(speech::PROMPT_TOKENS), &json!(5)));
        assert_eq!(gateway.stop().rows[0].completion_tokens, 5);
    }
}

#[test]
fn tools_go_there_and_back() {
    let call = |delta: Value| speech::event(&json!({"choices": [{"index": 0, "delta": delta}]}).to_string());
    let piece = |index: u64, id: Option<&str>, arguments: &str| {
        let function = json!({"name": id.map(|_| "look"), "arguments": arguments});
        call(json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}))
    };
    let said = [
        speech::role("a"),
        piece(0, Some("c1"), ""),
        piece(0, None, "{\"at\":"),
        piece(1, Some("c2"), "{}"),
        piece(0, None, "\"sea\"}"),
        speech::finish("a"),
        speech::done(),
    ];
    let (mock, gateway) = one(stream_in_pieces(said.concat().as_bytes(), 4_096));
    let mut body = request(true);
    body["tools"] =
        json!([{"name": "look", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}]);
    body["messages"] = json!([
        {"role": "user", "content": "Which way?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c0", "name": "look", "input": {"at": "sky"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c0", "content": "stars"}]},
    ]);
    let answer = ask(&gateway, "/v1/messages", &body);
    assert_eq!(answer.header("x-rhumb-dropped"), "cache_control");
    let events = events(&answer);
    let blocks: Vec<&Value> = events.iter().map(|e| &e["content_block"]).filter(|b| b.is_object()).collect();
    assert_eq!((&blocks[0]["id"], &blocks[1]["id"], blocks.len()), (&json!("c1"), &json!("c2"), 2));
    let arguments: String = events.iter().filter_map(|e| e["delta"]["partial_json"].as_str()).collect();
    assert_eq!(arguments, "{\"at\":\"sea\"}{}");
    let delta = events.iter().find(|e| e["type"] == "message_delta").unwrap();
    assert_eq!(delta["delta"]["stop_reason"], "tool_use");
    let sent = mock.seen().remove(0).json();
    assert_eq!(sent["messages"][2], json!({"role": "tool", "tool_call_id": "c0", "content": "stars"}));
    assert_eq!(sent["tools"][0]["function"]["name"], "look");
    gateway.stop();
}

#[test]
fn d36_usage_is_asked_for_and_d40_no_framing_of_the_engine_is_left() {
    let mock = Mock::start("a", vec![Step::Answer(2)]);
    let gateway = Config::over(&[&mock]).start();
    let answer = ask(&gateway, "/v1/messages", &request(true));
    assert_eq!(events(&answer).last().unwrap()["type"], "message_stop");
    assert_eq!(mock.seen()[0].json()["stream_options"], json!({"include_usage": true}));
    assert!(answer.header("content-length").is_empty() && answer.header("content-encoding").is_empty());
    gateway.stop();
}

#[test]
fn d41_errors_have_anthropics_shape_wherever_they_come_from() {
    let (_mock, gateway) = one(status(500, "", ""));
    let (kind, said) = error(&ask(&gateway, "/v1/messages", &json!({"model": MODEL, "messages": []})), 400);
    assert_eq!((kind.as_str(), said.as_str()), ("invalid_request_error", "`messages` must hold at least one message."));
    let (kind, _) = error(
        &ask(
            &gateway,
            "/v1/messages",
            &json!({"model": "no", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}),
        ),
        404,
    );
    assert_eq!(kind, "not_found_error");
    assert_eq!(error(&ask(&gateway, "/v1/messages", &request(false)), 502).0, "api_error");
    let get = "GET /v1/messages HTTP/1.1\r\nhost: grid\r\nanthropic-version: 2023-06-01\r\n\r\n";
    assert_eq!(error(&gateway.client().exchange(get.as_bytes()), 405).0, "invalid_request_error");
    gateway.await_rest();
    gateway.stop();
}

#[test]
fn an_overload_is_a_529_that_says_when_to_come_back() {
    let (_mock, gateway) = one(status(429, "retry-after-ms: 40\r\n", "{}"));
    let answer = ask(&gateway, "/v1/messages", &request(false));
    assert_eq!(error(&answer, 529).0, "overloaded_error");
    assert_eq!((answer.header("x-should-retry"), answer.header("retry-after-ms").is_empty()), ("true", false));
    gateway.stop();
}

#[test]
fn a_context_overflow_is_told_as_agents_recognise_it() {
    let said = json!({"error": {"message": "This model's maximum context length is 64 tokens. However, you requested 99 tokens",
        "type": "BadRequestError", "code": 400}});
    let (_mock, gateway) = one(status(400, "", &said.to_string()));
    let (kind, said) = error(&ask(&gateway, "/v1/messages", &request(false)), 400);
    assert_eq!(kind, "invalid_request_error");
    assert!(said.starts_with("prompt is too long: "), "{said}");
    gateway.stop();
}

#[test]
fn a_stream_that_breaks_off_ends_with_an_error_event_and_nothing_behind_it() {
    let (_mock, gateway) = one(vec![Step::Head, Step::Role, Step::Tokens(2), Step::Reset]);
    let answer = ask(&gateway, "/v1/messages", &request(true));
    let events = events(&answer);
    assert_eq!(text_of(&events), speech::text(2));
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("api_error")));
    assert!(!answer.whole && !events.iter().any(|e| e["type"] == "message_stop"));
    assert_eq!(gateway.stop().rows[0].outcome, "broken");
}

#[test]
fn a_client_that_waits_hears_that_it_is_served_and_then_the_error_as_an_event() {
    let mock = Mock::start("a", vec![Step::Gate, Step::Reset]);
    let gateway = Config::over(&[&mock]).policy("keep_alive_ms: 20").start();
    let mut body = request(true);
    body["context_management"] = json!({"edits": []});
    let mut client = gateway.client();
    client.send(&post("/v1/messages", "", body.to_string().as_bytes()));
    client.read_until(": keep-alive");
    mock.release();
    let answer = client.answer();
    assert_eq!(answer.header("x-rhumb-dropped"), "context_management");
    assert_eq!(events(&answer).last().unwrap()["type"], "error");
    gateway.stop();
}

#[test]
fn d44_tokens_are_counted_without_an_endpoint() {
    let (mock, gateway) = one(vec![Step::Answer(1)]);
    let count = |text: &str| {
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": text}]});
        let answer = ask(&gateway, "/v1/messages/count_tokens?beta=true", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["input_tokens"].as_u64().unwrap()
    };
    let (short, long) = (count("Which way?"), count(&"the river and the stone bridge ".repeat(100)));
    assert!((1..30).contains(&short) && (400..1_200).contains(&long), "{short} {long}");
    assert_eq!(mock.requests(), 0);
    assert!(gateway.stop().rows.is_empty(), "it is no request of the log");
}

#[test]
fn d45_models_are_listed_in_the_clients_dialect_and_probes_are_answered() {
    let (_mock, gateway) = one(vec![Step::Answer(1)]);
    let get = |path: &str, headers: &str| {
        gateway.client().exchange(format!("GET {path} HTTP/1.1\r\nhost: grid\r\n{headers}\r\n").as_bytes())
    };
    let version = "anthropic-version: 2023-06-01\r\n";
    let list = get("/v1/models", version).json();
    assert_eq!(
        (&list["data"][0]["type"], &list["has_more"], &list["first_id"]),
        (&json!("model"), &json!(false), &json!(MODEL))
    );
    assert!(list["data"][0]["max_input_tokens"].as_u64().is_some());
    assert_eq!(get("/v1/models", "").json()["object"], "list");
    assert_eq!(get(&format!("/v1/models/{MODEL}"), version).json()["id"], MODEL);
    let root = get("/", "");
    assert!(root.status == 200 && root.text().contains("/v1/messages"));
    gateway.stop();
}

#[test]
fn requests_of_one_agent_session_stay_where_their_cache_is() {
    let mocks: Vec<Mock> = ["a", "b", "c"].iter().map(|n| Mock::start(n, vec![Step::Answer(1)])).collect();
    let gateway = Config::over(&mocks.iter().collect::<Vec<_>>()).alike().start();
    for session in 0..6 {
        let mut body = request(false);
        body["metadata"] = json!({"user_id": format!("user_1_account__session_{session}")});
        let endpoints: Vec<String> = (0..4)
            .map(|turn| {
                body["messages"][0]["content"] = format!("turn {turn} of {session}").into();
                ask(&gateway, "/v1/messages", &body).header("x-rhumb-endpoint").to_owned()
            })
            .collect();
        assert!(endpoints.windows(2).all(|w| w[0] == w[1]), "{endpoints:?}");
    }
    gateway.stop();
}
