//! The admin API: explanations. It has no authentication of its own yet and listens on loopback.

use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use rhumb_grid::index::Grid;
use rhumb_openai::error::ApiError;
use rhumb_openai::json::Limits;
use rhumb_openai::request::{Api, scan};
use rhumb_route::decide::{Choice, KEPT, Scratch, World, decide};
use rhumb_route::explain::{Explanation, explain, explain_record};
use rhumb_route::facts::Facts;
use rhumb_route::record::{Kept, Record};
use rhumb_route::row::{Able, Overlay, Row};
use rhumb_route::view::{EndpointState, View, Viewer};
use rhumb_store::{Intent, format_id, parse_id};

use crate::body::Answer;
use crate::metrics::PAGE_TYPE;
use crate::names::NameTable;
use crate::routes::{failed, health, text};
use crate::shared::Shared;

/// Answers one request of an admin.
pub(crate) async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Answer> {
    let path = request.uri().path().to_owned();
    if request.method() != Method::GET {
        return failed(&ApiError::method_not_allowed("GET"), 0);
    }
    match path.strip_prefix("/admin/v1/decisions/") {
        Some(id) => match parse_id(id) {
            Some(id) => decision(shared, id).await,
            None => failed(&ApiError::invalid("A decision id has 13 characters, as in `x-rhumb-decision`."), 0),
        },
        None if matches!(path.as_str(), "/health/live" | "/health/ready") => health(&shared, &path),
        None if path == "/metrics" => text(PAGE_TYPE, shared.metrics.page(&shared).into()),
        None => failed(&ApiError::not_found("The admin API serves /admin/v1/decisions/ID and /metrics."), 0),
    }
}

async fn decision(shared: Arc<Shared>, id: u64) -> Response<Answer> {
    let log = shared.log.clone();
    let found = tokio::task::spawn_blocking(move || log.find(id)).await.ok().flatten();
    let Some(intent) = found else {
        let text = "This decision is not among the recent ones; `rhumb replay` reads older ones from the log.";
        return failed(&ApiError::not_found(text), id);
    };
    let e = explained(&shared, &intent);
    text("application/json", serde_json::to_vec(&e).unwrap_or_default().into())
}

/// A view with the overlays of a decision's time.
struct Then<'a> {
    view: &'a View,
    overlays: &'a [Overlay],
    kept: &'a [Kept],
}

impl World for Then<'_> {
    fn rows(&self, model: u32) -> &[Row] {
        self.view.rows(model)
    }

    fn overlay(&self, endpoint: u32) -> Overlay {
        let kept = || self.kept.iter().find(|k| k.endpoint == endpoint).map(|k| k.overlay);
        self.overlays.get(endpoint as usize).copied().or_else(kept).unwrap_or_default()
    }
}

fn explained(shared: &Shared, intent: &Intent) -> Explanation {
    let (id, record) = (format_id(intent.id), intent.record());
    let version = intent.view.version;
    if intent.overlays.is_empty() && shared.live.len() > KEPT {
        return explain_record(&id, &record, &shared.names);
    }
    let world = Then { view: &intent.view, overlays: &intent.overlays, kept: &intent.kept };
    explain(&id, version, &world, &intent.facts, &record, &shared.names)
}

/// Decides on a request body against a configuration alone, with no readings: what `rhumb explain --request` shows.
///
/// # Errors
/// The body is not a chat request of this grid.
pub fn dry_run(grid: &Grid, body: &[u8]) -> Result<Explanation, ApiError> {
    let scan = scan(Api::Chat, body, Limits::default())?;
    let Some(models) = grid.models_named(&scan.model) else {
        let near = grid.nearest_models(&scan.model, |_| true).join("`, `");
        let text = format!("The model `{}` is not in the configuration; the nearest names are `{near}`.", scan.model);
        return Err(ApiError::model_not_found(text));
    };
    let names = NameTable::new(grid);
    let view = Viewer::new(grid, rhumb_route::view::perf_of(grid))
        .view(&vec![EndpointState::default(); grid.config.endpoints.len()], 0);
    let policy = grid.policy_for(None, None).map_err(|_| ApiError::invalid("The gateway's policy does not exist."))?;
    let facts = Facts {
        models: models.to_vec(),
        prompt_tokens: (crate::place::text_bytes(&scan) as f64 / 4.0).max(1.0),
        output_tokens: scan.max_tokens.map_or(200.0, |m| m as f64),
        max_tokens: scan.max_tokens,
        bytes_per_token: 190.0,
        needs: Able { vision: scan.seen.image, audio: scan.seen.audio, tools: scan.tools, embedding: false },
        countries: policy.countries.clone(),
        client_ms: 0.0,
        affinity: scan.conversation_hash.or(scan.cache_key_hash),
        pin: None,
        hits: Vec::new(),
    };
    let choice = Choice { rates: policy.rates, router: grid.config.gateway.router, seed: 0 };
    let world = Then { view: &view, overlays: &[], kept: &[] };
    let decision = decide(&world, &facts, &choice, &mut Scratch::default());
    let record = Record::new(view.version, &world, facts, choice, &Kept::of(&decision));
    Ok(explain("dry-run", view.version, &world, &record.facts, &record, &names))
}
