//! The data plane's paths: an exact list, everything else is refused.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use rhumb_api::ApiError;
use rhumb_flow::admission::AdmissionRequest;
use rhumb_flow::overload::Level;
use rhumb_grid::service::Service;
use rhumb_grid::steering::STEERING;
use rhumb_json::Limits;
use rhumb_openai::error;
use rhumb_openai::request::{Api, Scan, scan};
use rhumb_route::decide::Target;
use rhumb_route::row::CandidateHealth;
use rhumb_store::{Outcome, format_id};
use tokio::sync::oneshot;

use crate::admission_queue::{Busy, ConcurrencyPermit, Deciding, admit};
use crate::auth::Caller;
use crate::body::{Answer, read};
use crate::cors;
use crate::epoch::ConfigEpoch;
use crate::failover::{FailoverDriver, Served, Unserved};
use crate::head;
use crate::inflate::{coding, inflate};
use crate::listing;
use crate::live::lock;
use crate::load_shedding::LoadShed;
use crate::quarantine;
use crate::request_headers::asked;
use crate::request_record::RequestRecord;
use crate::routing::{self, RoutingRequest};
use crate::waiting::Waiting;

/// Answers a request on a connection beyond those that there may be: it is not taken on, or its place would be taken
/// from those who ask how the gateway is.
pub(crate) fn handle_lent(epoch: &ConfigEpoch, request: &Request<Incoming>) -> Response<Answer> {
    let path = path_of(request);
    if api_of(&path).is_none() {
        return small(epoch, &path, request);
    }
    refused(epoch, &epoch.state.limits.turn_away(LoadShed::All))
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

/// The API that a path is of.
fn api_of(path: &str) -> Option<Api> {
    match path {
        "/v1/chat/completions" => Some(Api::Chat),
        "/v1/completions" => Some(Api::Completions),
        "/v1/embeddings" => Some(Api::Embeddings),
        _ => None,
    }
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
        return closing(refused(epoch, &e));
    }
    let api = {
        let path = path_of(&request);
        match api_of(&path) {
            Some(api) => api,
            None => return small(epoch, &path, &request),
        }
    };
    let (tell, mut accepted) = oneshot::channel();
    let mut work: Work = Box::pin(complete(Arc::clone(epoch), api, request, tell));
    let waits = tokio::select! {
        biased;
        done = &mut work => return done.unwrap_or_else(|refused| refused.response(epoch)),
        waits = &mut accepted => waits.ok(),
    };
    let Some(Waits { id, keep_alive }) = waits else {
        return work.await.unwrap_or_else(|refused| refused.response(epoch));
    };
    match tokio::time::timeout(keep_alive, &mut work).await {
        Ok(done) => done.unwrap_or_else(|refused| refused.response(epoch)),
        Err(_) => waiting(work, keep_alive, id),
    }
}

/// The connection carries nothing more after this answer.
fn closing(mut response: Response<Answer>) -> Response<Answer> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A request is not accepted.
fn refused(epoch: &ConfigEpoch, error: &ApiError) -> Response<Answer> {
    epoch.metrics.refused();
    failed(error, epoch.state.ids.next().0)
}

/// A request that is served. What comes of it is an answer, or why there is none.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Response<Answer>, Refused>> + Send>>;

/// A client that is to be told now and then that its request is still at work.
struct Waits {
    id: u64,
    keep_alive: Duration,
}

/// The head of a stream whose content is still waited for: the client learns that it is at work, and whatever comes of it
/// comes as events.
fn waiting(work: Work, every: Duration, id: u64) -> Response<Answer> {
    let mut response = Response::new(Answer::Waiting(Box::new(Waiting::new(work, every))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let id = id_header(id);
    headers.insert("x-rhumb-decision", id.clone());
    headers.insert("x-request-id", id);
    response
}

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// Why a request has no answer.
pub(crate) struct Refused {
    pub(crate) error: ApiError,
    /// Its id, if it was accepted.
    id: Option<u64>,
    /// Where it was tried last.
    at: Option<[HeaderValue; 3]>,
}

impl Refused {
    /// It was accepted, and has failed.
    fn of(epoch: &ConfigEpoch, id: u64, last: Option<Target>, error: ApiError) -> Self {
        Self { error, id: Some(id), at: last.map(|t| epoch.names.headers(t.endpoint, t.site, t.model)) }
    }

    fn response(self, epoch: &ConfigEpoch) -> Response<Answer> {
        let Self { error, id, at } = self;
        if id.is_none() {
            epoch.metrics.refused();
        }
        let mut response = failed(&error, id.unwrap_or_else(|| epoch.state.ids.next().0));
        let headers = response.headers_mut();
        match id {
            Some(id) => {
                headers.insert("x-rhumb-decision", id_header(id));
            }
            // It was turned away, and its body may not have been read.
            None if error.retry => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            None => {}
        }
        if let Some([endpoint, site, model]) = at {
            headers.insert("x-rhumb-endpoint", endpoint);
            headers.insert("x-rhumb-site", site);
            headers.insert("x-rhumb-model", model);
        }
        response
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, id: None, at: None }
    }
}

async fn complete(
    epoch: Arc<ConfigEpoch>,
    api: Api,
    request: Request<Incoming>,
    tell: oneshot::Sender<Waits>,
) -> Result<Response<Answer>, Refused> {
    let start = Instant::now();
    let epoch = &epoch;
    if request.method() != Method::POST {
        return Err(ApiError::method_not_allowed("POST").into());
    }
    let (head, body) = request.into_parts();
    let caller = caller(epoch, &head.headers)?;
    let coding = coding(&head.headers)?;
    let gateway = &epoch.grid.config.gateway;
    let asked = asked(&head.headers, epoch.numbers.tenant(caller.tenant), gateway.location)?;
    let tenant = caller.tenant.map(|t| &epoch.grid.config.tenants[t]);
    let policy = epoch.grid.policy_for(tenant, asked.policy.as_deref()).map_err(|allowed| {
        let text = format!("`x-rhumb-policy` must be one of: {}.", allowed.join(", "));
        ApiError::invalid(text).with_param("x-rhumb-policy")
    })?;
    drop(head);
    let level = epoch.state.limits.level();
    if level == Level::All {
        return Err(epoch.state.limits.turn_away(LoadShed::All).into());
    }
    let within = Duration::from_millis(gateway.request_timeout_ms);
    let mut held = epoch.state.limits.holding();
    let body = read(body, gateway.max_body_bytes, within, &mut held).await?;
    let body = inflate(coding, body, gateway.max_body_bytes, &mut held).await?;
    let scan = scan(api, &body, Limits::default(), STEERING).map_err(ApiError::from)?;
    within_limits(api, &policy.service, &scan)?;
    let models = routing::models(epoch, &caller, &scan.request.model)?;
    let priority = asked.priority(&policy.service, tenant, scan.request.tier)?;
    if !level.takes(priority) {
        return Err(epoch.state.limits.turn_away(LoadShed::Priority(priority)).into());
    }
    let mut routing = routing::asking(epoch, api, &caller, &asked, policy, models, &body, &scan);
    let id = routing.id;
    let mut record = Box::new(RequestRecord::new(epoch, &routing, policy, start, caller.tenant, &scan, &body));
    if quarantine::holds(epoch, &body, caller.tenant) {
        routing.decide();
        routing.record();
        let error = ApiError::quarantined();
        (record.outcome, record.status) = (Outcome::Quarantined, error.status());
        return Err(Refused::of(epoch, id, None, error));
    }
    if scan.request.stream && policy.service.keep_alive_ms > 0 {
        // One who has left does not hear it.
        let _ = tell.send(Waits { id, keep_alive: Duration::from_millis(policy.service.keep_alive_ms) });
    }
    // One beyond the clock's end is none.
    let deadline = asked.deadline_ms.and_then(|ms| start.checked_add(Duration::from_millis(ms)));
    let (mut waited, mut most) = (Duration::ZERO, asked.chain.tries(policy.rates.max_attempts));
    loop {
        let left_ms = deadline.map(|d| d.saturating_duration_since(Instant::now()).as_millis() as u64);
        let ask = routing.ask(priority, left_ms);
        let asked_at = start.elapsed();
        let (first, permit) = place_at_target(epoch, &ask, &mut routing, &mut record)
            .await
            .map_err(|e| Refused::of(epoch, id, record.last, e))?;
        let admitted = start.elapsed();
        if record.waited.is_some() {
            waited += admitted - asked_at;
        }
        let (body, chain) = (&body, asked.chain);
        let driver =
            FailoverDriver { epoch, policy, scan: &scan, body, api, placed: &routing, chain, priority, deadline };
        match driver.run(record, most, first, permit).await {
            Ok(served) => {
                let timing = [("decide", admitted - waited), ("queue", waited), ("first", start.elapsed())];
                return Ok(answer(epoch, id, served, timing));
            }
            Err(Unserved::Failed(failed)) => {
                let (error, last) = *failed;
                return Err(Refused::of(epoch, id, last, error));
            }
            Err(Unserved::Preempted(preempted, left)) => {
                (record, most) = (preempted, left);
                // It waits again, for all of it.
                if let Some(ask) = record.waited.take() {
                    lock(&epoch.state.queue).settle(&ask, 0.0);
                }
                waited += start.elapsed() - admitted;
            }
        }
    }
}

/// A place at a target of the request, among those ranked for it.
async fn place_at_target(
    epoch: &Arc<ConfigEpoch>,
    ask: &AdmissionRequest,
    routing: &mut RoutingRequest<'_>,
    record: &mut RequestRecord,
) -> Result<(usize, ConcurrencyPermit), ApiError> {
    let was_preempted = record.attempts > 0;
    let (outcome, error) = match admit(epoch, ask, routing, was_preempted).await {
        Ok(Some((target, permit, waited))) => {
            record.waited = waited.then_some(*ask);
            return Ok((target, permit));
        }
        Ok(None) => (Outcome::NothingEligible, routing.nothing_eligible()),
        Err(Busy(after_ms)) => {
            let text = "Every endpoint that may serve this request is busy.";
            (Outcome::Shed, ApiError::overloaded(text, after_ms))
        }
    };
    (record.outcome, record.status) = (outcome, error.status());
    Err(error)
}

/// What would multiply the work of one request is limited before anything is sent anywhere.
fn within_limits(api: Api, service: &Service, scan: &Scan) -> Result<(), ApiError> {
    let refuse = |field: &str, most: u64| {
        let text = format!("`{field}` may be at most {most} under this policy.");
        Err(ApiError::invalid(text).with_param(field))
    };
    if api == Api::Embeddings {
        return Ok(());
    }
    if scan.request.n > service.max_choices {
        return refuse("n", service.max_choices);
    }
    if scan.request.sequences() > service.max_sequences {
        let most = service.max_sequences;
        let text = format!("`prompt` asks for {} answers: at most {most} under this policy.", scan.request.sequences());
        return Err(ApiError::invalid(text).with_param("prompt"));
    }
    match (service.max_answer_tokens, scan.request.longest_answer) {
        (Some(most), Some((field, asked))) if asked > most => refuse(field, most),
        _ => Ok(()),
    }
}

fn caller(epoch: &ConfigEpoch, headers: &http::HeaderMap) -> Result<Caller, ApiError> {
    let caller = match headers.get(header::AUTHORIZATION) {
        Some(authorization) => epoch.keys.caller(Some(authorization.as_bytes())),
        None => {
            // Some clients have a header for the key alone.
            let key = ["x-api-key", "api-key"].iter().find_map(|name| headers.get(*name));
            epoch.keys.caller(key.map(|key| [b"Bearer ", key.as_bytes()].concat()).as_deref())
        }
    };
    caller.ok_or_else(ApiError::unauthorized)
}

fn answer(epoch: &ConfigEpoch, id: u64, served: Served, timing: [(&str, Duration); 3]) -> Response<Answer> {
    let (target, content_type, body) = match served {
        Served::Plain(target, body) => (target, "application/json", Answer::Whole(body)),
        Served::Stream(target, relay) => (target, EVENT_STREAM, Answer::Stream(relay)),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(9);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
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

fn id_header(id: u64) -> HeaderValue {
    HeaderValue::try_from(format_id(id)).unwrap_or(HeaderValue::from_static("0"))
}

/// An error as the SDKs want it.
pub(crate) fn failed(error: &ApiError, id: u64) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(error::body(error).into()));
    *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
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

/// The paths without a body.
fn small(epoch: &ConfigEpoch, path: &str, request: &Request<Incoming>) -> Response<Answer> {
    if request.headers().get(header::UPGRADE).is_some_and(|u| u.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let mut response = closing(refused(epoch, &ApiError::no_websocket()));
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
        return response;
    }
    let name = path.strip_prefix("/v1/models/");
    if name.is_none() && !matches!(path, "/v1/models" | "/health" | "/health/live" | "/health/ready") {
        let text = match path {
            "/metrics" => "Metrics are served by the admin API only: GET /metrics on `gateway.admin_listen`.",
            _ => {
                "There is no such path. This gateway serves POST /v1/chat/completions, /v1/completions, \
                 /v1/embeddings and GET /v1/models, /v1/models/NAME and /health."
            }
        };
        return refused(epoch, &ApiError::not_found(text));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return refused(epoch, &ApiError::method_not_allowed("GET"));
    }
    if path.starts_with("/health") {
        return health(epoch, path);
    }
    let listed = caller(epoch, request.headers()).and_then(|caller| match name {
        Some(name) => listing::one(epoch, &caller, name),
        None => Ok(listing::list(epoch, &caller)),
    });
    match listed {
        Ok(page) => text("application/json", page.into()),
        Err(e) => refused(epoch, &e),
    }
}

/// Whether it lives, and whether it may be sent requests.
pub(crate) fn health(epoch: &ConfigEpoch, path: &str) -> Response<Answer> {
    if path == "/health/live" { text("text/plain", "live\n".into()) } else { ready(epoch) }
}

/// Ready while any endpoint is not known to be unhealthy and the gateway's own background tasks run.
fn ready(epoch: &ConfigEpoch) -> Response<Answer> {
    let (of_endpoints, own): (Vec<_>, Vec<_>) =
        epoch.state.tasks.down().into_iter().partition(|kind| TASKS_OF_ENDPOINTS.contains(kind));
    let down =
        |kinds: &[&str]| format!("background tasks that have failed and are started again: {}\n", kinds.join(", "));
    let is_any_well = epoch.view.load().rows.iter().any(|r| r.health == CandidateHealth::Healthy);
    let said = match (is_any_well, own.is_empty(), of_endpoints.is_empty()) {
        (true, true, true) => return text("text/plain", "ready\n".into()),
        // What one endpoint makes fail takes the gateway from nobody.
        (true, true, false) => return text("text/plain", format!("ready; {}", down(&of_endpoints)).into()),
        (_, false, _) => down(&own),
        (false, true, _) => "every endpoint is unhealthy\n".to_owned(),
    };
    let mut response = text("text/plain", said.into());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Background tasks that there is one of for each endpoint, or name of one.
const TASKS_OF_ENDPOINTS: [&str; 4] = ["canary", "name", "probe", "scrape"];

pub(crate) fn text(content_type: &'static str, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
