//! The admin API: explanations, endpoints, drains, and the configuration in force. It has no authentication of its own
//! yet and listens on loopback.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use rhumb_api::ApiError;
use rhumb_core::facts::{Estimates, RequestShape, facts};
use rhumb_grid::config::Accepts;
use rhumb_grid::config::Dialect;
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_json::Limits;
use rhumb_openai::request::{Api, scan};
use rhumb_route::decide::{Choice, KEPT, Scratch, World, decide};
use rhumb_route::explain::{Explanation, explain, explain_record};
use rhumb_route::record::{Kept, Record};
use rhumb_route::row::{LocalLoad, Row};
use rhumb_route::view::{EndpointState, View, Viewer};
use serde::{Deserialize, Serialize};

use rhumb_record::{format_id, parse_id};
use rhumb_store::Intent;

use crate::admission_queue::look_again;
use crate::answer::{failed, text};
use crate::body::{Answer, read};
use crate::endpoints::{EndpointNow, endpoints};
use crate::epoch::ConfigEpoch;
use crate::exposition;
use crate::foreign;
use crate::head;
use crate::health::health;
use crate::lock::lock;
use crate::names::NameTable;
use crate::reload::Gateway;
use crate::routing::{nearest_models, shape};

/// Answers one request of an admin.
pub(crate) async fn handle(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<Answer> {
    let epoch = gateway.now();
    let path = request.uri().path().to_owned();
    // Health discloses nothing, and is asked for under whatever name a prober has.
    if matches!(path.as_str(), "/health" | "/health/live" | "/health/ready") {
        return health(&epoch, &path);
    }
    if let Err(e) = head::check(&request).and_then(|()| foreign::check(&epoch.grid.config.gateway, &request)) {
        return failed(Dialect::Chat, &e, 0);
    }
    let method = if path == DRAIN { Method::POST } else { Method::GET };
    if request.method() != method {
        return failed(Dialect::Chat, &ApiError::method_not_allowed(method.as_str()), 0);
    }
    if let Some(id) = path.strip_prefix("/admin/v1/decisions/") {
        return match parse_id(id) {
            Some(id) => decision(epoch, id).await,
            None => failed(
                Dialect::Chat,
                &ApiError::invalid("A decision id has 13 characters, as in `x-rhumb-decision`."),
                0,
            ),
        };
    }
    if let Some(name) = path.strip_prefix("/admin/v1/sessions/") {
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        let named = epoch.state.sessions.now(Some(&name), usize::MAX);
        if named.is_empty() {
            let text = "There is no such session, or it was not used lately; GET /admin/v1/sessions lists all.";
            return failed(Dialect::Chat, &ApiError::not_found(text), 0);
        }
        return json(&named);
    }
    match path.as_str() {
        "/admin/v1/sessions" => json(&epoch.state.sessions.now(None, SESSIONS_MAX)),
        "/metrics" => exposition::page(&epoch, request.headers()),
        "/admin/v1/config" => config(&gateway, &epoch),
        "/admin/v1/endpoints" => json(&endpoints(&epoch, |_, _| true)),
        DRAIN => match drain(&epoch, request).await {
            Ok(endpoints) => json(&endpoints),
            Err(e) => failed(Dialect::Chat, &e, 0),
        },
        _ => {
            let text = "The admin API serves GET /admin/v1/config, GET /admin/v1/decisions/ID, GET /admin/v1/endpoints, \
                        GET /admin/v1/sessions, GET /admin/v1/sessions/NAME, POST /admin/v1/drain and GET /metrics.";
            failed(Dialect::Chat, &ApiError::not_found(text), 0)
        }
    }
}

/// Most sessions of one list, the ones used last.
const SESSIONS_MAX: usize = 1_000;

const DRAIN: &str = "/admin/v1/drain";

/// Longest request that changes something, and the longest time that it may take to come.
const CHANGE_BYTES_MAX: u64 = 64 << 10;
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// What `POST /admin/v1/drain` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draining {
    /// Of a site or an endpoint.
    name: String,
    accepts: Accepts,
}

/// Has a site or an endpoint take fewer requests, or all again. Those endpoints afterwards.
async fn drain(epoch: &Arc<ConfigEpoch>, request: Request<Incoming>) -> Result<Vec<EndpointNow>, ApiError> {
    let body = read(request.into_body(), CHANGE_BYTES_MAX, CHANGE_TIMEOUT, &mut epoch.state.limits.holding()).await?;
    let Draining { name, accepts } = serde_json::from_slice(&body).map_err(|e| {
        let example = r#"{"name": "SITE OR ENDPOINT", "accepts": "new_and_existing" | "existing_only" | "none"}"#;
        let e: String = e.to_string().chars().take(200).collect();
        ApiError::invalid(format!("The body must be {example}: {e}."))
    })?;
    let meant = |endpoint: &str, site: &str| endpoint == name || site == name;
    // One write at a time, each on top of the one before.
    let _changing = lock(&epoch.state.draining);
    let drains = lock(&epoch.state.drains).clone();
    // What has gone since may be opened for when it comes back.
    if endpoints(epoch, meant).is_empty() && !(accepts == Accepts::NewAndExisting && drains.has(&name)) {
        let shown: String = name.chars().take(100).collect();
        let text = format!("There is no site or endpoint `{shown}`; GET /admin/v1/endpoints lists all.");
        return Err(ApiError::not_found(text));
    }
    let drains = drains.with(&name, accepts).map_err(|e| {
        tracing::error!("`{name}` is not drained: drains.json cannot be written: {e}");
        ApiError::invalid("Nothing was changed: the gateway cannot write drains.json in its data folder.")
    })?;
    *lock(&epoch.state.drains) = drains;
    tracing::info!("`{name}` accepts {} from now on", accepts.name());
    // The view is what decisions read, and those who wait may have nothing to wait for.
    epoch.publish();
    look_again(&epoch.state.queue, epoch.now_ms());
    Ok(endpoints(epoch, meant))
}

fn json(value: &impl Serialize) -> Response<Answer> {
    text("application/json", serde_json::to_vec(value).unwrap_or_default().into())
}

/// The configuration in force, how the last reload went, and what requests are still served under besides.
fn config(gateway: &Gateway, epoch: &ConfigEpoch) -> Response<Answer> {
    let mut said = serde_json::json!(gateway.status());
    let older = epoch.versions.all().into_iter().filter(|v| v.version != epoch.version);
    said["still_serving"] = older.map(|v| v.version.to_string()).collect();
    text("application/json", said.to_string().into())
}

async fn decision(epoch: Arc<ConfigEpoch>, id: u64) -> Response<Answer> {
    let log = epoch.state.log.clone();
    let found = tokio::task::spawn_blocking(move || log.find(id)).await.ok().flatten();
    let Some(intent) = found else {
        let text = "This decision is not among the recent ones; `rhumb replay` reads older ones from the log.";
        return failed(Dialect::Chat, &ApiError::not_found(text), id);
    };
    json(&explained(&intent))
}

/// A view with the local loads of a decision's time.
struct Then<'a> {
    view: &'a View,
    local_loads: &'a [LocalLoad],
    kept: &'a [Kept],
}

impl World for Then<'_> {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        self.view.rows(model)
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        let kept = || self.kept.iter().find(|k| k.endpoint == endpoint).map(|k| k.local_load);
        self.local_loads.get(endpoint.at()).copied().or_else(kept).unwrap_or_default()
    }
}

fn explained(intent: &Intent) -> Explanation {
    let (id, record) = (format_id(intent.id), intent.record());
    let version = intent.view.version;
    if intent.local_loads.is_empty() && intent.view.rows.iter().any(|r| r.endpoint.at() >= KEPT) {
        return explain_record(&id, &record, &*intent.names);
    }
    let world = Then { view: &intent.view, local_loads: &intent.local_loads, kept: &intent.kept };
    explain(&id, version, &world, &intent.facts, &record, &*intent.names)
}

/// Decides on a request body against a configuration alone, with no readings: what `rhumb explain --request` shows.
///
/// # Errors
/// The body is not a chat request of this grid.
pub fn dry_run(grid: &Grid, body: &[u8]) -> Result<Explanation, ApiError> {
    let scan = scan(Api::Chat, body, Limits::default(), &[])?;
    let Some(models) = grid.models_named(&scan.request.model) else {
        let near = nearest_models(grid, &scan.request.model, |_| true).join("`, `");
        let text =
            format!("The model `{}` is not in the configuration; the nearest names are `{near}`.", scan.request.model);
        return Err(ApiError::model_not_found(text));
    };
    let names = NameTable::new(grid, String::new(), None);
    let view = Viewer::new(grid, rhumb_route::view::perf_of(grid))
        .view(&vec![EndpointState::default(); grid.config.endpoints.len()], 0);
    let policy = grid.policy_for(None, None).map_err(|_| ApiError::invalid("The gateway's policy does not exist."))?;
    let shape = RequestShape {
        countries: policy.countries.clone(),
        affinity: scan.request.conversation_hash.or(scan.request.cache_key_hash),
        ..shape(Api::Chat, &scan.request, models.to_vec())
    };
    let facts = facts(shape, &Estimates::default());
    let choice = Choice { rates: policy.rates, router: grid.config.gateway.router, seed: 0 };
    let world = Then { view: &view, local_loads: &[], kept: &[] };
    let decision = decide(&world, &facts, &choice, &mut Scratch::default());
    let record = Record::new(view.version, &world, facts, choice, &Kept::of(&decision));
    Ok(explain("dry-run", view.version, &world, &record.facts, &record, &names))
}
