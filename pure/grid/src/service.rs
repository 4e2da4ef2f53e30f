//! A policy as what its requests may ask of the gateway: urgency, patience, size.

use crate::config::{EngineErrors, Policy, Preset, Priority};

/// Limits and urgency of the requests of one policy, nothing left open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// Urgency of requests that state none.
    pub priority: Priority,
    /// Longest wait at the router.
    pub max_wait_ms: u64,
    /// Most choices (`n`, `best_of`) of one prompt.
    pub max_choices: u64,
    /// Most answers of one request: choices of all prompts of a list together.
    pub max_sequences: u64,
    /// Most tokens of one answer; none stated: as many as the model's context takes.
    pub max_answer_tokens: Option<u64>,
    /// A second target may be asked when the first is late.
    pub hedge: bool,
    /// After so long without content a client that streams is sent a comment, and again each time; 0: never.
    pub keep_alive_ms: u64,
    /// How much clients see of an engine's refusal.
    pub engine_errors: EngineErrors,
}

/// Proxies in between close connections that are silent for half a minute or a minute.
const KEEP_ALIVE_MS: u64 = 10_000;

impl Service {
    /// The values of a preset. Where a person waits, a wait of more than a few times the objective is worse than being
    /// told so.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        let (priority, max_wait_ms) = match preset {
            Preset::Interactive => (Priority::Interactive, 2_000),
            Preset::Fastest => (Priority::Interactive, 5_000),
            Preset::Balanced | Preset::Closest => (Priority::Standard, 10_000),
            Preset::Economy => (Priority::Standard, 60_000),
            Preset::Batch => (Priority::Batch, 3_600_000),
        };
        // The late few matter to a person who waits; where nobody does, the prompts computed twice are waste.
        let hedge = priority == Priority::Interactive;
        Self {
            priority,
            max_wait_ms,
            max_choices: 128,
            max_sequences: 512,
            max_answer_tokens: None,
            hedge,
            keep_alive_ms: KEEP_ALIVE_MS,
            engine_errors: EngineErrors::Pass,
        }
    }

    /// The values of a policy: its preset's, but for those it states.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let base = Self::preset(policy.preset);
        Self {
            priority: policy.priority.unwrap_or(base.priority),
            max_wait_ms: policy.max_wait_ms.unwrap_or(base.max_wait_ms),
            max_choices: policy.max_choices.unwrap_or(base.max_choices),
            max_sequences: policy.max_choices.unwrap_or(base.max_sequences),
            max_answer_tokens: policy.max_answer_tokens.or(base.max_answer_tokens),
            hedge: policy.hedge.unwrap_or(base.hedge),
            keep_alive_ms: policy.keep_alive_ms.unwrap_or(base.keep_alive_ms),
            engine_errors: policy.engine_errors.unwrap_or(base.engine_errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_states_what_differs_from_its_preset() {
        let policy: Policy =
            serde_json::from_str(r#"{"name":"p","preset":"batch","priority":"standard","max_choices":2}"#).unwrap();
        let (service, preset) = (Service::of(&policy), Service::preset(Preset::Batch));
        assert_eq!((service.priority, service.max_choices, service.max_sequences), (Priority::Standard, 2, 2));
        let (priority, max_choices, max_sequences) = (preset.priority, preset.max_choices, preset.max_sequences);
        assert_eq!(Service { priority, max_choices, max_sequences, ..service }, preset);
    }
}
