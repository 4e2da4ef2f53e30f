//! What one request leaves in the log.

use std::sync::Arc;

use rhumb_route::decide::Choice;
use rhumb_route::explain::Names;
use rhumb_route::facts::{Facts, Hit};
use rhumb_route::record::{Kept, Record};
use rhumb_route::row::Able;
use rhumb_route::view::View;
use serde::{Deserialize, Serialize};

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
    pub served: Option<(u32, u32)>,
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

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The answer was sent whole.
    Complete,
    /// The client left first.
    ClientGone,
    /// The client stayed and read nothing for too long.
    ClientStalled,
    /// No target completed it; nothing of an answer was sent.
    Failed,
    /// The target failed after part of the answer was sent.
    Broken,
    /// The endpoint refused the request as invalid.
    Rejected,
    /// No candidate was eligible.
    NothingEligible,
    /// It would have waited too long, and was rejected with Retry-After.
    Shed,
    /// It broke the connection to too many endpoints, and is tried no more.
    Quarantined,
    /// It has not ended.
    Running,
    /// The gateway ended before it did: how it ended is not known.
    Lost,
}

impl Outcome {
    /// The outcome in the log and in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Rejected => "rejected",
            Self::NothingEligible => "nothing_eligible",
            Self::Shed => "shed",
            Self::Quarantined => "quarantined",
            Self::Running => "running",
            Self::Lost => "lost",
        }
    }
}

/// What a stored row of the view says: shared by every decision made on that view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredRow {
    pub(crate) row: rhumb_route::row::Row,
    pub(crate) names: Named,
}

/// What a request's own record says; its rows are stored apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredRecord {
    /// Tells the views of one run of the gateway from those of another.
    pub(crate) run: u64,
    pub(crate) view: u64,
    pub(crate) facts: Facts,
    pub(crate) choice: Choice,
    pub(crate) kept: Vec<Kept>,
    pub(crate) fingerprint: u64,
}

/// The same in the layout before this one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordBefore {
    run: u64,
    view: u64,
    facts: FactsBefore,
    choice: Choice,
    kept: Vec<Kept>,
    fingerprint: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FactsBefore {
    models: Vec<u32>,
    prompt_tokens: f64,
    output_tokens: f64,
    max_tokens: Option<u64>,
    bytes_per_token: f64,
    needs: Able,
    countries: Vec<[u8; 2]>,
    client_ms: f64,
    affinity: Option<u64>,
    pin: Option<(u32, u32)>,
    hits: Vec<Hit>,
}

impl StoredRecord {
    /// What was kept then had passed a gate that took the estimate for certain, so it decides the same now.
    pub(crate) fn from_before(record: RecordBefore) -> Self {
        let RecordBefore { run, view, facts, choice, kept, fingerprint } = record;
        let facts = Facts {
            longest_tokens: facts.prompt_tokens,
            certain_tokens: 1.0,
            models: facts.models,
            prompt_tokens: facts.prompt_tokens,
            output_tokens: facts.output_tokens,
            max_tokens: facts.max_tokens,
            bytes_per_token: facts.bytes_per_token,
            needs: facts.needs,
            countries: facts.countries,
            client_ms: facts.client_ms,
            affinity: facts.affinity,
            pin: facts.pin,
            hits: facts.hits,
        };
        Self { run, view, facts, choice, kept, fingerprint }
    }
}

/// The names that indices stood for, because a configuration changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Index of the endpoint.
    pub endpoint: u32,
    /// Its name.
    pub endpoint_name: String,
    /// Index of its site.
    pub site: u32,
    /// The site's name.
    pub site_name: String,
    /// Index of the model.
    pub model: u32,
    /// Its name.
    pub model_name: String,
}

/// The part of a row that a replay reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The inputs.
    pub record: Record,
    /// The decision's fingerprint.
    pub fingerprint: u64,
    /// Names of what the record mentions.
    pub names: Vec<Named>,
}

/// A row as read back.
#[derive(Debug, Clone)]
pub struct Row {
    /// The decision.
    pub logged: Logged,
    /// How it ended.
    pub outcome: String,
    /// The endpoint that served it; empty when none did.
    pub endpoint: String,
    /// Name of the policy.
    pub policy: String,
    /// Version of the configuration; empty in rows from before it was kept.
    pub config: String,
}
