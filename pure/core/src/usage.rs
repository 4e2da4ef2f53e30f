//! What a request used, and what that cost.

use rhumb_route::account::{PriceSnapshot, Tokens};
use rhumb_route::predict::Prediction;

/// Tokens of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the engine's cache.
    pub cached_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
}

impl Usage {
    /// Of a request whose engine never said its usage: the prompt counts as it was predicted.
    #[must_use]
    pub fn estimated(predicted: &Prediction, output_tokens: u64) -> Self {
        let prompt_tokens = (predicted.uncached_tokens + predicted.cached_tokens) as u64;
        Self { prompt_tokens, cached_tokens: predicted.cached_tokens as u64, output_tokens }
    }

    /// What it cost, USD, where a token of the answer takes so many bytes on the wire.
    #[must_use]
    pub fn usd(&self, price_snapshot: &PriceSnapshot, predicted: &Prediction, bytes_per_token: f64) -> f64 {
        let cached = self.cached_tokens as f64;
        let tokens = Tokens { uncached: self.prompt_tokens as f64 - cached, cached, output: self.output_tokens as f64 };
        price_snapshot.usd(&tokens, predicted.running, bytes_per_token)
    }
}
