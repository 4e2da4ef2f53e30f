//! Errors as clients see them: OpenAI's shape, and the headers its SDKs act on.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::fault::{ContextLimit, EngineError, scrub};

/// An answer that is not a completion.
///
/// The official SDKs retry 408, 409, 429 and every 5xx by themselves unless `x-should-retry` says otherwise, so each
/// error says it: a terminal error without it would make a retry storm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `type` of the error object.
    pub kind: &'static str,
    /// `code` of the error object.
    pub code: Cow<'static, str>,
    /// What was wrong and what would be right, for the person at the keyboard.
    pub message: String,
    /// The request field at fault.
    pub param: Option<String>,
    /// Value of `x-should-retry`.
    pub retry: bool,
    /// When a retry makes sense, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl ApiError {
    fn new(status: u16, kind: &'static str, code: &'static str, retry: bool, message: impl Into<String>) -> Self {
        Self { status, kind, code: code.into(), message: message.into(), param: None, retry, retry_after_ms: None }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// 400: the request can never succeed as it is.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "invalid_request", false, message)
    }

    /// 400: the prompt fits no candidate.
    pub fn context_length(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "context_length_exceeded", false, message).with_param("messages")
    }

    /// 400: the engine says that the prompt and the answer do not fit. The wording is OpenAI's, which SDKs and agents
    /// recognise and shorten their history on.
    pub fn engine_context_length(limit: ContextLimit, in_tokens: &str) -> Self {
        let text = match limit {
            ContextLimit { limit: Some(limit), requested: Some(requested) } => format!(
                "This model's maximum context length is {limit} tokens. However, you requested {requested} tokens. \
                 Please reduce the length of the {in_tokens}."
            ),
            ContextLimit { limit: Some(limit), requested: None } => format!(
                "This model's maximum context length is {limit} tokens, which the request exceeds. Please reduce the \
                 length of the {in_tokens}."
            ),
            _ => format!(
                "The request exceeds this model's maximum context length. Please reduce the length of the {in_tokens}."
            ),
        };
        Self::new(400, "invalid_request_error", "context_length_exceeded", false, text).with_param(in_tokens)
    }

    /// 400, 413 or 422: the engine refused the request as invalid. Its words are passed on without what names the grid's
    /// insides where `with_words`, else a general text stands for them.
    pub fn engine_refused(status: u16, said: &EngineError, with_words: bool) -> Self {
        let status = if matches!(status, 400 | 413 | 415 | 422) { status } else { 400 };
        let words = if with_words { scrub(&said.message) } else { String::new() };
        let text = match status {
            _ if !words.is_empty() => words,
            413 => "The engine refused the request as too large.".into(),
            _ => "The engine refused the request as invalid: check its parameters against the model's.".into(),
        };
        let mut error = Self::new(status, "invalid_request_error", "invalid_request", false, text);
        let is_word =
            |w: &&String| w.len() <= 64 && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if let Some(code) = said.code.as_ref().filter(is_word) {
            error.code = code.clone().into();
        }
        let is_field =
            |p: &&String| p.len() <= 128 && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b));
        error.param = said.param.as_ref().filter(is_field).cloned();
        error
    }

    /// 404: every endpoint that should serve the model says that it is not there.
    pub fn engine_model_missing(model: &str) -> Self {
        let text = format!("No endpoint has the model `{model}` for this API now, although the configuration says so.");
        Self::new(404, "invalid_request_error", "model_not_found", false, text).with_param("model")
    }

    /// 401: no key, or not a valid one. One text for both, so that neither is told apart.
    pub fn unauthorized() -> Self {
        let text = "A valid API key is required: send it as `authorization: Bearer KEY`.";
        Self::new(401, "authentication_error", "invalid_api_key", false, text)
    }

    /// 403: a rule of the operator forbids it.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, "permission_error", code, false, message)
    }

    /// 404: no such path.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "invalid_request_error", "not_found", false, message)
    }

    /// 404: no such model.
    pub fn model_not_found(message: impl Into<String>) -> Self {
        Self::new(404, "invalid_request_error", "model_not_found", false, message).with_param("model")
    }

    /// 405: the path exists, the method does not.
    pub fn method_not_allowed(allowed: &str) -> Self {
        let text = format!("This path answers {allowed} only.");
        Self::new(405, "invalid_request_error", "method_not_allowed", false, text)
    }

    /// 408: the client sent its request too slowly.
    pub fn request_timeout() -> Self {
        let text = "The request did not arrive in time.";
        Self::new(408, "invalid_request_error", "request_timeout", false, text)
    }

    /// 413: the body is over the limit.
    pub fn too_large(limit_bytes: u64) -> Self {
        let text = format!("The request body is larger than the limit of {limit_bytes} bytes.");
        Self::new(413, "invalid_request_error", "request_too_large", false, text)
    }

    /// 415: the body is encoded in a way that is not read here.
    pub fn encoding() -> Self {
        let text = "`content-encoding` must be `gzip`, `deflate` or `identity`, or be left out.";
        Self::new(415, "invalid_request_error", "unsupported_encoding", false, text)
    }

    /// 415: the body is not said to be JSON.
    pub fn media_type() -> Self {
        let text = "The header `content-type: application/json` is required here.";
        Self::new(415, "invalid_request_error", "unsupported_media_type", false, text).with_param("content-type")
    }

    /// 426: the client wants a WebSocket.
    pub fn no_websocket() -> Self {
        let text =
            "This gateway speaks no WebSocket: send an HTTP request, and `\"stream\": true` for events as they come.";
        Self::new(426, "invalid_request_error", "upgrade_not_supported", false, text)
    }

    /// 422: engines die of it. SDKs must not bring it back.
    pub fn quarantined() -> Self {
        let text = "Several engines broke off while they read this request, so it is not sent to another one. Change \
                    it, or wait ten minutes.";
        Self::new(422, "invalid_request_error", "request_quarantined", false, text)
    }

    /// 429: every target refused for load.
    pub fn overloaded(message: impl Into<String>, retry_after_ms: u64) -> Self {
        Self::new(429, "rate_limit_error", "rate_limit_exceeded", true, message).after_ms(retry_after_ms)
    }

    /// 502: targets were tried and none answered.
    pub fn upstream_failed() -> Self {
        let text = "The request was sent to every suitable site and none completed it.";
        Self::new(502, "server_error", "upstream_failed", true, text).after_ms(1_000)
    }

    /// 502, in a stream: the target died after content was sent.
    pub fn stream_broken() -> Self {
        let text = "The site stopped answering in the middle of the stream; the text so far is incomplete.";
        Self::new(502, "server_error", "upstream_failed", true, text)
    }

    /// 502: endpoints that serve others fail this request alike, so that a retry would do no better.
    pub fn request_failed() -> Self {
        let text = "Endpoints that serve other requests failed on this one in the same way, so it is not sent to more of \
                    them. It is likely that the request itself is the cause: check its parameters against the model's.";
        Self::new(502, "server_error", "request_failed", false, text)
    }

    /// 502: the answer is larger than the gateway holds for one request.
    pub fn answer_too_large() -> Self {
        let text = "The answer is larger than this gateway holds for one request. Ask for less in one answer, or for a \
                    stream.";
        Self::new(502, "server_error", "answer_too_large", false, text)
    }

    /// 503: no target may serve it now.
    pub fn nothing_eligible(message: impl Into<String>) -> Self {
        Self::new(503, "server_error", "server_is_overloaded", true, message).after_ms(1_000)
    }

    /// 504: targets were tried and none sent content in time.
    pub fn upstream_timeout() -> Self {
        let text = "No suitable site began to answer in time.";
        Self::new(504, "server_error", "upstream_timeout", true, text).after_ms(1_000)
    }

    /// 504: the client's own deadline has passed. Nobody waits for a retry.
    pub fn deadline_exceeded() -> Self {
        let text = "The answer did not begin within the milliseconds of `x-rhumb-deadline-ms`.";
        Self::new(504, "server_error", "deadline_exceeded", false, text).with_param("x-rhumb-deadline-ms")
    }

    /// 508: it came through too many gateways. A retry would go around again.
    pub fn loop_detected(hops_max: u32) -> Self {
        let text = format!(
            "`x-rhumb-hops` says that the request has come through more than {hops_max} gateways: an endpoint of \
             theirs leads back to one of them."
        );
        Self::new(508, "server_error", "loop_detected", false, text).with_param("x-rhumb-hops")
    }

    /// The body: all four keys present, `null` allowed.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(160);
        let param = match &self.param {
            Some(p) => quote(p),
            None => "null".into(),
        };
        let (message, kind, code) = (quote(&self.message), quote(self.kind), quote(&self.code));
        let _ =
            write!(out, "{{\"error\":{{\"message\":{message},\"type\":{kind},\"param\":{param},\"code\":{code}}}}}");
        out
    }

    /// The event that ends a stream which cannot be completed. No `[DONE]` follows it, because the SDKs take a stream
    /// with neither for a finished one.
    pub fn to_event(&self) -> String {
        format!("data: {}\n\n", self.to_json())
    }
}

/// `text` as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(e: &ApiError) -> (u16, &str, &str, bool, Option<u64>) {
        (e.status, e.kind, &e.code, e.retry, e.retry_after_ms)
    }

    #[test]
    fn every_error_has_its_status_code_and_retry_rule() {
        use ApiError as E;
        let inv = "invalid_request_error";
        assert_eq!(shape(&E::invalid("x")), (400, inv, "invalid_request", false, None));
        assert_eq!(shape(&E::context_length("x")), (400, inv, "context_length_exceeded", false, None));
        assert_eq!(shape(&E::unauthorized()), (401, "authentication_error", "invalid_api_key", false, None));
        assert_eq!(shape(&E::forbidden("c", "x")), (403, "permission_error", "c", false, None));
        assert_eq!(shape(&E::not_found("x")), (404, inv, "not_found", false, None));
        assert_eq!(shape(&E::model_not_found("x")), (404, inv, "model_not_found", false, None));
        assert_eq!(shape(&E::method_not_allowed("POST")), (405, inv, "method_not_allowed", false, None));
        assert_eq!(shape(&E::request_timeout()), (408, inv, "request_timeout", false, None));
        assert_eq!(shape(&E::too_large(5)), (413, inv, "request_too_large", false, None));
        assert_eq!(shape(&E::encoding()), (415, inv, "unsupported_encoding", false, None));
        assert_eq!(shape(&E::media_type()), (415, inv, "unsupported_media_type", false, None));
        assert_eq!(shape(&E::no_websocket()), (426, inv, "upgrade_not_supported", false, None));
        assert_eq!(shape(&E::overloaded("x", 7)), (429, "rate_limit_error", "rate_limit_exceeded", true, Some(7)));
        assert_eq!(shape(&E::upstream_failed()), (502, "server_error", "upstream_failed", true, Some(1000)));
        assert_eq!(shape(&E::stream_broken()), (502, "server_error", "upstream_failed", true, None));
        assert_eq!(shape(&E::nothing_eligible("x")), (503, "server_error", "server_is_overloaded", true, Some(1000)));
        assert_eq!(shape(&E::quarantined()), (422, inv, "request_quarantined", false, None));
        assert_eq!(shape(&E::deadline_exceeded()), (504, "server_error", "deadline_exceeded", false, None));
        assert_eq!(shape(&E::loop_detected(8)), (508, "server_error", "loop_detected", false, None));
        assert_eq!(shape(&E::request_failed()), (502, "server_error", "request_failed", false, None));
        assert_eq!(shape(&E::answer_too_large()), (502, "server_error", "answer_too_large", false, None));
        assert_eq!(shape(&E::engine_model_missing("m")), (404, inv, "model_not_found", false, None));
        assert_eq!(shape(&E::upstream_timeout()), (504, "server_error", "upstream_timeout", true, Some(1000)));
    }

    #[test]
    fn c5_an_engines_refusal_keeps_its_status_its_code_its_field_and_its_words() {
        let said = EngineError {
            code: Some("bad_schema".into()),
            param: Some("response_format".into()),
            message: "no such type; see /opt/engine/schema.py".into(),
            ..EngineError::default()
        };
        let e = ApiError::engine_refused(422, &said, true);
        assert_eq!(shape(&e), (422, "invalid_request_error", "bad_schema", false, None));
        assert_eq!((e.message.as_str(), e.param.as_deref()), ("no such type; see [path]", Some("response_format")));
        let e = ApiError::engine_refused(418, &EngineError { code: Some("a b\n".into()), ..said }, false);
        assert_eq!((e.status, &*e.code), (400, "invalid_request"));
        assert!(e.message.starts_with("The engine refused"));
    }

    #[test]
    fn b5_a_context_overflow_is_worded_as_clients_recognise_it() {
        let text =
            |limit, requested| ApiError::engine_context_length(ContextLimit { limit, requested }, "messages").message;
        assert!(
            text(Some(4096), Some(5000))
                .starts_with("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.")
        );
        assert!(text(Some(4096), None).starts_with("This model's maximum context length is 4096 tokens"));
        assert!(text(None, None).contains("maximum context length"));
    }

    #[test]
    fn the_body_has_all_four_keys_and_survives_quotes() {
        let e = ApiError::invalid("say \"hi\"\n").with_param("a\"b");
        let v: serde_json::Value = serde_json::from_str(&e.to_json()).unwrap();
        assert_eq!(
            v,
            serde_json::json!({"error": {"message": "say \"hi\"\n", "type": "invalid_request_error", "param": "a\"b", "code": "invalid_request"}})
        );
        assert!(ApiError::invalid("x").to_json().contains("\"param\":null"));
        assert!(ApiError::stream_broken().to_event().starts_with("data: {\"error\":"));
        assert!(ApiError::stream_broken().to_event().ends_with("}\n\n"));
    }
}
