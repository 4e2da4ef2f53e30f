//! The table of model shapes.
//!
//! Source of a row, unless it says otherwise: the model's published configuration (`config.json`) and parameter count,
//! written from memory of them and not fetched for this table. A row marked "estimated from the parameter count" has
//! dimensions that are plausible for its size and not known to be the model's own.

use crate::shape::{Experts, ModelShape};

/// A dense model of grouped-query attention whose every layer sees the whole context.
const fn dense(
    name: &'static str,
    params_b: f64,
    [layers, hidden]: [u32; 2],
    [heads, kv_heads, head_dim]: [u32; 3],
    context_tokens: u32,
) -> ModelShape {
    ModelShape {
        name,
        family: name,
        params_b,
        active_params_b: params_b,
        layers,
        kv_layers: layers,
        hidden,
        heads,
        kv_heads,
        head_dim,
        latent: false,
        context_tokens,
        experts: None,
    }
}

/// The same with experts in its layers.
const fn mixture(dense: ModelShape, active_params_b: f64, total: u32, per_token: u32) -> ModelShape {
    ModelShape { active_params_b, experts: Some(Experts { total, per_token }), ..dense }
}

const fn latent(shape: ModelShape) -> ModelShape {
    ModelShape { latent: true, ..shape }
}

/// Another name of the same architecture.
const fn alias(name: &'static str, shape: ModelShape) -> ModelShape {
    ModelShape { name, ..shape }
}

const LLAMA_70B: ModelShape = dense("llama-3.1-70b", 70.55, [80, 8192], [64, 8, 128], 131_072);
const QWEN3_30B_A3B: ModelShape = mixture(dense("qwen3-30b-a3b", 30.5, [48, 2048], [32, 4, 128], 262_144), 3.3, 128, 8);
const DEEPSEEK_V3: ModelShape =
    latent(mixture(dense("deepseek-v3", 671.0, [61, 7168], [128, 128, 160], 131_072), 37.0, 256, 8));

pub(crate) const SHAPES: &[ModelShape] = &[
    // About Qwen2.5-0.5B: small enough that every board holds it, for examples and tests.
    dense("tiny", 0.494, [24, 896], [14, 2, 64], 32_768),
    dense("llama-2-70b", 68.98, [80, 8192], [64, 8, 128], 4096),
    dense("llama-3.1-8b", 8.03, [32, 4096], [32, 8, 128], 131_072),
    LLAMA_70B,
    alias("llama-3.3-70b", LLAMA_70B),
    dense("llama-3.1-405b", 405.8, [126, 16_384], [128, 8, 128], 131_072),
    // Every head has its own keys and values.
    dense("bloom-176b", 176.2, [70, 14_336], [112, 112, 128], 2048),
    dense("qwen3-8b", 8.19, [36, 4096], [32, 8, 128], 40_960),
    dense("qwen3-14b", 14.77, [40, 5120], [40, 8, 128], 40_960),
    dense("qwen3-32b", 32.76, [64, 5120], [64, 8, 128], 40_960),
    // Every sixth layer of Gemma 3 sees the whole context, the others 1,024 tokens.
    ModelShape { kv_layers: 8, ..dense("gemma-3-12b", 12.2, [48, 3840], [16, 8, 256], 131_072) },
    ModelShape { kv_layers: 10, ..dense("gemma-3-27b", 27.4, [62, 5376], [32, 16, 128], 131_072) },
    // Few layers of these hybrids keep keys and values. Layers and width are estimated from the parameter count.
    ModelShape { kv_layers: 4, ..dense("nvidia-nemotron-nano-9b", 8.9, [56, 4480], [40, 8, 128], 131_072) },
    ModelShape { kv_layers: 6, ..dense("nvidia-nemotron-nano-12b", 12.3, [62, 5120], [40, 8, 128], 131_072) },
    QWEN3_30B_A3B,
    alias("qwen3-coder-30b-a3b", QWEN3_30B_A3B),
    mixture(dense("qwen3-235b-a22b", 235.1, [94, 4096], [64, 4, 128], 262_144), 22.2, 128, 8),
    mixture(dense("qwen3-coder-480b-a35b", 480.2, [62, 6144], [96, 8, 128], 262_144), 35.0, 160, 8),
    // One of four layers keeps keys and values, the others a state of fixed size. Layers, width and heads are
    // estimated from the parameter count.
    ModelShape {
        kv_layers: 15,
        ..mixture(dense("qwen3.5-397b-a17b", 397.0, [60, 4096], [32, 2, 256], 262_144), 17.0, 512, 11)
    },
    // Every second layer of gpt-oss attends to the last 128 tokens only.
    ModelShape { kv_layers: 12, ..mixture(dense("gpt-oss-20b", 20.9, [24, 2880], [64, 8, 64], 131_072), 3.6, 32, 4) },
    ModelShape {
        kv_layers: 18,
        ..mixture(dense("gpt-oss-120b", 116.8, [36, 2880], [64, 8, 64], 131_072), 5.1, 128, 4)
    },
    // Three of four layers of Llama 4 attend within 8,192 tokens, which is counted as the whole context here.
    mixture(dense("llama-4-scout", 107.8, [48, 5120], [40, 8, 128], 1_048_576), 17.0, 16, 1),
    mixture(dense("llama-4-maverick", 400.7, [48, 5120], [40, 8, 128], 1_048_576), 17.0, 128, 1),
    mixture(dense("minimax-m2.5", 229.0, [62, 3072], [48, 8, 128], 196_608), 10.0, 256, 8),
    DEEPSEEK_V3,
    alias("deepseek-r1", DEEPSEEK_V3),
    alias("deepseek-v3.1", DEEPSEEK_V3),
    latent(mixture(dense("kimi-k2.5", 1026.0, [61, 7168], [64, 64, 160], 262_144), 32.6, 384, 8)),
    // Layers, width and heads are estimated from the parameter count; its sparse attention over long contexts is not
    // modelled.
    latent(mixture(dense("glm-5", 744.0, [78, 6144], [64, 64, 256], 202_752), 40.0, 256, 8)),
];
