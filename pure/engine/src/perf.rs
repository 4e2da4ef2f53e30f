//! Time of one step of an engine, from first principles: bytes to read, arithmetic to do, activations to exchange, and
//! what a step costs whatever it computes. How near a board comes to its peaks, and what the backends cost, is fitted
//! (see [`crate::terms`]); `docs/fidelity.md` says how well.
//!
//! Dense layers, experts and attention run one after the other. In the first two, reading weights and arithmetic
//! overlap in part: their times add as the sides of a right angle do.

mod constant;
mod line;

use crate::deployment::{Basis, Deployment, Quant};
use crate::gpu::GpuSpec;
use crate::power::Power;
use crate::shape::ModelShape;
use crate::terms::{Term, Values};
pub use crate::work::{MeanWork, StepWork};

/// Share of memory an engine takes for itself (vLLM's `gpu_memory_utilization`).
const MEMORY_SHARE: f64 = 0.9;
/// Memory per board for activations, graphs and the runtime, GiB.
const RUNTIME_GIB: f64 = 1.5;
/// Fewest tokens of KV with which an engine is worth starting.
const MIN_KV_TOKENS: u64 = 2048;
/// Context assumed where a caller asks for energy without naming one, tokens.
pub(crate) const TYPICAL_CONTEXT_TOKENS: f64 = 1024.0;
/// Boards over which the start-up of an all-reduce is stated.
const REDUCE_DOUBLINGS: f64 = 3.0;
const GIB: f64 = 1_073_741_824.0;

/// Time of one part of a step, ms: what reads memory and what computes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Parts {
    pub(crate) memory_ms: f64,
    pub(crate) compute_ms: f64,
    pub(crate) total_ms: f64,
}

/// Speed, KV memory and power of one model on one engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perf {
    /// Reading the dense weights, ms.
    dense_ms: f64,
    /// Their arithmetic, ms per token.
    dense_token_ms: f64,
    /// Reading every expert, ms; 0 for a dense model.
    experts_ms: f64,
    experts_token_ms: f64,
    /// Logarithm of the share of experts that one token leaves alone.
    ln_untouched: f64,
    spread: f64,
    kv_token_ms: f64,
    pair_ms: f64,
    /// What a step costs whatever it computes, ms.
    step_ms: f64,
    sequence_ms: f64,
    /// Exchange of activations between boards, ms per token.
    link_token_ms: f64,
    prompt_step_ms: f64,
    first_token_ms: f64,
    first_token_ms_per_token: f64,
    pub(crate) power: Power,
    kv_bytes_per_token: f64,
    kv_capacity_tokens: u64,
    basis: Basis,
}

impl Perf {
    /// The model `shape` on `gpus` boards of kind `gpu`, its weights stored in `weight_bytes_per_param` bytes each
    /// (2 for 16-bit, 1 for 8-bit, about 0.52 for 4-bit with scales), tensor parallel under vLLM of no stated release. `None`
    /// when the weights leave no room for KV.
    ///
    /// 8-bit weights compute at the board's 8-bit rate; 4-bit ones are unpacked and compute at the 16-bit rate.
    #[must_use]
    pub fn new(gpu: &GpuSpec, gpus: u32, shape: &ModelShape, weight_bytes_per_param: f64) -> Option<Self> {
        let quant = match weight_bytes_per_param {
            bytes if bytes >= 1.5 => Quant::Bf16,
            bytes if bytes >= 0.75 => Quant::Fp8,
            _ => Quant::Int4,
        };
        let deployment = Deployment::new(gpu, gpus, shape, quant);
        Self::deploy(&Deployment {
            dense_bytes: weight_bytes_per_param,
            expert_bytes: weight_bytes_per_param,
            ..deployment
        })
    }

    /// The engine that `deployment` describes, with the committed coefficients. `None` when the weights leave no room
    /// for KV.
    #[must_use]
    pub fn deploy(deployment: &Deployment<'_>) -> Option<Self> {
        Self::with_values(deployment, &deployment.values()).filter(|perf| perf.kv_capacity_tokens >= MIN_KV_TOKENS)
    }

    /// The engine with coefficients of the caller's, for a fit. `None` when there is no room for any KV.
    #[must_use]
    pub fn with_values(deployment: &Deployment<'_>, values: &Values) -> Option<Self> {
        let Deployment { gpu, shape, .. } = *deployment;
        let boards = f64::from(deployment.gpus.max(1));
        let ranks = f64::from(deployment.attention_ranks.max(1));
        let ln = |term: Term| values[term as usize];
        let of = |term: Term| libm::exp(ln(term));
        let expert_params = shape.expert_params_b() * 1e9;
        let dense_params = shape.params_b * 1e9 - expert_params;
        let weight_bytes = ranks * dense_params * deployment.dense_bytes + expert_params * deployment.expert_bytes;
        let kv_bytes_per_token = shape.kv_elements_per_token() * deployment.kv_bytes * copies(deployment);
        let kv_bytes = boards * (gpu.memory_gib * MEMORY_SHARE - RUNTIME_GIB) * GIB - weight_bytes;
        // `as` saturates: too little memory gives zero.
        let kv_capacity_tokens = (kv_bytes / kv_bytes_per_token) as u64;
        if kv_capacity_tokens == 0 {
            return None;
        }
        let bytes_per_ms = boards * gpu.memory_gb_per_s * 1e6;
        let slower = libm::exp(ln(Term::GpuMemory) + ln(Term::FamilyMemory)) / bytes_per_ms;
        let arithmetic = libm::exp(
            ln(Term::GpuCompute) + ln(Term::FamilyCompute) + ln(Term::PairCompute) + ln(Term::ReleaseCompute)
                - ln(Term::ComputeBackend),
        ) / (boards * 1e9);
        let imbalance = if deployment.expert_parallel { of(Term::Imbalance) } else { 1.0 };
        let expert_share =
            libm::exp(ln(Term::ComputeExpert) + ln(Term::ComputeExpertFormat)) * deployment.experts.tflops(gpu);
        let dense_share = libm::exp(ln(Term::GemmCompute) + ln(Term::ComputeShared) + ln(Term::ComputeSharedFormat))
            * deployment.dense.tflops(gpu);
        let memory_share = libm::exp(ln(Term::GemmMemory) + ln(Term::MemoryShared)).min(1.0);
        let expert_memory_share = libm::exp(ln(Term::MemoryExpert) + ln(Term::MemoryExpertFormat)).min(1.0);
        let pair_flop = 4.0 * f64::from(shape.kv_layers) * f64::from(shape.heads) * f64::from(shape.head_dim);
        let link_bytes = if boards > 1.0 {
            // A ring moves 2(n−1)/n of the 16-bit activations over each link, twice a layer.
            8.0 * f64::from(shape.layers) * (boards - 1.0) / boards * f64::from(shape.hidden) / ranks
        } else {
            0.0
        };
        Some(Self {
            dense_ms: ranks * dense_params * deployment.dense_bytes * slower / memory_share,
            dense_token_ms: 2.0 * dense_params * arithmetic / dense_share,
            experts_ms: expert_params * deployment.expert_bytes * slower * imbalance / expert_memory_share,
            experts_token_ms: 2.0 * expert_params * shape.expert_share() * arithmetic * imbalance / expert_share,
            ln_untouched: libm::log1p(-shape.expert_share().min(0.999)),
            spread: of(Term::Spread),
            kv_token_ms: kv_bytes_per_token * slower / of(Term::MemoryKv).min(1.0),
            pair_ms: pair_flop * arithmetic / (gpu.bf16_tflops * of(Term::ComputeAttention)),
            step_ms: fixed_ms(deployment, values),
            sequence_ms: libm::exp(ln(Term::Sequence) + ln(Term::ReleaseSequence)) / ranks,
            link_token_ms: link_bytes / (gpu.link_gb_per_s * 1e6 * of(Term::Link)),
            prompt_step_ms: of(Term::PromptStep),
            first_token_ms: (of(Term::FirstBase) + f64::from(shape.layers) * of(Term::FirstLayer))
                * libm::exp(ln(Term::PairFirst) + ln(Term::ReleaseFirst)),
            first_token_ms_per_token: of(Term::FirstToken) * libm::exp(ln(Term::PairFirst) + ln(Term::ReleaseFirst)),
            power: Power::new(gpu, boards, values),
            kv_bytes_per_token,
            kv_capacity_tokens,
            basis: deployment.basis(),
        })
    }

    /// Fewest boards (a power of two, at most 64) that hold the model, or `None`.
    #[must_use]
    pub fn gpus_needed(gpu: &GpuSpec, shape: &ModelShape, weight_bytes_per_param: f64) -> Option<u32> {
        (0..7)
            .map(|doublings| 1 << doublings)
            .find(|gpus| Self::new(gpu, *gpus, shape, weight_bytes_per_param).is_some())
    }

    /// Where these numbers come from.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Duration of a step, ms; 0 for no work.
    #[must_use]
    pub fn work_ms(&self, work: &StepWork) -> f64 {
        self.mean_ms(&work.into())
    }

    /// Duration of an average step, ms; 0 for no work.
    #[must_use]
    pub fn mean_ms(&self, work: &MeanWork) -> f64 {
        self.parts(work).total_ms
    }

    /// The same with what of it is memory and what arithmetic.
    #[inline]
    pub(crate) fn parts(&self, work: &MeanWork) -> Parts {
        let tokens = work.prefill_tokens + work.decode_seqs;
        if tokens <= 0.0 {
            return Parts::default();
        }
        let dense_compute_ms = tokens * self.dense_token_ms;
        let kv_ms = work.kv_tokens * self.kv_token_ms;
        let pair_ms = work.prefill_pairs * self.pair_ms;
        let mut memory_ms = self.dense_ms + kv_ms;
        let mut compute_ms = dense_compute_ms + pair_ms;
        let mut total_ms = right_angle(self.dense_ms, dense_compute_ms)
            + kv_ms
            + pair_ms
            + self.step_ms
            + self.sequence_ms * work.decode_seqs
            + self.link_token_ms * tokens;
        if self.experts_ms > 0.0 {
            let read_ms = self.experts_ms * self.experts_touched(tokens);
            let expert_compute_ms = tokens * self.experts_token_ms;
            memory_ms += read_ms;
            compute_ms += expert_compute_ms;
            total_ms += right_angle(read_ms, expert_compute_ms);
        }
        if work.prefill_tokens > 0.0 {
            total_ms += self.prompt_step_ms;
        }
        Parts { memory_ms, compute_ms, total_ms }
    }

    /// Share of the experts that a batch of `tokens` reads: `1 − (1 − share)ⁿ`, were `n` tokens routed independently.
    fn experts_touched(&self, tokens: f64) -> f64 {
        1.0 - libm::exp(self.ln_untouched * libm::exp(self.spread * libm::log(tokens)))
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
}

fn right_angle(a: f64, b: f64) -> f64 {
    libm::sqrt(a * a + b * b)
}

/// How many times the KV of a token is kept: beyond one board per KV head the heads are copied, and the latent vector
/// has one.
fn copies(deployment: &Deployment<'_>) -> f64 {
    let heads = if deployment.shape.latent { 1.0 } else { f64::from(deployment.shape.kv_heads) };
    let boards = f64::from(deployment.gpus.max(1)) / f64::from(deployment.attention_ranks.max(1));
    (boards / heads).max(1.0)
}

/// What a step costs whatever it computes, ms.
fn fixed_ms(deployment: &Deployment<'_>, values: &Values) -> f64 {
    let ln = |term: Term| values[term as usize];
    let of = |term: Term| libm::exp(ln(term));
    let mut layer_ms = of(Term::Layer) + of(Term::FormatLayer);
    if deployment.shape.experts.is_some() {
        layer_ms += of(Term::ExpertLayer);
    }
    if deployment.shape.latent {
        layer_ms += of(Term::LatentLayer);
    }
    if deployment.gpus > 1 {
        layer_ms += 2.0 * of(Term::Reduce) * libm::log2(f64::from(deployment.gpus)) / REDUCE_DOUBLINGS;
    }
    let slower = ln(Term::GpuOverhead)
        + ln(Term::KindOverhead)
        + ln(Term::FamilyOverhead)
        + ln(Term::PairOverhead)
        + ln(Term::ReleaseOverhead);
    (of(Term::StepBase) + f64::from(deployment.shape.layers) * layer_ms) * libm::exp(slower)
}

#[cfg(test)]
mod tests;
