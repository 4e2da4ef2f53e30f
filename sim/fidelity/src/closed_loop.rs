//! A serving benchmark in closed form: a number of users, each of whom sends the next request when the last answer is
//! complete. This is the mean that a run of [`rhumb_engine::Engine`] under the same load approaches (tested), without
//! its steps, so that a fit can ask for it a million times.

use rhumb_engine::terms::{Term, Values};
use rhumb_engine::{MeanWork, Perf};

/// Tokens of prompt a step computes at most: the default of all three backends on boards of this size.
const CHUNK_TOKENS: f64 = 8192.0;
/// Rounds of the fixed point between the pace and the number of sequences that decode.
const ROUNDS: u32 = 4;
/// Most that prefill is taken to use of an engine's time where queueing is computed.
const MAX_PREFILL_LOAD: f64 = 0.95;

/// Means over a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClosedLoop {
    /// Time to first token, ms.
    pub ttft_ms: f64,
    /// Time per further token, ms.
    pub tpot_ms: f64,
    /// The same without what the load's start and the host add: first tokens once the run is in its stride, ms.
    pub steady_ttft_ms: f64,
    /// Sequences that decode at once.
    pub decode_seqs: f64,
}

/// Means of a run of `users` on `perf`, with the load and host terms of `values`.
#[must_use]
pub fn closed_loop(perf: &Perf, values: &Values, users: f64, input_tokens: f64, output_tokens: f64) -> ClosedLoop {
    closed_loop_with(perf, values, users, input_tokens, output_tokens)
}

pub(crate) fn closed_loop_with(
    perf: &Perf,
    values: &Values,
    users: f64,
    input_tokens: f64,
    output_tokens: f64,
) -> ClosedLoop {
    let of = |term: Term| values[term as usize].exp();
    let context = input_tokens + output_tokens / 2.0;
    // Memory bounds how many run; the others wait for their whole turn.
    let seats = users.min((perf.kv_capacity_tokens() as f64 / context).max(1.0));
    let chunks = (input_tokens / CHUNK_TOKENS).ceil().max(1.0);
    let chunk = input_tokens / chunks;
    let (own, queueing) = (of(Term::OwnPrefill), of(Term::Queueing));
    let burst = of(Term::Burst) * seats.powf(of(Term::BurstPower));
    let burst_host_ms = of(Term::BurstHost);
    let burst_step = of(Term::BurstStep);
    let host_ms = perf.first_token_overhead_ms(input_tokens);
    let mut decoding = seats;
    let mut means = ClosedLoop { ttft_ms: 0.0, tpot_ms: 0.0, steady_ttft_ms: 0.0, decode_seqs: seats };
    for _ in 0..ROUNDS {
        let decode = MeanWork { decode_seqs: decoding, kv_tokens: decoding * context, ..MeanWork::default() };
        let mixed = MeanWork { prefill_tokens: chunk, prefill_pairs: input_tokens * chunk / 2.0, ..decode };
        let decode_ms = perf.mean_ms(&decode);
        // What one prompt adds to the steps that carry it.
        let prompt_ms = (perf.mean_ms(&mixed) - decode_ms) * chunks;
        let tpot_ms = decode_ms + decoding / output_tokens * prompt_ms;
        let load = (decoding * prompt_ms / (output_tokens * tpot_ms)).min(MAX_PREFILL_LOAD);
        let steady_ttft_ms = 0.5 * tpot_ms + decode_ms + prompt_ms * (own + queueing * load / (1.0 - load));
        let ttft_ms = host_ms + steady_ttft_ms + burst * (prompt_ms + burst_host_ms + burst_step * decode_ms);
        let answer_ms = tpot_ms * output_tokens;
        means = ClosedLoop { ttft_ms, tpot_ms, steady_ttft_ms, decode_seqs: decoding };
        decoding = seats * answer_ms / (answer_ms + ttft_ms.min(answer_ms));
    }
    let turn_ms = means.ttft_ms + means.tpot_ms * output_tokens;
    means.ttft_ms += (users - seats) / seats * turn_ms * QUEUE_SHARE;
    means
}

/// Of the wait for a seat, what a benchmark of ten turns per user sees: the first users do not wait.
const QUEUE_SHARE: f64 = 0.9;
