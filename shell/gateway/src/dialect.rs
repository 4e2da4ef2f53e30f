//! How a client is told of errors, in the dialect that it speaks.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use rhumb_api::ApiError;
use rhumb_grid::config::Dialect;
use rhumb_record::format_id;

/// What only clients of Anthropic's dialect send.
const VERSION: &str = "anthropic-version";

/// The dialect of a request to a path that several have.
pub(crate) fn of(headers: &HeaderMap) -> Dialect {
    if headers.contains_key(VERSION) { Dialect::Messages } else { Dialect::Chat }
}

/// The HTTP status of an error.
pub(crate) fn status(dialect: Dialect, error: &ApiError) -> u16 {
    match dialect {
        Dialect::Chat | Dialect::Responses => error.status(),
        Dialect::Messages => rhumb_anthropic::error::status(error),
    }
}

/// The body of an error of the request with this id.
pub(crate) fn error_body(dialect: Dialect, error: &ApiError, id: u64) -> String {
    match dialect {
        Dialect::Chat | Dialect::Responses => rhumb_openai::error::body(error),
        Dialect::Messages => rhumb_anthropic::error::body(error, &format_id(id)),
    }
}

/// The event that ends a stream which breaks off.
pub(crate) fn error_event(dialect: Dialect, error: &ApiError, id: u64) -> Bytes {
    match dialect {
        Dialect::Chat => rhumb_openai::error::event(error).into(),
        Dialect::Responses => rhumb_responses::stream::error_event(error).into(),
        Dialect::Messages => rhumb_anthropic::error::event(error, &format_id(id)).into(),
    }
}

/// Gives an answer the headers that clients of this dialect look for.
pub(crate) fn finish<B>(dialect: Dialect, response: &mut Response<B>) {
    const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
    let id: Option<HeaderValue> = response.headers().get("x-request-id").cloned();
    if let (Dialect::Messages, Some(id)) = (dialect, id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}
