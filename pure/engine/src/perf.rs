//! Time and power of one step of an engine: a roofline for the dense layers and one for attention, plus what a step
//! costs whatever it computes.
//!
//! The constants are set against public measurements: vLLM 0.19 on an RTX PRO 6000 with Llama-3.1-8B (casys-kaist
//! LLMServingSim, MIT), the GEMM tables of aiconfigurator (Apache-2.0; 0.79 of memory bandwidth at small batches,
//! 0.59 to 0.89 of peak arithmetic at 4096 tokens), and the ML.ENERGY benchmark for power.

use crate::gpu::GpuSpec;
use crate::power::active_share;
use crate::shape::ModelShape;

/// Share of peak memory bandwidth that weights and KV are read at.
const MEMORY_EFFICIENCY: f64 = 0.8;
/// Share of the peak matrix rate that a prefill reaches.
const COMPUTE_EFFICIENCY: f64 = 0.6;
/// Launch, scheduling and sampling of a step, ms.
const STEP_OVERHEAD_MS: f64 = 0.6;
/// The same per decoding sequence, ms: detokenising and bookkeeping grow with the batch.
const SEQUENCE_OVERHEAD_MS: f64 = 0.02;
/// Routing is skewed, and tokens of one text choose alike: a batch of `n` tokens touches the experts that
/// `n^0.6` independent tokens would (Qwen3-30B-A3B on the RTX PRO 6000, batches of 6 to 235).
const ROUTING_SPREAD: f64 = 0.6;
/// Start-up of one all-reduce between boards, ms; a layer makes two.
const ALL_REDUCE_MS: f64 = 0.01;
/// Share of memory an engine takes for itself (vLLM's `gpu_memory_utilization`).
const MEMORY_SHARE: f64 = 0.9;
/// Memory per board for activations, graphs and the runtime, GiB.
const RUNTIME_GIB: f64 = 1.5;
/// Fewest tokens of KV with which an engine is worth starting.
const MIN_KV_TOKENS: u64 = 2048;
/// Context assumed where a caller asks for energy without naming one, tokens.
const TYPICAL_CONTEXT_TOKENS: f64 = 1024.0;
/// Prefill chunk at which the steady prefill rate is taken, tokens (vLLM's default budget of a step).
const TYPICAL_CHUNK_TOKENS: u32 = 2048;
/// Batch at the far end of the line that stands for decode time.
const LINE_BATCH: u32 = 64;
const GIB: f64 = 1_073_741_824.0;

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

/// Speed, KV memory and power of one model on one engine: some boards of one kind, tensor parallel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perf {
    bytes_per_ms: f64,
    flop_per_ms: f64,
    shared_bytes: f64,
    expert_bytes: f64,
    expert_share: f64,
    flop_per_token: f64,
    flop_per_pair: f64,
    kv_bytes_per_token: f64,
    kv_capacity_tokens: u64,
    all_reduce_step_ms: f64,
    all_reduce_token_ms: f64,
    idle_watts: f64,
    max_watts: f64,
}

impl Perf {
    /// The model `shape` on `gpus` boards of kind `gpu`, its weights stored in `weight_bytes_per_param` bytes each
    /// (2 for 16-bit, 1 for 8-bit, about 0.52 for 4-bit with scales). `None` when the weights leave no room for KV.
    ///
    /// 8-bit weights compute at the board's 8-bit rate; 4-bit ones are unpacked and compute at the 16-bit rate.
    #[must_use]
    pub fn new(gpu: &GpuSpec, gpus: u32, shape: &ModelShape, weight_bytes_per_param: f64) -> Option<Self> {
        let boards = f64::from(gpus.max(1));
        let weight_bytes = shape.params_b * 1e9 * weight_bytes_per_param;
        let expert_bytes = shape.expert_params_b() * 1e9 * weight_bytes_per_param;
        // Beyond one board per KV head the heads are copied, so the KV of a token takes more room in all.
        let copies = (boards / f64::from(shape.kv_heads)).max(1.0);
        let kv_bytes_per_token = shape.kv_bytes_per_token() * copies;
        let kv_bytes = boards * (gpu.memory_gib * MEMORY_SHARE - RUNTIME_GIB) * GIB - weight_bytes;
        // `as` saturates: too little memory gives zero.
        let kv_capacity_tokens = (kv_bytes / kv_bytes_per_token) as u64;
        if kv_capacity_tokens < MIN_KV_TOKENS {
            return None;
        }
        let tflops =
            if (0.75..1.5).contains(&weight_bytes_per_param) { gpu.eight_bit_tflops() } else { gpu.bf16_tflops };
        let reductions = if boards > 1.0 { 2.0 * f64::from(shape.layers) } else { 0.0 };
        // A ring moves 2(n−1)/n of the 16-bit activations over each link.
        let ring_bytes = 2.0 * (boards - 1.0) / boards * 2.0 * f64::from(shape.hidden);
        Some(Self {
            bytes_per_ms: boards * gpu.memory_gb_per_s * 1e6 * MEMORY_EFFICIENCY,
            flop_per_ms: boards * tflops * 1e9 * COMPUTE_EFFICIENCY,
            shared_bytes: weight_bytes - expert_bytes,
            expert_bytes,
            expert_share: shape.expert_share(),
            flop_per_token: 2.0 * shape.active_params_b * 1e9,
            flop_per_pair: 4.0 * f64::from(shape.kv_layers) * f64::from(shape.heads) * f64::from(shape.head_dim),
            kv_bytes_per_token,
            kv_capacity_tokens,
            all_reduce_step_ms: reductions * ALL_REDUCE_MS,
            all_reduce_token_ms: reductions * ring_bytes / (gpu.link_gb_per_s * 1e6),
            idle_watts: boards * gpu.idle_watts,
            max_watts: boards * gpu.board_watts,
        })
    }

    /// Fewest boards (a power of two, at most 64) that hold the model, or `None`.
    #[must_use]
    pub fn gpus_needed(gpu: &GpuSpec, shape: &ModelShape, weight_bytes_per_param: f64) -> Option<u32> {
        (0..7)
            .map(|doublings| 1 << doublings)
            .find(|gpus| Self::new(gpu, *gpus, shape, weight_bytes_per_param).is_some())
    }

    /// Duration of a step, ms; 0 for no work.
    ///
    /// Dense layers and attention run one after the other, each bound by memory or by arithmetic. Of a mixture of
    /// experts, only those that some token is sent to are read.
    #[must_use]
    pub fn work_ms(&self, work: &StepWork) -> f64 {
        let tokens = f64::from(work.prefill_tokens) + f64::from(work.decode_seqs);
        if tokens == 0.0 {
            return 0.0;
        }
        let touched = if self.expert_bytes > 0.0 { self.experts_touched(tokens) } else { 0.0 };
        let weights_ms = (self.shared_bytes + self.expert_bytes * touched) / self.bytes_per_ms;
        let dense_ms = weights_ms.max(tokens * self.flop_per_token / self.flop_per_ms);
        let kv_ms = work.kv_tokens as f64 * self.kv_bytes_per_token / self.bytes_per_ms;
        let attention_ms = kv_ms.max(work.prefill_pairs * self.flop_per_pair / self.flop_per_ms);
        let overhead_ms = STEP_OVERHEAD_MS + SEQUENCE_OVERHEAD_MS * f64::from(work.decode_seqs);
        dense_ms + attention_ms + overhead_ms + self.all_reduce_step_ms + tokens * self.all_reduce_token_ms
    }

    /// Share of the experts that a batch of `tokens` reads: `1 − (1 − share)ⁿ`, were `n` tokens routed independently.
    fn experts_touched(&self, tokens: f64) -> f64 {
        let independent = libm::pow(tokens, ROUTING_SPREAD);
        1.0 - libm::pow(1.0 - self.expert_share, independent)
    }

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
        self.decode_slope_ms() + context_tokens * self.kv_bytes_per_token / self.bytes_per_ms
    }

    fn decode_slope_ms(&self) -> f64 {
        (self.step_ms(0, LINE_BATCH, 0) - self.step_ms(0, 1, 0)) / f64::from(LINE_BATCH - 1)
    }

    /// Tokens of context that fit in KV memory at once.
    #[must_use]
    pub fn kv_capacity_tokens(&self) -> u64 {
        self.kv_capacity_tokens
    }

    /// Bytes of KV one token takes over all boards.
    #[must_use]
    pub fn kv_bytes_per_token(&self) -> f64 {
        self.kv_bytes_per_token
    }

    /// The same engine with room for only `tokens` of KV, for tests and scenarios of memory pressure.
    #[must_use]
    pub fn with_kv_capacity_tokens(self, tokens: u64) -> Self {
        Self { kv_capacity_tokens: tokens, ..self }
    }

    /// Power of all boards with the model loaded and nothing running, watts.
    #[must_use]
    pub fn idle_watts(&self) -> f64 {
        self.idle_watts
    }

    /// Power limit of all boards, watts.
    #[must_use]
    pub fn max_watts(&self) -> f64 {
        self.max_watts
    }

    /// Mean power of all boards, watts, when steps run for `busy` (0 to 1) of the time and decode `decode_seqs`
    /// sequences each. It rises by 1.4 from batch 8 to 512 (the ML.ENERGY benchmark, H100).
    #[must_use]
    pub fn watts(&self, busy: f64, decode_seqs: u32) -> f64 {
        let active = (self.max_watts * active_share(f64::from(decode_seqs))).max(self.idle_watts);
        self.idle_watts + busy.clamp(0.0, 1.0) * (active - self.idle_watts)
    }

    /// Power of all boards during one step, watts: prefill keeps the arithmetic busy and runs at the limit, decode
    /// follows [`watts`](Self::watts), a mixed step lies between by share of a full chunk.
    #[must_use]
    pub fn work_watts(&self, work: &StepWork) -> f64 {
        let decode = self.watts(1.0, work.decode_seqs);
        let full = (f64::from(work.prefill_tokens) / f64::from(TYPICAL_CHUNK_TOKENS)).min(1.0);
        decode + full * (self.max_watts - decode)
    }

    /// Energy of one uncached prompt token at the steady prefill rate, joules.
    #[must_use]
    pub fn joules_per_prefill_token(&self) -> f64 {
        self.max_watts / (self.prefill_tokens_per_ms() * 1000.0)
    }

    /// Energy of one generated token in a batch of `batch` sequences of 1024 tokens of context, joules.
    #[must_use]
    pub fn joules_per_decode_token(&self, batch: f64) -> f64 {
        let batch = batch.max(1.0);
        let step_ms = self.decode_base_ms() + batch * self.decode_ms_per_seq(TYPICAL_CONTEXT_TOKENS);
        let watts = (self.max_watts * active_share(batch)).max(self.idle_watts);
        watts * step_ms / 1000.0 / batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gpu, shape};

    fn perf(gpu_name: &str, gpus: u32, shape_name: &str, bytes: f64) -> Perf {
        Perf::new(gpu(gpu_name).unwrap(), gpus, shape(shape_name).unwrap(), bytes).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_need_is_named() {
        let (h100, llama) = (gpu("h100").unwrap(), shape("llama-3.3-70b").unwrap());
        assert!(Perf::new(h100, 1, llama, 2.0).is_none());
        assert_eq!(Perf::gpus_needed(h100, llama, 2.0), Some(2));
        assert_eq!(Perf::gpus_needed(gpu("h200").unwrap(), llama, 1.0), Some(1));
    }

    #[test]
    fn kv_capacity_of_an_rtx_4090_is_near_what_vllm_reports() {
        // vLLM 0.19 runs out of KV at some 45 sequences of 900 tokens (LLMServingSim, RTX 4090, Llama-3.1-8B).
        let tokens = perf("rtx-4090", 1, "llama-3.1-8b", 2.0).kv_capacity_tokens();
        assert!((35_000..50_000).contains(&tokens), "{tokens}");
    }

    #[test]
    fn the_router_line_meets_the_step_it_stands_for() {
        for name in ["llama-3.1-8b", "qwen3-30b-a3b"] {
            let perf = perf("rtx-pro-6000", 1, name, 2.0);
            let line = perf.decode_base_ms() + 64.0 * perf.decode_ms_per_seq(1000.0);
            assert!((line / perf.step_ms(0, 64, 64_000) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn tensor_parallel_is_faster_but_less_than_in_proportion() {
        let (one, four) = (perf("h100", 1, "llama-3.1-8b", 2.0), perf("h100", 4, "llama-3.1-8b", 2.0));
        assert!(four.decode_base_ms() < one.decode_base_ms());
        assert!(four.decode_base_ms() > one.decode_base_ms() / 4.0);
        assert!(four.prefill_tokens_per_ms() < 4.0 * one.prefill_tokens_per_ms());
    }

    #[test]
    fn a_small_batch_of_a_mixture_reads_few_experts() {
        let perf = perf("h100", 1, "qwen3-30b-a3b", 1.0);
        assert!(perf.step_ms(0, 1, 0) < perf.step_ms(0, 128, 0) / 3.0);
    }

    #[test]
    fn energy_per_token_falls_with_the_batch_as_measured() {
        // ML.ENERGY, H100, Llama-3.1-8B chat: 0.455 J/token at batch 8, 0.070 at 512.
        let perf = perf("h100", 1, "llama-3.1-8b", 2.0);
        let (small, large) = (perf.joules_per_decode_token(8.0), perf.joules_per_decode_token(512.0));
        assert!((small / 0.455 - 1.0).abs() < 0.35, "{small}");
        assert!((large / 0.070 - 1.0).abs() < 0.5, "{large}");
    }

    #[test]
    fn power_lies_between_idle_and_the_limit() {
        let perf = perf("h100", 2, "llama-3.1-8b", 2.0);
        assert_eq!(perf.watts(0.0, 64), perf.idle_watts());
        assert!(perf.watts(1.0, 100_000) <= perf.max_watts());
        assert!(perf.watts(1.0, 512) / perf.watts(1.0, 8) < 1.45);
    }
}
