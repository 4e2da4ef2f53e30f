//! How long a candidate will take, as a distribution.

use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::row::{LocalLoad, Row};

/// The prediction for one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Median time to first token as the client sees it.
    pub ttft_p50_ms: f64,
    /// Its 95th percentile.
    pub ttft_p95_ms: f64,
    /// Share of it between client and gateway.
    pub client_ms: f64,
    /// Share of it between gateway and site.
    pub site_ms: f64,
    /// Share of it spent waiting for the engine.
    pub queue_ms: f64,
    /// The part of the queue that is expected because the endpoint has stalled: nothing is learnt from it.
    pub stalled_ms: f64,
    /// The queue if other gateways do as this one does: they share the endpoint as they share what is in flight there.
    pub crowd_ms: f64,
    /// Mean wait for prompts of other gateways that are being computed there: most find none, so it is in no median.
    pub unseen_ms: f64,
    /// Share of it spent computing the prompt and the first step.
    pub prefill_ms: f64,
    /// Time per output token.
    pub pace_ms: f64,
    /// Prompt tokens to compute.
    pub uncached_tokens: f64,
    /// Prompt tokens found in the cache.
    pub cached_tokens: f64,
    /// Sequences running there.
    pub running: f64,
    /// Sequences waiting there.
    pub waiting: f64,
    /// Relative spread without the part that age adds.
    pub spread: f64,
    /// Relative spread that age adds.
    pub spread_age: f64,
}

/// Relative spread of a fresh prediction.
const SPREAD: f64 = 0.2;

/// A report this old adds one relative spread.
const AGE_FULL_MS: f64 = 20_000.0;

/// Quantile 0.95 of Student's t distribution with two degrees of freedom.
const T2_Q95: f64 = 2.919_986;

/// Predicts one candidate: network, then the work queued before it, then its own uncached prompt, then one step.
pub fn predict(row: &Row, local_load: &LocalLoad, facts: &Facts) -> Prediction {
    // The endpoint's own count is corrected by what this gateway has sent and finished since the report.
    let total = (row.reported + local_load.in_flight - row.own_at_report).max(local_load.in_flight);
    let running = total.min(row.concurrency);
    let waiting = total - running;
    let cached_tokens = facts.cached_tokens(row.endpoint);
    let uncached_tokens = facts.prompt_tokens - cached_tokens;
    let pace_ms = (row.step_ms + row.step_ms_per_seq * (running + 1.0)) * row.pace_correction;
    // With every seat taken, one frees up each time one of the running sequences ends.
    let turn_ms = facts.output_tokens * pace_ms / row.concurrency;
    let before_tokens = local_load.backlog_tokens + row.others_tokens;
    // What has kept others waiting for so long may well do so for as long again.
    let queue_ms = before_tokens * row.prefill_ms * row.ttft_correction + waiting * turn_ms + row.stalled_ms;
    let own_share = (local_load.in_flight + 1.0) / (total + 1.0);
    let crowd_ms = local_load.backlog_tokens * row.prefill_ms * row.ttft_correction / own_share;
    let prefill_ms =
        (uncached_tokens * row.prefill_ms + row.step_ms + row.step_ms_per_seq * running) * row.ttft_correction;
    let ttft = facts.client_ms + row.rtt_ms + queue_ms + prefill_ms;
    let spread = SPREAD + row.rtt_dev_ms / ttft;
    let spread_age = row.load_age_ms.min(AGE_FULL_MS) / AGE_FULL_MS;
    Prediction {
        ttft_p50_ms: ttft,
        ttft_p95_ms: ttft * (1.0 + T2_Q95 * (spread + spread_age) * T2_SCALE),
        client_ms: facts.client_ms,
        site_ms: row.rtt_ms,
        queue_ms,
        stalled_ms: row.stalled_ms,
        crowd_ms,
        unseen_ms: row.unseen_ms,
        prefill_ms,
        pace_ms,
        uncached_tokens,
        cached_tokens,
        running,
        waiting,
        spread,
        spread_age,
    }
}

/// The spread is stated as the half-width of the central half; the t distribution's own quantile 0.75 is 0.8165.
const T2_SCALE: f64 = 1.0 / 0.816_497;

/// Probability that a time to first token of this median and relative spread exceeds an objective.
fn tail(ttft_ms: f64, slo_ms: f64, spread: f64) -> f64 {
    let x = (ttft_ms - slo_ms) / (ttft_ms * spread * T2_SCALE);
    0.5 + 0.5 * x / libm::sqrt(2.0 + x * x)
}

/// The same at the least spread a prediction has. Below the objective no wider one gives a smaller probability.
pub(crate) fn tail_fresh(ttft_ms: f64, slo_ms: f64) -> f64 {
    tail(ttft_ms, slo_ms, SPREAD)
}

impl Prediction {
    /// Probability that the time to first token exceeds an objective.
    ///
    /// The shape is Student's t with two degrees of freedom: its distribution function has a closed form,
    /// `(1 + x / sqrt(2 + x²)) / 2`, which needs no transcendental function, and its tails are as heavy as measured
    /// ones are. Age may only raise the result: a candidate beyond its objective must not gain from being unknown.
    pub fn miss(&self, slo_ms: f64) -> f64 {
        let fresh = tail(self.ttft_p50_ms, slo_ms, self.spread);
        if self.spread_age > 0.0 {
            fresh.max(tail(self.ttft_p50_ms, slo_ms, self.spread + self.spread_age))
        } else {
            fresh
        }
    }

    /// Median time from when a request leaves its gateway until the first token is there, ms.
    #[must_use]
    pub fn begins_ms(&self) -> f64 {
        self.ttft_p50_ms - self.client_ms
    }

    /// The part of the prefill that keeps others waiting, ms: a step of all that run there is not its own.
    #[must_use]
    pub fn delays_ms(&self) -> f64 {
        (self.prefill_ms - self.pace_ms).max(0.0)
    }

    /// Expected time to first token; age adds half its spread.
    pub fn expected_ms(&self) -> f64 {
        self.ttft_p50_ms * (1.0 + 0.5 * self.spread_age) + self.unseen_ms
    }
}
