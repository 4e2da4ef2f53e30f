//! The data plane's paths: an exact list, everything else is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use rhumb_flow::admission::Ask;
use rhumb_flow::overload::Level;
use rhumb_grid::service::Service;
use rhumb_openai::error::{ApiError, quote};
use rhumb_openai::json::Limits;
use rhumb_openai::request::{Api, Scan, scan};
use rhumb_route::decide::Target;
use rhumb_store::{Outcome, format_id};

use crate::attempt::{Journey, Served, Unserved};
use crate::auth::Caller;
use crate::body::{Answer, read};
use crate::hold::{Deciding, Permit, Refused, admit};
use crate::ledger::Ledger;
use crate::live::lock;
use crate::metrics::PAGE_TYPE;
use crate::place::{self, Asking};
use crate::quarantine;
use crate::request::asked;
use crate::shared::Shared;
use crate::shed::Shed;

/// Answers a request on a connection beyond those that there may be: it is not taken on, or its place would be taken
/// from those who ask how the gateway is.
pub(crate) fn handle_lent(shared: &Shared, request: &Request<Incoming>) -> Response<Answer> {
    let path = request.uri().path();
    if api_of(path).is_none() {
        return small(shared, path, request);
    }
    shared.metrics.refused();
    failed(&shared.lasting.guard.turn_away(Shed::All), shared.lasting.ids.next().0)
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
pub(crate) async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Answer> {
    let Some(api) = api_of(request.uri().path()) else { return small(&shared, request.uri().path(), &request) };
    match Box::pin(complete(&shared, api, request)).await {
        Ok(response) => response,
        Err((error, id)) => {
            if id.is_none() {
                shared.metrics.refused();
            }
            let mut response = failed(&error, id.unwrap_or_else(|| shared.lasting.ids.next().0));
            match id {
                Some(id) => {
                    response.headers_mut().insert("x-rhumb-decision", id_header(id));
                }
                // It was turned away, and its body may not have been read.
                None if error.retry => {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                None => {}
            }
            response
        }
    }
}

/// An error, and the id of the request if it was accepted.
type Failed = (ApiError, Option<u64>);

async fn complete(shared: &Arc<Shared>, api: Api, request: Request<Incoming>) -> Result<Response<Answer>, Failed> {
    let start = Instant::now();
    let refuse = |e: ApiError| (e, None);
    if request.method() != Method::POST {
        return Err(refuse(ApiError::method_not_allowed("POST")));
    }
    let (head, body) = request.into_parts();
    let caller = caller(shared, &head.headers).map_err(refuse)?;
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(|e| e != "identity") {
        return Err(refuse(ApiError::encoding()));
    }
    let gateway = &shared.grid.config.gateway;
    let asked = asked(&head.headers, shared.numbers.tenant(caller.tenant), gateway.location).map_err(refuse)?;
    let tenant = caller.tenant.map(|t| &shared.grid.config.tenants[t]);
    let policy = shared.grid.policy_for(tenant, asked.policy.as_deref()).map_err(|allowed| {
        let text = format!("`x-rhumb-policy` must be one of: {}.", allowed.join(", "));
        refuse(ApiError::invalid(text).with_param("x-rhumb-policy"))
    })?;
    drop(head);
    let level = shared.lasting.guard.level();
    if level == Level::All {
        return Err(refuse(shared.lasting.guard.turn_away(Shed::All)));
    }
    let within = Duration::from_millis(gateway.request_timeout_ms);
    let mut held = shared.lasting.guard.holding();
    let body = read(body, gateway.max_body_bytes, within, &mut held).await.map_err(refuse)?;
    let scan = scan(api, &body, Limits::default()).map_err(|r| refuse(r.into()))?;
    within_limits(&policy.service, &scan).map_err(refuse)?;
    let models = place::models(shared, &caller, &scan.model).map_err(refuse)?;
    let priority = asked.priority(&policy.service, tenant, scan.tier).map_err(refuse)?;
    if !level.takes(priority) {
        return Err(refuse(shared.lasting.guard.turn_away(Shed::Priority(priority))));
    }
    let mut asking = place::asking(shared, api, &caller, &asked, policy, models, &body, &scan);
    let id = asking.id;
    let mut ledger = Ledger {
        shared: Arc::clone(shared),
        id,
        start,
        tenant: caller.tenant,
        second_usd: policy.rates.second_usd,
        prompt_bytes: place::text_bytes(&scan),
        bytes_per_token: asking.bytes_per_token(),
        attempts: 0,
        status: 0,
        outcome: Outcome::ClientGone,
        usage: None,
        pieces: 0,
        plain: !scan.stream,
        flight: None,
        lost_usd: 0.0,
        waited: None,
    };
    if quarantine::holds(shared, &body, caller.tenant) {
        asking.decide();
        asking.record();
        let error = ApiError::quarantined();
        (ledger.outcome, ledger.status) = (Outcome::Quarantined, error.status);
        return Err((error, Some(id)));
    }
    // One beyond the clock's end is none.
    let deadline = asked.deadline_ms.and_then(|ms| start.checked_add(Duration::from_millis(ms)));
    let (mut waited, mut most) = (Duration::ZERO, asked.chain.tries(policy.rates.max_attempts));
    loop {
        let left_ms = deadline.map(|d| d.saturating_duration_since(Instant::now()).as_millis() as u64);
        let ask = asking.ask(priority, left_ms);
        let asked_at = start.elapsed();
        let (first, permit) =
            place_at_target(shared, &ask, &mut asking, &mut ledger).await.map_err(|e| (e, Some(id)))?;
        let admitted = start.elapsed();
        if ledger.waited.is_some() {
            waited += admitted - asked_at;
        }
        let (body, chain) = (&body, asked.chain);
        let journey = Journey { shared, policy, scan: &scan, body, api, placed: &asking, chain, priority, deadline };
        match journey.run(ledger, most, first, permit).await {
            Ok(served) => {
                let timing = [("decide", admitted - waited), ("queue", waited), ("first", start.elapsed())];
                return Ok(answer(shared, id, served, timing));
            }
            Err(Unserved::Failed(error)) => return Err((error, Some(id))),
            Err(Unserved::Preempted(preempted, left)) => {
                (ledger, most) = (*preempted, left);
                // It waits again, for all of it.
                if let Some(ask) = ledger.waited.take() {
                    lock(&shared.lasting.hold).settle(&ask, 0.0);
                }
                waited += start.elapsed() - admitted;
            }
        }
    }
}

/// A place at a target of the request, among those ranked for it.
async fn place_at_target(
    shared: &Arc<Shared>,
    ask: &Ask,
    asking: &mut Asking<'_>,
    ledger: &mut Ledger,
) -> Result<(usize, Permit), ApiError> {
    let gave_way = ledger.attempts > 0;
    let (outcome, error) = match admit(shared, ask, asking, gave_way).await {
        Ok(Some((target, permit, waited))) => {
            ledger.waited = waited.then_some(*ask);
            return Ok((target, permit));
        }
        Ok(None) => (Outcome::NothingEligible, asking.nothing_eligible()),
        Err(Refused(after_ms)) => {
            let text = "Every endpoint that may serve this request is busy.";
            (Outcome::Shed, ApiError::overloaded(text, after_ms))
        }
    };
    (ledger.outcome, ledger.status) = (outcome, error.status);
    Err(error)
}

/// What would multiply the work of one request is limited before anything is sent anywhere.
fn within_limits(service: &Service, scan: &Scan) -> Result<(), ApiError> {
    let refuse = |field: &str, most: u64| {
        let text = format!("`{field}` may be at most {most} under this policy.");
        Err(ApiError::invalid(text).with_param(field))
    };
    match service.max_answer_tokens {
        _ if scan.n > service.max_choices => refuse("n", service.max_choices),
        Some(most) if scan.max_tokens.is_some_and(|asked| asked > most) => refuse("max_tokens", most),
        _ => Ok(()),
    }
}

fn caller(shared: &Shared, headers: &http::HeaderMap) -> Result<Caller, ApiError> {
    let authorization = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    shared.keys.caller(authorization).ok_or_else(ApiError::unauthorized)
}

fn answer(shared: &Shared, id: u64, served: Served, timing: [(&str, Duration); 3]) -> Response<Answer> {
    let (target, content_type, body) = match served {
        Served::Plain(target, body) => (target, "application/json", Answer::Whole(body)),
        Served::Stream(target, relay) => (target, "text/event-stream; charset=utf-8", Answer::Stream(relay)),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(9);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if matches!(response.body(), Answer::Stream(_)) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    named(shared, &mut response, &target, id);
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

fn named(shared: &Shared, response: &mut Response<Answer>, target: &Target, id: u64) {
    let [endpoint, site, model] = shared.names.headers(target.endpoint, target.site, target.model);
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
    let mut response = Response::new(Answer::Whole(error.to_json().into()));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-should-retry", HeaderValue::from_static(if error.retry { "true" } else { "false" }));
    headers.insert("x-request-id", id_header(id));
    if let Some(ms) = error.retry_after_ms {
        headers.insert("retry-after-ms", ms.into());
        headers.insert(header::RETRY_AFTER, ms.div_ceil(1_000).into());
    }
    // What is left of a refused body is not read: the connection carries nothing more.
    if matches!(error.status, 401 | 405 | 408 | 413 | 415) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The paths without a body.
fn small(shared: &Shared, path: &str, request: &Request<Incoming>) -> Response<Answer> {
    let get = request.method() == Method::GET || request.method() == Method::HEAD;
    let refuse = |e: &ApiError| {
        shared.metrics.refused();
        failed(e, shared.lasting.ids.next().0)
    };
    if !matches!(path, "/v1/models" | "/health/live" | "/health/ready" | "/metrics") {
        let text = "There is no such path. This gateway serves POST /v1/chat/completions, /v1/completions, \
                    /v1/embeddings and GET /v1/models.";
        return refuse(&ApiError::not_found(text));
    }
    if !get {
        return refuse(&ApiError::method_not_allowed("GET"));
    }
    match path {
        "/health/live" | "/health/ready" => health(shared, path),
        _ => match (caller(shared, request.headers()), path) {
            (Err(e), _) => refuse(&e),
            (Ok(_), "/metrics") => text(PAGE_TYPE, shared.metrics.page(shared).into()),
            (Ok(caller), _) => text("application/json", models(shared, &caller).into()),
        },
    }
}

/// Whether it lives, and whether it may be sent requests.
pub(crate) fn health(shared: &Shared, path: &str) -> Response<Answer> {
    if path == "/health/live" { text("text/plain", "live\n".into()) } else { ready(shared) }
}

/// Ready while any endpoint is not known to be ill and the gateway's own background tasks run.
fn ready(shared: &Shared) -> Response<Answer> {
    let (of_endpoints, own): (Vec<_>, Vec<_>) =
        shared.lasting.tasks.down().into_iter().partition(|kind| TASKS_OF_ENDPOINTS.contains(kind));
    let down =
        |kinds: &[&str]| format!("background tasks that have failed and are started again: {}\n", kinds.join(", "));
    let is_any_well = shared.view.load().rows.iter().any(|r| !r.ill);
    let said = match (is_any_well, own.is_empty(), of_endpoints.is_empty()) {
        (true, true, true) => return text("text/plain", "ready\n".into()),
        // What one endpoint makes fail takes the gateway from nobody.
        (true, true, false) => return text("text/plain", format!("ready; {}", down(&of_endpoints)).into()),
        (_, false, _) => down(&own),
        (false, true, _) => "every endpoint is ill\n".to_owned(),
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

fn models(shared: &Shared, caller: &Caller) -> String {
    let config = &shared.grid.config;
    let allowed = caller.tenant.map(|t| &config.tenants[t].models).filter(|m| !m.is_empty());
    let owner = |virtual_model: bool| if virtual_model { "rhumb" } else { "grid" };
    let names = config.models.iter().map(|m| (&m.name, false));
    let all = names.chain(config.virtual_models.iter().map(|v| (&v.name, true)));
    let entries: Vec<String> = all
        .filter(|(name, _)| allowed.is_none_or(|a| a.contains(name)))
        .map(|(name, v)| {
            format!("{{\"id\":{},\"object\":\"model\",\"created\":0,\"owned_by\":\"{}\"}}", quote(name), owner(v))
        })
        .collect();
    format!("{{\"object\":\"list\",\"data\":[{}]}}", entries.join(","))
}
