//! From a scanned request to ranked targets.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rhumb_api::ApiError;
use rhumb_api::{Prompt, Request};
use rhumb_core::facts::{PromptSize, RequestShape, facts};
use rhumb_document::distance::closest;
use rhumb_flow::admission::AdmissionRequest;
use rhumb_flow::fair::{From, cost};
use rhumb_grid::config::{Model, Priority};
use rhumb_grid::dialects::Dialects;
use rhumb_grid::index::{Grid, NamedRates};
use rhumb_grid::position::{EndpointIndex, ModelIndex, TenantIndex};
use rhumb_openai::request::{Api, BLOCK_BYTES, Scan, block_hashes};
use rhumb_route::compact_row::CompactRow;
use rhumb_route::decide::{Choice, Decision, Drop, KEPT, Scratch, Target, World, decide};
use rhumb_route::facts::Facts;
use rhumb_route::lower_bound::LowerBounds;
use rhumb_route::prefix::Held;
use rhumb_route::record::{Kept, fingerprint};
use rhumb_route::row::{Able, LocalLoad, Row};
use rhumb_route::view::View;
use rhumb_store::Intent;
use xxhash_rust::xxh3::xxh3_64;

use crate::auth::Caller;
use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::names::NameTable;
use crate::operation::Operation;
use crate::pipeline::authenticate::Head;
use crate::request_headers::own_hash;

/// The world as a live gateway sees it.
pub(crate) struct LiveWorld<'a> {
    pub(crate) view: &'a View,
    pub(crate) epoch: &'a ConfigEpoch,
}

impl World for LiveWorld<'_> {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        self.view.rows(model)
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        self.epoch.live[endpoint].local_load()
    }

    fn lower_bounds(&self, model: ModelIndex) -> &[LowerBounds] {
        World::lower_bounds(self.view, model)
    }

    fn compact_rows(&self, model: ModelIndex) -> &[CompactRow] {
        World::compact_rows(self.view, model)
    }
}

/// A request on which can be decided, now and again later.
pub(crate) struct RoutingRequest<'a> {
    pub(crate) epoch: &'a Arc<ConfigEpoch>,
    pub(crate) id: u64,
    at_unix_ms: u64,
    operation: Operation,
    pub(crate) caller: &'a Caller,
    pub(crate) policy: &'a NamedRates,
    model: &'a str,
    facts: Facts,
    tokens_per_block: f64,
    /// Hash of its session, if it has one.
    pub(crate) session: Option<u64>,
    /// Chained hashes of its prompt.
    pub(crate) blocks: Vec<u64>,
    /// What was decided last, on which view and how.
    pub(crate) decision: Decision,
    view: Arc<View>,
    choice: Choice,
}

/// Longest prefix that is looked up: 8 MiB of prompt.
const BLOCKS_MAX: usize = 8_192;

/// Overlays are kept with a decision, for a full explanation, up to so many endpoints.
const LOCAL_LOADS_MAX: usize = 256;

#[derive(Default)]
struct Memory {
    scratch: Scratch,
    held: Vec<Held>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// The models a request may be served by.
///
/// # Errors
/// There is no such model, or the tenant may not use it; both look alike from outside.
pub(crate) fn models(epoch: &ConfigEpoch, caller: &Caller, name: &str) -> Result<Vec<ModelIndex>, ApiError> {
    let grid = &epoch.grid;
    let allowed = |n: &str| match caller.tenant.map(|t| &grid.config.tenants[t].models) {
        Some(list) if !list.is_empty() => list.iter().any(|m| m == n),
        _ => true,
    };
    match grid.models_named(name) {
        Some(models) if allowed(name) => Ok(models.to_vec()),
        _ => {
            let near = nearest_models(grid, name, allowed);
            let near = near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            let near = if near.is_empty() { near } else { format!("The nearest names are {near}; ") };
            let shown: String = name.chars().take(100).collect();
            let text = format!("The model `{shown}` does not exist. {near}GET /v1/models lists all.");
            Err(ApiError::model_not_found(text))
        }
    }
}

/// The names of models closest to one that is not known, best first, at most three. Of a long text the beginning is compared.
pub(crate) fn nearest_models<'a>(grid: &'a Grid, wrong: &str, allowed: impl Fn(&str) -> bool) -> Vec<&'a str> {
    closest(wrong, grid.model_names().filter(|n| allowed(n)), 3)
}

/// What a scanned body says by itself.
pub(crate) fn shape(api: Api, request: &Request, models: Vec<ModelIndex>) -> RequestShape {
    RequestShape {
        models,
        prompt: prompt_size(&request.prompt),
        certain_tokens: request.prompt.certain_tokens(!api.generates()) as f64,
        max_tokens: request.max_tokens,
        sequences: sequences(request),
        streams: request.stream,
        needs: Able {
            vision: request.prompt.images,
            audio: request.prompt.audio,
            tools: request.tools,
            tasks: api.tasks(),
            dialects: Dialects::default(),
        },
        countries: Vec::new(),
        client_ms: 0.0,
        affinity: None,
        pin: None,
        hits: Vec::new(),
    }
}

/// A prompt as the core sees it.
pub(crate) fn prompt_size(prompt: &Prompt) -> PromptSize {
    PromptSize {
        inputs: prompt.inputs as f64,
        text: prompt.text as f64,
        longest_text: prompt.longest_text as f64,
        ids: prompt.ids as f64,
        longest_ids: prompt.longest_ids as f64,
        media: prompt.media as f64,
        is_truncated: prompt.truncated,
    }
}

/// Answers that a request asks for, as far as they are expected.
pub(crate) fn sequences(request: &Request) -> f64 {
    request.sequences().min(SEQUENCES_MAX) as f64
}

/// What is expected of a request is bounded where its policy does not bound it.
const SEQUENCES_MAX: u64 = 1_024;

/// Where a request may be served: what its policy and its tenant both allow.
fn countries(epoch: &ConfigEpoch, policy: &NamedRates, tenant: Option<TenantIndex>) -> Vec<[u8; 2]> {
    let mut countries = policy.countries.clone();
    if let Some(t) = tenant {
        restrict(&mut countries, &epoch.grid.tenant_countries[t]);
    }
    countries
}

/// Two lists of countries both hold; an empty one allows all. When nothing is in both, nothing is allowed.
fn restrict(countries: &mut Vec<[u8; 2]>, also: &[[u8; 2]]) {
    if also.is_empty() {
        return;
    }
    if countries.is_empty() {
        *countries = also.to_vec();
        return;
    }
    countries.retain(|c| also.contains(c));
    if countries.is_empty() {
        // No country has this code, so every candidate is dropped for residency.
        countries.push([0, 0]);
    }
}

impl<'a> RoutingRequest<'a> {
    /// Gathers what a decision on a request needs of it.
    pub(crate) fn new(
        epoch: &'a Arc<ConfigEpoch>,
        operation: Operation,
        head: &'a Head<'a>,
        models: Vec<ModelIndex>,
        (body, dialects): (&[u8], Dialects),
        scan: &'a Scan,
    ) -> Self {
        let (Head { caller, headers, policy, .. }, request) = (head, &scan.request);
        let (tenant, number) = (caller.tenant, epoch.numbers.tenant(caller.tenant));
        let session = headers.session.or_else(|| request.conversation_hash.map(|h| own_hash(&h.to_le_bytes(), number)));
        let first_model = models.first().copied().unwrap_or(ModelIndex(0));
        let mut blocks = Vec::new();
        block_hashes(body, scan, own_hash(b"", number), BLOCKS_MAX, &mut blocks);
        let shape = RequestShape {
            max_tokens: request.max_tokens.or(policy.service.max_answer_tokens),
            countries: countries(epoch, policy, tenant),
            client_ms: headers.client_ms,
            // A session returns to its endpoint; without one, prompts that begin alike go where they may share a cache.
            affinity: session.or(request.cache_key_hash).or(blocks.first().copied()),
            ..shape(operation.api(), request, models)
        };
        let shape = RequestShape { needs: Able { dialects, ..shape.needs }, ..shape };
        let facts = facts(shape, &lock(epoch.estimates(tenant, first_model)));
        let (id, at_unix_ms) = epoch.state.ids.next();
        let router = epoch.grid.config.gateway.router;
        Self {
            epoch,
            id,
            at_unix_ms,
            operation,
            caller,
            policy,
            model: &request.model,
            tokens_per_block: BLOCK_BYTES as f64 * facts.prompt_tokens / request.prompt_bytes as f64,
            facts,
            session,
            blocks,
            decision: Decision::default(),
            view: epoch.view.load_full(),
            choice: Choice { rates: policy.rates, router, seed: 0 },
        }
    }

    /// It opens a session, in which nothing has been said yet.
    pub(crate) fn is_session(&self) -> bool {
        self.operation == Operation::Realtime
    }

    /// Tokens of its prompt, estimated.
    pub(crate) fn prompt_tokens(&self) -> f64 {
        self.facts.prompt_tokens
    }

    /// Decides on what is known now.
    pub(crate) fn decide(&mut self) {
        let (epoch, facts) = (self.epoch, &mut self.facts);
        let router = epoch.grid.config.gateway.router;
        let seed = epoch.state.turn.fetch_add(1, Ordering::Relaxed);
        self.choice = Choice { rates: self.policy.rates, router, seed };
        facts.pin = self.session.and_then(|s| epoch.pinned(s));
        self.view = epoch.current_view();
        let world = LiveWorld { view: &self.view, epoch };
        self.decision = MEMORY.with_borrow_mut(|memory| {
            if !self.blocks.is_empty() {
                epoch.lookup(&self.blocks, self.tokens_per_block, &mut memory.held, &mut facts.hits);
            }
            decide(&world, facts, &self.choice, &mut memory.scratch)
        });
    }

    /// The ranked targets of the last decision that it may be given a place at.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.decision.targets[..self.decision.fitting]
    }

    /// What was decided last is what is done: the log is to say it.
    pub(crate) fn record(&self) {
        let live = &self.epoch.live;
        let local_loads = match live.len() {
            n if (KEPT + 1..=LOCAL_LOADS_MAX).contains(&n) => live.iter().map(|l| l.local_load()).collect(),
            _ => Vec::new(),
        };
        self.epoch.state.log.decided(Box::new(Intent {
            id: self.id,
            at_unix_ms: self.at_unix_ms,
            tenant: Arc::clone(&self.caller.tenant_name),
            key: Arc::clone(&self.caller.key_name),
            api: self.operation.path(),
            model: self.model.to_owned(),
            policy: Arc::clone(&self.policy.name),
            names: Arc::<NameTable>::clone(&self.epoch.names),
            view: Arc::clone(&self.view),
            facts: self.facts.clone(),
            choice: self.choice,
            kept: Kept::of(&self.decision),
            fingerprint: fingerprint(&self.decision),
            local_loads,
        }));
    }
}

impl RoutingRequest<'_> {
    /// What admission has to know of it.
    pub(crate) fn ask(&self, priority: Priority, deadline_ms: Option<u64>) -> AdmissionRequest {
        let (rates, service, tenant) = (&self.policy.rates, &self.policy.service, self.caller.tenant);
        let config = &self.epoch.grid.config;
        AdmissionRequest {
            queue_class: self.epoch.queue_class(&self.facts.models),
            priority,
            from: From {
                tenant: self.epoch.numbers.tenant(tenant),
                // Requests without a session take turns one by one.
                session: self.session.unwrap_or(self.id),
            },
            weight: tenant.map_or(1.0, |t| config.tenants[t].weight),
            slo_ms: rates.ttft_slo_ms,
            wait_max_ms: deadline_ms.map_or(service.max_wait_ms, |d| d.min(service.max_wait_ms)) as f64,
            cost: cost(self.facts.prompt_tokens, self.facts.output_tokens),
            jitter: (xxh3_64(&self.id.to_le_bytes()) >> 11) as f64 / (1_u64 << 53) as f64,
        }
    }

    /// The error when nothing may serve it, as decided last: counts by reason, never the topology.
    pub(crate) fn nothing_eligible(&self) -> ApiError {
        let count = |r: Drop| self.decision.drops[r as usize];
        if count(Drop::Unhealthy) + count(Drop::Power) + count(Drop::Draining) > 0 {
            let reasons: Vec<String> =
                Drop::ALL.iter().filter(|r| count(**r) > 0).map(|r| format!("{} {}", count(*r), r.code())).collect();
            return ApiError::nothing_eligible(format!(
                "No candidate can serve this request now: {}.",
                reasons.join(", ")
            ));
        }
        if count(Drop::Context) > 0 {
            let text = format!(
                "The prompt and the answer do not fit any model here: the largest context is {} tokens.",
                self.decision.largest_context
            );
            return ApiError::context_length(text);
        }
        if count(Drop::Residency) > 0 {
            let text = "No site in the countries that this request may be served in can serve it.";
            return ApiError::forbidden("data_residency_mismatch", text);
        }
        if count(Drop::Modality) > 0 {
            let shown: String = self.model.chars().take(100).collect();
            let models = self.facts.models.iter().map(|m| &self.epoch.grid.config.models[*m]);
            let text = format!("The model `{shown}` {}", not_configured(self.facts.needs, &models.collect::<Vec<_>>()));
            return ApiError::invalid(text).with_param("model");
        }
        if count(Drop::Dialect) > 0 {
            let text = "No endpoint of this model speaks a dialect in which this request can be put: its operator can add one \
                        under `dialects`.";
            return ApiError::invalid(text);
        }
        ApiError::nothing_eligible("No endpoint serves this model.")
    }

    /// What keeps its tenant's cache apart at an endpoint. What is no text does not tell what was cached.
    pub(crate) fn salt(&self, endpoint: EndpointIndex) -> Option<&str> {
        self.epoch.salt(self.caller.tenant, endpoint).filter(|_| self.operation.api().generates())
    }

    /// Bytes one token of the answer takes on the wire.
    pub(crate) fn bytes_per_token(&self) -> f64 {
        self.facts.bytes_per_token
    }

    /// Tokens that the answer is expected to have.
    pub(crate) fn output_tokens(&self) -> f64 {
        self.facts.output_tokens
    }
}

/// Why models do not take a request that needs this, as the rest of a sentence; it says which line of the configuration
/// would change that.
fn not_configured(needs: Able, models: &[&Model]) -> String {
    if needs.tasks.is_empty() && models.iter().all(|m| !m.tasks().is_empty()) {
        let tasks = models.first().map(|m| m.tasks().keys().join("` and `")).unwrap_or_default();
        return format!("generates no text: its entry under `models` says `{tasks}`.");
    }
    let none = |has: fn(&Model) -> bool| !models.iter().any(|m| has(m));
    let lacks_task = !needs.tasks.is_empty() && !models.iter().any(|m| m.tasks().serve(needs.tasks));
    let task = needs.tasks.keys().iter().map(|key| format!("`{key}: true`")).collect::<Vec<_>>().join(" and ");
    let lines = [
        (lacks_task, task.as_str()),
        (needs.vision && none(|m| m.vision), "`vision: true`"),
        (needs.audio && none(|m| m.audio), "`audio: true`"),
        (needs.tools && none(|m| m.tools), "`tools: true`"),
    ];
    let lacks: Vec<&str> = lines.into_iter().filter(|(lacks, _)| *lacks).map(|(_, line)| line).collect();
    if lacks.is_empty() {
        return "does not take what this request needs (images, audio, tools, or this API).".to_owned();
    }
    let lines = lacks.join(" and ");
    format!("is not configured for what this request needs. If it can do it, its entry under `models` takes {lines}.")
}

#[cfg(test)]
mod tests {
    use rhumb_grid::tasks::Tasks;

    use super::*;

    #[test]
    fn an_ability_that_is_not_configured_names_its_line() {
        let model = |text: &str| -> Model { serde_json::from_str(text).unwrap() };
        let (chat, vectors) = (model(r#"{"name":"a","tools":false}"#), model(r#"{"name":"b","embedding":true}"#));
        let none = Able::default();
        let said = |needs, models: &[&Model]| not_configured(needs, models);
        assert!(said(Able { tasks: Tasks::EMBEDDING, ..none }, &[&chat]).ends_with("takes `embedding: true`."));
        let both = Able { vision: true, tools: true, ..none };
        assert!(said(both, &[&chat]).ends_with("takes `vision: true` and `tools: true`."));
        assert_eq!(said(none, &[&vectors]), "generates no text: its entry under `models` says `embedding`.");
        assert!(said(Able { tasks: Tasks::EMBEDDING, ..none }, &[&chat, &vectors]).starts_with("does not take"));
    }

    #[test]
    fn countries_of_policy_and_tenant_both_hold() {
        let both = |a: &[&[u8; 2]], b: &[&[u8; 2]]| {
            let mut list: Vec<[u8; 2]> = a.iter().map(|c| **c).collect();
            restrict(&mut list, &b.iter().map(|c| **c).collect::<Vec<_>>());
            list
        };
        assert_eq!(both(&[], &[b"DE"]), [*b"DE"]);
        assert_eq!(both(&[b"DE", b"FR"], &[b"FR", b"US"]), [*b"FR"]);
        assert_eq!(both(&[b"DE"], &[]), [*b"DE"]);
        assert_eq!(both(&[b"DE"], &[b"US"]), [[0, 0]]);
    }
}
