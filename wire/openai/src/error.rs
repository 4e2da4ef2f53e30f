//! Errors in OpenAI's shape.

use std::fmt::Write as _;

use rhumb_api::{ApiError, Cause};

/// `type` and `code` of the error object.
fn type_and_code(cause: Cause) -> (&'static str, &'static str) {
    const INVALID: &str = "invalid_request_error";
    const SERVER: &str = "server_error";
    match cause {
        Cause::InvalidRequest | Cause::EngineRefused { .. } => (INVALID, "invalid_request"),
        Cause::ContextLength => (INVALID, "context_length_exceeded"),
        Cause::Unauthorized => ("authentication_error", "invalid_api_key"),
        Cause::Forbidden { rule } => ("permission_error", rule),
        Cause::PathNotFound => (INVALID, "not_found"),
        Cause::ModelNotFound => (INVALID, "model_not_found"),
        Cause::PreviousNotFound => (INVALID, "previous_response_not_found"),
        Cause::MethodNotAllowed => (INVALID, "method_not_allowed"),
        Cause::RequestTimeout => (INVALID, "request_timeout"),
        Cause::BodyTooLarge => (INVALID, "request_too_large"),
        Cause::UnsupportedEncoding => (INVALID, "unsupported_encoding"),
        Cause::UnsupportedMediaType => (INVALID, "unsupported_media_type"),
        Cause::UpgradeNotSupported => (INVALID, "upgrade_not_supported"),
        Cause::Quarantined => (INVALID, "request_quarantined"),
        Cause::Overloaded => ("rate_limit_error", "rate_limit_exceeded"),
        Cause::UpstreamFailed | Cause::StreamBroken => (SERVER, "upstream_failed"),
        Cause::RequestFailed => (SERVER, "request_failed"),
        Cause::AnswerTooLarge => (SERVER, "answer_too_large"),
        Cause::NothingEligible => (SERVER, "server_is_overloaded"),
        Cause::StoreUnavailable => (SERVER, "store_unavailable"),
        Cause::UpstreamTimeout => (SERVER, "upstream_timeout"),
        Cause::DeadlineExceeded => (SERVER, "deadline_exceeded"),
        Cause::LoopDetected => (SERVER, "loop_detected"),
    }
}

/// `code` of the error object.
pub fn code(error: &ApiError) -> &str {
    error.engine_code.as_deref().unwrap_or(type_and_code(error.cause).1)
}

/// The body: all four keys present, `null` allowed.
pub fn body(error: &ApiError) -> String {
    let (kind, code) = (type_and_code(error.cause).0, code(error));
    let mut out = String::with_capacity(160);
    let param = match &error.param {
        Some(p) => quote(p),
        None => "null".into(),
    };
    let (message, kind, code) = (quote(&error.message), quote(kind), quote(code));
    // Writing to a string cannot fail.
    let _ = write!(out, "{{\"error\":{{\"message\":{message},\"type\":{kind},\"param\":{param},\"code\":{code}}}}}");
    out
}

/// The event that ends a stream which cannot be completed. No end marker follows it, because the SDKs take a stream
/// with neither for a finished one.
pub fn event(error: &ApiError) -> String {
    format!("data: {}\n\n", body(error))
}

/// `text` as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(e: &ApiError) -> (u16, &str, &str, bool, Option<u64>) {
        let (kind, code) = type_and_code(e.cause);
        (e.status(), kind, code, e.retry, e.retry_after_ms)
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
    fn the_body_has_all_four_keys_and_survives_quotes() {
        let e = ApiError::invalid("say \"hi\"\n").with_param("a\"b");
        let v: serde_json::Value = serde_json::from_str(&body(&e)).unwrap();
        assert_eq!(
            v,
            serde_json::json!({"error": {"message": "say \"hi\"\n", "type": "invalid_request_error", "param": "a\"b", "code": "invalid_request"}})
        );
        assert!(body(&ApiError::invalid("x")).contains("\"param\":null"));
        assert!(event(&ApiError::stream_broken()).starts_with("data: {\"error\":"));
        assert!(event(&ApiError::stream_broken()).ends_with("}\n\n"));
    }
}
