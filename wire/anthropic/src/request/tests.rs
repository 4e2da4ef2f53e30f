use super::*;
use rhumb_conversation::{Media, MediaKind, Source, ToolChoice};
use serde_json::{Value, json};

/// A request with these members beside the required ones.
fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string().into_bytes()
}

fn refused(more: &Value) -> String {
    read(&body(more), For::Answer).expect_err(&more.to_string()).message
}

/// What a request of these messages says as a chat.
fn chat(messages: &Value) -> Value {
    let body = body(&json!({"messages": messages}));
    let read = read(&body, For::Answer).unwrap();
    let written = rhumb_openai::conversation::write(&read.conversation);
    serde_json::from_slice::<Value>(&written.body).unwrap()["messages"].clone()
}

#[test]
fn what_both_dialects_say_is_carried_over() {
    let more = json!({
        "stream": true, "temperature": 0.25, "top_p": 1, "top_k": 40, "stop_sequences": ["END"],
        "system": "be brief",
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    });
    let body = body(&more);
    let found = read(&body, For::Answer).unwrap();
    assert!(found.dropped.is_empty() && !found.shows_thinking && found.session.is_none());
    let written: Value = serde_json::from_slice(&rhumb_openai::conversation::write(&found.conversation).body).unwrap();
    assert_eq!(
        written,
        json!({
            "model": "m", "stream": true, "temperature": 0.25, "top_p": 1, "max_tokens": 5, "top_k": 40, "stop": ["END"],
            "response_format": {"type": "json_schema",
                "json_schema": {"name": "answer", "strict": true, "schema": {"type": "object"}}},
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
        })
    );
}

#[test]
fn d07_a_system_prompt_in_blocks_keeps_them_in_their_order() {
    let marked = json!({"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}});
    let body = body(&json!({"system": [{"type": "text", "text": "a"}, marked, {"type": "text", "text": ""}]}));
    let found = read(&body, For::Answer).unwrap();
    assert_eq!(found.conversation.system, ["a", "b"]);
    assert_eq!(found.dropped.header(), "cache_control");
}

#[test]
fn d08_system_text_within_a_conversation_stays_where_it_is() {
    let found = chat(&json!([
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "system", "content": "c"},
        {"role": "user", "content": "d"}
    ]));
    assert_eq!(found.as_array().unwrap().len(), 3);
    assert_eq!(
        found[2],
        json!({"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]})
    );
}

#[test]
fn d09_the_billing_text_that_changes_with_every_request_is_left_out() {
    let billing = "x-anthropic-billing-header: cc_version=2.1; cch=ab12;";
    let as_block = json!({"system": [{"type": "text", "text": billing}, {"type": "text", "text": "be brief"}]});
    let as_line = json!({"system": format!("{billing}\nbe brief")});
    for more in [as_block, as_line] {
        let body = body(&more);
        let found = read(&body, For::Answer).unwrap();
        assert_eq!(found.conversation.system, ["be brief"]);
        assert_eq!(found.dropped.header(), "billing-header");
    }
}

#[test]
fn d11_d12_thinking_keeps_its_signature_byte_for_byte_also_without_text() {
    let messages = r#"[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"Aé\u002b/=="},{"type":"redacted_thinking","data":"xx"},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]"#;
    let body = format!(r#"{{"model":"m","max_tokens":1,"messages":{messages}}}"#);
    let found = read(body.as_bytes(), For::Answer).unwrap();
    let items = &found.conversation.turns[1].items;
    assert_eq!(items[0], Item::Thinking { text: "".into(), signature: Some("Aé+/==".into()) });
    assert_eq!(items[1], Item::Thinking { text: "".into(), signature: Some("xx".into()) });
}

#[test]
fn d15_thinking_and_a_forced_tool_go_together_where_engines_let_them() {
    let tools = json!([{"name": "f"}]);
    let choice = json!({"type": "any", "disable_parallel_tool_use": true});
    let thinking = json!({"type": "enabled", "budget_tokens": 2048});
    let body = body(&json!({"thinking": thinking, "tools": tools, "tool_choice": choice}));
    let found = read(&body, For::Answer).unwrap();
    assert!(found.shows_thinking && found.conversation.one_call);
    assert_eq!(found.conversation.tool_choice, Some(ToolChoice::Any));
    assert_eq!(found.dropped.header(), "thinking.budget_tokens");
}

#[test]
fn d16_the_choice_of_a_tool_has_four_forms() {
    for (wire, want) in [
        (json!({"type": "auto"}), ToolChoice::Auto),
        (json!({"type": "any"}), ToolChoice::Any),
        (json!({"type": "none"}), ToolChoice::None),
        (json!({"type": "tool", "name": "f"}), ToolChoice::Tool("f".into())),
    ] {
        let body = body(&json!({"tool_choice": wire}));
        let found = read(&body, For::Answer).unwrap();
        assert_eq!((found.conversation.tool_choice, found.conversation.one_call), (Some(want), false));
    }
    assert!(refused(&json!({"tool_choice": {"type": "some"}})).starts_with("`tool_choice.type` must be"));
    assert!(refused(&json!({"tool_choice": {"type": "tool"}})).starts_with("`tool_choice.name` is missing"));
}

#[test]
fn d17_a_length_is_required_of_an_answer_and_not_of_a_count() {
    for wrong in [json!(0), json!(-1), json!("5"), json!(1.5)] {
        assert!(refused(&json!({"max_tokens": wrong})).starts_with("`max_tokens` must be"));
    }
    assert_eq!(refused(&json!({"max_tokens": null})), "`max_tokens` is missing.");
    assert!(read(&body(&json!({"max_tokens": null})), For::Count).is_ok());
}

#[test]
fn d23_a_tool_that_only_anthropic_runs_is_refused_by_its_name() {
    for kind in ["web_search_20250305", "code_execution_20250825", "bash_20250124", "computer_20250124"] {
        let said = refused(&json!({"tools": [{"name": "f"}, {"type": kind, "name": "x"}]}));
        assert!(said.starts_with("`tools[1]` is the tool `") && said.contains(kind), "{said}");
    }
    assert!(refused(&json!({"mcp_servers": []})).starts_with("`mcp_servers` asks for"));
    let block = json!([{"role": "user", "content": [{"type": "web_search_tool_result", "content": []}]}]);
    assert!(
        refused(&json!({"messages": block})).starts_with("`messages[0].content[0]` is a block of type `web_search")
    );
}

#[test]
fn d24_d25_what_is_new_is_left_out_and_named() {
    let body = body(&json!({
        "context_management": {"edits": []}, "output_config": {"effort": "high"}, "metadata": {"user_id": "u"},
        "service_tier": "auto", "new\nfield": 1, "temperature": null,
    }));
    let found = read(&body, For::Answer).unwrap();
    assert_eq!(found.dropped.header(), "context_management, other");
}

#[test]
fn d26_calls_in_a_conversation_need_no_tools_to_be_declared() {
    let found = chat(&json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "tool_reference", "tool_name": "g"}, {"type": "text", "text": "1"}], "is_error": true}]}
    ]));
    assert_eq!(found[1]["tool_calls"][0]["function"]["arguments"], "{\"x\":1}");
    let content = found[2]["content"].as_array().unwrap();
    assert_eq!(found[2]["role"], "tool");
    assert_eq!(content[0]["text"], "{\"tool_name\":\"g\",\"type\":\"tool_reference\"}");
}

#[test]
fn d28_an_answer_whose_beginning_is_given_is_refused() {
    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]);
    assert!(refused(&json!({"messages": messages})).contains("(prefill) is not supported"));
    assert!(read(&body(&json!({"messages": messages})), For::Count).is_ok());
}

#[test]
fn images_and_documents_in_every_form() {
    let image = |source: Value| json!({"type": "image", "source": source});
    let data = json!({"type": "base64", "media_type": "image/png", "data": "AA=="});
    let content = json!([
        image(data), image(json!({"type": "url", "url": "https://h/i.png"})),
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BB=="}, "title": "t.pdf"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "text"}, "title": "T"},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "part"}]},
         "citations": {"enabled": true}},
    ]);
    let body = body(&json!({"messages": [{"role": "user", "content": content}]}));
    let found = read(&body, For::Answer).unwrap();
    let items = &found.conversation.turns[0].items;
    let source = Source::Base64 { media_type: "image/png".into(), data: "AA==".into() };
    assert_eq!(items[0], Item::Media(Media { kind: MediaKind::Image, source }));
    assert!(matches!(&items[1], Item::Media(Media { source: Source::Url(url), .. }) if url == "https://h/i.png"));
    assert!(matches!(&items[2], Item::Media(Media { kind: MediaKind::File(name), .. }) if name == "t.pdf"));
    assert_eq!(items[3..], [Item::Text("T".into()), Item::Text("text".into()), Item::Text("part".into())]);
    assert_eq!(found.dropped.header(), "citations");
    let file = json!([{"role": "user", "content": [image(json!({"type": "file", "file_id": "f"}))]}]);
    assert!(refused(&json!({"messages": file})).contains("uploaded files are not kept here"));
}

#[test]
fn a_session_is_told_in_both_forms_that_claude_code_writes() {
    let session = |user: Value| read(&body(&json!({"metadata": {"user_id": user}})), For::Answer).unwrap().session;
    assert_eq!(session(json!("user_ab_account__session_1-2")).as_deref(), Some("1-2"));
    assert_eq!(session(json!("{\"device_id\":\"d\",\"session_id\":\"1-2\"}")).as_deref(), Some("1-2"));
    for none in [json!("somebody"), json!(null), json!(7), json!("session_")] {
        assert_eq!(session(none), None);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let messages = |messages: Value| refused(&json!({ "messages": messages }));
    for (wrong, says) in [
        (json!([]), "`messages` must hold at least one message."),
        (json!("x"), "`messages` must be an array of messages."),
        (json!([7]), "`messages[0]` must be an object with `role` and `content`."),
        (json!([{"role": "tool", "content": "x"}]), "`messages[0].role` must be `user` or `assistant`."),
        (
            json!([{"role": "user", "content": 7}]),
            "`messages[0].content` must be a string or an array of content blocks.",
        ),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "`messages[0].content[0].text` is missing."),
        (
            json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]),
            "`messages` holds a `tool_result` for `x`, which no `tool_use` of the turn before it has as `id`.",
        ),
        (
            json!([{"role": "user", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]}]),
            "`messages[0]` holds `tool_use` or `thinking` blocks, which only messages of the assistant may hold.",
        ),
        (
            json!([{"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": "{}"}]}]),
            "`messages[0].content[0].input` must be an object.",
        ),
    ] {
        assert_eq!(messages(wrong), says);
    }
    for (text, says) in [
        ("", "not acceptable JSON"),
        ("[]", "must be a JSON object"),
        (r#"{"model":"a","model":"b"}"#, "a key stands twice"),
        (r#"{"messages":[],"max_tokens":1}"#, "`messages` must hold"),
        (r#"{"messages":[{"role":"user","content":"x"}],"max_tokens":1}"#, "`model` is missing."),
    ] {
        let said = read(text.as_bytes(), For::Answer).unwrap_err().message;
        assert!(said.contains(says), "{text}: {said}");
    }
    let deep = format!("{{\"messages\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(deep.as_bytes(), For::Answer).is_err());
}
