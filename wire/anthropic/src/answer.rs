//! A whole answer as a message.

use rhumb_conversation::{Answer, Item, Renamed, Stop, Usage};
use serde_json::{Value, json};

/// What an answer needs to know of its request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The identifier of the message.
    pub id: String,
    /// The model that was asked for.
    pub model: String,
    /// The client is shown what the model thinks.
    pub shows_thinking: bool,
    /// Tokens of the prompt as the gateway counts them, until the engine says.
    pub prompt_tokens: u64,
    /// Tools that have another name at the engine.
    pub renamed: Renamed,
}

/// Clients drop thinking that nobody signed. What an open model thinks is nobody's secret, and the signature says no more than that
/// it came through here.
pub(crate) const SIGNATURE: &str = "cmh1bWItdW5zaWduZWQ=";

/// The message.
pub fn message(reply: &Reply, answer: &Answer<'_>) -> String {
    let called = answer.items.iter().any(|item| matches!(item, Item::Call { .. }));
    let content: Vec<Value> = (0..).zip(&answer.items).filter_map(|(n, item)| block(reply, n, item)).collect();
    let (reason, sequence) = stop(&answer.stop, called);
    let usage = answer.usage.unwrap_or(Usage { fresh: reply.prompt_tokens, ..Usage::default() });
    let model = answer.model.as_deref().unwrap_or(&reply.model);
    json!({
        "id": reply.id, "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": reason, "stop_sequence": sequence, "usage": counters(&usage),
    })
    .to_string()
}

fn block(reply: &Reply, n: u64, item: &Item<'_>) -> Option<Value> {
    match item {
        Item::Text(text) => Some(json!({"type": "text", "text": text})),
        Item::Thinking { text, signature } => {
            let signature = signature.as_deref().unwrap_or(SIGNATURE);
            let block = json!({"type": "thinking", "thinking": text, "signature": signature});
            reply.shows_thinking.then_some(block)
        }
        Item::Call { id, name, arguments } => {
            let id = call_id(reply, n, id);
            Some(json!({"type": "tool_use", "id": id, "name": reply.renamed.back(name), "input": input(arguments)}))
        }
        Item::Media(_) | Item::Result { .. } => None,
    }
}

/// The identifier of a call: the engine's, where it has a form that clients may send back.
pub(crate) fn call_id(reply: &Reply, n: u64, id: &str) -> String {
    if id.is_empty() { format!("toolu_{}_{n}", reply.id) } else { rhumb_conversation::call_id(id).into_owned() }
}

/// Arguments as an object. What cannot be read as one is kept as a text in one: a model may be cut off, or write badly.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match serde_json::from_str::<Value>(arguments) {
        Ok(object @ Value::Object(_)) => object,
        _ => json!({"unparsed_arguments": arguments}),
    }
}

/// `stop_reason` and `stop_sequence`. Whatever the engine says, an answer that calls tools waits for their results.
pub(crate) fn stop<'a>(stop: &'a Stop<'_>, called: bool) -> (&'static str, Option<&'a str>) {
    match stop {
        _ if called => ("tool_use", None),
        Stop::Sequence(text) => ("stop_sequence", text.as_deref()),
        Stop::MaxTokens => ("max_tokens", None),
        Stop::Refusal => ("refusal", None),
        Stop::End | Stop::Calls | Stop::Other => ("end_turn", None),
    }
}

/// Anthropic's `input_tokens` leaves out what was read from a cache or written to one.
pub(crate) fn counters(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.fresh, "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read, "output_tokens": usage.output(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reply: &Reply, items: Vec<Item<'static>>, stop: Stop<'static>) -> Value {
        let usage = Some(Usage { fresh: 30, cache_read: 60, cache_write: 10, spoken: 15, thought: 5 });
        serde_json::from_str(&message(reply, &Answer { model: None, items, stop, usage })).unwrap()
    }

    fn call(id: &'static str, arguments: &'static str) -> Item<'static> {
        Item::Call { id: id.into(), name: "f".into(), arguments: arguments.into() }
    }

    fn text(text: &'static str) -> Item<'static> {
        Item::Text(text.into())
    }

    #[test]
    fn d19_arguments_that_are_no_object_survive_and_none_are_an_empty_one() {
        let inputs =
            |arguments| of(&Reply::default(), vec![call("a", arguments)], Stop::Calls)["content"][0]["input"].clone();
        assert_eq!(inputs(""), json!({}));
        assert_eq!(inputs("{\"x\":1}"), json!({"x": 1}));
        for odd in ["{\"x\":", "[1]", "x"] {
            assert_eq!(inputs(odd), json!({"unparsed_arguments": odd}));
        }
    }

    #[test]
    fn d31_the_reason_of_an_end_is_never_worse_than_what_was_said() {
        let reason = |items, stop| of(&Reply::default(), items, stop)["stop_reason"].as_str().unwrap().to_owned();
        for end in [Stop::End, Stop::Other, Stop::MaxTokens, Stop::Calls] {
            assert_eq!(reason(vec![text("x"), call("a", "")], end), "tool_use");
        }
        assert_eq!(reason(vec![text("x")], Stop::Refusal), "refusal");
        assert_eq!(reason(vec![text("x")], Stop::MaxTokens), "max_tokens");
        assert_eq!(reason(vec![text("x")], Stop::Other), "end_turn");
        let m = of(&Reply::default(), vec![text("x")], Stop::Sequence(Some("END".into())));
        assert_eq!((&m["stop_reason"], &m["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
    }

    #[test]
    fn d33_input_tokens_leave_out_what_was_cached() {
        let usage = of(&Reply::default(), vec![], Stop::End)["usage"].clone();
        let want = json!({"input_tokens": 30, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 60, "output_tokens": 20});
        assert_eq!(usage, want);
    }

    #[test]
    fn d14_thinking_is_signed_where_it_is_shown_and_kept_back_where_not() {
        let items = || vec![Item::Thinking { text: "hm".into(), signature: None }, text("yes")];
        let shown = of(&Reply { shows_thinking: true, ..Reply::default() }, items(), Stop::End);
        assert_eq!(shown["content"][0], json!({"type": "thinking", "thinking": "hm", "signature": SIGNATURE}));
        assert_eq!(of(&Reply::default(), items(), Stop::End)["content"], json!([{"type": "text", "text": "yes"}]));
    }

    #[test]
    fn d42_every_text_and_call_is_kept_in_its_order() {
        let m = of(&Reply::default(), vec![text("a"), text("b"), call("x", "{}"), call("", "{}")], Stop::Calls);
        let kinds: Vec<&str> = m["content"].as_array().unwrap().iter().map(|b| b["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["text", "text", "tool_use", "tool_use"]);
        assert_ne!(m["content"][2]["id"], m["content"][3]["id"]);
    }
}
