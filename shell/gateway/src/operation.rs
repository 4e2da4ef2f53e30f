//! What a path of the data plane asks for, and the dialect that its client speaks.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use rhumb_api::ApiError;
use rhumb_openai::request::Api;
use rhumb_record::format_id;

/// The dialect of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// What is passed on as it is.
    OpenAi,
    /// OpenAI's Responses, which have errors of their own in streams alone.
    Responses,
    Anthropic,
}

/// What only clients of Anthropic's dialect send.
const VERSION: &str = "anthropic-version";

impl Dialect {
    /// The dialect of a request to a path that several have.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(VERSION) { Self::Anthropic } else { Self::OpenAi }
    }

    /// The HTTP status of an error.
    pub(crate) fn status(self, error: &ApiError) -> u16 {
        match self {
            Self::OpenAi | Self::Responses => error.status(),
            Self::Anthropic => rhumb_anthropic::error::status(error),
        }
    }

    /// The body of an error of the request with this id.
    pub(crate) fn error_body(self, error: &ApiError, id: u64) -> String {
        match self {
            Self::OpenAi | Self::Responses => rhumb_openai::error::body(error),
            Self::Anthropic => rhumb_anthropic::error::body(error, &format_id(id)),
        }
    }

    /// The event that ends its stream, of which nothing was written yet.
    pub(crate) fn error_event(self, error: &ApiError, id: u64) -> Bytes {
        match self {
            Self::OpenAi => rhumb_openai::error::event(error).into(),
            Self::Responses => rhumb_responses::stream::error_event(error).into(),
            Self::Anthropic => rhumb_anthropic::error::event(error, &format_id(id)).into(),
        }
    }

    /// Gives an answer the headers that clients of this dialect look for.
    pub(crate) fn finish<B>(self, response: &mut Response<B>) {
        const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
        let id: Option<HeaderValue> = response.headers().get("x-request-id").cloned();
        if let (Self::Anthropic, Some(id)) = (self, id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Of OpenAI's dialect, which goes on to an endpoint as it is.
    OpenAi(Api),
    /// A response.
    Responses,
    /// How many tokens the input of a response has.
    CountInput,
    /// An answer in Anthropic's dialect.
    Messages,
    /// How many tokens a request in Anthropic's dialect has.
    CountTokens,
}

impl Operation {
    /// By its path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/responses" => Some(Self::Responses),
            "/v1/responses/input_tokens" => Some(Self::CountInput),
            "/v1/messages" => Some(Self::Messages),
            "/v1/messages/count_tokens" => Some(Self::CountTokens),
            _ => Api::of(path).map(Self::OpenAi),
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::OpenAi(_) => Dialect::OpenAi,
            Self::Responses | Self::CountInput => Dialect::Responses,
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
        }
    }

    /// The answer that says that a prompt has so many tokens; `None` where it is asked for more than that.
    pub(crate) fn token_count(self, tokens: u64) -> Option<String> {
        match self {
            Self::CountInput => Some(rhumb_responses::token_count(tokens)),
            Self::CountTokens => Some(rhumb_anthropic::token_count(tokens)),
            Self::OpenAi(_) | Self::Responses | Self::Messages => None,
        }
    }

    /// The API of the endpoints that serves it.
    pub(crate) fn api(self) -> Api {
        match self {
            Self::OpenAi(api) => api,
            Self::Responses | Self::CountInput | Self::Messages | Self::CountTokens => Api::Chat,
        }
    }

    /// As it stands in the log.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenAi(api) => api.path(),
            Self::Responses => "/v1/responses",
            Self::CountInput => "/v1/responses/input_tokens",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
        }
    }
}
