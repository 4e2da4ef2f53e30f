//! Files and batches: what clients send, and what they get.

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Members, invalid, members, parse, shortened};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Most lines of one batch.
pub const LINES_MAX: usize = 50_000;

/// A file as clients get it.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its length.
    pub bytes: u64,
    /// When it came, seconds since 1970.
    pub created_s: u64,
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub purpose: &'a str,
}

impl File<'_> {
    /// The object.
    pub fn object(&self) -> Value {
        json!({
            "id": self.id, "object": "file", "bytes": self.bytes, "created_at": self.created_s, "filename": self.name,
            "purpose": self.purpose, "status": "processed",
        })
    }
}

/// The answer to `DELETE /v1/files/ID`.
pub fn file_deleted(id: &str) -> Value {
    json!({"id": id, "object": "file", "deleted": true})
}

/// A batch as clients get it; `times`, `metadata` and `errors` are JSON.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its state.
    pub status: &'a str,
    /// The file of its requests.
    pub input_file: &'a str,
    /// The path that they ask.
    pub endpoint: &'a str,
    /// When it was asked for, seconds since 1970.
    pub created_s: u64,
    /// When it got each of its states.
    pub times: &'a str,
    /// What its client notes of it.
    pub metadata: &'a str,
    /// The file of its answers.
    pub output_file: Option<&'a str>,
    /// The file of its errors.
    pub error_file: Option<&'a str>,
    /// Lines: all, with an answer, with an error.
    pub counts: (u64, u64, u64),
    /// Why it could not be begun.
    pub errors: &'a str,
}

/// How long a batch may take, seconds: the only window that there is.
pub const WINDOW_S: u64 = 24 * 3_600;
const WINDOW: &str = "24h";

impl Batch<'_> {
    /// The object.
    pub fn object(&self) -> Value {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let errors = value(self.errors);
        let is_sound = errors.as_array().is_none_or(Vec::is_empty);
        let errors = if is_sound { Value::Null } else { json!({"object": "list", "data": errors}) };
        let (total, completed, failed) = self.counts;
        let mut object = json!({
            "id": self.id, "object": "batch", "endpoint": self.endpoint, "errors": errors, "input_file_id": self.input_file,
            "completion_window": WINDOW, "status": self.status, "output_file_id": self.output_file,
            "error_file_id": self.error_file, "created_at": self.created_s, "in_progress_at": null,
            "expires_at": self.created_s + WINDOW_S, "finalizing_at": null, "completed_at": null, "failed_at": null,
            "expired_at": null, "cancelling_at": null, "cancelled_at": null, "metadata": value(self.metadata),
            "request_counts": {"total": total, "completed": completed, "failed": failed},
        });
        if let (Value::Object(object), Value::Object(times)) = (&mut object, value(self.times)) {
            object.extend(times);
        }
        object
    }
}

/// What a client wants of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The file of its requests.
    pub input_file: String,
    /// The path that all of them ask.
    pub endpoint: String,
    /// What its client notes of it: a JSON object.
    pub metadata: String,
}

/// The paths that a batch may ask.
pub const ENDPOINTS: [&str; 6] =
    ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations", "/v1/rerank"];

/// Reads the body of `POST /v1/batches`.
///
/// # Errors
/// It cannot be read, or wants what there is not.
pub fn wanted(body: &[u8]) -> Result<Wanted, ApiError> {
    let members = members(body)?;
    let text = |key: &str| match members.get(key) {
        Some(raw) => parse::<String>(raw, key, "must be a string"),
        None => Err(invalid(key, "is missing")),
    };
    let (input_file, endpoint, window) = (text("input_file_id")?, text("endpoint")?, text("completion_window")?);
    if window != WINDOW {
        return Err(invalid("completion_window", "must be `24h`"));
    }
    if !ENDPOINTS.contains(&endpoint.as_str()) {
        return Err(invalid("endpoint", &format!("must be one of: {}", ENDPOINTS.join(", "))));
    }
    let metadata = members.get("metadata").map_or("{}", |raw| raw.get());
    if !metadata.starts_with('{') {
        return Err(invalid("metadata", "must be an object"));
    }
    Ok(Wanted { input_file, endpoint, metadata: metadata.to_owned() })
}

/// One request of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What its client knows it by.
    pub custom_id: String,
    /// Its body: a JSON object.
    pub body: &'a str,
}

/// Why a line is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLine {
    /// What its client knows it by, where it says so.
    pub custom_id: Option<String>,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// Reads a line of a batch that asks this path.
///
/// # Errors
/// It is no request to that path.
pub fn line<'a>(text: &'a str, endpoint: &str) -> Result<Line<'a>, BrokenLine> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(default)]
        custom_id: Option<String>,
        #[serde(default)]
        method: Option<String>,
        #[serde(default)]
        url: Option<String>,
        #[serde(borrow, default)]
        body: Option<&'a RawValue>,
    }
    let broken = |custom_id: Option<String>, message: String| BrokenLine { custom_id, message };
    let wire: Wire<'a> = serde_json::from_str(text).map_err(|e| {
        let e = shortened(&e.to_string());
        broken(None, format!("The line must be a JSON object with `custom_id`, `method`, `url` and `body`: {e}."))
    })?;
    let Some(custom_id) = wire.custom_id.filter(|id| !id.is_empty()) else {
        return Err(broken(None, "`custom_id` is missing.".into()));
    };
    if wire.method.as_deref() != Some("POST") {
        return Err(broken(Some(custom_id), "`method` must be `POST`.".into()));
    }
    if wire.url.as_deref() != Some(endpoint) {
        return Err(broken(Some(custom_id), format!("`url` must be `{endpoint}`, which the batch asks.")));
    }
    let Some(body) = wire.body.map(RawValue::get).filter(|body| body.starts_with('{')) else {
        return Err(broken(Some(custom_id), "`body` must be an object.".into()));
    };
    let streams =
        serde_json::from_str::<Members<'_>>(body).is_ok_and(|m| m.get("stream").is_some_and(|s| s.get() == "true"));
    if streams {
        return Err(broken(Some(custom_id), "`stream` must be false: a batch is answered in files.".into()));
    }
    Ok(Line { custom_id, body })
}

/// The line of a file that says what came of a request: the answer's status and body, which is JSON.
pub fn answered(id: &str, custom_id: &str, status: u16, request_id: &str, body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let response = json!({"status_code": status, "request_id": request_id, "body": body});
    json!({"id": id, "custom_id": custom_id, "response": response, "error": null}).to_string()
}

/// The line of a file that says why a request was not made.
pub fn unanswered(id: &str, custom_id: Option<&str>, code: &str, message: &str) -> String {
    let error = json!({"code": code, "message": message});
    json!({"id": id, "custom_id": custom_id, "response": null, "error": error}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_wanted_by_its_file_and_path() {
        let body =
            br#"{"input_file_id":"file_1","endpoint":"/v1/embeddings","completion_window":"24h","metadata":{"a":"b"}}"#;
        let found = wanted(body).unwrap();
        assert_eq!((found.input_file.as_str(), found.metadata.as_str()), ("file_1", r#"{"a":"b"}"#));
        for (body, param) in [
            (&br#"{"endpoint":"/v1/embeddings","completion_window":"24h"}"#[..], "input_file_id"),
            (br#"{"input_file_id":"f","endpoint":"/v1/x","completion_window":"24h"}"#, "endpoint"),
            (br#"{"input_file_id":"f","endpoint":"/v1/embeddings","completion_window":"1h"}"#, "completion_window"),
            (
                br#"{"input_file_id":"f","endpoint":"/v1/embeddings","completion_window":"24h","metadata":1}"#,
                "metadata",
            ),
        ] {
            assert_eq!(wanted(body).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn a_line_is_a_request_or_says_what_is_wrong_with_it() {
        let path = "/v1/embeddings";
        let good =
            line(r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m"}}"#, path).unwrap();
        assert_eq!((good.custom_id.as_str(), good.body), ("a", r#"{"model":"m"}"#));
        for (text, named, id) in [
            ("{", "JSON object", None),
            ("[]", "custom_id", None),
            (r#"{"method":"POST"}"#, "custom_id", None),
            (r#"{"custom_id":"a","method":"GET"}"#, "method", Some("a")),
            (r#"{"custom_id":"a","method":"POST","url":"/v1/x"}"#, "url", Some("a")),
            (r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":7}"#, "body", Some("a")),
            (r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"stream":true}}"#, "stream", Some("a")),
        ] {
            let broken = line(text, path).unwrap_err();
            assert!(broken.message.contains(named) && broken.custom_id.as_deref() == id, "{broken:?}");
        }
    }

    #[test]
    fn a_batch_shows_when_it_got_its_states() {
        let batch = Batch {
            id: "batch_1",
            status: "completed",
            input_file: "file_1",
            endpoint: "/v1/embeddings",
            created_s: 5,
            times: r#"{"completed_at":9}"#,
            metadata: "{}",
            output_file: Some("file_2"),
            error_file: None,
            counts: (3, 2, 1),
            errors: "[]",
        };
        let object = batch.object();
        assert_eq!(
            (&object["completed_at"], &object["errors"], &object["failed_at"]),
            (&json!(9), &Value::Null, &Value::Null)
        );
        assert_eq!(object["request_counts"], json!({"total": 3, "completed": 2, "failed": 1}));
    }
}
