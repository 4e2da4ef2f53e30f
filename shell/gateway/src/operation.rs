//! What a path of the data plane asks for.

use rhumb_grid::config::Dialect;
use rhumb_openai::request::Api;

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
    /// A session of the Realtime API.
    Realtime,
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
            Self::OpenAi(_) | Self::Realtime => Dialect::Chat,
            Self::Responses | Self::CountInput => Dialect::Responses,
            Self::Messages | Self::CountTokens => Dialect::Messages,
        }
    }

    /// The answer that says that a prompt has so many tokens; `None` where it is asked for more than that.
    pub(crate) fn token_count(self, tokens: u64) -> Option<String> {
        match self {
            Self::CountInput => Some(rhumb_responses::token_count(tokens)),
            Self::CountTokens => Some(rhumb_anthropic::token_count(tokens)),
            Self::OpenAi(_) | Self::Responses | Self::Messages | Self::Realtime => None,
        }
    }

    /// The API of the endpoints that serves it.
    pub(crate) fn api(self) -> Api {
        match self {
            Self::OpenAi(api) => api,
            Self::Realtime => Api::Realtime,
            Self::Responses | Self::CountInput | Self::Messages | Self::CountTokens => Api::Chat,
        }
    }

    /// The API of the endpoints that serves it as it is, where others serve a translation of it.
    pub(crate) fn own_api(self) -> Option<Api> {
        match self {
            Self::Responses => Some(Api::Responses),
            Self::Messages => Some(Api::Messages),
            Self::OpenAi(_) | Self::CountInput | Self::CountTokens | Self::Realtime => None,
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
            Self::Realtime => "/v1/realtime",
        }
    }
}
