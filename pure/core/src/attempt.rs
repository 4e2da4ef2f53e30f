//! One attempt of a request at an endpoint: what it occupies there, and what it teaches.

use rhumb_flow::evidence::Source;
use rhumb_route::account::PriceSnapshot;
use rhumb_route::decide::Target;
use rhumb_route::pending::PendingFirstToken;

use crate::endpoint::EndpointTracker;
use crate::parts::Parts;
use crate::usage::Usage;

/// An attempt under way. Whoever holds it says when it is [`over`](Self::over).
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Where it was sent.
    pub target: Target,
    price_snapshot: PriceSnapshot,
    /// Prompt tokens that count as not computed yet.
    backlog: Option<f64>,
    /// Its place among those of its endpoint whose first content is waited for.
    due: Option<PendingFirstToken>,
    /// Its answer is streamed. A plain one comes at once and does not show when it began.
    streams: bool,
    sent_us: u64,
    first_us: Option<u64>,
}

/// Tokens after the first that it takes to tell the pace of an answer.
const PACE_TOKENS_MIN: u64 = 8;

impl Attempt {
    /// A request leaves for a target. A plain answer does not show when its prompt was computed, so it counts as in flight
    /// and not as backlog.
    pub fn sent(parts: &mut impl Parts, target: Target, streams: bool, now_us: u64) -> Self {
        let (tokens, now_ms) = (target.predicted.uncached_tokens, now_us / 1_000);
        parts.workload(target.model, |workload| workload.sent(tokens));
        let begins_ms = target.predicted.begins_ms();
        let due = streams.then(|| parts.endpoint(target.endpoint, |known| known.sent(now_ms, begins_ms)));
        let backlog = streams.then_some(tokens);
        if let Some(tokens) = backlog {
            parts.backlog_add(target.endpoint, tokens);
        }
        parts.prompt_sent(target.endpoint, now_ms, tokens);
        Self {
            target,
            price_snapshot: parts.price_snapshot(&target),
            backlog,
            due,
            streams,
            sent_us: now_us,
            first_us: None,
        }
    }

    /// Its first content has come. `second_usd` is what a second is worth to its request.
    pub fn began(&mut self, parts: &mut impl Parts, source: Source, second_usd: f64, now_us: u64) {
        self.first_us = Some(now_us);
        self.computed(parts);
        let (endpoint, now_ms) = (self.target.endpoint, now_us / 1_000);
        let observed_ms = self.since_sent_ms(now_us);
        if self.streams {
            let predicted = &self.target.predicted;
            // What neither the distance nor the own prompt explains.
            let waited_ms = (observed_ms - predicted.site_ms - predicted.prefill_ms).max(0.0);
            let in_flight = self.target.local_load.in_flight;
            parts.window(endpoint, |window| window.first_token(now_ms, waited_ms, in_flight));
            self.learn_delay(parts, observed_ms);
        }
        let (model, due) = (parts.model_number(self.target.model), self.due.take());
        parts.endpoint(endpoint, |known| {
            if let Some(due) = due {
                known.over(due);
            }
            if self.streams {
                self.learn_ttft(known, observed_ms, now_ms);
            }
            known.answered(now_ms, self.sent_us / 1_000, source, model, second_usd);
        });
    }

    /// Another attempt had content first although this one had been sent earlier: that is learnt as far as it went.
    pub fn was_late(&self, parts: &mut impl Parts, now_us: u64) {
        let observed_ms = self.since_sent_ms(now_us);
        self.learn_delay(parts, observed_ms);
        parts.endpoint(self.target.endpoint, |known| self.learn_ttft(known, observed_ms, now_us / 1_000));
    }

    fn learn_ttft(&self, known: &mut EndpointTracker, observed_ms: f64, now_ms: u64) {
        self.price_snapshot.learn_ttft(&mut known.state, &self.target, observed_ms);
        if known.state.is_unqueued(now_ms) {
            let at_site_ms = observed_ms - self.target.predicted.site_ms;
            known.health.performance_mut().first_token(at_site_ms, self.price_snapshot.modelled_ttft_ms(&self.target));
        }
    }

    fn learn_delay(&self, parts: &mut impl Parts, observed_ms: f64) {
        let predicted_ms = self.target.predicted.begins_ms();
        parts.hedging(self.target.model, |hedging| hedging.observe(observed_ms, predicted_ms));
    }

    /// Its endpoint sends tokens at this pace: its peers are compared with it, also while the answer lasts.
    pub fn paced(&self, parts: &mut impl Parts, token_ms: f64) {
        let modelled_ms = self.modelled_pace_ms();
        parts.endpoint(self.target.endpoint, |known| known.health.performance_mut().token(token_ms, modelled_ms));
    }

    /// Its answer has been sent whole. Where its engine said how many tokens it has, and they came one by one, the pace is
    /// learnt; it is returned, ms for each token after the first.
    pub fn completed(
        &self,
        parts: &mut impl Parts,
        output_tokens: Option<u64>,
        source: Source,
        now_us: u64,
    ) -> Option<f64> {
        let token_ms = output_tokens
            .filter(|n| self.streams && *n > PACE_TOKENS_MIN)
            .zip(self.first_us)
            .map(|(tokens, first_us)| now_us.saturating_sub(first_us) as f64 / 1e3 / (tokens as f64 - 1.0));
        parts.endpoint(self.target.endpoint, |known| {
            known.health.completed(now_us / 1_000, source);
            if let Some(token_ms) = token_ms {
                self.price_snapshot.learn_pace(&mut known.state, &self.target, token_ms);
            }
        });
        parts.workload(self.target.model, |workload| workload.answered(self.since_sent_ms(now_us)));
        token_ms
    }

    /// Its answer broke off after its first content, by the endpoint's doing. True when that is what confirms that the
    /// endpoint is unhealthy.
    pub fn broke_off(&self, parts: &mut impl Parts, source: Source, now_us: u64) -> bool {
        parts.endpoint(self.target.endpoint, |known| known.health.broke_off(now_us / 1_000, source))
    }

    /// It is over, one way or the other: nothing of it is waited for any more. A second call does nothing.
    pub fn over(&mut self, parts: &mut impl Parts) {
        self.computed(parts);
        if let Some(due) = self.due.take() {
            parts.endpoint(self.target.endpoint, |known| known.over(due));
        }
    }

    /// Its prompt is not to be computed any more.
    fn computed(&mut self, parts: &mut impl Parts) {
        if let Some(tokens) = self.backlog.take() {
            parts.backlog_sub(self.target.endpoint, tokens);
        }
    }

    /// What it has cost, USD, where a token of its answer takes so many bytes on the wire.
    #[must_use]
    pub fn usd(&self, usage: &Usage, bytes_per_token: f64) -> f64 {
        usage.usd(&self.price_snapshot, &self.target.predicted, bytes_per_token)
    }

    /// What it has cost without any answer, USD: its prompt, most likely, as engines compute it before the first token.
    #[must_use]
    pub fn lost_usd(&self) -> f64 {
        self.usd(&Usage::estimated(&self.target.predicted, 0), 0.0)
    }

    /// What a token was to take before anything was learnt of the endpoint, ms.
    #[must_use]
    pub fn modelled_pace_ms(&self) -> f64 {
        self.price_snapshot.modelled_pace_ms(&self.target)
    }

    /// When it was sent, µs.
    #[must_use]
    pub fn sent_us(&self) -> u64 {
        self.sent_us
    }

    /// When its first content came, µs.
    #[must_use]
    pub fn first_us(&self) -> Option<u64> {
        self.first_us
    }

    fn since_sent_ms(&self, now_us: u64) -> f64 {
        now_us.saturating_sub(self.sent_us) as f64 / 1e3
    }
}
