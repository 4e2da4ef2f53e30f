//! A candidate in one cache line: enough to bound from below what it must cost with all that this gateway has under way there.
//!
//! Where the near are busy, a decision over thousands of sites looks far, and most of what it looks at is not kept. A row
//! is five cache lines and a full bill some divisions; this is one line and none.

use rhumb_grid::config::Preset;
use rhumb_grid::position::EndpointIndex;
use rhumb_grid::rates::Rates;

use crate::facts::Facts;
use crate::row::{LocalLoad, Row};

/// What the lower bound of a bill needs of a row, rounded to half the width.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub struct CompactRow {
    /// Index of the endpoint.
    pub(crate) endpoint: EndpointIndex,
    rtt_ms: f32,
    /// Requests there that are not this gateway's.
    others: f32,
    concurrency: f32,
    per_seat: f32,
    prefill_ms: f32,
    step_ms: f32,
    step_ms_per_seq: f32,
    ttft_correction: f32,
    pace_correction: f32,
    input_usd: f32,
    cached_usd: f32,
    output_usd: f32,
    others_second_usd: f32,
    quality: f32,
}

/// More than what rounding to 24 bits takes from a number, or adds.
const ROUNDED: f64 = 1e-6;

/// Numbers of 24 bits, some of them multiplied five deep: a sum this much lower is below the true one.
const ROUNDING: f64 = 1.0 - 1e-5;

impl CompactRow {
    /// The compact form of a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        Self {
            endpoint: row.endpoint,
            rtt_ms: row.rtt_ms as f32,
            others: (row.reported - row.own_at_report) as f32,
            concurrency: row.concurrency as f32,
            per_seat: (1.0 / row.concurrency) as f32,
            prefill_ms: row.prefill_ms as f32,
            step_ms: row.step_ms as f32,
            step_ms_per_seq: row.step_ms_per_seq as f32,
            ttft_correction: row.ttft_correction as f32,
            pace_correction: row.pace_correction as f32,
            input_usd: row.input_usd as f32,
            cached_usd: row.cached_usd as f32,
            output_usd: row.output_usd as f32,
            others_second_usd: row.others_second_usd as f32,
            quality: row.quality as f32,
        }
    }
}

/// A request, as the bound takes it: what is the same for every candidate is worked out once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoundInputs {
    uncached: f64,
    cached: f64,
    output: f64,
    client_ms: f64,
    second_usd: f64,
    network_factor: f64,
    reading_pace_ms: f64,
    per_reading_pace: f64,
    quality: f64,
    quality_usd: f64,
}

impl BoundInputs {
    /// At the candidates of a request. The longest prefix that any of them holds counts for all.
    pub(crate) fn new(facts: &Facts, rates: &Rates) -> Self {
        let cached = facts.hits.iter().map(|h| h.tokens).fold(0.0, f64::max).min(facts.prompt_tokens);
        Self {
            uncached: facts.prompt_tokens - cached,
            cached,
            output: facts.output_tokens,
            client_ms: facts.client_ms,
            second_usd: rates.second_usd,
            network_factor: rates.network_factor,
            reading_pace_ms: rates.reading_pace_ms,
            per_reading_pace: 1.0 / rates.reading_pace_ms,
            quality: rates.quality,
            quality_usd: rates.quality_usd,
        }
    }

    /// At what a request of middling size would cost whom a second is worth most.
    pub(crate) fn middling() -> Self {
        let facts = Facts { prompt_tokens: 1_000.0, output_tokens: 200.0, ..Facts::default() };
        Self::new(&facts, &Rates::preset(Preset::Interactive))
    }

    /// A total that the bill of the candidate does not undercut: its tokens, the waiting, the pace, the delay of others
    /// and the shortfall of its model.
    pub(crate) fn least_usd(&self, g: &CompactRow, local_load: &LocalLoad) -> f64 {
        let of = f64::from;
        let total = (of(g.others) + local_load.in_flight).max(local_load.in_flight);
        let running = total.min(of(g.concurrency));
        // Where nearly equal numbers are subtracted, what rounding did to them is all that may be left.
        let waiting = (total - running - ROUNDED * total).max(0.0);
        let step_ms = of(g.step_ms) + of(g.step_ms_per_seq) * running;
        let pace_ms = (step_ms + of(g.step_ms_per_seq)) * of(g.pace_correction);
        let prefill_ms = (local_load.backlog_tokens + self.uncached) * of(g.prefill_ms);
        let queue_ms = waiting * self.output * pace_ms * of(g.per_seat);
        let network_ms = (self.client_ms + of(g.rtt_ms)) * self.network_factor;
        let waiting_ms = network_ms + queue_ms + (prefill_ms + step_ms) * of(g.ttft_correction);
        let slow_ms = (pace_ms * (1.0 - ROUNDED) - self.reading_pace_ms).max(0.0);
        let slack_used = (pace_ms * self.per_reading_pace).min(1.0);
        let prompt_ms = self.uncached * of(g.prefill_ms);
        let lead_ms = self.output * (self.reading_pace_ms - pace_ms * (1.0 - ROUNDED)).max(0.0);
        // What readers lose of a pause is convex in it: never below its tangents, here those at the lead and far beyond.
        let lost_ms = (0.75 * prompt_ms - 0.25 * lead_ms).max(prompt_ms - lead_ms).max(0.0);
        let taken = running * of(g.per_seat);
        let delayed_ms = prompt_ms * waiting
            + running * (taken * slack_used * prompt_ms + (1.0 - taken) * lost_ms)
            + self.output * of(g.step_ms_per_seq) * running * slack_used;
        let tokens_usd = self.uncached * of(g.input_usd)
            + self.cached * of(g.cached_usd).min(of(g.input_usd))
            + self.output * of(g.output_usd);
        let seconds_usd = self.second_usd * (waiting_ms + self.output * slow_ms) + of(g.others_second_usd) * delayed_ms;
        let fit_usd = self.quality_usd * (self.quality - of(g.quality)).max(0.0);
        (tokens_usd + seconds_usd / 1_000.0 + fit_usd) * ROUNDING
    }
}
