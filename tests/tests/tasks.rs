//! APIs that give no text: passed on as they are, to models whose entry says that they do it.

use rhumb_tests::MODEL;
use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, status};
use serde_json::{Value, json};

fn answer(content_type: &str, body: &[u8]) -> Script {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    vec![Step::Raw([head.as_bytes(), body].concat())]
}

fn ask(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    gateway.client().exchange(&post(path, "", body.to_string().as_bytes()))
}

fn send_form(gateway: &Gateway, path: &str, content_type: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: grid\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    gateway.client().exchange(&[head.as_bytes(), body].concat())
}

const FORM: &str = "multipart/form-data; boundary=----x1";

fn form(model: &str, field: &str, file: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "------x1\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    let model =
        format!("\r\n------x1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n------x1--\r\n");
    body.extend_from_slice(model.as_bytes());
    body
}

#[test]
fn each_task_is_passed_on_to_a_model_that_does_it_and_counted() {
    let result = br#"{"object":"list","results":[],"usage":{"prompt_tokens":7,"total_tokens":7}}"#;
    for (ability, path, at_endpoint, body) in [
        ("rerank", "/v1/rerank", "/v1/rerank", json!({"query": "q", "documents": ["a", "b"], "top_n": 1})),
        ("rerank", "/v2/rerank", "/v1/rerank", json!({"documents": [{"text": "a"}], "query": "q"})),
        ("rerank", "/v1/score", "/v1/score", json!({"text_1": "a", "text_2": ["b", "c"]})),
        ("classify", "/v1/classify", "/classify", json!({"input": ["a", "b"]})),
        ("classify", "/v1/moderations", "/v1/moderations", json!({"input": "a"})),
        ("images", "/v1/images/generations", "/v1/images/generations", json!({"prompt": "a map", "n": 2})),
        ("tools", "/tokenize", "/tokenize", json!({"prompt": "a b"})),
        ("tools", "/v1/tokenize", "/tokenize", json!({"messages": [{"role": "user", "content": "a"}]})),
        ("tools", "/detokenize", "/detokenize", json!({"tokens": [1, 2]})),
    ] {
        let mock = Mock::start("a", answer("application/json", result));
        let config = Config::over(&[&mock]);
        let gateway = if ability == "tools" { config } else { config.model(&format!("{ability}: true")) }.start();
        let mut body = body;
        body["model"] = MODEL.into();
        let said = ask(&gateway, path, &body);
        assert_eq!((said.status, said.body.as_slice()), (200, &result[..]), "{path}: {}", said.text());
        assert_eq!((said.header("content-type"), said.header("x-rhumb-endpoint")), ("application/json", "a"));
        let seen = mock.seen().remove(0);
        assert_eq!((seen.path.as_str(), seen.json()), (at_endpoint, body), "{path}");
        let row = gateway.stop().rows.remove(0);
        assert_eq!((row.outcome.as_str(), row.prompt_tokens), ("complete", 7), "{path}");
    }
}

#[test]
fn what_comes_back_in_bytes_passes_as_it_is() {
    let sound: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mock = Mock::start("a", answer("audio/mpeg", &sound));
    let gateway = Config::over(&[&mock]).model("speech: true").start();
    let said = ask(&gateway, "/v1/audio/speech", &json!({"model": MODEL, "input": "hello", "voice": "x"}));
    assert_eq!((said.status, said.header("content-type")), (200, "audio/mpeg"));
    assert!(said.body == sound);
    gateway.stop();
}

#[test]
fn a_form_passes_as_it_is_but_for_the_name_of_its_model() {
    let sound: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let mock = Mock::start("a", answer("text/plain; charset=utf-8", b"what was said\n"));
    let gateway = Config::over(&[&mock]).model("transcription: true").start();
    for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
        let said = send_form(&gateway, path, FORM, &form("org/tiny-1b", "file", &sound));
        assert_eq!((said.status, said.text().as_str()), (200, "what was said\n"));
        assert_eq!(said.header("content-type"), "text/plain; charset=utf-8");
        let seen = mock.seen().pop().unwrap();
        assert_eq!((seen.path.as_str(), seen.header("content-type")), (path, FORM));
        assert!(seen.body == form(MODEL, "file", &sound));
    }
    mock.set(answer("text/plain", b""));
    let silence = send_form(&gateway, "/v1/audio/transcriptions", FORM, &form(MODEL, "file", &sound));
    assert_eq!((silence.status, silence.text().as_str()), (200, ""), "silence says nothing");
    gateway.stop();
}

#[test]
fn a_form_that_is_none_is_refused_by_name() {
    let mock = Mock::start("a", answer("text/plain", b"x"));
    let gateway = Config::over(&[&mock]).model("transcription: true").start();
    let path = "/v1/audio/transcriptions";
    send_form(&gateway, path, "application/json", b"{}").error(415, "unsupported_media_type");
    send_form(&gateway, path, "multipart/form-data", b"").error(415, "unsupported_media_type");
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    send_form(&gateway, path, &long, b"").error(415, "unsupported_media_type");
    let whole = form(MODEL, "file", b"RIFF");
    for (body, named) in [
        (b"".to_vec(), "body"),
        (whole[..whole.len() - 9].to_vec(), "body"),
        (form(MODEL, "sound", b"RIFF"), "file"),
        ([&whole[..whole.len() - 10], &form(MODEL, "file", b"RIFF")].concat(), "model"),
        (form("a\0b", "file", b"RIFF"), "model"),
    ] {
        let said = send_form(&gateway, path, FORM, &body).error(400, "invalid_request");
        assert!(said.contains(&format!("`{named}`")), "{named}: {said}");
    }
    send_form(&gateway, path, FORM, &form("none", "file", b"RIFF")).error(404, "model_not_found");
    assert_eq!(mock.requests(), 0);
    gateway.stop();
}

#[test]
fn a_model_that_does_something_else_is_named() {
    let mock = Mock::start("a", answer("application/json", b"{}"));
    let gateway = Config::over(&[&mock]).start();
    let said = ask(&gateway, "/v1/rerank", &json!({"model": MODEL, "query": "q", "documents": ["a"]}));
    assert!(said.error(400, "invalid_request").contains("`rerank: true`"));
    let said = ask(&gateway, "/v1/rerank", &json!({"model": MODEL, "query": 1}));
    assert!(said.status == 400, "{}", said.text());
    ask(&gateway, "/v1/rerank", &json!({"model": MODEL})).error(400, "invalid_request");
    gateway.stop();
    let gateway = Config::over(&[&mock]).model("rerank: true").start();
    let chat = json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]});
    assert!(gateway.chat(&chat).error(400, "invalid_request").contains("generates no text"));
    gateway.stop();
    assert_eq!(mock.requests(), 0);
}

#[test]
fn an_answer_that_is_none_is_asked_for_elsewhere() {
    let good = br#"{"results":[]}"#;
    for bad in [
        answer("application/json", br#"{"error":{"message":"no"}}"#),
        answer("application/json", b"{\"results\":"),
        answer("text/html", b""),
        status(500, "", "oops"),
    ] {
        let (a, b) = (Mock::start("a", bad), Mock::start("b", answer("application/json", good)));
        let gateway = Config::over(&[&a, &b]).model("rerank: true").start();
        let body = json!({"model": MODEL, "query": "q", "documents": ["a"]});
        for _ in 0..4 {
            let said = ask(&gateway, "/v1/rerank", &body);
            assert_eq!((said.status, said.body.as_slice()), (200, &good[..]), "{}", said.text());
        }
        gateway.stop();
    }
}
