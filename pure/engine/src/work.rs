//! What a step computes.

/// What one step computes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepWork {
    /// Prompt tokens computed (recomputed ones too).
    pub prefill_tokens: u32,
    /// Pairs of (prompt token, earlier token it attends to): what the arithmetic of prefill attention grows with.
    pub prefill_pairs: f64,
    /// Sequences that make one token each.
    pub decode_seqs: u32,
    /// Tokens of KV read, summed over the sequences of the step.
    pub kv_tokens: u64,
}

/// The work of an average step, whose counts need not be whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanWork {
    /// See [`StepWork::prefill_tokens`].
    pub prefill_tokens: f64,
    /// See [`StepWork::prefill_pairs`].
    pub prefill_pairs: f64,
    /// See [`StepWork::decode_seqs`].
    pub decode_seqs: f64,
    /// See [`StepWork::kv_tokens`].
    pub kv_tokens: f64,
}

impl From<&StepWork> for MeanWork {
    fn from(work: &StepWork) -> Self {
        Self {
            prefill_tokens: f64::from(work.prefill_tokens),
            prefill_pairs: work.prefill_pairs,
            decode_seqs: f64::from(work.decode_seqs),
            kv_tokens: work.kv_tokens as f64,
        }
    }
}
