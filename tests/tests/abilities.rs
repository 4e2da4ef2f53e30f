//! What a request needs a model to be able to do, told by its structure and not by the names in it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::speech;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn chat(more: &Value) -> Value {
    let mut ask = speech::ask(false);
    ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask
}

/// A grid with one model that reads text only.
fn text_only() -> (Mock, Gateway) {
    let mock = Mock::answering("a", 3);
    let gateway = Config::over(&[&mock]).model("tools: false").start();
    (mock, gateway)
}

#[test]
fn names_of_keys_are_no_media() {
    let mock = Mock::answering("a", 3);
    let gateway = Config::over(&[&mock]).start();
    let properties = json!({"image_url": {"type": "string"}, "input_audio": {}, "video_url": {}});
    let function = json!({"name": "post", "parameters": {"type": "object", "properties": properties}});
    let call = json!({"id": "1", "type": "function", "function": {"name": "post", "arguments": "{\"image_url\": 1}"}});
    for more in [
        json!({"tools": [{"type": "function", "function": function}]}),
        json!({"functions": [function]}),
        json!({"metadata": {"image_url": "none"}}),
        json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"properties": properties}}}}),
        json!({"messages": [{"role": "user", "content": "image_url", "name": "image_url"}]}),
        json!({"messages": [{"role": "assistant", "content": null, "tool_calls": [call]}, {"role": "tool", "content": "1"}]}),
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "image_url": null}]}]}),
    ] {
        let answer = gateway.chat(&chat(&more));
        assert_eq!(answer.status, 200, "{more}: {}", answer.text());
    }
    gateway.stop();
}

#[test]
fn parts_that_a_model_cannot_read_are_not_sent_to_it() {
    let [text, sees] = ["text", "sees"].map(|name| Mock::answering(name, 3));
    let gateway = Config::over(&[&text, &sees])
        .other_model("{name: seeing, vision: true, audio: true}")
        .endpoint(1, |e| e.model = "seeing")
        .tail("virtual_models:\n  - {name: any, models: [tiny, seeing]}\n")
        .start();
    let ask = |part: &str| {
        let part = format!(r#"{{"model":"any","messages":[{{"role":"user","content":[{part}]}}]}}"#);
        let answer = gateway.client().exchange(&post(CHAT, "", part.as_bytes()));
        assert_eq!(answer.status, 200, "{part}: {}", answer.text());
        answer.header("x-rhumb-endpoint").to_owned()
    };
    assert_eq!(ask(r#"{"type":"text","text":"what"}"#), "text");
    for part in [
        r#"{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#,
        r#"{"type":"im\u0061ge_url","im\u0061ge_url":{"url":"https://x/y.png"}}"#,
        r#"{"image_url":"https://x/y.png"}"#,
        r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#,
        r#"{"type":"audio_url","audio_url":{"url":"https://x/y.wav"}}"#,
        r#"{"type":"video_url","video_url":{"url":"https://x/y.mp4"}}"#,
        r#"{"type":"file","file":{"file_id":"f"}}"#,
        r#"{"type":"input_file","file_url":"https://x/y.pdf"}"#,
    ] {
        assert_eq!(ask(part), "sees", "{part}");
    }
    assert_eq!(text.requests(), 1);
    gateway.stop();
}

#[test]
fn defaults_that_are_written_out_ask_for_nothing() {
    let (mock, gateway) = text_only();
    for more in [
        json!({"response_format": {"type": "text"}}),
        json!({"tools": []}),
        json!({"tools": null, "functions": null, "response_format": null}),
        json!({"functions": []}),
        json!({"tool_choice": "none"}),
        json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"}),
    ] {
        let body = chat(&more);
        let answer = gateway.chat(&body);
        assert_eq!(answer.status, 200, "{more}: {}", answer.text());
        assert_eq!(mock.seen().last().unwrap().json(), body, "passed on as it is");
    }
    let tools = chat(&json!({"tools": [{"type": "function", "function": {"name": "f"}}]}));
    assert_eq!(gateway.chat(&tools).status, 400);
    gateway.stop();
}
