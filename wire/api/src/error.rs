//! Errors as the gateway means them. A dialect gives each its own type, code and body.

use crate::fault::{ContextLimit, EngineError, scrub};

/// Why a request has no answer, by what a client is to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It can never succeed as it is.
    InvalidRequest,
    /// Prompt and answer fit no candidate.
    ContextLength,
    /// The engine refused it as invalid, with this status.
    EngineRefused {
        /// 400, 413, 415 or 422.
        status: u16,
    },
    /// No key, or not a valid one.
    Unauthorized,
    /// A rule of the operator forbids it.
    Forbidden {
        /// The name of the rule.
        rule: &'static str,
    },
    /// There is no such path.
    PathNotFound,
    /// There is no such model, or no endpoint has it.
    ModelNotFound,
    /// It goes on with an earlier answer that is not kept here.
    PreviousNotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The client sent its request too slowly.
    RequestTimeout,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body is encoded in a way that is not read here.
    UnsupportedEncoding,
    /// The body is not said to be of a type that is read here.
    UnsupportedMediaType,
    /// The client wants another protocol, which is not spoken here.
    UpgradeNotSupported,
    /// Engines die of it.
    Quarantined,
    /// Every target refused for load.
    Overloaded,
    /// Targets were tried and none answered.
    UpstreamFailed,
    /// The target died after content was sent.
    StreamBroken,
    /// Endpoints that serve others fail this request alike.
    RequestFailed,
    /// The answer is larger than the gateway holds for one request.
    AnswerTooLarge,
    /// No target may serve it now.
    NothingEligible,
    /// What is kept for clients cannot be read or written now.
    StoreUnavailable,
    /// Targets were tried and none sent content in time.
    UpstreamTimeout,
    /// The client's own deadline has passed.
    DeadlineExceeded,
    /// It came through too many gateways.
    LoopDetected,
}

impl Cause {
    /// The HTTP status, the same in every dialect that has no other of its own.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::ContextLength => 400,
            Self::EngineRefused { status } => status,
            Self::Unauthorized => 401,
            Self::Forbidden { .. } => 403,
            Self::PathNotFound | Self::ModelNotFound | Self::PreviousNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::UnsupportedEncoding | Self::UnsupportedMediaType => 415,
            Self::Quarantined => 422,
            Self::UpgradeNotSupported => 426,
            Self::Overloaded => 429,
            Self::UpstreamFailed | Self::StreamBroken | Self::RequestFailed | Self::AnswerTooLarge => 502,
            Self::NothingEligible | Self::StoreUnavailable => 503,
            Self::UpstreamTimeout | Self::DeadlineExceeded => 504,
            Self::LoopDetected => 508,
        }
    }

    /// A retry of the same request may do better.
    pub fn may_retry(self) -> bool {
        matches!(
            self,
            Self::Overloaded
                | Self::UpstreamFailed
                | Self::StreamBroken
                | Self::NothingEligible
                | Self::StoreUnavailable
                | Self::UpstreamTimeout
        )
    }
}

/// An answer that is not a completion.
///
/// The official SDKs retry 408, 409, 429 and every 5xx by themselves unless `x-should-retry` says otherwise, so each
/// error says it: a terminal error without it would make a retry storm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What it is.
    pub cause: Cause,
    /// What was wrong and what would be right, for the person at the keyboard.
    pub message: String,
    /// The request field at fault.
    pub param: Option<String>,
    /// What the engine calls it that refused the request.
    pub engine_code: Option<Box<str>>,
    /// Value of `x-should-retry`.
    pub retry: bool,
    /// When a retry makes sense, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl ApiError {
    fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
            param: None,
            engine_code: None,
            retry: cause.may_retry(),
            retry_after_ms: None,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.cause.status()
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
        Self::new(Cause::InvalidRequest, message)
    }

    /// 400: the body is not JSON that is taken.
    pub fn not_json(why: impl std::fmt::Display) -> Self {
        Self::invalid(format!("The request body is not acceptable JSON: {why}."))
    }

    /// 400: the prompt fits no candidate.
    pub fn context_length(message: impl Into<String>) -> Self {
        Self::new(Cause::ContextLength, message).with_param("messages")
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
        Self::new(Cause::ContextLength, text).with_param(in_tokens)
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
        let mut error = Self::new(Cause::EngineRefused { status }, text);
        let is_word =
            |w: &&String| w.len() <= 64 && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if let Some(code) = said.code.as_ref().filter(is_word) {
            error.engine_code = Some(code.as_str().into());
        }
        let is_field =
            |p: &&String| p.len() <= 128 && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b));
        error.param = said.param.as_ref().filter(is_field).cloned();
        error
    }

    /// 404: every endpoint that should serve the model says that it is not there.
    pub fn engine_model_missing(model: &str) -> Self {
        let text = format!("No endpoint has the model `{model}` for this API now, although the configuration says so.");
        Self::new(Cause::ModelNotFound, text).with_param("model")
    }

    /// 401: no key, or not a valid one. One text for both, so that neither is told apart.
    pub fn unauthorized() -> Self {
        let text = "A valid API key is required: send it as `authorization: Bearer KEY`.";
        Self::new(Cause::Unauthorized, text)
    }

    /// 403: a rule of the operator forbids it.
    pub fn forbidden(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(Cause::Forbidden { rule }, message)
    }

    /// 404: no such path.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Cause::PathNotFound, message)
    }

    /// 404: no such model.
    pub fn model_not_found(message: impl Into<String>) -> Self {
        Self::new(Cause::ModelNotFound, message).with_param("model")
    }

    /// 404: it goes on with an earlier answer, named in this field, that is not kept here.
    pub fn previous_not_found(field: &str) -> Self {
        let text = format!("`{field}` names what is not kept here: send the whole conversation in `input`.");
        Self::new(Cause::PreviousNotFound, text).with_param(field)
    }

    /// 503: what is kept for clients cannot be read or written now.
    pub fn store_unavailable() -> Self {
        Self::new(Cause::StoreUnavailable, "What is kept here cannot be read or written now; try again later.")
    }

    /// 400: it goes on with a response that has not ended as something to go on with.
    pub fn previous_unfinished(status: &str) -> Self {
        let is = match status {
            "queued" | "in_progress" => "is still being made: wait until it has ended".to_owned(),
            ended => format!("is `{ended}`: go on with one that is complete"),
        };
        let text = format!("`previous_response_id` names a response that {is}.");
        Self::invalid(text).with_param("previous_response_id")
    }

    /// 405: the path exists, the method does not.
    pub fn method_not_allowed(allowed: &str) -> Self {
        let text = format!("This path answers {allowed} only.");
        Self::new(Cause::MethodNotAllowed, text)
    }

    /// 408: the client sent its request too slowly.
    pub fn request_timeout() -> Self {
        let text = "The request did not arrive in time.";
        Self::new(Cause::RequestTimeout, text)
    }

    /// 413: the body is over the limit.
    pub fn too_large(limit_bytes: u64) -> Self {
        let text = format!("The request body is larger than the limit of {limit_bytes} bytes.");
        Self::new(Cause::BodyTooLarge, text)
    }

    /// 415: the body is encoded in a way that is not read here.
    pub fn encoding() -> Self {
        let text = "`content-encoding` must be `gzip`, `deflate` or `identity`, or be left out.";
        Self::new(Cause::UnsupportedEncoding, text)
    }

    /// 415: this API takes a form.
    pub fn no_form() -> Self {
        let text = "The body must be `multipart/form-data`, with a boundary in `content-type`.";
        Self::new(Cause::UnsupportedMediaType, text).with_param("content-type")
    }

    /// 415: the body is not said to be JSON.
    pub fn media_type() -> Self {
        let text = "The header `content-type: application/json` is required here.";
        Self::new(Cause::UnsupportedMediaType, text).with_param("content-type")
    }

    /// 426: the client wants a WebSocket.
    pub fn no_websocket() -> Self {
        let text =
            "This gateway speaks no WebSocket: send an HTTP request, and `\"stream\": true` for events as they come.";
        Self::new(Cause::UpgradeNotSupported, text)
    }

    /// 422: engines die of it. SDKs must not bring it back.
    pub fn quarantined() -> Self {
        let text = "Several engines broke off while they read this request, so it is not sent to another one. Change \
                    it, or wait ten minutes.";
        Self::new(Cause::Quarantined, text)
    }

    /// 429: every target refused for load.
    pub fn overloaded(message: impl Into<String>, retry_after_ms: u64) -> Self {
        Self::new(Cause::Overloaded, message).after_ms(retry_after_ms)
    }

    /// 502: targets were tried and none answered.
    pub fn upstream_failed() -> Self {
        let text = "The request was sent to every suitable site and none completed it.";
        Self::new(Cause::UpstreamFailed, text).after_ms(1_000)
    }

    /// 502, in a stream: the target died after content was sent.
    pub fn stream_broken() -> Self {
        let text = "The site stopped answering in the middle of the stream; the text so far is incomplete.";
        Self::new(Cause::StreamBroken, text)
    }

    /// 502: endpoints that serve others fail this request alike, so that a retry would do no better.
    pub fn request_failed() -> Self {
        let text = "Endpoints that serve other requests failed on this one in the same way, so it is not sent to more of \
                    them. It is likely that the request itself is the cause: check its parameters against the model's.";
        Self::new(Cause::RequestFailed, text)
    }

    /// 502: the answer is larger than the gateway holds for one request.
    pub fn answer_too_large() -> Self {
        let text = "The answer is larger than this gateway holds for one request. Ask for less in one answer, or for a \
                    stream.";
        Self::new(Cause::AnswerTooLarge, text)
    }

    /// 503: no target may serve it now.
    pub fn nothing_eligible(message: impl Into<String>) -> Self {
        Self::new(Cause::NothingEligible, message).after_ms(1_000)
    }

    /// 504: targets were tried and none sent content in time.
    pub fn upstream_timeout() -> Self {
        let text = "No suitable site began to answer in time.";
        Self::new(Cause::UpstreamTimeout, text).after_ms(1_000)
    }

    /// 504: the client's own deadline has passed. Nobody waits for a retry.
    pub fn deadline_exceeded() -> Self {
        let text = "The answer did not begin within the milliseconds of `x-rhumb-deadline-ms`.";
        Self::new(Cause::DeadlineExceeded, text).with_param("x-rhumb-deadline-ms")
    }

    /// 508: it came through too many gateways. A retry would go around again.
    pub fn loop_detected(hops_max: u32) -> Self {
        let text = format!(
            "`x-rhumb-hops` says that the request has come through more than {hops_max} gateways: an endpoint of \
             theirs leads back to one of them."
        );
        Self::new(Cause::LoopDetected, text).with_param("x-rhumb-hops")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_an_engines_refusal_keeps_its_status_its_code_its_field_and_its_words() {
        let said = EngineError {
            code: Some("bad_schema".into()),
            param: Some("response_format".into()),
            message: "no such type; see /opt/engine/schema.py".into(),
            ..EngineError::default()
        };
        let e = ApiError::engine_refused(422, &said, true);
        assert_eq!((e.status(), e.engine_code.as_deref(), e.retry), (422, Some("bad_schema"), false));
        assert_eq!((e.message.as_str(), e.param.as_deref()), ("no such type; see [path]", Some("response_format")));
        let e = ApiError::engine_refused(418, &EngineError { code: Some("a b\n".into()), ..said }, false);
        assert_eq!((e.status(), &e.engine_code), (400, &None));
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
    fn what_may_be_retried_says_when_unless_a_stream_broke() {
        for (error, after_ms) in [
            (ApiError::overloaded("x", 7), Some(7)),
            (ApiError::upstream_failed(), Some(1_000)),
            (ApiError::stream_broken(), None),
            (ApiError::nothing_eligible("x"), Some(1_000)),
            (ApiError::upstream_timeout(), Some(1_000)),
        ] {
            assert_eq!((error.retry, error.retry_after_ms), (true, after_ms), "{:?}", error.cause);
        }
        for error in [ApiError::invalid("x"), ApiError::request_failed(), ApiError::deadline_exceeded()] {
            assert_eq!((error.retry, error.retry_after_ms), (false, None), "{:?}", error.cause);
        }
    }
}
