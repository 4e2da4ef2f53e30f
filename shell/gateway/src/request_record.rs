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
use rhumb_sessions::Ends;
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
    epoch: Arc<ConfigEpoch>,
    identity: Identity,
    start_us: u64,
    /// How much the client sees of an engine's refusal.
    engine_errors: EngineErrors,
    /// Value of a second under the request's policy.
    second_usd: f64,
    shape: Shape,
    tries: Tries,
    used: Used,
    /// Until something better is known, the client left.
    end: (Outcome, u16),
    in_flight: Option<InFlight>,
    /// What it asked of admission, if it had to wait: what was charged then is set right at the end.
    waited: Option<AdmissionRequest>,
}

/// Which request it is.
struct Identity {
    id: u64,
    tenant: Option<TenantIndex>,
    /// The request, as evidence for or against an endpoint knows it.
    source: Source,
    /// The name of the model asked for, one of the configuration's.
    model: String,
    /// Its session, which it is a step of.
    session: Option<u64>,
}

/// What it asks for.
struct Shape {
    prompt: PromptSize,
    /// Answers that it asks for.
    sequences: f64,
    /// The answer is not streamed: when it began is not known, only when it was whole.
    plain: bool,
    /// Bytes one token of the answer takes on the wire.
    bytes_per_token: f64,
    /// More tokens than these, of prompt and answer, cannot be the request's.
    tokens_max: (u64, u64),
}

/// What was tried for it.
#[derive(Default)]
struct Tries {
    attempts: u32,
    /// Where it failed last.
    last: Option<Target>,
    /// What tries have cost that it was not served by, USD.
    lost_usd: f64,
}

/// What was seen of its answer.
#[derive(Default)]
struct Used {
    /// As the engine states it.
    usage: Option<Usage>,
    /// Pieces of content, the estimate of tokens where usage is not stated.
    pieces: u64,
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
        let identity = Identity {
            id: routing.id,
            tenant,
            source: Source { tenant: epoch.numbers.tenant(tenant), request: tag(body) },
            model: request.model.clone(),
            session: None,
        };
        let shape = Shape {
            prompt: prompt_size(&request.prompt),
            sequences: sequences(request),
            plain: !request.stream,
            bytes_per_token: routing.bytes_per_token(),
            // A session may last an hour.
            tokens_max: if routing.is_session() {
                (u64::MAX, u64::MAX)
            } else {
                (body.len() as u64 + TOKENS_MAX, answer_max)
            },
        };
        Self {
            epoch: Arc::clone(epoch),
            identity,
            start_us: epoch.state.us_at(start),
            engine_errors: policy.service.engine_errors,
            second_usd: policy.rates.second_usd,
            shape,
            tries: Tries::default(),
            used: Used::default(),
            end: (Outcome::ClientGone, 0),
            in_flight: None,
            waited: None,
        }
    }

    /// It is let through as a step of this session.
    pub(crate) fn in_session(&mut self, session: Option<u64>) {
        self.identity.session = session;
    }

    pub(crate) fn epoch(&self) -> &Arc<ConfigEpoch> {
        &self.epoch
    }

    pub(crate) fn id(&self) -> u64 {
        self.identity.id
    }

    pub(crate) fn tenant(&self) -> Option<TenantIndex> {
        self.identity.tenant
    }

    /// The request, as evidence for or against an endpoint knows it.
    pub(crate) fn source(&self) -> Source {
        self.identity.source
    }

    pub(crate) fn engine_errors(&self) -> EngineErrors {
        self.engine_errors
    }

    /// The answer is not streamed.
    pub(crate) fn is_plain(&self) -> bool {
        self.shape.plain
    }

    /// Attempts made so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.tries.attempts
    }

    /// Where it failed last.
    pub(crate) fn failed_last(&self) -> Option<Target> {
        self.tries.last
    }

    /// The endpoint that serves it, once its content has begun.
    pub(crate) fn in_flight(&self) -> Option<&InFlight> {
        self.in_flight.as_ref()
    }

    /// It has a place now, for which it had to wait if there is anything here.
    pub(crate) fn admitted(&mut self, waited: Option<AdmissionRequest>) {
        self.waited = waited;
    }

    pub(crate) fn has_waited(&self) -> bool {
        self.waited.is_some()
    }

    /// It waits again: what it was charged for the place that it had comes to nothing.
    pub(crate) fn waits_again(&mut self) {
        if let Some(ask) = self.waited.take() {
            lock(&self.epoch.state.queue).settle(&ask, 0.0);
        }
    }

    /// An attempt leaves.
    pub(crate) fn departs(&mut self) {
        self.tries.attempts += 1;
    }

    /// An attempt has failed.
    pub(crate) fn failed(&mut self, target: Target) {
        self.tries.last = Some(target);
    }

    /// A try that it is not served by has cost this, USD.
    pub(crate) fn lost(&mut self, usd: f64) {
        self.tries.lost_usd += usd;
    }

    /// Content has begun: it is served here.
    pub(crate) fn served_by(&mut self, mut in_flight: InFlight) -> Target {
        in_flight.began(self.second_usd, self.identity.source);
        let target = *in_flight.target();
        self.in_flight = Some(in_flight);
        self.end.1 = 200;
        target
    }

    /// It ends without an answer, and its client is told so with this status.
    pub(crate) fn refused(&mut self, outcome: Outcome, status: u16) {
        self.end = (outcome, status);
    }

    /// Its plain answer is whole.
    pub(crate) fn complete(&mut self, usage: Option<rhumb_api::Usage>) {
        self.state_usage(usage);
        self.end.0 = Outcome::Complete;
    }

    /// Its stream is over, after so many pieces of content.
    pub(crate) fn streamed(&mut self, outcome: Outcome, usage: Option<rhumb_api::Usage>, pieces: u64) {
        self.end.0 = outcome;
        self.state_usage(usage);
        self.used.pieces = pieces;
    }

    /// The engine states what was used. What cannot be the request's is not believed: it would spoil books, bills and what
    /// is learnt.
    fn state_usage(&mut self, usage: Option<rhumb_api::Usage>) {
        let (prompt_max, output_max) = self.shape.tokens_max;
        let usage = usage.map(|u| Usage {
            prompt_tokens: u.prompt_tokens,
            cached_tokens: u.cached_tokens,
            output_tokens: u.output_tokens,
        });
        self.used.usage = usage.filter(|u| u.prompt_tokens <= prompt_max && u.output_tokens <= output_max);
        if usage.is_some() && self.used.usage.is_none() {
            let endpoint = self.in_flight.as_ref().map_or("?", |f| self.epoch.names.endpoint(f.target().endpoint));
            tracing::warn!(
                "endpoint `{endpoint}` states more tokens than request {} can have: they are estimated instead",
                rhumb_record::format_id(self.identity.id)
            );
        }
    }

    /// The answer broke off after its first content, by the endpoint's doing.
    pub(crate) fn broke_off(&self) {
        let Some(in_flight) = &self.in_flight else { return };
        let (epoch, now_us) = (&self.epoch, self.epoch.now_us());
        if in_flight.attempt.broke_off(&mut LiveParts(epoch), self.identity.source, now_us) {
            let endpoint = epoch.names.endpoint(in_flight.target().endpoint);
            tracing::warn!("endpoint `{endpoint}` is unhealthy: its answers break off");
        }
    }

    fn settle(&mut self) -> Ended {
        let now_us = self.epoch.now_us();
        let since_start_ms = |at_us: u64| at_us.saturating_sub(self.start_us) as f64 / 1e3;
        let served = self.in_flight.as_ref().zip(self.in_flight.as_ref().and_then(|f| f.attempt.first_us()));
        let ttft_ms = served.filter(|_| !self.shape.plain).map(|(_, first_us)| since_start_ms(first_us));
        let served = served.map(|(in_flight, _)| &in_flight.attempt);
        let estimated = self.used.usage.is_none();
        let usage = self.used.usage.unwrap_or_else(|| match served {
            // A request that was cut off is billed for what was generated until then.
            Some(attempt) => Usage::estimated(&attempt.target.predicted, self.used.pieces),
            None => Usage::default(),
        });
        let usd = served.map_or(0.0, |attempt| attempt.usd(&usage, self.shape.bytes_per_token)) + self.tries.lost_usd;
        if let (Outcome::Complete, Some(attempt)) = (self.end.0, served) {
            // Pieces that came together do not show how long each token took.
            let tokens = self.used.usage.filter(|_| self.used.pieces > PIECES_MIN).map(|u| u.output_tokens);
            attempt.completed(&mut LiveParts(&self.epoch), tokens, self.identity.source, now_us);
            if !estimated {
                let estimates = self.epoch.estimates(self.identity.tenant, attempt.target.model);
                lock(estimates).learn(&self.shape.prompt, self.shape.sequences, &usage);
            }
        }
        if let Some(ask) = self.waited {
            let cost = cost(usage.prompt_tokens as f64, usage.output_tokens as f64);
            lock(&self.epoch.state.queue).settle(&ask, cost);
        }
        Ended {
            id: self.identity.id,
            outcome: self.end.0,
            status: self.end.1,
            attempts: self.tries.attempts,
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
        let Identity { tenant, model: name, .. } = &self.identity;
        let asked = || grid.models_named(name).filter(|models| models.len() == 1).map(|models| models[0]);
        let model = ended.served.map(|(_, model)| model).or_else(asked);
        let positions = ended.served.map(|(endpoint, model)| (*tenant, model, grid.endpoint_site[endpoint]));
        Of {
            positions,
            tenant: tenant.map(|t| grid.config.tenants[t].name.as_str()),
            model: model.map_or(name, |m| names.model(m)),
            site: ended.served.map(|(endpoint, _)| names.site(grid.endpoint_site[endpoint])),
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let ended = self.settle();
        self.epoch.metrics.ended(&ended, &self.of(&ended));
        if let Some(session) = self.identity.session {
            let names = &self.epoch.names;
            let served = ended.served.map(|(endpoint, model)| (names.endpoint(endpoint), names.model(model)));
            let tokens = (ended.prompt_tokens, ended.cached_tokens, ended.completion_tokens);
            self.epoch.state.sessions.end(session, &Ends { decision: ended.id, served, tokens, usd: ended.usd });
        }
        self.epoch.state.log.ended(ended);
        self.epoch.metrics.gauges.in_progress.dec();
    }
}
