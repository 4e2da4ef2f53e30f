//! The account of one request: it is settled exactly once, however the request ends.

use std::sync::Arc;
use std::time::Instant;

use rhumb_core::facts::PromptSize;
use rhumb_core::usage::Usage;
use rhumb_flow::admission::AdmissionRequest;
use rhumb_flow::evidence::Source;
use rhumb_flow::fair::cost;
use rhumb_grid::config::EngineErrors;
use rhumb_grid::position::TenantIndex;
use rhumb_openai::request::Scan;
use rhumb_record::Outcome;
use rhumb_route::decide::Target;
use rhumb_route::explain::Names as _;
use rhumb_store::Ended;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::epoch::ConfigEpoch;
use crate::in_flight::InFlight;
use crate::lock::lock;
use crate::parts::LiveParts;
use crate::request_metrics::Of;
use crate::routing::{RoutingRequest, prompt_size, sequences};

/// Kept by whatever will end the request; dropping it is the end.
pub(crate) struct RequestRecord {
    pub(crate) epoch: Arc<ConfigEpoch>,
    pub(crate) id: u64,
    start_us: u64,
    pub(crate) tenant: Option<TenantIndex>,
    /// The request, as evidence for or against an endpoint knows it.
    pub(crate) source: Source,
    /// How much the client sees of an engine's refusal.
    pub(crate) engine_errors: EngineErrors,
    /// More tokens than these, of prompt and answer, cannot be the request's.
    pub(crate) tokens_max: (u64, u64),
    /// The name of the model asked for, one of the configuration's.
    pub(crate) model: String,
    /// Value of a second under the request's policy.
    pub(crate) second_usd: f64,
    prompt: PromptSize,
    /// Answers that it asks for.
    sequences: f64,
    /// Bytes one token of the answer takes on the wire.
    pub(crate) bytes_per_token: f64,
    pub(crate) attempts: u32,
    pub(crate) status: u16,
    /// Until something better is known, the client left.
    pub(crate) outcome: Outcome,
    usage: Option<Usage>,
    /// Pieces of content seen, the estimate of tokens where usage is not stated.
    pub(crate) pieces: u64,
    /// The answer is not streamed: when it began is not known, only when it was whole.
    pub(crate) plain: bool,
    pub(crate) in_flight: Option<InFlight>,
    /// Where it failed last.
    pub(crate) last: Option<Target>,
    /// What a second try that another was quicker than has cost.
    pub(crate) lost_usd: f64,
    /// What it asked of admission, if it had to wait: what was charged then is set right at the end.
    pub(crate) waited: Option<AdmissionRequest>,
}

/// Tokens beyond what a body's bytes make, and of an answer that nobody limits: more than any context has.
const TOKENS_MAX: u64 = 1 << 20;

/// Pieces of content beyond which the pace of an answer shows.
const PIECES_MIN: u64 = 8;

/// Of a long request only the beginning and the end tell it from others, as evidence.
const TAG_BYTES: usize = 4 << 10;

/// A number that tells a request from others.
fn tag(body: &[u8]) -> u64 {
    if body.len() <= 2 * TAG_BYTES {
        return xxh3_64(body);
    }
    let (head, tail) = (&body[..TAG_BYTES], &body[body.len() - TAG_BYTES..]);
    xxh3_64_with_seed(tail, xxh3_64_with_seed(head, body.len() as u64))
}

impl RequestRecord {
    /// Of a request that has been accepted.
    pub(crate) fn new(routing: &RoutingRequest<'_>, start: Instant, scan: &Scan, body: &[u8]) -> Self {
        let (epoch, tenant, policy, request) = (routing.epoch, routing.caller.tenant, routing.policy, &scan.request);
        let answer_max = request.max_tokens.unwrap_or(0).max(TOKENS_MAX).saturating_mul(request.sequences().max(1));
        epoch.metrics.gauges.in_progress.inc();
        Self {
            epoch: Arc::clone(epoch),
            id: routing.id,
            start_us: epoch.state.us_at(start),
            tenant,
            model: request.model.clone(),
            source: Source { tenant: epoch.numbers.tenant(tenant), request: tag(body) },
            engine_errors: policy.service.engine_errors,
            tokens_max: (body.len() as u64 + TOKENS_MAX, answer_max),
            second_usd: policy.rates.second_usd,
            prompt: prompt_size(&request.prompt),
            sequences: sequences(request),
            bytes_per_token: routing.bytes_per_token(),
            attempts: 0,
            status: 0,
            outcome: Outcome::ClientGone,
            usage: None,
            pieces: 0,
            plain: !request.stream,
            in_flight: None,
            last: None,
            lost_usd: 0.0,
            waited: None,
        }
    }

    /// The engine states what was used. What cannot be the request's is not believed: it would spoil books, bills and what
    /// is learnt.
    pub(crate) fn state_usage(&mut self, usage: Option<rhumb_api::Usage>) {
        let (prompt_max, output_max) = self.tokens_max;
        let usage = usage.map(|u| Usage {
            prompt_tokens: u.prompt_tokens,
            cached_tokens: u.cached_tokens,
            output_tokens: u.output_tokens,
        });
        self.usage = usage.filter(|u| u.prompt_tokens <= prompt_max && u.output_tokens <= output_max);
        if usage.is_some() && self.usage.is_none() {
            let endpoint = self.in_flight.as_ref().map_or("?", |f| self.epoch.names.endpoint(f.target().endpoint));
            tracing::warn!(
                "endpoint `{endpoint}` states more tokens than request {} can have: they are estimated instead",
                rhumb_record::format_id(self.id)
            );
        }
    }

    /// The answer broke off after its first content, by the endpoint's doing.
    pub(crate) fn broke_off(&self) {
        let Some(in_flight) = &self.in_flight else { return };
        let (epoch, now_us) = (&self.epoch, self.epoch.now_us());
        if in_flight.attempt.broke_off(&mut LiveParts(epoch), self.source, now_us) {
            let endpoint = epoch.names.endpoint(in_flight.target().endpoint);
            tracing::warn!("endpoint `{endpoint}` is unhealthy: its answers break off");
        }
    }

    fn settle(&mut self) -> Ended {
        let now_us = self.epoch.now_us();
        let since_start_ms = |at_us: u64| at_us.saturating_sub(self.start_us) as f64 / 1e3;
        let served = self.in_flight.as_ref().zip(self.in_flight.as_ref().and_then(|f| f.attempt.first_us()));
        let ttft_ms = served.filter(|_| !self.plain).map(|(_, first_us)| since_start_ms(first_us));
        let served = served.map(|(in_flight, _)| &in_flight.attempt);
        let estimated = self.usage.is_none();
        let usage = self.usage.unwrap_or_else(|| match served {
            // A request that was cut off is billed for what was generated until then.
            Some(attempt) => Usage::estimated(&attempt.target.predicted, self.pieces),
            None => Usage::default(),
        });
        let usd = served.map_or(0.0, |attempt| attempt.usd(&usage, self.bytes_per_token)) + self.lost_usd;
        if let (Outcome::Complete, Some(attempt)) = (self.outcome, served) {
            // Pieces that came together do not show how long each token took.
            let tokens = self.usage.filter(|_| self.pieces > PIECES_MIN).map(|u| u.output_tokens);
            attempt.completed(&mut LiveParts(&self.epoch), tokens, self.source, now_us);
            if !estimated {
                let estimates = self.epoch.estimates(self.tenant, attempt.target.model);
                lock(estimates).learn(&self.prompt, self.sequences, &usage);
            }
        }
        if let Some(ask) = self.waited {
            let cost = cost(usage.prompt_tokens as f64, usage.output_tokens as f64);
            lock(&self.epoch.state.queue).settle(&ask, cost);
        }
        Ended {
            id: self.id,
            outcome: self.outcome,
            status: self.status,
            attempts: self.attempts,
            served: served.map(|attempt| (attempt.target.endpoint, attempt.target.model)),
            prompt_tokens: usage.prompt_tokens,
            cached_tokens: usage.cached_tokens,
            completion_tokens: usage.output_tokens,
            estimated,
            usd,
            ttft_ms,
            total_ms: since_start_ms(now_us),
        }
    }

    /// Whose it was, what it was for, and where it was served.
    fn of(&self, ended: &Ended) -> Of<'_> {
        let ConfigEpoch { grid, names, .. } = &*self.epoch;
        let asked = || grid.models_named(&self.model).filter(|models| models.len() == 1).map(|models| models[0]);
        let model = ended.served.map(|(_, model)| model).or_else(asked);
        let positions = ended.served.map(|(endpoint, model)| (self.tenant, model, grid.endpoint_site[endpoint]));
        Of {
            positions,
            tenant: self.tenant.map(|t| grid.config.tenants[t].name.as_str()),
            model: model.map_or(&self.model, |m| names.model(m)),
            site: ended.served.map(|(endpoint, _)| names.site(grid.endpoint_site[endpoint])),
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let ended = self.settle();
        self.epoch.metrics.ended(&ended, &self.of(&ended));
        self.epoch.state.log.ended(ended);
        self.epoch.metrics.gauges.in_progress.dec();
    }
}
