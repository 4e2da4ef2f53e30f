//! OpenAI's Responses in front of endpoints that speak chat completions.

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
    json!({"model": MODEL, "stream": stream, "store": false, "input": "Which way?"})
}

fn ask(gateway: &Gateway, body: &Value) -> Answer {
    gateway.client().exchange(&post("/v1/responses", "", body.to_string().as_bytes()))
}

fn one(script: Script) -> (Mock, Gateway) {
    let mock = Mock::start("a", script);
    let gateway = Config::over(&[&mock]).start();
    (mock, gateway)
}

fn events(answer: &Answer) -> Vec<Value> {
    let events: Vec<Value> = answer.events().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let names: Vec<String> =
        answer.text().lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names, types);
    assert!((0..).zip(&events).all(|(n, event)| event["sequence_number"] == n));
    events
}

fn text_of(events: &[Value]) -> String {
    let is_text = |event: &&Value| event["type"] == "response.output_text.delta";
    events.iter().filter(is_text).filter_map(|event| event["delta"].as_str()).collect()
}

#[test]
fn a_plain_answer_is_a_response() {
    let (mock, gateway) = one(vec![Step::Answer(3)]);
    let mut body = request(false);
    body["metadata"] = json!({"a": "b"});
    let answer = ask(&gateway, &body);
    assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "a"), "{}", answer.text());
    let response = answer.json();
    assert_eq!(
        (&response["object"], &response["status"], &response["store"]),
        (&json!("response"), &json!("completed"), &json!(false))
    );
    assert_eq!((&response["metadata"], &response["model"]), (&json!({"a": "b"}), &json!(MODEL)));
    assert_eq!(response["output"][0]["content"][0]["text"], speech::text(3));
    assert_eq!(response["usage"]["total_tokens"], speech::PROMPT_TOKENS + 3);
    let seen = mock.seen().remove(0);
    assert_eq!(
        (seen.path.as_str(), &seen.json()["messages"]),
        ("/v1/chat/completions", &json!([{"role": "user", "content": "Which way?"}]))
    );
    assert_eq!(gateway.stop().rows[0].completion_tokens, 3);
}

#[test]
fn a_stream_is_translated_whole_however_it_is_cut() {
    let text = speech::stream("a", 5, true);
    for size in [1, 64, text.len()] {
        let (_mock, gateway) = one(stream_in_pieces(text.as_bytes(), size));
        let answer = ask(&gateway, &request(true));
        assert!(answer.whole && answer.header("content-type").starts_with("text/event-stream"));
        let events = events(&answer);
        assert_eq!(text_of(&events), speech::text(5));
        let last = &events.last().unwrap();
        assert_eq!(
            (&last["type"], &last["response"]["usage"]["output_tokens"]),
            (&json!("response.completed"), &json!(5))
        );
        assert!(!answer.text().contains("[DONE]"));
        gateway.stop();
    }
}

#[test]
fn d50_a_stream_that_breaks_off_fails_once_and_keeps_what_came() {
    let (_mock, gateway) = one(vec![Step::Head, Step::Role, Step::Tokens(2), Step::Reset]);
    let answer = ask(&gateway, &request(true));
    let events = events(&answer);
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], speech::text(2));
    assert!(!answer.whole);
    assert_eq!(gateway.stop().rows[0].outcome, "broken");
}

#[test]
fn errors_and_what_is_not_kept_have_openais_shape() {
    let (mock, gateway) = one(status(500, "", ""));
    let mut body = request(false);
    body["previous_response_id"] = "resp_1".into();
    ask(&gateway, &body).error(404, "previous_response_not_found");
    let get = gateway.client().exchange(b"GET /v1/responses/resp_1 HTTP/1.1\r\nhost: grid\r\n\r\n");
    get.error(404, "previous_response_not_found");
    ask(&gateway, &json!({"model": MODEL, "input": []})).error(400, "invalid_request");
    assert_eq!(mock.requests(), 0);
    ask(&gateway, &request(false)).error(502, "upstream_failed");
    gateway.await_rest();
    gateway.stop();
}

#[test]
fn d58_a_websocket_is_opened_or_refused_so_that_http_follows() {
    let (_mock, gateway) = one(vec![Step::Answer(1)]);
    for (path, status) in [("/v1/responses", 101), ("/v1/chat/completions", 426), ("/v1/realtime?model=tiny", 426)] {
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nhost: grid\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             openai-beta: responses_websockets=2026-02-06\r\n\r\n"
        );
        assert_eq!(gateway.client().exchange(upgrade.as_bytes()).status, status, "{path}");
    }
    gateway.stop();
}

#[test]
fn d56_nothing_of_what_is_said_is_kept() {
    let (_mock, gateway) = one(vec![Step::Answer(1)]);
    let mut body = request(false);
    body["input"] = "a-word-that-must-not-be-kept".into();
    assert_eq!(ask(&gateway, &body).status, 200);
    let stopped = gateway.stop();
    let files = std::fs::read_dir(stopped.data_dir()).unwrap();
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(28).any(|w| w == b"a-word-that-must-not-be-kept"));
    }
}

#[test]
fn the_tokens_of_an_input_are_counted_without_an_endpoint() {
    let (mock, gateway) = one(vec![Step::Answer(1)]);
    let body = request(false).to_string();
    let answer = gateway.client().exchange(&post("/v1/responses/input_tokens", "", body.as_bytes()));
    assert_eq!((answer.status, &answer.json()["object"]), (200, &json!("response.input_tokens")));
    assert!((1..30).contains(&answer.json()["input_tokens"].as_u64().unwrap()) && mock.requests() == 0);
    gateway.stop();
}
