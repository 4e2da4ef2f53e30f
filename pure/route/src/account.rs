//! What a request that was served has cost, and what it teaches of the endpoint that served it.

use crate::decide::Target;
use crate::row::Row;
use crate::view::EndpointState;

/// What settling a request needs of the row it was decided on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceSnapshot {
    input_usd: f64,
    cached_usd: f64,
    output_usd: f64,
    egress_usd: f64,
    joule_usd: f64,
    prefill_joules: f64,
    step_joules: f64,
    ttft_correction: f64,
    pace_correction: f64,
}

/// Tokens of one request, as the engine or the gateway counted them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tokens {
    /// Prompt tokens computed.
    pub uncached: f64,
    /// Prompt tokens found in the cache.
    pub cached: f64,
    /// Tokens of the answer.
    pub output: f64,
}

impl PriceSnapshot {
    /// The price snapshot of a candidate.
    pub fn of(r: &Row) -> Self {
        Self {
            input_usd: r.input_usd,
            cached_usd: r.cached_usd,
            output_usd: r.output_usd,
            egress_usd: r.egress_usd,
            joule_usd: r.joule_usd + r.carbon_usd,
            prefill_joules: r.prefill_joules,
            step_joules: r.step_joules,
            ttft_correction: r.ttft_correction,
            pace_correction: r.pace_correction,
        }
    }

    /// A price snapshot that charges nothing, for a candidate that is no longer in the view.
    pub const NONE: Self = Self {
        input_usd: 0.0,
        cached_usd: 0.0,
        output_usd: 0.0,
        egress_usd: 0.0,
        joule_usd: 0.0,
        prefill_joules: 0.0,
        step_joules: 0.0,
        ttft_correction: 1.0,
        pace_correction: 1.0,
    };

    /// What a request has cost, USD, when `running` sequences ran beside it.
    pub fn usd(&self, tokens: &Tokens, running: f64, bytes_per_token: f64) -> f64 {
        let Tokens { uncached, cached, output } = *tokens;
        let joules = uncached * self.prefill_joules + output * self.step_joules / (running + 1.0);
        uncached * self.input_usd
            + cached * self.cached_usd
            + output * (self.output_usd + bytes_per_token * self.egress_usd)
            + joules * self.joule_usd
    }

    /// The first content came `observed_ms` after the request was sent.
    pub fn learn_ttft(&self, state: &mut EndpointState, target: &Target, observed_ms: f64) {
        let p = &target.predicted;
        state.ttft.observe(observed_ms - p.site_ms, p.queue_ms - p.stalled_ms + p.prefill_ms, self.ttft_correction);
    }

    /// What the first content was to take at the endpoint, network aside, before anything was learnt of it.
    pub fn modelled_ttft_ms(&self, target: &Target) -> f64 {
        let p = &target.predicted;
        (p.queue_ms - p.stalled_ms + p.prefill_ms) / self.ttft_correction
    }

    /// What each token after the first was to take, before anything was learnt of the endpoint.
    pub fn modelled_pace_ms(&self, target: &Target) -> f64 {
        target.predicted.pace_ms / self.pace_correction
    }

    /// Each token after the first took `observed_ms`.
    pub fn learn_pace(&self, state: &mut EndpointState, target: &Target, observed_ms: f64) {
        state.pace.observe(observed_ms, target.predicted.pace_ms, self.pace_correction);
    }
}
