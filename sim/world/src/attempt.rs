//! An attempt at an endpoint, as its gateway keeps it, and what it costs.

use rhumb_route::account::{Tariff, Tokens};
use rhumb_route::decide::Target;
use rhumb_route::unanswered::Due;

use crate::gateway::STREAM_BYTES_PER_TOKEN;

/// An attempt under way at an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) target: Target,
    pub(crate) tariff: Tariff,
    /// Prompt tokens that count as not computed yet.
    pub(crate) backlog: Option<f64>,
    pub(crate) due: Due,
    pub(crate) sent_us: u64,
    pub(crate) first_us: Option<u64>,
    /// Its number among those that may be taken back.
    pub(crate) preemptible: Option<u64>,
    /// What a second is worth to whoever waits for it, USD.
    pub(crate) second_usd: f64,
}

/// What a request took, as the engine's usage says where it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) output_tokens: u32,
}

/// What an attempt that was served has cost, USD.
pub(crate) fn charge(attempt: &Attempt, usage: Usage, running: f64) -> f64 {
    let cached = f64::from(usage.cached_tokens);
    let uncached = f64::from(usage.prompt_tokens) - cached;
    let tokens = Tokens { uncached, cached, output: f64::from(usage.output_tokens) };
    attempt.tariff.usd(&tokens, running, STREAM_BYTES_PER_TOKEN)
}

/// What an attempt has cost whose engine never said its usage, USD: the prompt counts as it was predicted.
pub(crate) fn charge_part(attempt: &Attempt, output_tokens: u32) -> f64 {
    let p = attempt.target.predicted;
    let (prompt_tokens, cached_tokens) = ((p.uncached_tokens + p.cached_tokens) as u32, p.cached_tokens as u32);
    charge(attempt, Usage { prompt_tokens, cached_tokens, output_tokens }, p.running)
}
