//! What `/metrics` shows. Series of the hot path are looked up once, when a configuration comes into force; each is the
//! same as before for whoever had a name before, so that no counter ever goes back.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use rhumb_flow::blame::Failure;
use rhumb_grid::index::Grid;
use rhumb_grid::position::EndpointIndex;
use rhumb_record::Outcome;
use rhumb_store::Ended;

use crate::gauges::{GaugeF, Gauges};
use crate::request_metrics::{Of, RequestMetrics};
use crate::resource_limits::ResourceLimits;

type CounterF = Counter<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabel {
    endpoint: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    endpoint: String,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HedgeLabel {
    result: &'static str,
}

/// How a second try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hedged {
    /// It served.
    Won,
    /// Another served.
    Lost,
    /// It failed, or what it was for did.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// The gateway's metrics, by the positions of one configuration.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) registry: Arc<Registry>,
    attempts: Family<AttemptLabel, Counter>,
    failures: Family<FailureLabel, Counter>,
    outcomes: Vec<(Outcome, Counter)>,
    refused: Counter,
    sent: Vec<Counter>,
    failed: Vec<Counter>,
    /// In the order of [`Hedged`].
    hedges: [Counter; 3],
    preemptions: Counter,
    prompt_tokens: Counter,
    cached_tokens: Counter,
    completion_tokens: Counter,
    usd: CounterF,
    by_name: RequestMetrics,
    pub(crate) gauges: Gauges,
    reloads: Family<ResultLabel, Counter>,
    last_reload: GaugeF,
}

/// Sums over the requests that have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Metered money: tokens, egress, energy, carbon.
    pub usd: f64,
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens found in a cache.
    pub cached_tokens: u64,
    /// Generated tokens.
    pub completion_tokens: u64,
}

const OUTCOMES: [Outcome; 10] = [
    Outcome::Complete,
    Outcome::ClientGone,
    Outcome::ClientStalled,
    Outcome::Failed,
    Outcome::Broken,
    Outcome::Rejected,
    Outcome::NothingEligible,
    Outcome::Shed,
    Outcome::Quarantined,
    Outcome::Limited,
];

/// What may come of reading a configuration anew.
const RELOADS: [&str; 3] = [TAKEN, UNCHANGED, REFUSED];
pub(crate) const TAKEN: &str = "ok";
pub(crate) const UNCHANGED: &str = "unchanged";
pub(crate) const REFUSED: &str = "refused";

impl Metrics {
    pub(crate) fn new(grid: &Grid, limits: &ResourceLimits) -> Self {
        let mut registry = Registry::with_prefix("rhumb");
        let requests = Family::<OutcomeLabel, Counter>::default();
        let attempts = Family::<AttemptLabel, Counter>::default();
        let tokens = Family::<TokenLabel, Counter>::default();
        let hedges = Family::<HedgeLabel, Counter>::default();
        let (refused, usd) = (Counter::default(), CounterF::default());
        registry.register("requests", "Requests accepted, by how they ended", requests.clone());
        registry.register("hedges", "Second tries beside a late first one, by how they ended", hedges.clone());
        let preemptions = Counter::default();
        let text = "Batch requests taken back before their first byte, for more urgent ones";
        registry.register("preemptions", text, preemptions.clone());
        registry.register("requests_refused", "Requests refused before a decision", refused.clone());
        registry.register("attempts", "Requests sent to endpoints, by result", attempts.clone());
        let failures = Family::<FailureLabel, Counter>::default();
        registry.register("attempt_failures", "Failed attempts, by what they came to", failures.clone());
        registry.register("tokens", "Tokens of answered requests", tokens.clone());
        registry.register("cost_usd", "Metered money spent: tokens, egress, energy, carbon", usd.clone());
        let by_name = RequestMetrics::register(&mut registry);
        registry.register(
            "overload_shed",
            "Requests turned away because it is short of memory, descriptors or connections",
            limits.shed.clone(),
        );
        let gauges = Gauges::default();
        gauges.register(&mut registry);
        let (reloads, last_reload) = (Family::<ResultLabel, Counter>::default(), GaugeF::default());
        registry.register("config_reloads", "Configurations read anew, by what came of them", reloads.clone());
        let text = "1, or 0 while the configuration last read is not the one in force, because it was refused";
        registry.register("config_last_reload_successful", text, last_reload.clone());
        last_reload.set(1.0);
        for result in RELOADS {
            reloads.get_or_create_owned(&ResultLabel { result });
        }
        let metrics = Self {
            outcomes: OUTCOMES.map(|o| (o, requests.get_or_create_owned(&OutcomeLabel { outcome: o.code() }))).to_vec(),
            sent: Vec::new(),
            failed: Vec::new(),
            attempts,
            failures,
            preemptions,
            hedges: ["won", "lost", "failed"].map(|result| hedges.get_or_create_owned(&HedgeLabel { result })),
            prompt_tokens: tokens.get_or_create_owned(&TokenLabel { kind: "prompt" }),
            cached_tokens: tokens.get_or_create_owned(&TokenLabel { kind: "cached" }),
            completion_tokens: tokens.get_or_create_owned(&TokenLabel { kind: "completion" }),
            registry: Arc::new(registry),
            refused,
            usd,
            by_name,
            gauges,
            reloads,
            last_reload,
        };
        metrics.under(grid)
    }

    /// The same metrics by the positions of another configuration.
    pub(crate) fn under(&self, grid: &Grid) -> Self {
        let attempt = |result| {
            let label = |e: &rhumb_grid::config::Endpoint| AttemptLabel { endpoint: e.name.clone(), result };
            grid.config.endpoints.iter().map(|e| self.attempts.get_or_create_owned(&label(e))).collect()
        };
        let by_name = self.by_name.under_another();
        Self { sent: attempt("sent"), failed: attempt("failed"), by_name, ..self.clone() }
    }

    /// A configuration has been read anew, with this result, one of [`RELOADS`].
    pub(crate) fn reloaded(&self, result: &'static str) {
        self.reloads.get_or_create_owned(&ResultLabel { result }).inc();
        self.last_reload.set(if result == REFUSED { 0.0 } else { 1.0 });
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    pub(crate) fn sent(&self, endpoint: EndpointIndex) {
        self.sent[endpoint].inc();
    }

    pub(crate) fn failed(&self, endpoint: EndpointIndex, name: &str, failure: Failure) {
        self.failed[endpoint].inc();
        let label = FailureLabel { endpoint: name.to_owned(), cause: failure.code() };
        self.failures.get_or_create(&label).inc();
    }

    pub(crate) fn hedged(&self, result: Hedged) {
        self.hedges[result as usize].inc();
    }

    pub(crate) fn preempted(&self) {
        self.preemptions.inc();
    }

    pub(crate) fn ended(&self, e: &Ended, of: &Of<'_>) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(o, _)| *o == e.outcome) {
            counter.inc();
        }
        self.prompt_tokens.inc_by(e.prompt_tokens);
        self.cached_tokens.inc_by(e.cached_tokens);
        self.completion_tokens.inc_by(e.completion_tokens);
        self.usd.inc_by(e.usd.max(0.0));
        self.by_name.ended(e, of);
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            usd: self.usd.get(),
            prompt_tokens: self.prompt_tokens.get(),
            cached_tokens: self.cached_tokens.get(),
            completion_tokens: self.completion_tokens.get(),
        }
    }
}
