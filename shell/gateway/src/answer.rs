//! Answers and their headers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use rhumb_api::ApiError;
use rhumb_grid::config::Dialect;
use rhumb_record::format_id;
use rhumb_route::decide::Target;

use crate::body::Answer;
use crate::dialect;
use crate::epoch::ConfigEpoch;
use crate::failover::Served;
use crate::session::Session;
use crate::upgrade::Opened;
use crate::waiting::{DROPPED, Waiting, Waits, Work};

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The answer of the target that serves the request.
pub(crate) fn answer(epoch: &ConfigEpoch, id: u64, served: Served, timing: [(&str, Duration); 3]) -> Response<Answer> {
    let (target, content_type, body) = match served {
        Served::Plain(target, body, content_type, _) => (target, content_type, Answer::Whole(body)),
        Served::Stream(target, relay) => (target, HeaderValue::from_static(EVENT_STREAM), Answer::Stream(relay)),
        Served::Session(target, session) => return opened(epoch, id, &target, session),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(9);
    headers.insert(header::CONTENT_TYPE, content_type);
    if matches!(response.body(), Answer::Stream(_)) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    named(epoch, &mut response, &target, id);
    // Whole numbers and a point: formatting floats costs more than deciding does.
    let [a, b, c] = timing.map(|(name, took)| {
        let us = took.as_micros();
        format!("{name};dur={}.{:03}", us / 1_000, us % 1_000)
    });
    if let Ok(timing) = HeaderValue::try_from([a, b, c].join(", ")) {
        response.headers_mut().insert("server-timing", timing);
    }
    response
}

/// A session is opened: the connection is to go on with it.
fn opened(epoch: &ConfigEpoch, id: u64, target: &Target, session: Box<Session>) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.extensions_mut().insert(Opened::session(session));
    named(epoch, &mut response, target, id);
    response
}

fn named(epoch: &ConfigEpoch, response: &mut Response<Answer>, target: &Target, id: u64) {
    let [endpoint, site, model] = epoch.names.headers(target.endpoint, target.site, target.model);
    let headers = response.headers_mut();
    headers.insert("x-rhumb-site", site);
    headers.insert("x-rhumb-endpoint", endpoint);
    headers.insert("x-rhumb-model", model);
    let id = id_header(id);
    headers.insert("x-rhumb-decision", id.clone());
    headers.insert("x-request-id", id);
}

pub(crate) fn id_header(id: u64) -> HeaderValue {
    HeaderValue::try_from(format_id(id)).unwrap_or(HeaderValue::from_static("0"))
}

/// An error as the SDKs of a dialect want it.
pub(crate) fn failed(dialect: Dialect, error: &ApiError, id: u64) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(dialect::error_body(dialect, error, id).into()));
    *response.status_mut() =
        StatusCode::from_u16(dialect::status(dialect, error)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-should-retry", HeaderValue::from_static(if error.retry { "true" } else { "false" }));
    headers.insert("x-request-id", id_header(id));
    if let Some(ms) = error.retry_after_ms {
        headers.insert("retry-after-ms", ms.into());
        headers.insert(header::RETRY_AFTER, ms.div_ceil(1_000).into());
    }
    // What is left of a refused body is not read: the connection carries nothing more.
    if matches!(error.status(), 401 | 405 | 408 | 413 | 415) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub(crate) fn text(content_type: &'static str, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Events, some or all of which were made before.
pub(crate) fn event_stream(body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The head of a stream whose content is still waited for: the client learns that it is at work, and whatever comes of it
/// comes as events.
pub(crate) fn waiting(work: Work, waits: Waits, dialect: Dialect) -> Response<Answer> {
    let Waits { id, keep_alive, dropped } = waits;
    let mut response = event_stream(Answer::Waiting(Box::new(Waiting::new(work, keep_alive, (dialect, id)))));
    let headers = response.headers_mut();
    let id = id_header(id);
    headers.insert("x-rhumb-decision", id.clone());
    headers.insert("x-request-id", id);
    if let Some(dropped) = dropped {
        headers.insert(DROPPED, dropped);
    }
    response
}
