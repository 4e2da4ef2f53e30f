//! The account of one request: it is settled exactly once, however the request ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rhumb_flow::admission::Ask;
use rhumb_flow::condition::By;
use rhumb_flow::fair::cost;
use rhumb_openai::request::Prompt;
use rhumb_openai::response::Usage;
use rhumb_route::account::{Tariff, Tokens};
use rhumb_route::decide::Target;
use rhumb_route::unanswered::Due;
use rhumb_store::{Ended, Outcome};

use crate::hold::Permit;
use crate::live::{Learnt, lock};
use crate::place::Size;
use crate::shared::Shared;

/// Kept by whatever will end the request; dropping it is the end.
pub(crate) struct Ledger {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) start: Instant,
    pub(crate) tenant: Option<usize>,
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
    pub(crate) usage: Option<Usage>,
    /// Pieces of content seen, the estimate of tokens where usage is not stated.
    pub(crate) pieces: u64,
    /// The answer is not streamed: when it began is not known, only when it was whole.
    pub(crate) plain: bool,
    pub(crate) flight: Option<Flight>,
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
    pub(crate) fn began(&mut self, second_usd: f64) {
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
        learnt.condition.succeeded(By::Request, self.shared.now_ms());
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

impl Ledger {
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
        self.shared.metrics.ended(&ended);
        self.shared.lasting.log.ended(ended);
    }
}
