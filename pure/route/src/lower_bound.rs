//! What candidates must cost at least, so that a decision over thousands of sites need not look at all of them.
//!
//! A view lists the candidates of a model the good ones first and keeps two lower bounds for every [`CHUNK`] of them: one of the
//! chunk itself, and one of everything from there to the end. From a lower bound follows a bill that no candidate it stands
//! for can undercut. Once the decision holds enough candidates below that bill, those others cannot change it: whatever
//! this gateway has under way since the view was made only adds to a bill, and so does the age of a reading.

use alloc::vec::Vec;

use rhumb_grid::rates::Rates;

use crate::bill::{lead_ms, lost_share, slack_used};
use crate::facts::Facts;
use crate::predict::tail_fresh;
use crate::row::Row;

/// Candidates between two looks at the lower bounds.
pub const CHUNK: usize = 16;

/// The lower bounds of a chunk of candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowerBounds {
    /// Of the chunk itself.
    pub chunk: LowerBound,
    /// Of everything from its first candidate on.
    pub rest: LowerBound,
}

/// The least of each part of a bill over some candidates, with the load that others than this gateway put on them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowerBound {
    /// Round trip between gateway and endpoint.
    rtt_ms: f64,
    /// Time of one prompt token, as corrected.
    prefill_ms: f64,
    /// The same as the model has it: how long others wait for it.
    prompt_ms: f64,
    /// Time of the first step, as corrected.
    step_ms: f64,
    /// Time per output token, as corrected.
    pace_ms: f64,
    /// What each expected output token adds to the wait for a seat, ms.
    queue_ms: f64,
    /// Price of an uncached prompt token, USD.
    input_usd: f64,
    /// Price of a cached prompt token, USD.
    cached_usd: f64,
    /// Price of a generated token, USD.
    output_usd: f64,
    /// Delay of others by one prompt token, at their value of time, USD × 1000: of those who wait, and of those who read.
    prefill_delay: [f64; 2],
    /// The same by one output token, of those who read, and of those times their pace.
    step_delay: [f64; 2],
    /// Quality: here the most counts.
    quality: f64,
}

/// Sums are rounded in another order here than in a bill: a lower bound this much lower is safe, and no less useful.
const ROUNDING: f64 = 1.0 - 1e-9;

impl LowerBound {
    const NOTHING: Self = Self {
        rtt_ms: f64::INFINITY,
        prefill_ms: f64::INFINITY,
        prompt_ms: f64::INFINITY,
        step_ms: f64::INFINITY,
        pace_ms: f64::INFINITY,
        queue_ms: f64::INFINITY,
        input_usd: f64::INFINITY,
        cached_usd: f64::INFINITY,
        output_usd: f64::INFINITY,
        prefill_delay: [f64::INFINITY; 2],
        step_delay: [f64::INFINITY; 2],
        quality: 0.0,
    };

    /// The lower bound of one candidate. What it runs at least is what it reported less what of that was this gateway's own.
    fn of(row: &Row) -> Self {
        let load = (row.reported - row.own_at_report).max(0.0);
        let running = load.min(row.concurrency);
        let waiting = load - running;
        let pace_ms = (row.step_ms + row.step_ms_per_seq * (running + 1.0)) * row.pace_correction;
        let prefill = row.others_second_usd * row.prefill_ms;
        let step = row.others_second_usd * row.step_ms_per_seq * running;
        Self {
            rtt_ms: row.rtt_ms,
            prefill_ms: row.prefill_ms * row.ttft_correction,
            prompt_ms: row.prefill_ms,
            step_ms: (row.step_ms + row.step_ms_per_seq * running) * row.ttft_correction,
            pace_ms,
            queue_ms: waiting * pace_ms / row.concurrency,
            input_usd: row.input_usd,
            cached_usd: row.cached_usd,
            output_usd: row.output_usd,
            prefill_delay: [prefill * waiting, prefill * running],
            step_delay: [step, step * pace_ms],
            quality: row.quality,
        }
    }

    fn min(self, other: Self) -> Self {
        let [a, b] = self.prefill_delay;
        let [x, y] = other.prefill_delay;
        Self {
            rtt_ms: self.rtt_ms.min(other.rtt_ms),
            prefill_ms: self.prefill_ms.min(other.prefill_ms),
            prompt_ms: self.prompt_ms.min(other.prompt_ms),
            step_ms: self.step_ms.min(other.step_ms),
            pace_ms: self.pace_ms.min(other.pace_ms),
            queue_ms: self.queue_ms.min(other.queue_ms),
            input_usd: self.input_usd.min(other.input_usd),
            cached_usd: self.cached_usd.min(other.cached_usd),
            output_usd: self.output_usd.min(other.output_usd),
            prefill_delay: [a.min(x), b.min(y)],
            step_delay: [self.step_delay[0].min(other.step_delay[0]), self.step_delay[1].min(other.step_delay[1])],
            quality: self.quality.max(other.quality),
        }
    }

    /// A total that no bill of the candidates undercuts. In it are the tokens, the waiting, the chance of missing the
    /// objective, the pace, the delay of others, and the shortfall of the best model.
    pub fn total_usd(&self, facts: &Facts, rates: &Rates) -> f64 {
        let cached = facts.hits.iter().map(|h| h.tokens).fold(0.0, f64::max).min(facts.prompt_tokens);
        let uncached = facts.prompt_tokens - cached;
        let tokens_usd = uncached * self.input_usd
            + cached * self.cached_usd.min(self.input_usd)
            + facts.output_tokens * self.output_usd;
        let network_ms = facts.client_ms + self.rtt_ms;
        let ttft_ms = network_ms + facts.output_tokens * self.queue_ms + uncached * self.prefill_ms + self.step_ms;
        let waiting_s = (ttft_ms + (rates.network_factor - 1.0) * network_ms) / 1_000.0;
        let miss = tail_fresh(ttft_ms, rates.ttft_slo_ms).min(0.5);
        let slow_ms = (self.pace_ms - rates.reading_pace_ms).max(0.0);
        let pace_usd = rates.second_usd * facts.output_tokens * slow_ms / 1_000.0;
        let fit_usd = rates.quality_usd * (rates.quality - self.quality).max(0.0);
        (tokens_usd
            + rates.second_usd * waiting_s
            + rates.miss_usd * miss
            + pace_usd
            + self.headroom_usd(uncached, facts.output_tokens, rates)
            + fit_usd)
            * ROUNDING
    }

    /// Of a prompt, a reader loses least where it is the shortest pause and the lead is longest, or where the pace is the
    /// quickest: whatever share of the places is taken, one of the two at least. Of slower steps they lose the share that the
    /// pace has used up of theirs, at most all: of each candidate the smaller of the two, so the smaller of the least of each.
    fn headroom_usd(&self, uncached: f64, output: f64, rates: &Rates) -> f64 {
        let [waiting, running] = self.prefill_delay;
        let lost = lost_share(uncached * self.prompt_ms, lead_ms(output, self.pace_ms, rates));
        let prefill = waiting + running * lost.min(slack_used(self.pace_ms, rates));
        let step = self.step_delay[0].min(self.step_delay[1] / rates.reading_pace_ms);
        (uncached * prefill + output * step) / 1_000.0
    }
}

/// The lower bounds of a list of candidates, by chunk.
pub fn lower_bounds(rows: &[Row]) -> Vec<LowerBounds> {
    let mut out = Vec::with_capacity(rows.len().div_ceil(CHUNK));
    for chunk in rows.chunks(CHUNK) {
        let chunk = chunk.iter().fold(LowerBound::NOTHING, |least, row| least.min(LowerBound::of(row)));
        out.push(LowerBounds { chunk, rest: chunk });
    }
    let mut rest = LowerBound::NOTHING;
    for lower_bounds in out.iter_mut().rev() {
        rest = rest.min(lower_bounds.chunk);
        lower_bounds.rest = rest;
    }
    out
}
