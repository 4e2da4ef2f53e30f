//! What the candidates further down a list must cost at least, so that a decision over thousands of sites need not look
//! at all of them.
//!
//! A view lists the candidates of a model nearest first and keeps, for every [`CHUNK`] of them, the smallest round trip,
//! price and prefill time from there to the end. From these follows a bill that no candidate from there on can
//! undercut. Once the decision holds enough candidates below that bill, the rest cannot change it, whatever their load:
//! loads, ages and distance only add to a bill.

use alloc::vec::Vec;

use rhumb_grid::rates::Rates;

use crate::facts::Facts;
use crate::predict::tail_fresh;
use crate::row::Row;

/// Candidates between two looks at the floor.
pub const CHUNK: usize = 32;

/// The least of each reading over the candidates from one place of the list to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Round trip between gateway and endpoint.
    rtt_ms: f64,
    /// Time of one prompt token, as corrected.
    prefill_ms: f64,
    /// Time of a decode step of an empty batch, as corrected.
    step_ms: f64,
    /// Time per output token of a sequence that runs alone, as corrected.
    pace_ms: f64,
    /// Price of an uncached prompt token, USD.
    input_usd: f64,
    /// Price of a cached prompt token, USD.
    cached_usd: f64,
    /// Price of a generated token, USD.
    output_usd: f64,
    /// Quality: here the most counts.
    quality: f64,
}

/// Sums are rounded in another order here than in a bill: a floor this much lower is safe, and no less useful.
const ROUNDING: f64 = 1.0 - 1e-9;

impl Floor {
    const NOTHING: Self = Self {
        rtt_ms: f64::INFINITY,
        prefill_ms: f64::INFINITY,
        step_ms: f64::INFINITY,
        pace_ms: f64::INFINITY,
        input_usd: f64::INFINITY,
        cached_usd: f64::INFINITY,
        output_usd: f64::INFINITY,
        quality: 0.0,
    };

    fn with(self, row: &Row) -> Self {
        Self {
            rtt_ms: self.rtt_ms.min(row.rtt_ms),
            prefill_ms: self.prefill_ms.min(row.prefill_ms * row.ttft_correction),
            step_ms: self.step_ms.min(row.step_ms * row.ttft_correction),
            pace_ms: self.pace_ms.min((row.step_ms + row.step_ms_per_seq) * row.pace_correction),
            input_usd: self.input_usd.min(row.input_usd),
            cached_usd: self.cached_usd.min(row.cached_usd),
            output_usd: self.output_usd.min(row.output_usd),
            quality: self.quality.max(row.quality),
        }
    }

    /// A total that no bill from here on undercuts. Only what every candidate pays is in it: tokens, waiting, the
    /// chance of missing the objective, the pace of a sequence that runs alone, and the shortfall of the best model.
    pub fn total_usd(&self, facts: &Facts, rates: &Rates) -> f64 {
        let cached = facts.hits.iter().map(|h| h.tokens).fold(0.0, f64::max).min(facts.prompt_tokens);
        let uncached = facts.prompt_tokens - cached;
        let tokens_usd = uncached * self.input_usd
            + cached * self.cached_usd.min(self.input_usd)
            + facts.output_tokens * self.output_usd;
        let network_ms = facts.client_ms + self.rtt_ms;
        let ttft_ms = network_ms + uncached * self.prefill_ms + self.step_ms;
        let waiting_s = (ttft_ms + (rates.network_factor - 1.0) * network_ms) / 1_000.0;
        let miss = tail_fresh(ttft_ms, rates.ttft_slo_ms).min(0.5);
        let slow_ms = (self.pace_ms - rates.reading_pace_ms).max(0.0);
        let pace_usd = rates.second_usd * facts.output_tokens * slow_ms / 1_000.0;
        let fit_usd = rates.quality_usd * (rates.quality - self.quality).max(0.0);
        (tokens_usd + rates.second_usd * waiting_s + rates.miss_usd * miss + pace_usd + fit_usd) * ROUNDING
    }
}

/// The floors of a list of candidates: one for each chunk, of everything from its first candidate on.
pub fn floors(rows: &[Row]) -> Vec<Floor> {
    let mut out = alloc::vec![Floor::NOTHING; rows.len().div_ceil(CHUNK)];
    let mut least = Floor::NOTHING;
    for (chunk, rows) in rows.chunks(CHUNK).enumerate().rev() {
        least = rows.iter().fold(least, Floor::with);
        out[chunk] = least;
    }
    out
}
