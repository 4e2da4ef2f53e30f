//! The data plane's paths: an exact list, everything else is refused.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use rhumb_api::ApiError;
use rhumb_grid::config::Dialect;
use rhumb_kept::{Found, Question};
use rhumb_openai::request::boundary;
use rhumb_record::format_id;
use rhumb_websocket::is_asked;
use tokio::sync::oneshot;

use crate::answer::{event_stream, failed, text, waiting};
use crate::body::{Answer, read};
use crate::cors;
use crate::dialect;
use crate::epoch::ConfigEpoch;
use crate::head;
use crate::health::health;
use crate::listing;
use crate::load_shedding::LoadShed;
use crate::operation::Operation;
use crate::pipeline::authenticate::caller;
use crate::pipeline::complete;
use crate::realtime;
use crate::resource_limits::Held;
use crate::responses_socket;
use crate::waiting::Work;

/// Answers a request on a connection over the limit: only health and metrics are served.
pub(crate) fn handle_lent(epoch: &ConfigEpoch, request: &Request<Incoming>) -> Response<Answer> {
    let path = path_of(request);
    let dialect = match Operation::of(&path) {
        Some(operation) => operation.dialect(),
        None if rhumb_kept::are_at(&path) => Dialect::Responses,
        None => return small(epoch, &path, request),
    };
    refused(epoch, dialect, &epoch.state.limits.turn_away(LoadShed::All))
}

/// The path of a request, however many slashes were written for one.
fn path_of(request: &Request<Incoming>) -> Cow<'_, str> {
    let path = request.uri().path();
    if !path.contains("//") && !path.ends_with('/') {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        out.push('/');
        out.push_str(part);
    }
    Cow::Owned(out)
}

/// Answers one request.
pub(crate) async fn handle(epoch: Arc<ConfigEpoch>, request: Request<Incoming>) -> Response<Answer> {
    let Some(origin) = cors::origin(&epoch.grid.config.gateway, request.headers()) else {
        return respond(&epoch, request).await;
    };
    if cors::is_preflight(&request) {
        return cors::preflight(origin, request.headers());
    }
    let mut response = respond(&epoch, request).await;
    cors::allow(&mut response, origin);
    response
}

async fn respond(epoch: &Arc<ConfigEpoch>, request: Request<Incoming>) -> Response<Answer> {
    if let Err(e) = head::check(&request) {
        // Whoever reads it otherwise may see another request behind it.
        return closing(refused(epoch, dialect::of(request.headers()), &e));
    }
    if is_asked(request.headers()) {
        return upgrade(epoch, &request).await;
    }
    let operation = {
        let path = path_of(&request);
        match Operation::of(&path) {
            Some(operation) => operation,
            None if rhumb_kept::are_at(&path) => {
                let path = path.into_owned();
                let found = Box::pin(find(epoch, &path, request)).await;
                return found.unwrap_or_else(|e| refused(epoch, Dialect::Responses, &e));
            }
            None => return small(epoch, &path, &request),
        }
    };
    let mut response = operate(epoch, operation, request).await;
    dialect::finish(operation.dialect(), &mut response);
    response
}

/// A WebSocket is asked for. Whoever asks for one where there is none goes on with HTTP.
async fn upgrade(epoch: &Arc<ConfigEpoch>, request: &Request<Incoming>) -> Response<Answer> {
    match &*path_of(request) {
        "/v1/responses" => {
            responses_socket::open(epoch, request).unwrap_or_else(|e| closing(refused(epoch, Dialect::Responses, &e)))
        }
        "/v1/realtime" if epoch.grid.config.models.iter().any(|m| m.realtime) => {
            match Box::pin(realtime::open(epoch, request)).await {
                Ok(response) => response,
                Err(refused) => closing(refused.response(epoch, Dialect::Chat)),
            }
        }
        _ => {
            let mut response = closing(refused(epoch, dialect::of(request.headers()), &ApiError::no_websocket()));
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
            response
        }
    }
}

async fn operate(epoch: &Arc<ConfigEpoch>, operation: Operation, request: Request<Incoming>) -> Response<Answer> {
    let dialect = operation.dialect();
    let (tell, mut accepted) = oneshot::channel();
    let mut work: Work = Box::pin(complete(Arc::clone(epoch), operation, request, tell));
    let waits = tokio::select! {
        biased;
        done = &mut work => return done.unwrap_or_else(|refused| refused.response(epoch, dialect)),
        waits = &mut accepted => waits.ok(),
    };
    let Some(waits) = waits else {
        return work.await.unwrap_or_else(|refused| refused.response(epoch, dialect));
    };
    match tokio::time::timeout(waits.keep_alive, &mut work).await {
        Ok(done) => done.unwrap_or_else(|refused| refused.response(epoch, dialect)),
        Err(_) => waiting(work, waits, dialect),
    }
}

/// What is kept for clients.
async fn find(epoch: &Arc<ConfigEpoch>, path: &str, request: Request<Incoming>) -> Result<Response<Answer>, ApiError> {
    let caller = caller(epoch, request.headers())?;
    let Some(kept) = &epoch.state.kept else { return Err(rhumb_kept::nothing(path)) };
    let (parts, body) = request.into_parts();
    let (gateway, mut held) = (&epoch.grid.config.gateway, epoch.state.limits.holding());
    let within = Duration::from_millis(gateway.request_timeout_ms);
    let body = read(body, gateway.max_body_bytes, within, &mut held).await?;
    let (query, number) = (parts.uri.query().unwrap_or_default(), format_id(epoch.state.ids.next().0));
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let question = Question {
        tenant: &caller.tenant_name,
        key: &caller.key_name,
        boundary: content_type.and_then(boundary),
        method: &parts.method,
        path,
        query,
        body: &body,
        number: &number,
        bytes_max: gateway.max_body_bytes,
    };
    let found = kept.answer(&question).await?;
    // What was read counts as held until its client has the last of it.
    let counted = epoch.state.limits.holding();
    let whole = |all: Bytes, mut counted: Held<'_>| -> Result<Bytes, ApiError> {
        counted.grow(all.len())?;
        Ok(counted.keep(all))
    };
    Ok(match found {
        Found::Object(json) => text("application/json", whole(json.into(), counted)?),
        Found::Events(all) => event_stream(Answer::Whole(whole(all, counted)?)),
        Found::Content(all) => text("application/octet-stream", whole(all, counted)?),
        Found::Following(following) => event_stream(Answer::Following(following)),
    })
}

/// The connection carries nothing more after this answer.
fn closing(mut response: Response<Answer>) -> Response<Answer> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A request is not accepted.
fn refused(epoch: &ConfigEpoch, dialect: Dialect, error: &ApiError) -> Response<Answer> {
    epoch.metrics.refused();
    failed(dialect, error, epoch.state.ids.next().0)
}

/// Some clients ask for it to see whether anybody is there.
const ROOT: &str = "/";

/// What they hear.
const GREETING: &str = "This is a Rhumb gateway. It serves POST /v1/chat/completions, /v1/completions, /v1/embeddings, \
                        /v1/responses and /v1/messages; GET /v1/models lists the models.\n";

/// The paths without a body.
fn small(epoch: &ConfigEpoch, path: &str, request: &Request<Incoming>) -> Response<Answer> {
    let dialect = dialect::of(request.headers());
    let refused = |error: &ApiError| refused(epoch, dialect, error);
    let name = path.strip_prefix("/v1/models/");
    // A target that is a host and a port, or nothing, has no path.
    let is_root = request.uri().path() == ROOT;
    if name.is_none() && !is_root && !matches!(path, "/v1/models" | "/health" | "/health/live" | "/health/ready") {
        let text = match path {
            "/metrics" => "Metrics are served by the admin API only: GET /metrics on `gateway.admin_listen`.",
            _ => {
                "There is no such path. This gateway serves POST /v1/chat/completions, /v1/completions, \
                 /v1/embeddings, /v1/responses, /v1/responses/input_tokens, /v1/messages, /v1/messages/count_tokens, \
                 /v1/rerank, /v1/score, /v1/classify, /v1/moderations, /v1/audio/speech, /v1/audio/transcriptions, \
                 /v1/audio/translations, /v1/images/generations, /v1/images/edits, /tokenize, /detokenize; GET \
                 /v1/models, /v1/models/NAME and /health; and what is kept below /v1/responses, /v1/conversations, \
                 /v1/files and /v1/batches; and WebSockets at /v1/responses and /v1/realtime."
            }
        };
        return refused(&ApiError::not_found(text));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return refused(&ApiError::method_not_allowed("GET"));
    }
    if is_root {
        return text("text/plain; charset=utf-8", GREETING.into());
    }
    if path.starts_with("/health") {
        return health(epoch, path);
    }
    let listed = caller(epoch, request.headers()).and_then(|caller| match name {
        Some(name) => listing::one(epoch, dialect, &caller, name),
        None => Ok(listing::list(epoch, dialect, &caller)),
    });
    match listed {
        Ok(page) => text("application/json", page.into()),
        Err(e) => refused(&e),
    }
}
