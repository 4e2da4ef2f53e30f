//! Models, and names that stand for several.

use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tasks::Tasks;

/// Weights as clients name them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Unique name; what a client writes in `model`.
    pub name: String,
    /// Other names for the same weights.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Shape used by the performance model, one of those `rhumb engine --list` prints; default: the model's own name.
    #[serde(default)]
    pub shape: Option<String>,
    /// Share of answers that are good enough, 0 to 1, from an evaluation you trust (say, MMLU accuracy).
    #[serde(default = "default_quality")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: f64,
    /// Accepts images.
    #[serde(default)]
    pub vision: bool,
    /// Accepts audio.
    #[serde(default)]
    pub audio: bool,
    /// Supports tool calls and guided output.
    #[serde(default = "yes")]
    pub tools: bool,
    /// Answers `/v1/embeddings` instead of generating text.
    #[serde(default)]
    pub embedding: bool,
    /// Answers `/v1/rerank` and `/v1/score` instead of generating text.
    #[serde(default)]
    pub rerank: bool,
    /// Answers `/v1/classify` and `/v1/moderations` instead of generating text.
    #[serde(default)]
    pub classify: bool,
    /// Answers `/v1/audio/speech` instead of generating text.
    #[serde(default)]
    pub speech: bool,
    /// Answers `/v1/images/generations` and `/v1/images/edits` instead of generating text.
    #[serde(default)]
    pub images: bool,
    /// Answers `/v1/audio/transcriptions` and `/v1/audio/translations` instead of generating text.
    #[serde(default)]
    pub transcription: bool,
    /// Carries sessions of `/v1/realtime` instead of generating text.
    #[serde(default)]
    pub realtime: bool,
    /// A question with a known answer that every endpoint of the model is asked now and then.
    #[serde(default)]
    pub canary: Option<Canary>,
}

impl Model {
    /// What it does instead of generating text.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        let does =
            [self.embedding, self.rerank, self.classify, self.speech, self.images, self.transcription, self.realtime];
        let does = does.iter().zip(Tasks::ALL).filter(|(does, _)| **does);
        does.fold(Tasks::default(), |all, (_, (task, _))| all.and(task))
    }
}

/// A question whose answer is known. An endpoint that answers it wrongly is sent nothing until it answers it rightly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The question, asked at temperature 0.
    pub prompt: String,
    /// What the answer must hold, upper and lower case alike.
    pub contains: String,
    /// Longest answer, in tokens.
    #[serde(default = "default_canary_tokens")]
    #[schemars(range(min = 1, max = 4_096))]
    pub max_tokens: u32,
}

fn default_canary_tokens() -> u32 {
    16
}

fn default_quality() -> f64 {
    0.7
}

fn yes() -> bool {
    true
}

/// A name that stands for several models; the bill chooses among them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VirtualModel {
    /// Unique name; what a client writes in `model`.
    pub name: String,
    /// Names of models.
    #[schemars(length(min = 1))]
    pub models: Vec<String>,
}
