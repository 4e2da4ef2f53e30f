//! Responses over a WebSocket: what a client says, and how it is answered. Each message is one event, as JSON.
//!
//! Source: OpenAI's reference of the WebSocket events of the Responses API (November 2026). Requests that name the same `stream_id`
//! are answered one after the other, those of different ones at the same time.

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Members, invalid, members, parse, shortened, string};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// A request for a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its `stream_id`, where it names one.
    pub lane: Option<String>,
    /// The body of the request as it would be sent by HTTP.
    pub body: Vec<u8>,
    /// It is to be made ready and not answered.
    pub warms_up: bool,
}

/// A message that cannot be taken.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: ApiError,
    /// The `stream_id` that it belongs to, as far as it says so.
    pub lane: Option<String>,
}

/// Longest `stream_id`.
const LANE_BYTES_MAX: usize = 256;

/// Reads a client's message.
///
/// # Errors
/// It asks for something else, or cannot be read.
pub fn read(text: &[u8]) -> Result<Create, Box<Refused>> {
    let without = |error: ApiError| Box::new(Refused { error, lane: None });
    let members = members(text).map_err(without)?;
    let lane = members.get("stream_id").map(|raw| lane(raw)).transpose().map_err(without)?;
    create(&members, lane.clone()).map_err(|error| Box::new(Refused { error, lane }))
}

fn create(members: &Members<'_>, lane: Option<String>) -> Result<Create, ApiError> {
    let kind = string(members.get("type").ok_or_else(|| invalid("type", "is missing"))?, "type")?;
    if kind != "response.create" {
        let what = format!("must be `response.create`; `{}` is not spoken here", shortened(&kind));
        return Err(invalid("type", &what));
    }
    let flag = |key: &str, default: bool| match members.get(key) {
        Some(raw) => parse(raw, key, "must be true or false"),
        None => Ok(default),
    };
    let generate = flag("generate", true)?;
    if flag("background", false)? {
        let what = "must not be set over a WebSocket: ask for it by POST /v1/responses";
        return Err(invalid("background", what));
    }
    let own = ["type", "stream_id", "generate", "stream", "background"];
    let mut body = b"{\"stream\":true".to_vec();
    for (key, raw) in members.iter().filter(|(key, _)| !own.contains(&&***key)) {
        body.extend_from_slice(format!(",{}:", Value::from(&**key)).as_bytes());
        body.extend_from_slice(raw.get().as_bytes());
    }
    body.push(b'}');
    Ok(Create { lane, body, warms_up: !generate })
}

fn lane(raw: &RawValue) -> Result<String, ApiError> {
    let what = "must be 1 to 256 letters, digits, `_`, `.` or `-`";
    let lane: String = parse(raw, "stream_id", what)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if lane.is_empty() || lane.len() > LANE_BYTES_MAX || !lane.bytes().all(fits) {
        return Err(invalid("stream_id", what));
    }
    Ok(lane)
}

/// The data of an event as the message of a lane.
pub fn event(data: &[u8], lane: Option<&str>) -> String {
    let text = String::from_utf8_lossy(data);
    match (lane, text.strip_prefix('{')) {
        // What a lane is named holds nothing that JSON would have to escape.
        (Some(lane), Some(rest)) => format!("{{\"stream_id\":\"{lane}\",{rest}"),
        _ => text.into_owned(),
    }
}

/// An error as the message of a lane. The socket stays open.
pub fn error(error: &ApiError, lane: Option<&str>) -> String {
    named_error(error, lane, None)
}

/// A request that the socket has no room for: `code` says of what.
pub fn limit(error: &ApiError, lane: Option<&str>, code: &str) -> String {
    named_error(error, lane, Some(code))
}

fn named_error(error: &ApiError, lane: Option<&str>, code: Option<&str>) -> String {
    let mut body: Value = serde_json::from_str(&rhumb_openai::error::body(error)).unwrap_or_default();
    if let Some(code) = code {
        body["error"]["code"] = code.into();
    }
    if let Some(ms) = error.retry_after_ms {
        body["error"]["headers"] = json!({"retry-after-ms": ms.to_string()});
    }
    let mut message = Map::new();
    message.insert("type".into(), "error".into());
    message.insert("status".into(), error.status().into());
    message.insert("error".into(), body["error"].take());
    if let Some(lane) = lane {
        message.insert("stream_id".into(), lane.into());
    }
    Value::Object(message).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_body_that_http_would_carry() {
        let create = read(
            br#"{"type":"response.create","model":"m","input":"x","stream_id":"a.1","generate":false,"stream":false}"#,
        );
        let create = create.unwrap();
        assert_eq!((create.lane.as_deref(), create.warms_up), (Some("a.1"), true));
        assert_eq!(
            serde_json::from_slice::<Value>(&create.body).unwrap(),
            json!({"stream": true, "model": "m", "input": "x"})
        );
        let plain = read(br#"{"type":"response.create"}"#).unwrap();
        assert_eq!((plain.lane, plain.warms_up, &*plain.body), (None, false, &br#"{"stream":true}"#[..]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_lane() {
        for (text, says, in_lane) in [
            (r#"{"model":"m"}"#, "`type` is missing", None),
            (r#"{"type":"response.steer","stream_id":"a"}"#, "`response.steer` is not spoken here", Some("a")),
            (r#"{"type":"response.create","background":true}"#, "`background` must not be set", None),
            (r#"{"type":"response.create","stream_id":"a b"}"#, "`stream_id` must be", None),
            (r#"{"type":"response.create","stream_id":""}"#, "`stream_id` must be", None),
            (r#"{"type":"response.create","generate":"no","stream_id":"a"}"#, "`generate` must be", Some("a")),
            ("[]", "must be a JSON object", None),
            ("{", "JSON", None),
        ] {
            let Refused { error, lane } = *read(text.as_bytes()).unwrap_err();
            assert!(error.message.contains(says), "{text}: {}", error.message);
            assert_eq!(lane.as_deref(), in_lane);
        }
    }

    #[test]
    fn events_and_errors_say_which_lane_they_are_of() {
        let data = br#"{"type":"response.created","sequence_number":0}"#;
        assert_eq!(event(data, None).as_bytes(), data);
        let told: Value = serde_json::from_str(&event(data, Some("a"))).unwrap();
        assert_eq!((&told["stream_id"], &told["type"]), (&json!("a"), &json!("response.created")));
        let told: Value = serde_json::from_str(&error(&ApiError::overloaded("Busy.", 50), Some("a"))).unwrap();
        assert_eq!((&told["status"], &told["error"]["code"]), (&json!(429), &json!("rate_limit_exceeded")));
        assert_eq!((&told["stream_id"], &told["error"]["headers"]["retry-after-ms"]), (&json!("a"), &json!("50")));
    }
}
