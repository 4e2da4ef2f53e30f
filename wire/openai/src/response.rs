//! What a router reads of an answer: whether content has begun, and what was used.

use serde::Deserialize;
use serde_json::Value;

/// Tokens of one request, as the engine counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the engine's cache.
    pub cached_tokens: u64,
    /// Generated tokens.
    pub completion_tokens: u64,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<WireDetails>,
}

#[derive(Deserialize)]
struct WireDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(u: WireUsage) -> Self {
        let cached = u.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0);
        Self {
            prompt_tokens: u.prompt_tokens,
            cached_tokens: cached.min(u.prompt_tokens),
            completion_tokens: u.completion_tokens.unwrap_or(0),
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

/// What one event of a stream is to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Content, or the end of a choice: from here on the answer is the client's.
    Content,
    /// A frame that another target could send as well: a role, an empty delta, a heartbeat.
    Lifecycle,
    /// The end marker.
    Done,
    /// An error in place of an answer.
    Error,
}

/// Classifies one event. Nearly every event of a flowing stream is a plain delta, which is told without parsing.
pub fn piece(event: &crate::sse::Event<'_>) -> Piece {
    if event.is_done() {
        return Piece::Done;
    }
    if event.is_error() {
        return Piece::Error;
    }
    let Some(data) = event.data.as_deref() else { return Piece::Lifecycle };
    if is_plain_delta(data) {
        return Piece::Content;
    }
    let said = serde_json::from_slice::<Chunk>(data).is_ok_and(|c| c.choices.iter().any(has_content));
    if said { Piece::Content } else { Piece::Lifecycle }
}

/// What a chunk says; its other members are stepped over.
#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Value>,
}

/// The delta begins with a text that is not empty. Inside a JSON string these quotes would be escaped, so no text can
/// look like it.
fn is_plain_delta(data: &[u8]) -> bool {
    const START: &[u8] = b"\"delta\":{\"content\":\"";
    memchr::memmem::find(data, START).is_some_and(|at| data.get(at + START.len()).is_some_and(|b| *b != b'"'))
}

fn has_content(choice: &Value) -> bool {
    let said = |v: &Value| match v {
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    };
    choice.get("finish_reason").is_some_and(|f| !f.is_null())
        || choice.get("text").is_some_and(said)
        || choice.get("delta").and_then(Value::as_object).is_some_and(|d| d.iter().any(|(k, v)| k != "role" && said(v)))
}

/// The usage of a stream's event, if it carries one, and whether it carries nothing else.
pub fn usage_event(data: &[u8]) -> Option<(Usage, bool)> {
    memchr::memmem::find(data, b"\"usage\"")?;
    let answer: WireAnswer = serde_json::from_slice(data).ok()?;
    Some((answer.usage?.into(), answer.choices.is_some_and(|c| c.is_empty())))
}

/// The usage of a plain answer; `None` when it is no JSON object or carries none.
pub fn usage(body: &[u8]) -> Option<Usage> {
    // The text of an answer may be long and hold the word too: the field stands last in every engine's answers.
    let at = memchr::memmem::rfind(body, b"\"usage\"")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::events;

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
            assert_eq!(of(said), Piece::Content, "{said}");
        }
        for quiet in [
            r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[],"function_call":{}}}]}"#,
            r#"{"choices":[{"delta":{"content":""},"note":"\"delta\":{\"content\":\"x\"}"}]}"#,
            r#"{"choices":[{"text":""}]}"#,
            r#"{"choices":[]}"#,
            r#"{"id":1}"#,
            "not json",
            r#"{"choices":[{"delta":{"refused":false,"n":0}}]}"#,
        ] {
            assert_eq!(of(quiet), Piece::Lifecycle, "{quiet}");
        }
        assert_eq!(of("[DONE]"), Piece::Done);
        assert_eq!(of(r#"{"error":{"message":"x"}}"#), Piece::Error);
        assert_eq!(piece(&events(b": ping\n\n").next().unwrap()), Piece::Lifecycle);
    }

    #[test]
    fn usage_is_read_where_it_stands() {
        let u = Usage { prompt_tokens: 9, cached_tokens: 4, completion_tokens: 3 };
        let text = r#""usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4}}"#;
        assert_eq!(usage_event(format!("{{\"choices\":[],{text}}}").as_bytes()), Some((u, true)));
        assert_eq!(usage_event(format!("{{\"choices\":[{{}}],{text}}}").as_bytes()), Some((u, false)));
        assert_eq!(usage_event(format!("{{{text}}}").as_bytes()), Some((u, false)));
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
