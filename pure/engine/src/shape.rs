//! The models the engine can run, reduced to what decides time and memory.
//!
//! Source of every row: the model's published configuration (`config.json`) and parameter count.

use serde::Serialize;

/// Expert layers of a mixture-of-experts model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Experts {
    /// Experts per layer.
    pub total: u32,
    /// Experts a token is sent to.
    pub per_token: u32,
}

/// Size of a transformer, as far as serving time depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ModelShape {
    /// Slug by which configuration and command line name it.
    pub name: &'static str,
    /// All parameters, 10⁹.
    pub params_b: f64,
    /// Parameters one token passes through, 10⁹ (equal to `params_b` for a dense model).
    pub active_params_b: f64,
    /// Transformer layers.
    pub layers: u32,
    /// Layers that keep keys and values of the whole context; layers with a short sliding window are not counted.
    pub kv_layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads (grouped-query attention).
    pub kv_heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// Longest context the model was trained for, tokens.
    pub context_tokens: u32,
    /// The expert layers, or `None` for a dense model.
    pub experts: Option<Experts>,
}

impl ModelShape {
    /// Bytes of keys and values one token of context takes, 16-bit: two tensors of `kv_heads × head_dim` a layer.
    #[must_use]
    pub fn kv_bytes_per_token(&self) -> f64 {
        2.0 * 2.0 * f64::from(self.kv_layers) * f64::from(self.kv_heads) * f64::from(self.head_dim)
    }

    /// Share of the experts a token is sent to: 1 for a dense model.
    #[must_use]
    pub fn expert_share(&self) -> f64 {
        self.experts.map_or(1.0, |experts| f64::from(experts.per_token) / f64::from(experts.total))
    }

    /// Parameters inside experts, 10⁹: zero for a dense model. Follows from the total and the active count, because
    /// a token passes through everything shared and `expert_share` of the rest.
    #[must_use]
    pub fn expert_params_b(&self) -> f64 {
        match self.experts {
            None => 0.0,
            Some(_) => (self.params_b - self.active_params_b) / (1.0 - self.expert_share()),
        }
    }
}

/// A dense model of grouped-query attention whose every layer sees the whole context.
#[expect(clippy::too_many_arguments, reason = "one call is one line of the table below, its columns in field order")]
const fn dense(
    name: &'static str,
    params_b: f64,
    layers: u32,
    hidden: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    context_tokens: u32,
) -> ModelShape {
    ModelShape {
        name,
        params_b,
        active_params_b: params_b,
        layers,
        kv_layers: layers,
        hidden,
        heads,
        kv_heads,
        head_dim,
        context_tokens,
        experts: None,
    }
}

const SHAPES: &[ModelShape] = &[
    // About Qwen2.5-0.5B: small enough that every board holds it, for examples and tests.
    dense("tiny", 0.494, 24, 896, 14, 2, 64, 32_768),
    dense("llama-3.1-8b", 8.03, 32, 4096, 32, 8, 128, 131_072),
    dense("llama-3.1-70b", 70.55, 80, 8192, 64, 8, 128, 131_072),
    dense("llama-3.3-70b", 70.55, 80, 8192, 64, 8, 128, 131_072),
    dense("qwen3-8b", 8.19, 36, 4096, 32, 8, 128, 40_960),
    dense("qwen3-32b", 32.76, 64, 5120, 64, 8, 128, 40_960),
    ModelShape {
        active_params_b: 3.3,
        experts: Some(Experts { total: 128, per_token: 8 }),
        ..dense("qwen3-30b-a3b", 30.5, 48, 2048, 32, 4, 128, 262_144)
    },
    ModelShape {
        active_params_b: 5.1,
        // Every second layer attends to the last 128 tokens only.
        kv_layers: 18,
        experts: Some(Experts { total: 128, per_token: 4 }),
        ..dense("gpt-oss-120b", 116.8, 36, 2880, 64, 8, 64, 131_072)
    },
];

/// Every known model, the smallest first within its family.
#[must_use]
pub fn shapes() -> &'static [ModelShape] {
    SHAPES
}

/// The model called `name`, or `None`.
#[must_use]
pub fn shape(name: &str) -> Option<&'static ModelShape> {
    SHAPES.iter().find(|shape| shape.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kv_of_llama_8b_is_128_kib_a_token() {
        assert_eq!(shape("llama-3.1-8b").unwrap().kv_bytes_per_token(), 131_072.0);
    }

    #[test]
    fn experts_and_shared_weights_add_up() {
        for shape in shapes().iter().filter(|shape| shape.experts.is_some()) {
            let shared = shape.params_b - shape.expert_params_b();
            assert!(shared > 0.0, "{}", shape.name);
            let active = shared + shape.expert_params_b() * shape.expert_share();
            assert!((active - shape.active_params_b).abs() < 1e-9, "{}", shape.name);
        }
    }
}
