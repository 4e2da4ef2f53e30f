//! What `/metrics` shows. Series of the hot path are looked up once, when a configuration comes into force; each is the
//! same as before for whoever had a name before, so that no counter ever goes back.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rhumb_flow::blame::Failure;
use rhumb_grid::config::Priority;
use rhumb_grid::index::Grid;
use rhumb_process::lines_lost;
use rhumb_route::explain::Names as _;
use rhumb_store::{Ended, Outcome};

use crate::epoch::ConfigEpoch;
use crate::live::lock;
use crate::request_metrics::{Of, RequestMetrics};
use crate::resource_limits::ResourceLimits;

type GaugeF = Gauge<f64, AtomicU64>;
type CounterF = Counter<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: String,
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
struct SignalLabel {
    endpoint: String,
    signal: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SiteLabel {
    site: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PriorityLabel {
    priority: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeansLabel {
    means: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabel {
    task: &'static str,
}

/// The gateway's metrics, by the positions of one configuration.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
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
    gauges: Gauges,
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

/// Set when the page is asked for.
#[derive(Clone, Default)]
struct Gauges {
    /// One page at a time: what is not there any more is taken out for a moment.
    page: Arc<Mutex<()>>,
    config: Family<VersionLabel, GaugeF>,
    in_flight: Family<EndpointLabel, GaugeF>,
    running: Family<EndpointLabel, GaugeF>,
    waiting: Family<EndpointLabel, GaugeF>,
    kv_use: Family<EndpointLabel, GaugeF>,
    healthy: Family<EndpointLabel, GaugeF>,
    models_missing: Family<EndpointLabel, GaugeF>,
    key_refused: Family<EndpointLabel, GaugeF>,
    rtt: Family<EndpointLabel, GaugeF>,
    correction: Family<EndpointLabel, GaugeF>,
    age: Family<SignalLabel, GaugeF>,
    watts: Family<SiteLabel, GaugeF>,
    power_price: Family<SiteLabel, GaugeF>,
    view: GaugeF,
    backlog: GaugeF,
    log_waiting: GaugeF,
    log_waiting_bytes: GaugeF,
    log_dropped: Counter,
    lines_lost: Counter,
    restarts: Family<TaskLabel, Counter>,
    waiting_here: Family<PriorityLabel, GaugeF>,
    window: Family<EndpointLabel, GaugeF>,
    level: GaugeF,
    pressure: Family<MeansLabel, GaugeF>,
    held: GaugeF,
    connections: GaugeF,
}

const OUTCOMES: [Outcome; 9] = [
    Outcome::Complete,
    Outcome::ClientGone,
    Outcome::ClientStalled,
    Outcome::Failed,
    Outcome::Broken,
    Outcome::Rejected,
    Outcome::NothingEligible,
    Outcome::Shed,
    Outcome::Quarantined,
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
            "Requests turned away for want of the gateway's own means",
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

    pub(crate) fn sent(&self, endpoint: u32) {
        self.sent[endpoint as usize].inc();
    }

    pub(crate) fn failed(&self, endpoint: u32, name: &str, failure: Failure) {
        self.failed[endpoint as usize].inc();
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

    /// The page, as OpenMetrics.
    pub(crate) fn page(&self, epoch: &ConfigEpoch) -> String {
        let _one = lock(&self.gauges.page);
        self.gauges.set(epoch);
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
}

impl Gauges {
    fn register(&self, r: &mut Registry) {
        r.register("endpoint_in_flight", "This gateway's requests in flight", self.in_flight.clone());
        r.register("endpoint_running", "Requests running, as the engine last reported", self.running.clone());
        r.register("endpoint_waiting", "Requests waiting, as the engine last reported", self.waiting.clone());
        r.register("endpoint_kv_use", "Share of the KV cache in use, as the engine last reported", self.kv_use.clone());
        r.register("endpoint_healthy", "1, or 0 while confirmed unhealthy", self.healthy.clone());
        let text = "Models that the endpoint should serve and does not list";
        r.register("endpoint_models_missing", text, self.models_missing.clone());
        let text = "1 while the endpoint refuses the key that it is asked for its models with, else 0";
        r.register("endpoint_key_refused", text, self.key_refused.clone());
        let text = "Observed over predicted time to first token";
        r.register("endpoint_ttft_correction", text, self.correction.clone());
        r.register_with_unit("endpoint_rtt", "Round trip to the endpoint", Unit::Seconds, self.rtt.clone());
        r.register_with_unit("signal_age", "Age of the last reading of a signal", Unit::Seconds, self.age.clone());
        r.register("site_watts", "Power the site's GPUs draw, reported or modelled", self.watts.clone());
        let text = "Price of power headroom, USD per joule";
        r.register("site_power_price", text, self.power_price.clone());
        r.register("view_version", "Version of the view that decisions are made on", self.view.clone());
        r.register("queue_length", "Requests that wait at the router", self.waiting_here.clone());
        let text = "Requests that may be in flight at the endpoint, as learnt";
        r.register("endpoint_window", text, self.window.clone());
        let text = "1, for the version of the configuration in force";
        r.register("config_info", text, self.config.clone());
        let text = "0 calm; 1 takes no batch, 2 interactive alone, 3 none: the gateway's own means run out";
        r.register("overload_level", text, self.level.clone());
        r.register("overload_pressure", "Used of the gateway's own means, 1 being all of it", self.pressure.clone());
        r.register(
            "held_bytes",
            "Bodies of requests that are read or wait, and of plain answers until they are sent",
            self.held.clone(),
        );
        r.register("connections", "Connections of clients", self.connections.clone());
        r.register("log_backlog", "Messages the decision log has not taken yet", self.backlog.clone());
        let text = "Rows of the decision log that wait in memory for the disk";
        r.register("log_waiting_rows", text, self.log_waiting.clone());
        r.register("log_waiting_bytes", "Memory that they take", self.log_waiting_bytes.clone());
        let text = "Rows of the decision log that were lost: they could not be written, and no more could wait";
        r.register("log_dropped", text, self.log_dropped.clone());
        let text = "Lines for the standard error stream that were lost: they could not be written";
        r.register("log_lines_lost", text, self.lines_lost.clone());
        let text = "Background tasks that had panicked and were started again";
        r.register("task_restarts", text, self.restarts.clone());
    }

    fn set(&self, epoch: &ConfigEpoch) {
        self.clear();
        // The newest last: where two say something of one name, its word counts.
        let mut versions = epoch.state.versions();
        if let Some(newest) = versions.pop() {
            for old in &versions {
                self.endpoints(old);
            }
            self.sites(&newest);
            self.endpoints(&newest);
            self.config.get_or_create_owned(&VersionLabel { version: newest.version.to_string() }).set(1.0);
            self.view.set(newest.view.load().version as f64);
            versions.push(newest);
        }
        self.in_flight(&versions);
        let queue = lock(&epoch.state.queue);
        for (priority, p) in Priority::ALL {
            self.waiting_here.get_or_create(&PriorityLabel { priority }).set(queue.waiting(p) as f64);
        }
        drop(queue);
        let log = &epoch.state.log;
        self.backlog.set(log.backlog() as f64);
        let (rows, bytes) = log.spooled();
        self.log_waiting.set(rows as f64);
        self.log_waiting_bytes.set(bytes as f64);
        raise(&self.log_dropped, log.dropped());
        raise(&self.lines_lost, lines_lost());
        for (task, restarts) in epoch.state.tasks.restarts() {
            raise(&self.restarts.get_or_create(&TaskLabel { task }), restarts);
        }
        let limits = &epoch.state.limits;
        self.level.set(f64::from(limits.level() as u8));
        for (means, used) in limits.pressure().named() {
            self.pressure.get_or_create(&MeansLabel { means }).set(used);
        }
        self.held.set(limits.held_bytes() as f64);
        self.connections.set(limits.connections() as f64);
    }

    /// What a configuration no longer has is not shown as it last was.
    fn clear(&self) {
        let Self { in_flight, running, waiting, kv_use, healthy, models_missing, key_refused, .. } = self;
        let Self { rtt, correction, window, .. } = self;
        for family in
            [in_flight, running, waiting, kv_use, healthy, models_missing, key_refused, rtt, correction, window]
        {
            family.clear();
        }
        self.age.clear();
        self.watts.clear();
        self.power_price.clear();
        self.config.clear();
    }

    fn endpoints(&self, epoch: &ConfigEpoch) {
        let now = epoch.now_ms();
        for (i, live) in (0u32..).zip(&epoch.live) {
            let name = || epoch.names.endpoint(i).to_owned();
            let label = EndpointLabel { endpoint: name() };
            let learnt = lock(&live.learnt);
            let s = &learnt.tracker.state;
            self.healthy.get_or_create(&label).set(if learnt.tracker.health.is_unhealthy(now) { 0.0 } else { 1.0 });
            self.models_missing.get_or_create(&label).set(learnt.models_missing.len() as f64);
            self.key_refused.get_or_create(&label).set(if learnt.probe_error.is_some() { 1.0 } else { 0.0 });
            self.correction.get_or_create(&label).set(s.ttft.factor());
            if let Some(l) = s.load {
                self.running.get_or_create(&label).set(l.running);
                self.waiting.get_or_create(&label).set(l.waiting);
                if let Some(kv) = l.kv_use {
                    self.kv_use.get_or_create(&label).set(kv);
                }
                self.age(name(), "engine", now, l.at_ms);
            }
            if let (Some(ms), Some(at)) = (s.rtt.ms(), s.rtt_at_ms) {
                self.rtt.get_or_create(&label).set(ms / 1e3);
                self.age(name(), "rtt", now, at);
            }
        }
        let queue = lock(&epoch.state.queue);
        for (i, number) in (0u32..).zip(&epoch.numbers.endpoints) {
            let label = EndpointLabel { endpoint: epoch.names.endpoint(i).to_owned() };
            self.window.get_or_create(&label).set(queue.window(*number).limit(now));
        }
    }

    /// Requests in flight under any configuration: what has moved to another address is flown to at both for a while.
    fn in_flight(&self, versions: &[Arc<ConfigEpoch>]) {
        let mut by_number = BTreeMap::new();
        for epoch in versions {
            for (i, number) in (0u32..).zip(&epoch.numbers.endpoints) {
                let name = || epoch.names.endpoint(i).to_owned();
                by_number.entry(*number).or_insert_with(|| (name(), epoch.live[i as usize].local_load().in_flight));
            }
        }
        for (endpoint, in_flight) in by_number.into_values() {
            self.in_flight.get_or_create(&EndpointLabel { endpoint }).inc_by(in_flight);
        }
    }

    fn sites(&self, epoch: &ConfigEpoch) {
        for (site, state) in epoch.grid.config.sites.iter().zip(lock(&epoch.viewer).sites()) {
            let label = SiteLabel { site: site.name.clone() };
            self.watts.get_or_create(&label).set(state.watts);
            self.power_price.get_or_create(&label).set(state.power.usd_per_joule());
        }
    }

    fn age(&self, endpoint: String, signal: &'static str, now_ms: u64, at_ms: u64) {
        let age = now_ms.saturating_sub(at_ms) as f64 / 1e3;
        self.age.get_or_create(&SignalLabel { endpoint, signal }).set(age);
    }
}

/// Has a counter say what is counted elsewhere.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
