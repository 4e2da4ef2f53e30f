//! What one session of an agent may come to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of one session; one that is not set does not hold. A request that begins beyond one of them is refused for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionLimits {
    /// Requests.
    #[schemars(range(min = 1))]
    pub max_steps: Option<u64>,
    /// Tokens of prompts and answers together.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// Money that they cost, in USD.
    #[schemars(range(min = 0.000_001, max = 1_000_000.0))]
    pub max_usd: Option<f64>,
    /// Seconds since its first request.
    #[schemars(range(min = 1))]
    pub max_seconds: Option<u64>,
    /// Times in a row that the same tools are called with the same arguments, in what a request tells of its conversation.
    #[schemars(range(min = 2))]
    pub max_repeats: Option<u64>,
}

impl SessionLimits {
    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        fn least<T: PartialOrd + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(if b < a { b } else { a }),
                (a, b) => a.or(b),
            }
        }
        Self {
            max_steps: least(self.max_steps, other.max_steps),
            max_tokens: least(self.max_tokens, other.max_tokens),
            max_usd: least(self.max_usd, other.max_usd),
            max_seconds: least(self.max_seconds, other.max_seconds),
            max_repeats: least(self.max_repeats, other.max_repeats),
        }
    }

    /// One of them counts what a session has come to before, so that the session must be known.
    #[must_use]
    pub fn needs_a_session(self) -> bool {
        self.max_steps.is_some() || self.max_tokens.is_some() || self.max_usd.is_some() || self.max_seconds.is_some()
    }
}
