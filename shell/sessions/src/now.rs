//! A session as the admin API shows it.

use serde::{Deserialize, Serialize};

use crate::Kept;

/// A session now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionNow {
    /// Its name, as its client gives it.
    pub session: String,
    /// Whose it is; empty where no tenants are configured.
    pub tenant: String,
    /// Requests that were let through.
    pub steps: u64,
    /// Of those, in progress.
    pub in_progress: u64,
    /// Most in progress at once: parallel steps and sub-agents.
    pub at_once: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// Of those of the prompts, tokens that a cache held.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Money, USD.
    pub usd: f64,
    /// The longest run of the same call that its requests told of.
    pub repeats: u64,
    /// When its first request came.
    pub first_unix_ms: u64,
    /// When something of it was last seen.
    pub last_unix_ms: u64,
    /// The endpoint that served it last.
    pub endpoint: Option<String>,
    /// The model that served it last.
    pub model: Option<String>,
    /// Times that another endpoint or model served it than before.
    pub moved: u64,
    /// The last of them.
    pub moves: Vec<Move>,
    /// The limit that its last request was refused by.
    pub stopped_by: Option<String>,
}

/// A session is served elsewhere than before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Move {
    /// When.
    pub at_unix_ms: u64,
    /// The endpoint before.
    pub from: String,
    /// The endpoint after.
    pub to: String,
    /// The decision, which `rhumb explain` tells the reasons of.
    pub decision: String,
}

impl SessionNow {
    pub(crate) fn of(kept: &Kept) -> Self {
        let s = &kept.session;
        let (endpoint, model) = match &kept.served {
            Some((endpoint, model)) => (Some(endpoint.to_string()), Some(model.to_string())),
            None => (None, None),
        };
        Self {
            session: kept.name.to_string(),
            tenant: kept.tenant.to_string(),
            steps: s.steps,
            in_progress: s.in_progress,
            at_once: s.at_once,
            tokens: s.prompt_tokens + s.completion_tokens,
            cached_tokens: s.cached_tokens,
            completion_tokens: s.completion_tokens,
            usd: s.usd,
            repeats: s.repeats,
            first_unix_ms: s.first_ms,
            last_unix_ms: s.last_ms,
            endpoint,
            model,
            moved: kept.moved,
            moves: kept.moves.iter().cloned().collect(),
            stopped_by: kept.stopped.map(|reached| reached.name().to_owned()),
        }
    }
}
