//! What becomes of each kind of content between each dialect of clients and each of endpoints: asked of the built gateway, and written
//! to docs/reference/dialect-matrix.md. `RHUMB_BLESS=1 cargo test -p rhumb-tests --test dialect_matrix` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use rhumb_tests::MODEL;
use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use serde_json::{Value, json};

/// Clients' dialects and endpoints', each with its path.
const DIALECTS: [(&str, &str); 3] =
    [("chat", "/v1/chat/completions"), ("messages", "/v1/messages"), ("responses", "/v1/responses")];

const PNG: &str = "iVBORw0KGgo=";

/// A kind of content, and the members of a request that say it, in each dialect that can.
type Feature = (&'static str, [Option<Value>; 3]);

fn user(content: Value) -> Value {
    json!([{"role": "user", "content": content}])
}

/// What a request holds beside its model.
fn features() -> Vec<Feature> {
    let schema = json!({"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]});
    let tools = [
        json!([{"type": "function", "function": {"name": "look", "parameters": schema}}]),
        json!([{"name": "look", "input_schema": schema}]),
        json!([{"type": "function", "name": "look", "parameters": schema}]),
    ];
    let [chat_tools, message_tools, response_tools] = tools;
    let call =
        |id: &str| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{\"at\":\"x\"}"}});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "a bridge"});
    let used = |id: &str| json!({"type": "tool_use", "id": id, "name": "look", "input": {"at": "x"}});
    let back = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "a bridge"});
    let called =
        |id: &str| json!({"type": "function_call", "call_id": id, "name": "look", "arguments": "{\"at\":\"x\"}"});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "a bridge"});
    let hello = || user(json!("hello"));
    vec![
        (
            "text",
            [Some(json!({"messages": hello()})), Some(json!({"messages": hello()})), Some(json!({"input": "hello"}))],
        ),
        (
            "a system prompt and several turns",
            [
                Some(json!({"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]})),
                Some(json!({"system": "be brief", "messages": [{"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]})),
                Some(json!({"instructions": "be brief", "input": [{"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]})),
            ],
        ),
        (
            "sampling and where to stop",
            [
                Some(json!({"messages": hello(), "temperature": 0.5, "top_p": 0.5, "stop": ["x"]})),
                Some(json!({"messages": hello(), "temperature": 0.5, "top_p": 0.5, "stop_sequences": ["x"]})),
                Some(json!({"input": "hello", "temperature": 0.5, "top_p": 0.5})),
            ],
        ),
        (
            "tools",
            [
                Some(json!({"messages": hello(), "tools": chat_tools})),
                Some(json!({"messages": hello(), "tools": message_tools})),
                Some(json!({"input": "hello", "tools": response_tools})),
            ],
        ),
        (
            "parallel calls and their results",
            [
                Some(json!({"tools": chat_tools, "messages": [{"role": "user", "content": "a"},
                {"role": "assistant", "content": null, "tool_calls": [call("c1"), call("c2")]}, result("c1"), result("c2")]})),
                Some(json!({"tools": message_tools, "messages": [{"role": "user", "content": "a"},
                {"role": "assistant", "content": [used("c1"), used("c2")]}, {"role": "user", "content": [back("c1"), back("c2")]}]})),
                Some(
                    json!({"tools": response_tools, "input": [{"role": "user", "content": "a"}, called("c1"), called("c2"),
                output("c1"), output("c2")]}),
                ),
            ],
        ),
        (
            "a tool that must be called",
            [
                Some(
                    json!({"messages": hello(), "tools": chat_tools, "tool_choice": {"type": "function", "function": {"name": "look"}}}),
                ),
                Some(
                    json!({"messages": hello(), "tools": message_tools, "tool_choice": {"type": "tool", "name": "look"}}),
                ),
                Some(
                    json!({"input": "hello", "tools": response_tools, "tool_choice": {"type": "function", "name": "look"}}),
                ),
            ],
        ),
        (
            "an image",
            [
                Some(
                    json!({"messages": user(json!([{"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}}]))}),
                ),
                Some(
                    json!({"messages": user(json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]))}),
                ),
                Some(
                    json!({"input": user(json!([{"type": "input_image", "image_url": format!("data:image/png;base64,{PNG}")}]))}),
                ),
            ],
        ),
        (
            "a schema for the answer",
            [
                Some(
                    json!({"messages": hello(), "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}),
                ),
                Some(
                    json!({"messages": hello(), "output_config": {"format": {"type": "json_schema", "schema": schema}}}),
                ),
                Some(
                    json!({"input": "hello", "text": {"format": {"type": "json_schema", "name": "s", "schema": schema}}}),
                ),
            ],
        ),
        (
            "effort or budget of thinking",
            [
                Some(json!({"messages": hello(), "reasoning_effort": "low"})),
                Some(json!({"messages": hello(), "thinking": {"type": "enabled", "budget_tokens": 1024}})),
                Some(json!({"input": "hello", "reasoning": {"effort": "low"}})),
            ],
        ),
        (
            "thinking of an earlier turn",
            [
                Some(json!({"messages": [{"role": "user", "content": "a"},
                {"role": "assistant", "content": "b", "reasoning_content": "hm"}, {"role": "user", "content": "c"}]})),
                Some(json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": "b"}]}, {"role": "user", "content": "c"}]})),
                Some(
                    json!({"input": [{"role": "user", "content": "a"}, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2ln"},
                {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}),
                ),
            ],
        ),
        (
            "marks of caching",
            [
                None,
                Some(
                    json!({"messages": user(json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]))}),
                ),
                Some(json!({"input": "hello", "prompt_cache_key": "k"})),
            ],
        ),
        (
            "the beginning of the answer",
            [
                Some(json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "("}]})),
                Some(json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "("}]})),
                None,
            ],
        ),
        (
            "a tool that the maker's servers run",
            [
                None,
                Some(json!({"messages": hello(), "tools": [{"type": "web_search_20250305", "name": "web_search"}]})),
                Some(json!({"input": "hello", "tools": [{"type": "web_search"}]})),
            ],
        ),
        (
            "MCP servers",
            [
                None,
                Some(
                    json!({"messages": hello(), "mcp_servers": [{"type": "url", "url": "https://example.com", "name": "m"}]}),
                ),
                Some(
                    json!({"input": "hello", "tools": [{"type": "mcp", "server_label": "m", "server_url": "https://example.com"}]}),
                ),
            ],
        ),
        (
            "a block of a kind that is not known",
            [
                Some(json!({"messages": user(json!([{"type": "of_tomorrow", "x": 1}]))})),
                Some(json!({"messages": user(json!([{"type": "of_tomorrow", "x": 1}]))})),
                Some(json!({"input": [{"type": "of_tomorrow", "x": 1}]})),
            ],
        ),
        (
            "a member that is not known",
            [
                Some(json!({"messages": hello(), "of_tomorrow": 1})),
                Some(json!({"messages": hello(), "of_tomorrow": 1})),
                Some(json!({"input": "hello", "of_tomorrow": 1})),
            ],
        ),
    ]
}

/// What became of a request.
fn cell(mock: &Mock, before: usize, request: &Value, answer: &Answer, path: &str) -> String {
    if answer.status != 200 {
        assert_eq!(mock.requests(), before, "{}", answer.text());
        let error = &answer.json()["error"];
        let code = ["code", "type"].iter().find_map(|key| error[key].as_str()).unwrap().to_owned();
        return format!("refused: {} `{code}`", answer.status);
    }
    let seen = mock.seen().pop().unwrap();
    if seen.path == path {
        assert_eq!(&seen.json(), request, "what passes is not touched");
        return "passes".to_owned();
    }
    match answer.header("x-rhumb-dropped") {
        "" => "translated".to_owned(),
        dropped => {
            let names: Vec<String> = dropped.split(", ").map(|name| format!("`{name}`")).collect();
            format!("translated without {}", names.join(", "))
        }
    }
}

fn row(gateways: &[(Mock, Gateway)], request: &Value, path: &str) -> Vec<String> {
    let headers = if path == "/v1/messages" { "anthropic-version: 2023-06-01\r\n" } else { "" };
    let asked = |(mock, gateway): &(Mock, Gateway)| {
        let before = mock.requests();
        let answer = gateway.client().exchange(&post(path, headers, request.to_string().as_bytes()));
        cell(mock, before, request, &answer, path)
    };
    gateways.iter().map(asked).collect()
}

#[test]
fn the_page_says_what_becomes_of_each_kind_of_content() {
    let gateways: Vec<(Mock, Gateway)> = DIALECTS
        .iter()
        .map(|(dialect, _)| {
            let mock = Mock::start("a", vec![Step::Answer(3)]);
            let config = Config::over(&[&mock]).model("vision: true");
            let gateway = config.endpoint(0, |e| e.more = format!(", dialects: [{dialect}]")).start();
            (mock, gateway)
        })
        .collect();
    let mut page = String::from(
        "# What becomes of what, by dialect\n\nMade by `tests/tests/dialect_matrix.rs`, which asks the built gateway each of these and looks at \
         what the endpoint\ngot. `passes`: the endpoint gets the client's bytes. `translated without`: the client is told these names in \
         `x-rhumb-dropped`.\n`refused`: nothing is sent anywhere. An endpoint that speaks several dialects serves a client as the best of \
         its columns.\n",
    );
    for (client, (name, path)) in DIALECTS.iter().enumerate() {
        let _ = write!(
            page,
            "\n## Clients of {name}\n\n| what a client says | endpoint of chat | of messages | of responses |\n|---|---|---|---|\n"
        );
        for (what, requests) in features() {
            let Some(members) = &requests[client] else { continue };
            let mut request = json!({"model": MODEL});
            let lengths = ["max_tokens", "max_tokens", "max_output_tokens"];
            request[lengths[client]] = json!(50);
            request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let _ = writeln!(page, "| {what} | {} |", row(&gateways, &request, path).join(" | "));
        }
    }
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/reference/dialect-matrix.md");
    if std::env::var_os("RHUMB_BLESS").is_some() {
        std::fs::write(&at, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&at).unwrap_or_default(), page, "RHUMB_BLESS=1 writes it anew");
}
