use super::*;
use rhumb_conversation::{Item, Role, ToolChoice};

fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": "m", "input": "hi"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string().into_bytes()
}

fn refused(more: &Value) -> String {
    read(&body(more), None).expect_err(&more.to_string()).message
}

fn chat(more: &Value) -> Value {
    let body = body(more);
    let read = read(&body, None).unwrap();
    serde_json::from_slice(&rhumb_openai::conversation::write(&read.conversation).body).unwrap()
}

#[test]
fn what_both_dialects_say_is_carried_over() {
    let more = json!({
        "instructions": "be brief", "stream": true, "temperature": 0.25, "top_p": 1, "max_output_tokens": 5,
        "parallel_tool_calls": false, "tool_choice": "required", "store": false,
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": true}},
    });
    let body = body(&more);
    assert!(read(&body, None).unwrap().dropped.is_empty());
    assert_eq!(
        chat(&more),
        json!({
            "model": "m", "stream": true, "temperature": 0.25, "top_p": 1, "max_tokens": 5,
            "response_format": {"type": "json_schema",
                "json_schema": {"name": "answer", "strict": true, "schema": {"type": "object"}}},
            "tools": [{"type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}}],
            "tool_choice": "required", "parallel_tool_calls": false,
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
        })
    );
}

#[test]
fn d46_a_freeform_tool_is_a_function_of_one_text_and_hosted_ones_are_left_out_by_name() {
    let more = json!({"tools": [
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "web_search"}, {"type": "namespace", "name": "n", "tools": []}, {"type": "local_shell"},
    ]});
    let body = body(&more);
    let found = read(&body, None).unwrap();
    assert_eq!(found.dropped.header(), "tools.web_search, tools.namespace, tools.local_shell");
    assert_eq!(found.custom.iter().collect::<Vec<_>>(), ["apply_patch"]);
    let parameters = &chat(&more)["tools"][0]["function"]["parameters"];
    assert_eq!(
        (&parameters["properties"]["input"]["type"], chat(&more)["tools"].as_array().unwrap().len()),
        (&json!("string"), 1)
    );
}

#[test]
fn d47_reasoning_is_never_sent_as_text_and_d52_items_are_taken_loosely() {
    let found = chat(&json!({"input": [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://h/i"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "*** x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "function_call_output", "call_id": "c1", "output": "r"},
    ]}));
    let messages = found["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    assert_eq!(messages[2]["content"], "b");
    assert_eq!(messages[2]["tool_calls"][1]["function"]["arguments"], "{\"input\":\"*** x\"}");
    assert_eq!((&messages[3]["content"], &messages[4]["content"]), (&json!("r"), &json!("done")));
    assert!(!found.to_string().contains("hm"));
}

#[test]
fn d48_d53_what_engines_have_no_word_for_is_named() {
    let body = body(&json!({
        "reasoning": {"effort": "high", "summary": "auto"}, "store": true, "include": ["reasoning.encrypted_content"],
        "text": {"verbosity": "low"}, "new": 1, "metadata": {"a": "b"}, "prompt_cache_key": "k", "truncation": "disabled",
    }));
    let found = read(&body, None).unwrap();
    let want = "include.reasoning.encrypted_content, new, store, text.verbosity";
    assert_eq!(found.dropped.header(), want);
    assert_eq!((&found.echo["metadata"], &found.echo["store"]), (&json!({"a": "b"}), &json!(false)));
}

#[test]
fn d49_d57_what_is_not_kept_is_not_found() {
    for more in [
        json!({"previous_response_id": "resp_1"}),
        json!({"conversation": "conv_1"}),
        json!({"conversation": {"id": "conv_1"}}),
    ] {
        let error = read(&body(&more), None).unwrap_err();
        assert_eq!((error.status(), rhumb_openai::error::code(&error)), (404, "previous_response_not_found"));
    }
    assert!(refused(&json!({"background": true})).starts_with("`background` must be false"));
    assert!(refused(&json!({"prompt": {"id": "p"}})).starts_with("`prompt` names a template"));
}

#[test]
fn d54_no_member_gets_a_value_that_nobody_set() {
    let found = chat(&json!({}));
    let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["messages", "model"]);
}

#[test]
fn d55_a_call_without_an_output_is_answered() {
    let body = body(&json!({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}));
    let found = read(&body, None).unwrap();
    assert_eq!(found.dropped.header(), "call-without-output");
    assert!(matches!(found.conversation.turns[1].items[0], Item::Result { is_error: true, .. }));
    assert_eq!(found.conversation.turns[1].role, Role::User);
}

#[test]
fn the_choice_of_a_tool_and_what_is_wrong_are_named() {
    let body = body(&json!({"tool_choice": {"type": "function", "name": "f"}}));
    assert_eq!(read(&body, None).unwrap().conversation.tool_choice, Some(ToolChoice::Tool("f".into())));
    for (more, says) in [
        (json!({"model": null}), "`model` is missing."),
        (json!({"input": null}), "`input` is missing."),
        (json!({"input": []}), "`input` must hold at least one item."),
        (json!({"input": [7]}), "`input[0]` must be an object with `type` and what belongs to that type."),
        (
            json!({"input": [{"role": "tool", "content": "x"}]}),
            "`input[0].role` must be `user`, `assistant`, `system` or `developer`.",
        ),
        (
            json!({"input": [{"type": "web_search_call"}]}),
            "`input[0]` is an item of type `web_search_call`, which only OpenAI's own servers understand.",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}),
            "`input[0].content[0]` must have `image_url`: uploaded files are not kept here.",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}),
            "`input` holds an output for `c`, which no call of the turn before it has as `call_id`.",
        ),
        (json!({"tools": [{"type": "function"}]}), "`tools[0].name` is missing."),
        (
            json!({"tool_choice": "any"}),
            "`tool_choice` must be `auto`, `required`, `none`, or an object that names a function.",
        ),
        (json!({"max_output_tokens": -1}), "`max_output_tokens` must be a whole number, 0 or more."),
    ] {
        assert_eq!(refused(&more), says);
    }
}
