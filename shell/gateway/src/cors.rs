//! Pages of other origins that may use the data plane from a browser (`gateway.cors_origins`; the Fetch standard,
//! section 3.2). Without a list no such header is ever sent.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use rhumb_grid::config::Gateway;

use crate::body::Answer;

/// Headers of answers that pages may read.
const EXPOSED: &str = "x-request-id, x-rhumb-site, x-rhumb-endpoint, x-rhumb-model, x-rhumb-decision, server-timing, \
                       x-should-retry, retry-after, retry-after-ms, request-id, x-rhumb-dropped";

/// Headers that pages may send where a browser does not ask for any by name.
const ALLOWED: &str = "authorization, content-type, x-api-key, api-key";

/// How long a browser may keep the answer to a preflight, in seconds.
const KEPT_S: &str = "600";

/// The origin that an answer is to allow, if the request comes from one that may use this gateway.
pub(crate) fn origin(gateway: &Gateway, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let listed = |o: &String| o.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    if gateway.cors_origins.iter().any(listed) {
        return Some(origin.clone());
    }
    gateway.cors_origins.iter().any(|o| o == "*").then(|| HeaderValue::from_static("*"))
}

/// A browser asks whether a page may send a request.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// It may.
pub(crate) fn preflight(origin: HeaderValue, asked: &HeaderMap) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
    // What acts on nothing may be sent: the gateway passes no header on.
    let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted = wanted.unwrap_or(HeaderValue::from_static(ALLOWED));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(KEPT_S));
    allow(&mut response, origin);
    response
}

/// Lets a page of that origin read an answer.
pub(crate) fn allow(response: &mut Response<Answer>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
}
