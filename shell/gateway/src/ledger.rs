//! The account of one request: it is settled exactly once, however the request ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rhumb_flow::admission::Ask;
use rhumb_flow::evidence::Source;
use rhumb_flow::fair::cost;
use rhumb_grid::config::EngineErrors;
use rhumb_grid::index::NamedRates;
use rhumb_openai::request::{Prompt, Scan};
use rhumb_openai::response::Usage;
use rhumb_route::account::{Tariff, Tokens};
use rhumb_route::decide::Target;
use rhumb_route::explain::Names as _;
use rhumb_route::unanswered::Due;
use rhumb_store::{Ended, Outcome};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::hold::Permit;
use crate::live::{Learnt, lock};
use crate::place::{Asking, Size};
use crate::request_metrics::Of;
use crate::shared::Shared;

/// Kept by whatever will end the request; dropping it is the end.
pub(crate) struct Ledger {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) start: Instant,
    pub(crate) tenant: Option<usize>,
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
    /// How large it is, as far as its text tells.
    pub(crate) size: Size,
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
    pub(crate) flight: Option<Flight>,
    /// Where it failed last.
    pub(crate) last: Option<Target>,
    /// What a second try that another was quicker than has cost.
    pub(crate) lost_usd: f64,
    /// What it asked of admission, if it had to wait: what was charged then is set right at the end.
    pub(crate) waited: Option<Ask>,
}

/// A request at an endpoint. Dropping it frees its place there.
pub(crate) struct Flight {
    shared: Arc<Shared>,
    permit: Permit,
    pub(crate) target: Target,
    tariff: Tariff,
    backlog: Option<u64>,
    /// Among those of its endpoint whose first content is waited for.
    due: Option<Due>,
    plain: bool,
    sent: Instant,
    first_content: Option<Instant>,
}

impl Flight {
    /// Departs for a target. A plain answer does not show when its prompt was computed, so it counts as in flight and
    /// not as backlog.
    pub(crate) fn new(shared: &Arc<Shared>, permit: Permit, target: Target, plain: bool) -> Self {
        let view = shared.view.load();
        let row = view.rows(target.model).iter().find(|r| r.endpoint == target.endpoint);
        let tariff = row.map_or(Tariff::NONE, Tariff::of);
        let backlog = if plain { 0 } else { target.predicted.uncached_tokens as u64 };
        let live = &shared.live[target.endpoint as usize];
        live.asked(backlog);
        lock(&shared.habits[target.model as usize]).sent(target.predicted.uncached_tokens);
        let due = (!plain).then(|| lock(&live.learnt).unanswered.sent(shared.now_ms(), target.predicted.begins_ms()));
        if live.is_back.load(Ordering::Relaxed) {
            let number = shared.numbers.endpoint(target.endpoint);
            lock(&shared.lasting.hold).sent(number, shared.now_ms(), target.predicted.uncached_tokens);
        }
        let (shared, backlog, sent) = (Arc::clone(shared), Some(backlog), Instant::now());
        Self { shared, permit, target, tariff, backlog, due, plain, sent, first_content: None }
    }

    /// What the first token's time says of the endpoint's window: the part that neither distance nor the own prompt
    /// explains.
    fn teach_window(&self, observed_ms: f64) {
        let predicted = &self.target.predicted;
        let in_flight = self.target.overlay.in_flight;
        let waited_ms = (observed_ms - predicted.site_ms - predicted.prefill_ms).max(0.0);
        let now = self.shared.now_ms();
        let mut hold = lock(&self.shared.lasting.hold);
        hold.window_mut(self.shared.numbers.endpoint(self.target.endpoint)).first_token(now, waited_ms, in_flight);
    }

    /// Tokens come from the endpoint at this pace: its peers are compared with it, also while the answer lasts.
    pub(crate) fn pace(&self, token_ms: f64) {
        let mut learnt = lock(&self.shared.live[self.target.endpoint as usize].learnt);
        learnt.condition.showing_mut().token(token_ms, self.modelled_pace_ms());
    }

    /// What a token was to take.
    pub(crate) fn modelled_pace_ms(&self) -> f64 {
        self.tariff.modelled_pace_ms(&self.target)
    }

    /// From departure to the first content, as predicted, ms.
    pub(crate) fn predicted_ms(&self) -> f64 {
        self.target.predicted.begins_ms()
    }

    /// Content has begun: how long it took is learnt from. `second_usd` is the value of a second to the request.
    pub(crate) fn began(&mut self, second_usd: f64, source: Source) {
        let now = Instant::now();
        self.first_content = Some(now);
        self.answered();
        self.permit.served = true;
        let observed_ms = now.duration_since(self.sent).as_secs_f64() * 1e3;
        if !self.plain {
            self.teach_window(observed_ms);
            self.teach_delay(observed_ms);
        }
        let mut learnt = lock(&self.shared.live[self.target.endpoint as usize].learnt);
        if let Some(due) = self.due.take() {
            learnt.unanswered.over(due);
        }
        learnt.unanswered.began(self.shared.now_ms());
        if !self.plain {
            self.learn_ttft(&mut learnt, observed_ms);
        }
        learnt.state.others_second_usd.add(second_usd);
        let now_ms = self.shared.now_ms();
        learnt.condition.answered(now_ms, now_ms.saturating_sub(observed_ms as u64), source);
        learnt.models.answered(self.shared.numbers.models[self.target.model as usize].0);
        learnt.troubles.over();
        drop(learnt);
        self.shared.live[self.target.endpoint as usize].heard(now_ms);
    }

    /// Another target had content first. The endpoint is not at fault; where it is `late`, that is learnt as far as it
    /// went. What the request has cost there: its prompt, most likely, as engines compute it before the first token.
    pub(crate) fn lost(&self, late: bool) -> f64 {
        if late {
            let observed_ms = self.sent.elapsed().as_secs_f64() * 1e3;
            self.teach_delay(observed_ms);
            let mut learnt = lock(&self.shared.live[self.target.endpoint as usize].learnt);
            self.learn_ttft(&mut learnt, observed_ms);
        }
        let p = &self.target.predicted;
        let tokens = Tokens { uncached: p.uncached_tokens, cached: p.cached_tokens, output: 0.0 };
        self.tariff.usd(&tokens, p.running, 0.0)
    }

    fn learn_ttft(&self, learnt: &mut Learnt, observed_ms: f64) {
        self.tariff.learn_ttft(&mut learnt.state, &self.target, observed_ms);
        if learnt.state.is_unqueued(self.shared.now_ms()) {
            let at_site_ms = observed_ms - self.target.predicted.site_ms;
            learnt.condition.showing_mut().first_token(at_site_ms, self.tariff.modelled_ttft_ms(&self.target));
        }
    }

    fn teach_delay(&self, observed_ms: f64) {
        lock(&self.shared.hedging[self.target.model as usize]).observe(observed_ms, self.predicted_ms());
    }

    /// Content has begun: the prompt is computed.
    fn answered(&mut self) {
        if let Some(tokens) = self.backlog.take() {
            self.shared.live[self.target.endpoint as usize].answered(tokens);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.answered();
        if let Some(due) = self.due.take() {
            lock(&self.shared.live[self.target.endpoint as usize].learnt).unanswered.over(due);
        }
    }
}

/// Tokens beyond what a body's bytes make, and of an answer that nobody limits: more than any context has.
const TOKENS_MAX: u64 = 1 << 20;

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

impl Ledger {
    /// Of a request that has been accepted.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        asking: &Asking<'_>,
        policy: &NamedRates,
        start: Instant,
        tenant: Option<usize>,
        scan: &Scan,
        body: &[u8],
    ) -> Self {
        let answer_max = scan.max_tokens.unwrap_or(0).max(TOKENS_MAX).saturating_mul(scan.sequences().max(1));
        Self {
            shared: Arc::clone(shared),
            id: asking.id,
            start,
            tenant,
            model: scan.model.clone(),
            source: Source { tenant: shared.numbers.tenant(tenant), request: tag(body) },
            engine_errors: policy.service.engine_errors,
            tokens_max: (body.len() as u64 + TOKENS_MAX, answer_max),
            second_usd: policy.rates.second_usd,
            size: Size::of(scan),
            bytes_per_token: asking.bytes_per_token(),
            attempts: 0,
            status: 0,
            outcome: Outcome::ClientGone,
            usage: None,
            pieces: 0,
            plain: !scan.stream,
            flight: None,
            last: None,
            lost_usd: 0.0,
            waited: None,
        }
    }

    /// The engine states what was used. What cannot be the request's is not believed: it would spoil books, bills and what
    /// is learnt.
    pub(crate) fn state_usage(&mut self, usage: Option<Usage>) {
        let (prompt_max, completion_max) = self.tokens_max;
        let is_possible = |u: &Usage| u.prompt_tokens <= prompt_max && u.completion_tokens <= completion_max;
        self.usage = usage.filter(is_possible);
        if usage.is_some() && self.usage.is_none() {
            let endpoint = self.flight.as_ref().map_or("?", |f| self.shared.names.endpoint(f.target.endpoint));
            tracing::warn!(
                "endpoint `{endpoint}` states more tokens than request {} can have: they are estimated instead",
                rhumb_store::format_id(self.id)
            );
        }
    }

    /// The answer broke off after its first content, by the endpoint's doing.
    pub(crate) fn broke_off(&self) {
        let Some(flight) = &self.flight else { return };
        let (shared, endpoint) = (&self.shared, flight.target.endpoint);
        let mut learnt = lock(&shared.live[endpoint as usize].learnt);
        let is_ill = learnt.condition.broke_off(shared.now_ms(), self.source);
        drop(learnt);
        if is_ill {
            tracing::warn!("endpoint `{}` is ill: its answers break off", shared.names.endpoint(endpoint));
        }
    }

    fn first_content(&self) -> Option<Instant> {
        self.flight.as_ref().and_then(|f| f.first_content)
    }

    fn settle(&mut self) -> Ended {
        let total_ms = self.start.elapsed().as_secs_f64() * 1e3;
        let ttft_ms =
            self.first_content().filter(|_| !self.plain).map(|t| t.duration_since(self.start).as_secs_f64() * 1e3);
        let estimated = self.usage.is_none();
        let served = self.flight.as_ref().filter(|_| self.first_content().is_some());
        let usage = self.usage.unwrap_or_else(|| match served {
            // A request that was cut off is billed for what was generated until then.
            Some(f) => Usage {
                prompt_tokens: (f.target.predicted.uncached_tokens + f.target.predicted.cached_tokens) as u64,
                cached_tokens: f.target.predicted.cached_tokens as u64,
                completion_tokens: self.pieces,
            },
            None => Usage::default(),
        });
        let (cached, output) = (usage.cached_tokens as f64, usage.completion_tokens as f64);
        let tokens = Tokens { uncached: usage.prompt_tokens as f64 - cached, cached, output };
        let usd = served.map_or(0.0, |f| f.tariff.usd(&tokens, f.target.predicted.running, self.bytes_per_token));
        let usd = usd + self.lost_usd;
        if let (Outcome::Complete, Some(f)) = (self.outcome, served) {
            let mut learnt = lock(&self.shared.live[f.target.endpoint as usize].learnt);
            learnt.condition.completed(self.shared.now_ms(), self.source);
            drop(learnt);
            lock(&self.shared.habits[f.target.model as usize]).answered(f.sent.elapsed().as_secs_f64() * 1e3);
        }
        if self.outcome == Outcome::Complete && !estimated {
            self.learn(&usage);
        }
        if let Some(ask) = self.waited {
            lock(&self.shared.lasting.hold).settle(&ask, cost(tokens.uncached + tokens.cached, tokens.output));
        }
        Ended {
            id: self.id,
            outcome: self.outcome,
            status: self.status,
            attempts: self.attempts,
            served: served.map(|f| (f.target.endpoint, f.target.model)),
            prompt_tokens: usage.prompt_tokens,
            cached_tokens: usage.cached_tokens,
            completion_tokens: usage.completion_tokens,
            estimated,
            usd,
            ttft_ms,
            total_ms,
        }
    }

    /// Whose it was, what it was for, and where it was served.
    fn of(&self, ended: &Ended) -> Of<'_> {
        let Shared { grid, names, .. } = &*self.shared;
        let asked = || grid.models_named(&self.model).filter(|models| models.len() == 1).map(|models| models[0]);
        let model = ended.served.map(|(_, model)| model).or_else(asked);
        let nobody = grid.config.tenants.len();
        let positions = ended.served.map(|(endpoint, model)| {
            (self.tenant.unwrap_or(nobody) as u32, model, grid.endpoint_site[endpoint as usize])
        });
        Of {
            positions,
            tenant: self.tenant.map(|t| grid.config.tenants[t].name.as_str()),
            model: model.map_or(&self.model, |m| names.model(m)),
            site: ended.served.map(|(endpoint, _)| names.site(grid.endpoint_site[endpoint as usize])),
        }
    }

    /// What a whole answer teaches: its length, the density of its prompt, the pace of its engine.
    fn learn(&self, usage: &Usage) {
        let Some(flight) = &self.flight else { return };
        let model = flight.target.model;
        lock(self.shared.output_of(self.tenant, model)).add(usage.completion_tokens as f64 / self.size.sequences);
        // What an engine makes of an image or a recording says nothing of text, and token ids are no text.
        let Prompt { inputs, text, ids, media, truncated, .. } = self.size.prompt;
        if ids == 0 && media == 0 && !truncated {
            let density = self.shared.density_of(self.tenant, model);
            lock(density).learn(inputs as f64, text as f64, usage.prompt_tokens as f64);
        }
        // A plain answer arrives at once and says nothing of the pace.
        if let Some(first) = self.first_content()
            && self.pieces > 8
            && usage.completion_tokens > 8
        {
            let observed_ms = first.elapsed().as_secs_f64() * 1e3 / (usage.completion_tokens - 1) as f64;
            let mut learnt = lock(&self.shared.live[flight.target.endpoint as usize].learnt);
            flight.tariff.learn_pace(&mut learnt.state, &flight.target, observed_ms);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let ended = self.settle();
        self.shared.metrics.ended(&ended, &self.of(&ended));
        self.shared.lasting.log.ended(ended);
    }
}
