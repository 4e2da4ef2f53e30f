//! Errors in Anthropic's shape.

use rhumb_api::{ApiError, Cause};
use serde_json::json;

/// The status that says that no server has room, which clients wait on and retry.
const OVERLOADED: u16 = 529;

fn kind(cause: Cause) -> &'static str {
    match cause {
        Cause::Unauthorized => "authentication_error",
        Cause::Forbidden { .. } => "permission_error",
        Cause::PathNotFound | Cause::ModelNotFound | Cause::PreviousNotFound => "not_found_error",
        Cause::BodyTooLarge | Cause::EngineRefused { status: 413 } => "request_too_large",
        Cause::InvalidRequest
        | Cause::ContextLength
        | Cause::EngineRefused { .. }
        | Cause::MethodNotAllowed
        | Cause::RequestTimeout
        | Cause::UnsupportedEncoding
        | Cause::UnsupportedMediaType
        | Cause::UpgradeNotSupported
        | Cause::Quarantined => "invalid_request_error",
        Cause::Overloaded | Cause::NothingEligible => "overloaded_error",
        Cause::UpstreamTimeout | Cause::DeadlineExceeded => "timeout_error",
        Cause::UpstreamFailed
        | Cause::StreamBroken
        | Cause::RequestFailed
        | Cause::AnswerTooLarge
        | Cause::StoreUnavailable
        | Cause::LoopDetected => "api_error",
    }
}

/// The HTTP status.
pub fn status(error: &ApiError) -> u16 {
    if error.cause == Cause::Overloaded { OVERLOADED } else { error.status() }
}

/// Claude Code shortens its history where a message begins so.
const TOO_LONG: &str = "prompt is too long";

/// The body.
pub fn body(error: &ApiError, request_id: &str) -> String {
    let message = match (error.cause, &error.param) {
        (Cause::ContextLength, _) => format!("{TOO_LONG}: {}", error.message),
        (_, Some(param)) if !error.message.contains(param.as_str()) => format!("{param}: {}", error.message),
        _ => error.message.clone(),
    };
    json!({"type": "error", "error": {"type": kind(error.cause), "message": message}, "request_id": request_id})
        .to_string()
}

/// The event that ends a stream which cannot be completed.
pub fn event(error: &ApiError, request_id: &str) -> String {
    format!("event: error\ndata: {}\n\n", body(error, request_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn d41_every_error_has_its_type_and_what_may_be_retried_keeps_a_status_that_is() {
        let of = |error: ApiError| {
            let body: Value = serde_json::from_str(&body(&error, "r")).unwrap();
            assert_eq!((body["type"].as_str(), body["request_id"].as_str()), (Some("error"), Some("r")));
            (status(&error), body["error"]["type"].as_str().unwrap().to_owned())
        };
        for (error, want) in [
            (ApiError::invalid("x"), (400, "invalid_request_error")),
            (ApiError::unauthorized(), (401, "authentication_error")),
            (ApiError::forbidden("r", "x"), (403, "permission_error")),
            (ApiError::model_not_found("x"), (404, "not_found_error")),
            (ApiError::too_large(1), (413, "request_too_large")),
            (ApiError::overloaded("x", 1), (529, "overloaded_error")),
            (ApiError::nothing_eligible("x"), (503, "overloaded_error")),
            (ApiError::upstream_failed(), (502, "api_error")),
            (ApiError::upstream_timeout(), (504, "timeout_error")),
        ] {
            assert_eq!(of(error), (want.0, want.1.to_owned()));
        }
        assert!(event(&ApiError::stream_broken(), "r").starts_with("event: error\ndata: {\"error\":{"));
    }

    #[test]
    fn a_context_overflow_is_worded_as_claude_code_recognises_it() {
        let body = body(&ApiError::context_length("5 of 4 tokens"), "r");
        assert!(body.contains("\"message\":\"prompt is too long: 5 of 4 tokens\""), "{body}");
    }

    #[test]
    fn the_field_at_fault_is_named_once() {
        let named = |text: &str| body(&ApiError::invalid(text).with_param("top_k"), "r");
        assert!(named("`top_k` is odd.").contains("\"message\":\"`top_k` is odd.\""));
        assert!(named("is odd").contains("\"message\":\"top_k: is odd\""));
    }
}
