//! What a router reads of an answer: whether content has begun, and what was used.

use std::sync::LazyLock;

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use crate::stream::is_done;
use rhumb_api::Usage;
use rhumb_api::event::{Piece, UsageEvent};
use rhumb_api::fault::EngineError;

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default, deserialize_with = "count")]
    prompt_tokens: u64,
    #[serde(default, deserialize_with = "count")]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<WireDetails>,
}

#[derive(Deserialize)]
struct WireDetails {
    #[serde(default, deserialize_with = "count")]
    cached_tokens: u64,
}

/// A count, as engines write it: a whole number, one with a point, or `null`. What is neither counts as none.
fn count<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(value.as_u64().or_else(|| value.as_f64().map(|n| n as u64)).unwrap_or(0))
}

impl From<WireUsage> for Usage {
    fn from(u: WireUsage) -> Self {
        let cached = u.prompt_tokens_details.map_or(0, |d| d.cached_tokens);
        Self {
            prompt_tokens: u.prompt_tokens,
            cached_tokens: cached.min(u.prompt_tokens),
            output_tokens: u.completion_tokens,
        }
    }
}

#[derive(Deserialize)]
struct WireAnswer {
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    choices: Option<Vec<serde::de::IgnoredAny>>,
}

/// Classifies one event. Nearly every event of a flowing stream is a plain delta, which is told without parsing.
pub fn piece(event: &rhumb_sse::Event<'_>) -> Piece {
    if is_done(event) {
        return Piece::Done;
    }
    if event.is_error {
        return Piece::Error;
    }
    let Some(data) = event.data.as_deref() else { return Piece::Lifecycle };
    if is_plain_delta(data) {
        return Piece::Content { ends: 0 };
    }
    if data.trim_ascii().is_empty() {
        return Piece::Lifecycle;
    }
    match serde_json::from_slice::<Value>(data) {
        Ok(Value::Null) => Piece::Lifecycle,
        Ok(value) if !value.is_object() || EngineError::of(&value).is_some() => Piece::Error,
        Ok(value) => said(&value),
        Err(_) => Piece::Error,
    }
}

fn said(chunk: &Value) -> Piece {
    let choices = chunk.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ends = choices.iter().filter(|c| is_over(c)).count() as u32;
    if ends > 0 || choices.iter().any(has_content) { Piece::Content { ends } } else { Piece::Lifecycle }
}

/// The error in an event that [`piece`] calls one, as far as it says anything.
pub fn error_in(event: &rhumb_sse::Event<'_>) -> EngineError {
    let line = || event.raw.split(|b| *b == b'\n').find_map(|l| l.strip_prefix(b"error:"));
    let text = event.data.as_deref().or_else(line).unwrap_or_default();
    EngineError::read(text).unwrap_or_else(|| {
        // The object itself is the error where the event's name says so.
        let value: Value = serde_json::from_slice(text).unwrap_or_default();
        EngineError::of(&serde_json::json!({ "error": value })).unwrap_or_default()
    })
}

/// What is looked for in every event that passes.
struct Needles {
    plain_delta: memmem::Finder<'static>,
    error: memmem::Finder<'static>,
    finish: memmem::Finder<'static>,
    usage: memmem::Finder<'static>,
}

const PLAIN_DELTA: &[u8] = b"\"delta\":{\"content\":\"";

static NEEDLES: LazyLock<Needles> = LazyLock::new(|| Needles {
    plain_delta: memmem::Finder::new(PLAIN_DELTA),
    error: memmem::Finder::new(b"\"error\""),
    finish: memmem::Finder::new(b"\"finish_reason\":\""),
    usage: memmem::Finder::new(b"\"usage\""),
});

/// The delta begins with a text that is not empty, and nothing else is said that matters. Inside a JSON string these
/// quotes would be escaped, so no text can look like any of it.
fn is_plain_delta(data: &[u8]) -> bool {
    let needles = &*NEEDLES;
    needles.plain_delta.find(data).is_some_and(|at| data.get(at + PLAIN_DELTA.len()).is_some_and(|b| *b != b'"'))
        && needles.error.find(data).is_none()
        && needles.finish.find(data).is_none()
}

/// The choice says why it ends. Some servers write an empty reason in every chunk.
fn is_over(choice: &Value) -> bool {
    choice.get("finish_reason").is_some_and(|f| f.as_str().is_some_and(|text| !text.is_empty()))
}

fn has_content(choice: &Value) -> bool {
    let said = |v: &Value| match v {
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    };
    choice.get("text").is_some_and(said)
        || choice.get("delta").and_then(Value::as_object).is_some_and(|d| d.iter().any(|(k, v)| k != "role" && said(v)))
}

/// The usage of a stream's event, if it carries one.
pub fn usage_event(data: &[u8]) -> Option<UsageEvent> {
    NEEDLES.usage.find(data)?;
    let answer: WireAnswer = serde_json::from_slice(data).ok()?;
    let choices = answer.choices.as_ref().map_or(0, Vec::len);
    Some(UsageEvent { usage: answer.usage?.into(), alone: choices == 0, has_choices: answer.choices.is_some() })
}

/// The usage of a plain answer; `None` when it is no JSON object or carries none.
pub fn usage(body: &[u8]) -> Option<Usage> {
    // The text of an answer may be long and hold the word too: the field stands last in every engine's answers.
    let at = memmem::rfind(body, b"\"usage\"")?;
    let after = body[at + 7..].trim_ascii_start().strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(after).into_iter::<WireUsage>();
    values.next()?.ok().map(Into::into)
}

/// A plain answer is whole: it is a JSON object with the list that the API promises.
pub fn is_answer(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        choices: Option<Vec<serde::de::IgnoredAny>>,
        #[serde(default)]
        data: Option<Vec<serde::de::IgnoredAny>>,
    }
    serde_json::from_slice::<Answer>(body).is_ok_and(|a| a.choices.is_some() || a.data.is_some())
}

/// The answer of an API that gives no text is whole: where it is JSON, it is no error and no scalar; what is no plain text, which
/// may have nothing to say, is not empty; and no such API answers with a page.
pub fn is_result(media_type: &str, body: &[u8]) -> bool {
    if media_type != "application/json" {
        return media_type != "text/html" && (media_type.starts_with("text/") || !body.is_empty());
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value @ Value::Object(_)) => EngineError::of(&value).is_none(),
        Ok(value) => value.is_array(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_sse::events;

    fn of(data: &str) -> Piece {
        piece(&events(format!("data: {data}\n\n").as_bytes()).next().unwrap())
    }

    #[test]
    fn content_begins_with_the_first_thing_said() {
        for said in [
            r#"{"choices":[{"delta":{"content":"x"}}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":"x"}}]}"#,
            r#"{"choices":[{"delta":{"content":"\""}}]}"#,
            r#"{"choices":[{"delta":{"content":""}},{"delta":{"content":"x"}}]}"#,
            r#"{"choices": [{"delta": {"content": "x"}}]}"#,
            r#"{"choices":[{"delta":{}},{"delta":{"reasoning_content":"x"}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
            r#"{"choices":[{"delta":{"function_call":{"name":"f"}}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"text":"x","finish_reason":null}]}"#,
        ] {
            assert!(matches!(of(said), Piece::Content { .. }), "{said}");
        }
        for quiet in [
            r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[],"function_call":{}}}]}"#,
            r#"{"choices":[{"delta":{"content":""},"note":"\"delta\":{\"content\":\"x\"}"}]}"#,
            r#"{"choices":[{"text":""}]}"#,
            r#"{"choices":[]}"#,
            r#"{"id":1}"#,
            "",
            "null",
            r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":""}]}"#,
            r#"{"choices":null}"#,
            r#"{"error":null,"choices":[{"delta":{"role":"assistant"}}]}"#,
            r#"{"choices":[{"delta":{"refused":false,"n":0}}]}"#,
        ] {
            assert_eq!(of(quiet), Piece::Lifecycle, "{quiet}");
        }
        assert_eq!(of("[DONE]"), Piece::Done);
        for error in [
            r#"{"error":{"message":"x"}}"#,
            r#"{"choices":[{"delta":{"content":"x"}}],"error":{"message":"x"}}"#,
            r#"{"error":"x","choices":[]}"#,
            r#"{"object":"error","message":"x"}"#,
            "not json",
            "1",
        ] {
            assert_eq!(of(error), Piece::Error, "{error}");
        }
        let of_event = |text: &str| piece(&events(text.as_bytes()).next().unwrap());
        assert_eq!(of_event("event: error\ndata: {\"message\":\"x\"}\n\n"), Piece::Error);
        assert_eq!(of_event("error: {\"error\":\"x\"}\n\n"), Piece::Error);
        assert_eq!(of_event("event: errors\ndata: {\"choices\":[]}\n\n"), Piece::Lifecycle);
        let error = |text: &str| error_in(&events(text.as_bytes()).next().unwrap()).message;
        assert_eq!(error("event: error\ndata: {\"message\":\"x\"}\n\n"), "x");
        assert_eq!(error("error: {\"error\":\"y\"}\n\n"), "y");
        assert_eq!(
            of(r#"{"choices":[{"delta":{},"finish_reason":"stop"},{"finish_reason":"length"}]}"#),
            Piece::Content { ends: 2 }
        );
        let last = r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
        assert_eq!(of(last), Piece::Content { ends: 1 });
        assert_eq!(piece(&events(b": ping\n\n").next().unwrap()), Piece::Lifecycle);
    }

    #[test]
    fn usage_is_read_where_it_stands() {
        let u = Usage { prompt_tokens: 9, cached_tokens: 4, output_tokens: 3 };
        let event = |alone, has_choices| UsageEvent { usage: u, alone, has_choices };
        let text = r#""usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}"#;
        assert_eq!(usage_event(format!("{{\"choices\":[],{text}}}").as_bytes()), Some(event(true, true)));
        assert_eq!(usage_event(format!("{{\"choices\":[{{}}],{text}}}").as_bytes()), Some(event(false, true)));
        assert_eq!(usage_event(format!("{{{text}}}").as_bytes()), Some(event(true, false)));
        assert_eq!(usage_event(format!("{{\"choices\":null,{text}}}").as_bytes()), Some(event(true, false)));
        let floats = br#"{"usage":{"prompt_tokens":9.0,"completion_tokens":3.0,"prompt_tokens_details":null}}"#;
        assert_eq!(usage_event(floats).unwrap().usage, Usage { cached_tokens: 0, ..u });
        assert_eq!(
            usage(br#"{"usage":{"prompt_tokens":-1,"completion_tokens":1e99}}"#).unwrap().output_tokens,
            u64::MAX
        );
        assert_eq!(usage_event(br#"{"choices":[],"usage":null}"#), None);
        assert_eq!(usage_event(br#"{"choices":[]}"#), None);
        assert_eq!(usage_event(b"\"usage\""), None);
        assert_eq!(usage(format!("{{\"choices\":[{{\"text\":\"\\\"usage\\\"\"}}], {text} }}").as_bytes()), Some(u));
        assert_eq!(usage(br#"{"usage" : {"prompt_tokens":2}}"#), Some(Usage { prompt_tokens: 2, ..Usage::default() }));
        assert_eq!(usage(br#"{"usage":null}"#), None);
        assert_eq!(usage(b"{}"), None);
        let more = br#"{"usage":{"prompt_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}}"#;
        assert_eq!(usage(more).unwrap().cached_tokens, 2);
    }

    #[test]
    fn an_answer_has_its_list() {
        assert!(is_answer(br#"{"choices":[]}"#));
        assert!(is_answer(br#"{"data":[{}]}"#));
        assert!(!is_answer(br#"{"object":"x"}"#));
        assert!(!is_answer(br#"{"choices":[]"#));
        assert!(!is_answer(b"[]"));
        assert!(!is_answer(br#"{"choices":7}"#));
    }
}
