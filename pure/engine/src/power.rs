//! Power of a board as a function of what its step does: a part drawn by any running step, a part with memory
//! bandwidth in use and a part with arithmetic in use, up to the board's limit.
//!
//! The three shares are fitted on the ML.ENERGY benchmark (see [`crate::terms`]).

use crate::gpu::GpuSpec;
use crate::perf::{Parts, Perf, TYPICAL_CONTEXT_TOKENS};
use crate::terms::{Term, Values};
use crate::work::{MeanWork, StepWork};

/// Power of all boards of an engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Power {
    idle_watts: f64,
    max_watts: f64,
    base_watts: f64,
    memory_watts: f64,
    compute_watts: f64,
}

impl Power {
    pub(crate) fn new(gpu: &GpuSpec, boards: f64, values: &Values) -> Self {
        let of = |term: Term| libm::exp(values[term as usize]);
        let range = boards * (gpu.board_watts - gpu.idle_watts) * of(Term::PowerGpu) * of(Term::PowerFamily);
        Self {
            idle_watts: boards * gpu.idle_watts,
            max_watts: boards * gpu.board_watts,
            base_watts: range * of(Term::PowerBase),
            memory_watts: range * of(Term::PowerMemory),
            compute_watts: range * of(Term::PowerCompute),
        }
    }

    /// Power while a step of these parts runs, watts.
    fn active_watts(&self, parts: &Parts) -> f64 {
        if parts.total_ms <= 0.0 {
            return self.idle_watts;
        }
        let memory = (parts.memory_ms / parts.total_ms).min(1.0);
        let compute = (parts.compute_ms / parts.total_ms).min(1.0);
        let watts = self.idle_watts + self.base_watts + self.memory_watts * memory + self.compute_watts * compute;
        watts.min(self.max_watts)
    }
}

impl Perf {
    /// Power of all boards with the model loaded and nothing running, watts.
    #[must_use]
    pub fn idle_watts(&self) -> f64 {
        self.power.idle_watts
    }

    /// Power limit of all boards, watts.
    #[must_use]
    pub fn max_watts(&self) -> f64 {
        self.power.max_watts
    }

    /// Mean power of all boards, watts, when steps run for `busy` (0 to 1) of the time and decode `decode_seqs`
    /// sequences of 1024 tokens of context each.
    #[must_use]
    pub fn watts(&self, busy: f64, decode_seqs: u32) -> f64 {
        let decode_seqs = f64::from(decode_seqs.max(1));
        let work = MeanWork { decode_seqs, kv_tokens: decode_seqs * TYPICAL_CONTEXT_TOKENS, ..MeanWork::default() };
        self.idle_watts() + busy.clamp(0.0, 1.0) * (self.mean_watts(&work) - self.idle_watts())
    }

    /// Power of all boards during one step, watts.
    #[must_use]
    pub fn work_watts(&self, work: &StepWork) -> f64 {
        self.mean_watts(&work.into())
    }

    /// Power of all boards during an average step, watts.
    #[must_use]
    pub fn mean_watts(&self, work: &MeanWork) -> f64 {
        self.power.active_watts(&self.parts(work))
    }

    /// Energy of one uncached prompt token at the steady prefill rate, joules.
    #[must_use]
    pub fn joules_per_prefill_token(&self) -> f64 {
        let chunk = StepWork { prefill_tokens: 2048, prefill_pairs: 2048.0 * 1024.0, decode_seqs: 0, kv_tokens: 2048 };
        self.work_watts(&chunk) / (self.prefill_tokens_per_ms() * 1000.0)
    }

    /// Energy of one generated token in a batch of `batch` sequences of 1024 tokens of context, joules.
    #[must_use]
    pub fn joules_per_decode_token(&self, batch: f64) -> f64 {
        let decode_seqs = batch.max(1.0);
        let work = MeanWork { decode_seqs, kv_tokens: decode_seqs * TYPICAL_CONTEXT_TOKENS, ..MeanWork::default() };
        self.mean_watts(&work) * self.mean_ms(&work) / 1000.0 / decode_seqs
    }
}
