//! What one request leaves in the log.

use std::sync::Arc;

use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_record::Outcome;
use rhumb_route::decide::Choice;
use rhumb_route::explain::Names;
use rhumb_route::facts::Facts;
use rhumb_route::record::{Kept, Record};
use rhumb_route::view::View;

/// A decision was made; one made anew for the same request, after a wait, takes its place.
#[derive(Clone)]
pub struct Intent {
    /// Identifies request, decision and row. Ids of one gateway only grow.
    pub id: u64,
    /// Wall clock, for people: nothing is decided by it.
    pub at_unix_ms: u64,
    /// Who asked; empty when no tenants are configured.
    pub tenant: Arc<str>,
    /// Name of the key used.
    pub key: Arc<str>,
    /// The API's path.
    pub api: &'static str,
    /// The model as asked for.
    pub model: String,
    /// Name of the policy.
    pub policy: Arc<str>,
    /// The names of the configuration it was made under, and that configuration's version.
    pub names: Arc<dyn Names + Send + Sync>,
    /// The view it was made on.
    pub view: Arc<View>,
    /// The request.
    pub facts: Facts,
    /// The policy, router and seed.
    pub choice: Choice,
    /// The best candidates, in the order of the decision.
    pub kept: Vec<Kept>,
    /// [`rhumb_route::record::fingerprint`] of the decision.
    pub fingerprint: u64,
    /// What the gateway had under way at every endpoint, for a full explanation; empty when `kept` says it all, or
    /// when there are too many.
    pub local_loads: Vec<rhumb_route::row::LocalLoad>,
}

impl Intent {
    /// The inputs that reproduce the decision.
    pub fn record(&self) -> Record {
        Record::new(self.view.version, &*self.view, self.facts.clone(), self.choice, &self.kept)
    }
}

/// A request ended. Exactly one of these follows each [`Intent`].
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// The request.
    pub id: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status sent.
    pub status: u16,
    /// Targets tried.
    pub attempts: u32,
    /// The one that served it, by index, and the model.
    pub served: Option<(EndpointIndex, ModelIndex)>,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the cache.
    pub cached_tokens: u64,
    /// Generated tokens.
    pub completion_tokens: u64,
    /// The token counts are the gateway's estimate, because the engine did not state them.
    pub estimated: bool,
    /// Metered money: tokens, egress, energy, carbon.
    pub usd: f64,
    /// Time to first content, at the gateway.
    pub ttft_ms: Option<f64>,
    /// Time to the end, at the gateway.
    pub total_ms: f64,
}
