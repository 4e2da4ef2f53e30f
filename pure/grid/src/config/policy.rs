//! What an answer is worth to a request, and its limits.

use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How urgent a request is: while the more urgent wait, the less urgent do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// A person waits.
    Interactive,
    /// A program waits, or a person who can.
    Standard,
    /// Nobody waits.
    Batch,
}

impl Priority {
    /// Every priority with its name, the most urgent first.
    pub const ALL: [(&'static str, Priority); Self::COUNT] =
        [("interactive", Self::Interactive), ("standard", Self::Standard), ("batch", Self::Batch)];

    /// How many there are.
    pub const COUNT: usize = 3;

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// The priority of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }
}

/// A set of exchange rates. What is not stated comes from the preset.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Unique name; clients may ask for it with `x-rhumb-policy`.
    pub name: String,
    /// Where the values that are not stated come from.
    #[serde(default)]
    pub preset: Preset,
    /// What one second of a waiting person is worth, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub second_usd: Option<f64>,
    /// Objective for the time to first token, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 1.0, max = 3_600_000.0))]
    pub ttft_slo_ms: Option<f64>,
    /// What missing that objective costs, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub miss_usd: Option<f64>,
    /// Pace at which a reader keeps up, milliseconds per token; slower generation is billed.
    #[serde(default)]
    #[schemars(range(min = 0.1, max = 60_000.0))]
    pub reading_pace_ms: Option<f64>,
    /// Quality wanted of the model, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: Option<f64>,
    /// What a shortfall of 1.0 in quality costs, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub quality_usd: Option<f64>,
    /// What moving a session away from its pin must save besides the lost cache, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub switch_usd: Option<f64>,
    /// Longest wait for the first content before the next target is tried, in milliseconds. Where the prompt is predicted
    /// to take a good part of that, the wait is six times the prediction; each sign that the endpoint is at work (its
    /// response head, a comment, a role) extends it, four times at most.
    #[serde(default)]
    #[schemars(range(min = 10, max = 3_600_000))]
    pub first_token_timeout_ms: Option<u64>,
    /// Longest pause between two pieces of an answer, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 10, max = 3_600_000))]
    pub idle_timeout_ms: Option<u64>,
    /// How urgent its requests are unless they say otherwise (`x-rhumb-priority`, `service_tier`).
    #[serde(default)]
    pub priority: Option<Priority>,
    /// Longest wait at the router for a free endpoint, in milliseconds; then the client is rejected with Retry-After.
    #[serde(default)]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub max_wait_ms: Option<u64>,
    /// Most choices (`n`, `best_of`) that one request may ask for, those of all prompts of a list together. Default: 128
    /// for one prompt, 512 for a list.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_024))]
    pub max_choices: Option<u64>,
    /// Most tokens that one answer may be asked to have, under whatever name (`max_tokens`, `n_predict`, `min_tokens`, …). An
    /// answer that is asked no length gets this one.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_answer_tokens: Option<u64>,
    /// Targets tried for one request, the first included.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16))]
    pub max_attempts: Option<u32>,
    /// Ask a second target when the first is late for its first content, and take whichever begins first. Default: true
    /// under the presets `interactive` and `fastest`, where a person waits, else false.
    #[serde(default)]
    pub hedge: Option<bool>,
    /// A client that streams is sent a comment when it has waited so long for the first content, and again each time, so
    /// that no proxy in between gives the connection up; 0: never. Default: 10,000.
    #[serde(default)]
    #[schemars(range(max = 3_600_000))]
    pub keep_alive_ms: Option<u64>,
    /// How much clients see of an engine's refusal of their request (4xx). Default: `pass`.
    #[serde(default)]
    pub engine_errors: Option<EngineErrors>,
    /// Countries the request may be served in; empty means anywhere.
    #[serde(default)]
    pub countries: Vec<String>,
}

/// How much clients see of an engine's refusal of their request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineErrors {
    /// Its status, code, field and words, without addresses, files and credentials.
    Pass,
    /// Its status, code and field.
    Map,
    /// That it was refused.
    Hide,
}

/// A named starting point for a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A person waits for every token.
    Interactive,
    /// Speed and money weigh alike.
    #[default]
    Balanced,
    /// Money weighs most.
    Economy,
    /// Nobody waits.
    Batch,
    /// The network leg weighs most.
    Closest,
    /// Only time counts.
    Fastest,
}

impl Preset {
    /// Every preset with the name clients use.
    pub const ALL: [(&'static str, Preset); 6] = [
        ("interactive", Preset::Interactive),
        ("balanced", Preset::Balanced),
        ("economy", Preset::Economy),
        ("batch", Preset::Batch),
        ("closest", Preset::Closest),
        ("fastest", Preset::Fastest),
    ];
}
