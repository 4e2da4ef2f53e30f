//! Answers of `POST /v1/chat/completions`, whole or as they come, read into what they say.

use std::borrow::Cow;

use rhumb_conversation::{Answer, Event, Item, Stop, Text, Usage};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Text as servers write it: a string, or parts with texts in them. Anything else says nothing.
#[derive(Debug, Default)]
struct Said<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SaidVisitor).map(Said)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut all = String::new();
        while let Some(part) = parts.next_element::<Said<'_>>()? {
            all.push_str(&part.0);
        }
        Ok(Cow::Owned(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<Self::Value, A::Error> {
        let mut text = Cow::Borrowed("");
        while let Some(key) = part.next_key::<Cow<'_, str>>()? {
            if matches!(&*key, "text" | "content" | "refusal") {
                text = part.next_value::<Said<'_>>()?.0;
            } else {
                part.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text)
    }
}

/// What a choice says, in a chunk (`delta`) and in a whole answer (`message`) alike.
#[derive(Debug, Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Said<'a>,
    #[serde(borrow, default)]
    reasoning_content: Said<'a>,
    #[serde(borrow, default)]
    reasoning: Said<'a>,
    #[serde(borrow, default)]
    refusal: Said<'a>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Call<'a>>>,
}

impl<'a> Message<'a> {
    /// What it thinks, under either name. Some servers write it under both.
    fn thinking(&mut self) -> Text<'a> {
        let [first, second] =
            [&mut self.reasoning_content, &mut self.reasoning].map(|said| std::mem::take(&mut said.0));
        if first.is_empty() { second } else { first }
    }
}

#[derive(Debug, Deserialize)]
struct Call<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    id: Said<'a>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Said<'a>,
    /// A string of JSON text; some servers write the object itself.
    #[serde(borrow, default)]
    arguments: Option<&'a serde_json::value::RawValue>,
}

impl<'a> Function<'a> {
    fn arguments(&self) -> Text<'a> {
        let Some(raw) = self.arguments.map(serde_json::value::RawValue::get) else { return Cow::Borrowed("") };
        if raw.starts_with('"') {
            return serde_json::from_str::<Said<'a>>(raw).map(|said| said.0).unwrap_or_default();
        }
        if raw.starts_with('{') { Cow::Borrowed(raw) } else { Cow::Borrowed("") }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default, alias = "message")]
    delta: Option<Message<'a>>,
    #[serde(borrow, default)]
    finish_reason: Said<'a>,
    /// The text at which vLLM and SGLang ended the answer.
    #[serde(borrow, default, alias = "matched_stop")]
    stop_reason: Said<'a>,
}

impl<'a> Choice<'a> {
    /// Why the answer ends; `None` while it does not.
    fn stop(&self) -> Option<Stop<'a>> {
        Some(match &*self.finish_reason.0 {
            "" => return None,
            "stop" if !self.stop_reason.0.is_empty() => Stop::Sequence(Some(self.stop_reason.0.clone())),
            "stop" | "eos" | "end_turn" => Stop::End,
            "stop_sequence" => Stop::Sequence(None),
            "length" | "max_tokens" => Stop::MaxTokens,
            "tool_calls" | "function_call" => Stop::Calls,
            "content_filter" => Stop::Refusal,
            _ => Stop::Other,
        })
    }
}

#[derive(Debug, Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    model: Said<'a>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Value>,
}

impl<'a> Wire<'a> {
    /// The only choice that there can be.
    fn choice(&mut self) -> Option<Choice<'a>> {
        self.choices.take()?.into_iter().find(|choice| choice.index.unwrap_or(0) == 0)
    }
}

/// The counters of a usage object. OpenAI's prompt holds what was cached, and its answer what was thought.
fn usage(value: &Value) -> Option<Usage> {
    let count = |value: &Value| value.as_u64().or_else(|| value.as_f64().map(|n| n as u64)).unwrap_or(0);
    value.is_object().then(|| {
        let (prompt, output) = (count(&value["prompt_tokens"]), count(&value["completion_tokens"]));
        let details = &value["prompt_tokens_details"];
        let cache_read = count(&details["cached_tokens"]).min(prompt);
        let cache_write = count(&details["cache_write_tokens"]).min(prompt - cache_read);
        let thought = count(&value["completion_tokens_details"]["reasoning_tokens"]).min(output);
        Usage { fresh: prompt - cache_read - cache_write, cache_read, cache_write, spoken: output - thought, thought }
    })
}

/// Hands what the data of one event of a stream says to `take`. Data that is no chunk says nothing.
pub fn events<'a>(data: &'a [u8], mut take: impl FnMut(Event<'a>)) {
    let Ok(mut wire) = serde_json::from_slice::<Wire<'a>>(data) else { return };
    if !wire.model.0.is_empty() {
        take(Event::Model(std::mem::take(&mut wire.model.0)));
    }
    if let Some(mut choice) = wire.choice() {
        if let Some(message) = choice.delta.take() {
            said(message, &mut take);
        }
        if let Some(stop) = choice.stop() {
            take(Event::Stop(stop));
        }
    }
    if let Some(usage) = wire.usage.as_ref().and_then(usage) {
        take(Event::Usage(usage));
    }
}

fn said<'a>(mut message: Message<'a>, take: &mut impl FnMut(Event<'a>)) {
    let thinking = message.thinking();
    if !thinking.is_empty() {
        take(Event::Thinking(thinking));
    }
    for text in [message.content.0, message.refusal.0] {
        if !text.is_empty() {
            take(Event::Text(text));
        }
    }
    for (n, call) in (0..).zip(message.tool_calls.into_iter().flatten()) {
        let function = call.function.unwrap_or_default();
        let arguments = function.arguments();
        let present = |text: Text<'a>| (!text.is_empty()).then_some(text);
        take(Event::Call {
            index: call.index.unwrap_or(n),
            id: present(call.id.0),
            name: present(function.name.0),
            arguments,
        });
    }
}

/// A whole answer; `None` where it cannot be read as one.
pub fn answer(body: &[u8]) -> Option<Answer<'_>> {
    let mut wire: Wire<'_> = serde_json::from_slice(body).ok()?;
    let mut choice = wire.choice()?;
    let mut message = choice.delta.take()?;
    let mut items = Vec::new();
    let thinking = message.thinking();
    if !thinking.is_empty() {
        items.push(Item::Thinking { text: thinking, signature: None });
    }
    items.extend([message.content.0, message.refusal.0].into_iter().filter(|text| !text.is_empty()).map(Item::Text));
    for call in message.tool_calls.into_iter().flatten() {
        let function = call.function.unwrap_or_default();
        let arguments = function.arguments();
        items.push(Item::Call { id: call.id.0, name: function.name.0, arguments });
    }
    let stop = choice.stop().unwrap_or(Stop::End);
    let model = Some(wire.model.0).filter(|model| !model.is_empty());
    Some(Answer { model, items, stop, usage: wire.usage.as_ref().and_then(usage) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &str) -> Vec<Event<'_>> {
        let mut all = Vec::new();
        events(data.as_bytes(), |event| all.push(event));
        all
    }

    #[test]
    fn a_chunk_says_what_it_says_in_every_form() {
        let text = |text: &'static str| vec![Event::Text(text.into())];
        assert_eq!(of(r#"{"choices":[{"delta":{"content":"x"}}]}"#), text("x"));
        assert_eq!(of(r#"{"choices":[{"delta":{"content":"\"\n"}}]}"#), text("\"\n"));
        assert_eq!(of(r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"text":"b"}]}}]}"#), text("ab"));
        assert_eq!(of(r#"{"choices":[{"delta":{"refusal":"no","content":null}}]}"#), text("no"));
        for key in ["reasoning", "reasoning_content"] {
            let data = format!(r#"{{"choices":[{{"index":0,"delta":{{"{key}":"hm"}}}}]}}"#);
            assert_eq!(of(&data), [Event::Thinking("hm".into())]);
        }
        for nothing in
            ["", "null", "[]", "7", r#"{"choices":null}"#, r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#]
        {
            assert_eq!(of(nothing), [], "{nothing}");
        }
        assert_eq!(of(r#"{"choices":[{"delta":{"content":{"x":[1,true,null]},"refusal":7}}]}"#), []);
    }

    #[test]
    fn the_end_of_an_answer_has_its_reason() {
        let chunk = |reason: &str| format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        for (reason, want) in [
            ("stop", Stop::End),
            ("length", Stop::MaxTokens),
            ("tool_calls", Stop::Calls),
            ("content_filter", Stop::Refusal),
            ("abort", Stop::Other),
        ] {
            assert_eq!(of(&chunk(reason)), [Event::Stop(want)]);
        }
        assert_eq!(of(&chunk("")), []);
        let matched = r#"{"choices":[{"delta":{},"finish_reason":"stop","stop_reason":"END"}]}"#;
        assert_eq!(of(matched), [Event::Stop(Stop::Sequence(Some("END".into())))]);
        let by_token = r#"{"choices":[{"delta":{},"finish_reason":"stop","stop_reason":151645}]}"#;
        assert_eq!(of(by_token), [Event::Stop(Stop::End)]);
    }

    #[test]
    fn calls_are_read_in_pieces_and_with_arguments_as_an_object() {
        let call = |index, id: Option<&'static str>, name: Option<&'static str>, arguments: &'static str| Event::Call {
            index,
            id: id.map(Cow::Borrowed),
            name: name.map(Cow::Borrowed),
            arguments: arguments.into(),
        };
        let data = r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}"#;
        assert_eq!(of(data), [call(1, Some("a"), Some("f"), "")]);
        let data = r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{\"x\":"}}]}}]}"#;
        assert_eq!(of(data), [call(1, None, None, "{\"x\":")]);
        let data = r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}},{"id":"b"}]}}]}"#;
        assert_eq!(of(data), [call(0, Some("a"), Some("f"), "{\"x\":1}"), call(1, Some("b"), None, "")]);
    }

    #[test]
    fn d33_the_counters_of_usage_do_not_overlap() {
        let data = r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
        let usage = Usage { fresh: 30, cache_read: 60, cache_write: 10, spoken: 15, thought: 5 };
        assert_eq!(of(data), [Event::Usage(usage)]);
        assert_eq!((usage.prompt(), usage.output()), (100, 20));
        let absurd = r#"{"usage":{"prompt_tokens":1,"completion_tokens":-3,"prompt_tokens_details":{"cached_tokens":1e30,"cache_write_tokens":5}}}"#;
        assert_eq!(of(absurd), [Event::Usage(Usage { cache_read: 1, ..Usage::default() })]);
    }

    #[test]
    fn a_whole_answer_is_read() {
        let body = r#"{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"hm","content":"yes","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let found = answer(body.as_bytes()).unwrap();
        assert_eq!(found.model.as_deref(), Some("m"));
        assert_eq!(found.items[0], Item::Thinking { text: "hm".into(), signature: None });
        assert_eq!(found.items[1], Item::Text("yes".into()));
        assert_eq!(found.items[2], Item::Call { id: "a".into(), name: "f".into(), arguments: "{}".into() });
        assert_eq!((found.stop, found.usage.map(|u| u.output())), (Stop::Calls, Some(2)));
        for none in ["", "{}", r#"{"choices":[]}"#, "[]"] {
            assert_eq!(answer(none.as_bytes()), None);
        }
    }
}
