//! Times of a step in few numbers, for those who plan with a line instead of steps.

use super::Perf;
use crate::work::StepWork;

/// Prefill chunk at which the steady prefill rate is taken, tokens (vLLM's default budget of a step).
const TYPICAL_CHUNK_TOKENS: u32 = 2048;
/// Batch at the far end of the line that stands for decode time.
const LINE_BATCH: u32 = 64;

impl Perf {
    /// Duration, ms, of a step that computes `prefill_tokens` of one prompt from its start, one token for each of
    /// `decode_seqs` sequences, and reads `kv_tokens` of KV in all.
    #[must_use]
    pub fn step_ms(&self, prefill_tokens: u32, decode_seqs: u32, kv_tokens: u64) -> f64 {
        let prefill = f64::from(prefill_tokens);
        self.work_ms(&StepWork { prefill_tokens, prefill_pairs: prefill * prefill / 2.0, decode_seqs, kv_tokens })
    }

    /// Time, ms, to compute `new_tokens` of a prompt whose first `cached_tokens` are in memory, on an idle engine and
    /// in chunks of 2048.
    #[must_use]
    pub fn prefill_ms(&self, new_tokens: u32, cached_tokens: u32) -> f64 {
        let chunks = new_tokens.div_ceil(TYPICAL_CHUNK_TOKENS).max(1);
        let (new, cached) = (f64::from(new_tokens), f64::from(cached_tokens));
        // Chunks differ only in how much lies before them, and time is linear in that: an average chunk times their
        // number, read once per chunk.
        let chunk = StepWork {
            prefill_tokens: new_tokens.div_ceil(chunks),
            prefill_pairs: (new * cached + new * new / 2.0) / f64::from(chunks),
            decode_seqs: 0,
            kv_tokens: (cached + new / 2.0) as u64,
        };
        self.work_ms(&chunk) * f64::from(chunks)
    }

    /// Latency of a first token that is not in any step, ms: HTTP, tokenising, queues between processes, and what a
    /// prompt's step costs the host.
    #[must_use]
    pub fn first_token_overhead_ms(&self, prompt_tokens: f64) -> f64 {
        self.first_token_ms + self.first_token_ms_per_token * prompt_tokens
    }

    /// Steady prefill rate in full chunks of a short prompt, tokens/ms.
    #[must_use]
    pub fn prefill_tokens_per_ms(&self) -> f64 {
        let chunk = TYPICAL_CHUNK_TOKENS;
        f64::from(chunk) / self.step_ms(chunk, 0, u64::from(chunk))
    }

    /// Part of a decode step that does not depend on the batch, ms: the intercept of the line through batch 1 and
    /// batch 64.
    #[must_use]
    pub fn decode_base_ms(&self) -> f64 {
        self.step_ms(0, 1, 0) - self.decode_slope_ms()
    }

    /// What one more sequence with `context_tokens` of context adds to a decode step, ms. The line holds up to where
    /// arithmetic binds, a batch of some hundreds.
    #[must_use]
    pub fn decode_ms_per_seq(&self, context_tokens: f64) -> f64 {
        self.decode_slope_ms() + context_tokens * self.kv_token_ms
    }

    fn decode_slope_ms(&self) -> f64 {
        (self.step_ms(0, LINE_BATCH, 0) - self.step_ms(0, 1, 0)) / f64::from(LINE_BATCH - 1)
    }
}
