//! What is read of an answer in this dialect that passes as it came: whether content has begun, whether it is whole, what was used.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use rhumb_api::Usage;
use rhumb_api::event::Piece;
use rhumb_api::fault::EngineError;
use serde::Deserialize;
use serde_json::Value;

/// The event that says that a stream is whole.
pub const END: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// How nearly every event of a flowing stream begins.
const DELTA: &[u8] = b"{\"type\":\"content_block_delta\",";

/// Deltas that say nothing. Inside a JSON string these quotes would be escaped, so no text can look like one.
static EMPTY: LazyLock<[Finder<'static>; 3]> =
    LazyLock::new(|| ["\"text\":\"\"", "\"thinking\":\"\"", "\"partial_json\":\"\""].map(Finder::new));

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));

/// What one event is, by its data.
pub fn piece(data: &[u8]) -> Piece {
    if data.starts_with(DELTA) && EMPTY.iter().all(|empty| empty.find(data).is_none()) {
        return Piece::Content { ends: 0 };
    }
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return Piece::Error };
    let at = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
    match at("/type") {
        "message_stop" => Piece::Done,
        "message_delta" if !at("/delta/stop_reason").is_empty() => Piece::Content { ends: 1 },
        "content_block_delta" if says_something(&event["delta"]) => Piece::Content { ends: 0 },
        // A call is the client's from its name on; a block of text may stay empty.
        "content_block_start" if !matches!(at("/content_block/type"), "text" | "thinking") => {
            Piece::Content { ends: 0 }
        }
        // Versions of the API add events, which clients are to pass over.
        kind if !kind.is_empty() && EngineError::of(&event).is_none() => Piece::Lifecycle,
        _ => Piece::Error,
    }
}

fn says_something(delta: &Value) -> bool {
    let texts = || delta.as_object().into_iter().flatten().filter(|(key, _)| *key != "type");
    texts().any(|(_, value)| !matches!(value.as_str(), Some("")) && !value.is_null())
}

#[derive(Deserialize, Default)]
struct Counters {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

impl From<Counters> for Usage {
    /// The API counts what was cached beside the input, the gateway as part of the prompt.
    fn from(c: Counters) -> Self {
        let cached = c.cache_read_input_tokens.unwrap_or(0);
        let fresh = c.input_tokens.unwrap_or(0).saturating_add(c.cache_creation_input_tokens.unwrap_or(0));
        Self {
            prompt_tokens: fresh.saturating_add(cached),
            cached_tokens: cached,
            output_tokens: c.output_tokens.unwrap_or(0),
        }
    }
}

#[derive(Deserialize)]
struct Stated {
    #[serde(default)]
    usage: Option<Counters>,
    #[serde(default)]
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    usage: Option<Counters>,
}

/// The usage that an event or a whole answer states. The first event of a stream states the prompt, the last but one the answer.
pub fn usage(data: &[u8]) -> Option<Usage> {
    USAGE.find(data)?;
    let stated: Stated = serde_json::from_slice(data).ok()?;
    stated.usage.or_else(|| stated.message?.usage).map(Into::into)
}

/// A plain answer is whole: a message with its content.
pub fn is_answer(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "type", default)]
        kind: String,
        #[serde(default)]
        content: Option<Vec<serde::de::IgnoredAny>>,
    }
    serde_json::from_slice::<Answer>(body).is_ok_and(|a| a.kind == "message" && a.content.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let content = Piece::Content { ends: 0 };
        for (data, want) in [
            (r#"{"type":"message_start","message":{"usage":{"input_tokens":3}}}"#, Piece::Lifecycle),
            (r#"{"type":"ping"}"#, Piece::Lifecycle),
            (r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#, Piece::Lifecycle),
            (r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a"}}"#, content),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#, content),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#, Piece::Lifecycle),
            (r#"{"index":0,"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}"#, content),
            (r#"{"type":"content_block_delta","index":0,"delta":{"text":"\"text\":\"\""}}"#, content),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}"#, content),
            (r#"{"type":"content_block_stop","index":0}"#, Piece::Lifecycle),
            (r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#, Piece::Content { ends: 1 }),
            (r#"{"type":"message_delta","delta":{"stop_reason":null}}"#, Piece::Lifecycle),
            (r#"{"type":"message_stop"}"#, Piece::Done),
            (r#"{"type":"of_tomorrow"}"#, Piece::Lifecycle),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#, Piece::Error),
            (r#"{"choices":[]}"#, Piece::Error),
            ("7", Piece::Error),
            ("{", Piece::Error),
        ] {
            assert_eq!(piece(data.as_bytes()), want, "{data}");
        }
    }

    #[test]
    fn usage_counts_what_was_cached_as_part_of_the_prompt() {
        let of =
            |prompt_tokens, cached_tokens, output_tokens| Some(Usage { prompt_tokens, cached_tokens, output_tokens });
        let start = br#"{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":7,
            "cache_creation_input_tokens":null,"output_tokens":1}}}"#;
        assert_eq!(usage(start), of(10, 7, 1));
        assert_eq!(usage(br#"{"type":"message_delta","delta":{},"usage":{"output_tokens":9}}"#), of(0, 0, 9));
        assert_eq!(usage(br#"{"type":"content_block_delta"}"#), None);
        assert_eq!(usage(br#"{"usage":7}"#), None);
        assert!(is_answer(br#"{"type":"message","content":[]}"#) && !is_answer(br#"{"type":"error","error":{}}"#));
        assert!(!is_answer(br#"{"type":"message","content":[]"#));
    }
}
