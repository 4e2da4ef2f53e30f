//! The models the engine can run, reduced to what decides time and memory. The table is in `shapes.rs`.

use serde::Serialize;

/// Width of the latent vector of a token and layer: 512 compressed and 64 of position, in every model that has it.
const LATENT_ELEMENTS: u32 = 576;

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
    /// Models of one architecture and size, whatever their names: what was measured on one holds for all. The name of
    /// the family in the table of coefficients.
    pub family: &'static str,
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
    /// Whether keys and values are kept as one latent vector for all heads (multi-head latent attention).
    pub latent: bool,
    /// Longest context the model was trained for, tokens.
    pub context_tokens: u32,
    /// The expert layers, or `None` for a dense model.
    pub experts: Option<Experts>,
}

impl ModelShape {
    /// Numbers that one token of context keeps: two tensors of `kv_heads × head_dim` a layer, or one latent vector.
    #[must_use]
    pub fn kv_elements_per_token(&self) -> f64 {
        let per_layer = if self.latent {
            f64::from(LATENT_ELEMENTS)
        } else {
            2.0 * f64::from(self.kv_heads) * f64::from(self.head_dim)
        };
        f64::from(self.kv_layers) * per_layer
    }

    /// Bytes of keys and values one token of context takes in 16 bits.
    #[must_use]
    pub fn kv_bytes_per_token(&self) -> f64 {
        2.0 * self.kv_elements_per_token()
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

/// Every known model, the smallest first within its family.
#[must_use]
pub fn shapes() -> &'static [ModelShape] {
    crate::shapes::SHAPES
}

/// The model called `name`, or `None`.
#[must_use]
pub fn shape(name: &str) -> Option<&'static ModelShape> {
    shapes().iter().find(|shape| shape.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kv_of_llama_8b_is_128_kib_a_token() {
        assert_eq!(shape("llama-3.1-8b").unwrap().kv_bytes_per_token(), 131_072.0);
    }

    #[test]
    fn latent_kv_is_one_vector_a_layer() {
        // DeepSeek-V3: 61 layers of 576 numbers.
        assert_eq!(shape("deepseek-v3").unwrap().kv_bytes_per_token(), 70_272.0);
    }

    #[test]
    fn names_are_unique() {
        for (i, shape) in shapes().iter().enumerate() {
            assert!(shapes().iter().skip(i + 1).all(|other| other.name != shape.name), "{} twice", shape.name);
        }
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
