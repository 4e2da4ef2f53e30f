//! An engine reduced to the servers of queueing theory.

use super::Perf;

impl Perf {
    /// The same engine with every step taking `step_ms`, whatever it computes: a server whose service time is its
    /// tokens times that, as many servers as sequences run at once. Cross-checks against queueing theory use it.
    #[must_use]
    pub fn with_constant_step_ms(self, step_ms: f64) -> Self {
        Self {
            dense_ms: 0.0,
            dense_token_ms: 0.0,
            experts_ms: 0.0,
            experts_token_ms: 0.0,
            kv_token_ms: 0.0,
            pair_ms: 0.0,
            step_ms,
            sequence_ms: 0.0,
            link_token_ms: 0.0,
            prompt_step_ms: 0.0,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Perf, StepWork, gpu, shape};

    #[test]
    fn every_step_takes_the_same_time() {
        let perf = Perf::new(gpu("h100").unwrap(), 1, shape("qwen3-30b-a3b").unwrap(), 1.0).unwrap();
        let constant = perf.with_constant_step_ms(2.5);
        for (prefill_tokens, decode_seqs) in [(1, 0), (0, 1), (2_000, 100)] {
            let work = StepWork { prefill_tokens, prefill_pairs: 1e6, decode_seqs, kv_tokens: 50_000 };
            assert_eq!(constant.work_ms(&work), 2.5);
        }
        assert_eq!(constant.work_ms(&StepWork::default()), 0.0);
    }
}
