//! What is read of an answer in this dialect that passes as it came: whether content has begun, whether it is whole, what was used.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use rhumb_api::Usage;
use rhumb_api::event::Piece;
use rhumb_api::fault::EngineError;
use serde::Deserialize;
use serde_json::{Value, json};

/// How nearly every event of a flowing stream begins.
const DELTA: &[u8] = b"{\"type\":\"response.output_text.delta\",";

/// A delta that says nothing. Inside a JSON string these quotes would be escaped, so no text can look like it.
static EMPTY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"delta\":\"\""));

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));

/// A request goes on with what was kept, or leaves something to ask for later. An engine that is passed it keeps it for whoever has the
/// gateway's key, which is every tenant: such a request is not passed on.
pub fn needs_keeping(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Members {
        #[serde(default)]
        background: Value,
        #[serde(default)]
        previous_response_id: Value,
        #[serde(default)]
        conversation: Value,
    }
    let needs = |m: Members| {
        let is_asked = !m.background.is_null() && m.background != Value::Bool(false);
        is_asked || !m.previous_response_id.is_null() || !m.conversation.is_null()
    };
    serde_json::from_slice(body).is_ok_and(needs)
}

/// What one event is, by its data.
pub fn piece(data: &[u8]) -> Piece {
    if data.starts_with(DELTA) && EMPTY.find(data).is_none() {
        return Piece::Content { ends: 0 };
    }
    if data == b"[DONE]" {
        return Piece::Done;
    }
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return Piece::Error };
    let at = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
    match at("/type") {
        "response.completed" | "response.incomplete" => Piece::Done,
        "response.failed" | "response.cancelled" => Piece::Error,
        // A call is the client's from its name on; a message may stay empty.
        "response.output_item.added" if !matches!(at("/item/type"), "message" | "reasoning") => {
            Piece::Content { ends: 0 }
        }
        kind if kind.ends_with(".delta") => {
            let is_empty = event["delta"].is_null() || event["delta"].as_str() == Some("");
            if is_empty { Piece::Lifecycle } else { Piece::Content { ends: 0 } }
        }
        kind if kind.starts_with("response.") => Piece::Lifecycle,
        kind if !kind.is_empty() && EngineError::of(&event).is_none() => Piece::Lifecycle,
        _ => Piece::Error,
    }
}

/// The error in an event that [`piece`] calls one, as far as it says anything.
pub fn error_in(data: &[u8]) -> Option<EngineError> {
    let event: Value = serde_json::from_slice(data).ok()?;
    match event.pointer("/response/error") {
        Some(error) => EngineError::of(&json!({ "error": error })),
        None => EngineError::of(&event),
    }
}

#[derive(Deserialize)]
struct Counters {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    input_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: u64,
}

impl From<Counters> for Usage {
    fn from(c: Counters) -> Self {
        let cached = c.input_tokens_details.map_or(0, |d| d.cached_tokens);
        Self {
            prompt_tokens: c.input_tokens,
            cached_tokens: cached.min(c.input_tokens),
            output_tokens: c.output_tokens,
        }
    }
}

#[derive(Deserialize)]
struct Stated {
    #[serde(default)]
    usage: Option<Counters>,
    #[serde(default)]
    response: Option<Box<Stated>>,
}

/// The usage that an event or a whole answer states. Of a stream it is the last event that does.
pub fn usage(data: &[u8]) -> Option<Usage> {
    USAGE.find(data)?;
    let stated: Stated = serde_json::from_slice(data).ok()?;
    stated.usage.or_else(|| stated.response?.usage).map(Into::into)
}

/// A plain answer is whole: a response with its output, and without an error.
pub fn is_answer(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        object: String,
        #[serde(default)]
        output: Option<Vec<serde::de::IgnoredAny>>,
        #[serde(default)]
        error: Value,
    }
    let is_whole = |a: Answer| a.object == "response" && a.output.is_some() && a.error.is_null();
    serde_json::from_slice::<Answer>(body).is_ok_and(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let content = Piece::Content { ends: 0 };
        for (data, want) in [
            (r#"{"type":"response.created","response":{"usage":null,"error":null}}"#, Piece::Lifecycle),
            (r#"{"type":"response.output_item.added","item":{"type":"message"}}"#, Piece::Lifecycle),
            (r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}"#, content),
            (r#"{"type":"response.output_text.delta","delta":"x"}"#, content),
            (r#"{"type":"response.output_text.delta","delta":""}"#, Piece::Lifecycle),
            (r#"{"delta":"x","type":"response.output_text.delta"}"#, content),
            (r#"{"type":"response.reasoning_text.delta","delta":"x"}"#, content),
            (r#"{"type":"response.completed","response":{}}"#, Piece::Done),
            (r#"{"type":"response.incomplete","response":{}}"#, Piece::Done),
            ("[DONE]", Piece::Done),
            (r#"{"type":"response.failed","response":{"error":{"message":"m"}}}"#, Piece::Error),
            (r#"{"type":"error","message":"m","code":null}"#, Piece::Error),
            (r#"{"type":"keepalive"}"#, Piece::Lifecycle),
            ("[]", Piece::Error),
        ] {
            assert_eq!(piece(data.as_bytes()), want, "{data}");
        }
        assert_eq!(
            error_in(br#"{"type":"response.failed","response":{"error":{"message":"m"}}}"#).unwrap().message,
            "m"
        );
        assert_eq!(error_in(br#"{"type":"error","message":"m"}"#).unwrap().message, "m");
        assert_eq!(error_in(b"[]"), None);
    }

    #[test]
    fn what_needs_keeping_is_told_from_what_does_not() {
        for needs in [
            r#""background":true"#,
            r#""previous_response_id":"r""#,
            r#""conversation":{"id":"c"}"#,
            r#""background":1"#,
        ] {
            assert!(needs_keeping(format!("{{{needs}}}").as_bytes()), "{needs}");
        }
        for not in [r#"{"background":false}"#, r#"{"previous_response_id":null,"store":true}"#, "{}", "["] {
            assert!(!needs_keeping(not.as_bytes()), "{not}");
        }
    }

    #[test]
    fn usage_stands_at_the_end() {
        let used = Some(Usage { prompt_tokens: 9, cached_tokens: 4, output_tokens: 3 });
        let text = r#""usage":{"input_tokens":9,"output_tokens":3,"input_tokens_details":{"cached_tokens":4}}"#;
        assert_eq!(usage(format!("{{{text}}}").as_bytes()), used);
        assert_eq!(usage(format!("{{\"response\":{{{text}}}}}").as_bytes()), used);
        assert_eq!(usage(br#"{"response":{"usage":null}}"#), None);
        assert!(is_answer(br#"{"object":"response","output":[],"error":null}"#));
        assert!(!is_answer(br#"{"object":"response","output":[],"error":{"message":"x"}}"#) && !is_answer(b"{}"));
    }
}
