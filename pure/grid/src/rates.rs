//! A policy as the numbers a bill is made with.

use serde::{Deserialize, Serialize};

use crate::config::{Policy, Preset};

/// Exchange rates and constraints of one policy, nothing left open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// What one second of waiting is worth, USD.
    pub second_usd: f64,
    /// The network share of the waiting counts this many times.
    pub network_factor: f64,
    /// Objective for the time to first token.
    pub ttft_slo_ms: f64,
    /// What missing it costs, USD.
    pub miss_usd: f64,
    /// Milliseconds per token at which a reader keeps up.
    pub reading_pace_ms: f64,
    /// Quality wanted, 0 to 1.
    pub quality: f64,
    /// What a shortfall of 1.0 costs, USD.
    pub quality_usd: f64,
    /// What leaving a session's pin must save, USD.
    pub switch_usd: f64,
    /// Longest wait for the first content.
    pub first_token_timeout_ms: u64,
    /// Longest pause inside an answer.
    pub idle_timeout_ms: u64,
    /// Targets tried for one request.
    pub max_attempts: u32,
}

impl Rates {
    /// The values of a preset. A balanced second is worth 0.2 cents (7.20 USD an hour), an interactive one ten times
    /// that, an economical one a tenth.
    pub fn preset(preset: Preset) -> Self {
        let balanced = Self {
            second_usd: 0.002,
            network_factor: 1.0,
            ttft_slo_ms: 1_000.0,
            miss_usd: 0.001,
            reading_pace_ms: 50.0,
            quality: 0.6,
            quality_usd: 0.01,
            switch_usd: 0.000_05,
            first_token_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            max_attempts: 3,
        };
        match preset {
            Preset::Balanced => balanced,
            Preset::Interactive => {
                Self { second_usd: 0.02, ttft_slo_ms: 300.0, miss_usd: 0.01, switch_usd: 0.000_2, ..balanced }
            }
            Preset::Economy => {
                Self { second_usd: 0.000_2, ttft_slo_ms: 3_000.0, miss_usd: 0.000_1, quality: 0.0, ..balanced }
            }
            Preset::Batch => Self {
                second_usd: 0.000_001,
                ttft_slo_ms: 3_600_000.0,
                miss_usd: 0.0,
                reading_pace_ms: 60_000.0,
                quality: 0.0,
                first_token_timeout_ms: 3_600_000,
                idle_timeout_ms: 600_000,
                ..balanced
            },
            Preset::Closest => Self { network_factor: 20.0, ..balanced },
            Preset::Fastest => Self { second_usd: 1.0, miss_usd: 0.5, switch_usd: 0.01, ..balanced },
        }
    }

    /// The values of a policy: its preset's, but for those it states.
    pub fn of(policy: &Policy) -> Self {
        let base = Self::preset(policy.preset);
        Self {
            second_usd: policy.second_usd.unwrap_or(base.second_usd),
            network_factor: base.network_factor,
            ttft_slo_ms: policy.ttft_slo_ms.unwrap_or(base.ttft_slo_ms),
            miss_usd: policy.miss_usd.unwrap_or(base.miss_usd),
            reading_pace_ms: policy.reading_pace_ms.unwrap_or(base.reading_pace_ms),
            quality: policy.quality.unwrap_or(base.quality),
            quality_usd: policy.quality_usd.unwrap_or(base.quality_usd),
            switch_usd: policy.switch_usd.unwrap_or(base.switch_usd),
            first_token_timeout_ms: policy.first_token_timeout_ms.unwrap_or(base.first_token_timeout_ms),
            idle_timeout_ms: policy.idle_timeout_ms.unwrap_or(base.idle_timeout_ms),
            max_attempts: policy.max_attempts.unwrap_or(base.max_attempts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_states_what_differs_from_its_preset() {
        let policy: Policy =
            serde_json::from_str(r#"{"name":"p","preset":"interactive","second_usd":0.5,"max_attempts":2}"#).unwrap();
        let rates = Rates::of(&policy);
        assert_eq!((rates.second_usd, rates.max_attempts), (0.5, 2));
        let preset = Rates::preset(Preset::Interactive);
        assert_eq!(Rates { second_usd: preset.second_usd, max_attempts: preset.max_attempts, ..rates }, preset);
    }
}
