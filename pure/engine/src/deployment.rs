//! What runs on what: everything a step's time is derived from.

use crate::gpu::GpuSpec;
use crate::shape::ModelShape;

/// The program that serves the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM.
    TensorRt,
}

impl Backend {
    /// Slug by which data and coefficients name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::TensorRt => "trtllm",
        }
    }
}

/// A number format of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quant {
    /// 16 bits.
    Bf16,
    /// 8-bit floating point, one scale a tensor or channel.
    Fp8,
    /// 8-bit floating point, one scale a block.
    Fp8Block,
    /// 4-bit floating point with block scales (NVFP4, MXFP4).
    Fp4,
    /// 4-bit integers, unpacked before they are multiplied.
    Int4,
}

impl Quant {
    /// Slug by which the table of coefficients names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Fp8Block => "fp8-block",
            Self::Fp4 => "fp4",
            Self::Int4 => "int4",
        }
    }

    /// Bytes a parameter takes with its share of the scales.
    #[must_use]
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 | Self::Fp8Block => 1.0,
            Self::Fp4 => 0.5625,
            Self::Int4 => 0.53,
        }
    }

    /// Peak rate at which `gpu` multiplies it, TFLOP/s: a format the board has no unit for is converted to 16 bits.
    #[must_use]
    pub fn tflops(self, gpu: &GpuSpec) -> f64 {
        match self {
            Self::Bf16 | Self::Int4 => gpu.bf16_tflops,
            Self::Fp8 | Self::Fp8Block => gpu.eight_bit_tflops(),
            Self::Fp4 => gpu.fp4_tflops.unwrap_or(gpu.bf16_tflops),
        }
    }
}

/// What prompts and answers are made of: it decides how many experts a batch touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// What people and programs write.
    Written,
    /// Random tokens, as benchmarks send them.
    Random,
}

impl Text {
    /// Slug by which the table of coefficients names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Random => "random",
        }
    }
}

/// One model on one engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deployment<'a> {
    /// The board.
    pub gpu: &'a GpuSpec,
    /// Boards of the engine.
    pub gpus: u32,
    /// Groups of boards that each run attention for their own share of the sequences (data-parallel attention); 1 for
    /// tensor parallel throughout.
    pub attention_ranks: u32,
    /// Whether whole experts are placed on boards, instead of a slice of each on every board.
    pub expert_parallel: bool,
    /// The model.
    pub shape: &'a ModelShape,
    /// Format in which dense layers (all but the experts) multiply.
    pub dense: Quant,
    /// Bytes of a parameter of theirs.
    pub dense_bytes: f64,
    /// Format of the experts.
    pub experts: Quant,
    /// Bytes of a parameter of theirs.
    pub expert_bytes: f64,
    /// Bytes of a number of the KV memory.
    pub kv_bytes: f64,
    /// The serving program.
    pub backend: Backend,
    /// Its release, or empty where unknown: some releases are measured apart.
    pub release: &'a str,
    /// What it is asked.
    pub text: Text,
}

impl<'a> Deployment<'a> {
    /// Tensor parallel under vLLM of no stated release, all weights in `weights`, 16-bit KV.
    #[must_use]
    pub fn new(gpu: &'a GpuSpec, gpus: u32, shape: &'a ModelShape, weights: Quant) -> Self {
        Self {
            gpu,
            gpus: gpus.max(1),
            attention_ranks: 1,
            expert_parallel: false,
            shape,
            dense: weights,
            dense_bytes: weights.bytes(),
            experts: weights,
            expert_bytes: weights.bytes(),
            kv_bytes: 2.0,
            backend: Backend::Vllm,
            release: "",
            text: Text::Written,
        }
    }
}

/// Where the numbers of a deployment come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Board and model were each measured in an engine, if not together.
    Measured,
    /// The board was measured, with other models.
    GpuMeasured,
    /// The model was measured, on other boards.
    ModelMeasured,
    /// Neither was: bandwidth, arithmetic rate and shape, with efficiencies of other boards and models.
    FirstPrinciples,
}

impl Basis {
    /// In words, for a person.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Measured => "board and model measured",
            Self::GpuMeasured => "board measured, model never measured: first principles",
            Self::ModelMeasured => "model measured, board never measured: first principles",
            Self::FirstPrinciples => "board and model never measured: first principles",
        }
    }
}
