//! Gauges that are set when the page of metrics is asked for.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// A gauge of floats.
pub(crate) type GaugeF = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EndpointLabel {
    pub(crate) endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SignalLabel {
    pub(crate) endpoint: String,
    pub(crate) signal: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SiteLabel {
    pub(crate) site: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PriorityLabel {
    pub(crate) priority: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResourceLabel {
    pub(crate) means: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct VersionLabel {
    pub(crate) version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TaskLabel {
    pub(crate) task: &'static str,
}

/// Set when the page is asked for, but for what is said of one.
#[derive(Clone, Default)]
pub(crate) struct Gauges {
    /// One page at a time: what is not there any more is taken out for a moment.
    pub(crate) page: Arc<Mutex<()>>,
    pub(crate) config: Family<VersionLabel, GaugeF>,
    pub(crate) in_flight: Family<EndpointLabel, GaugeF>,
    pub(crate) running: Family<EndpointLabel, GaugeF>,
    pub(crate) waiting: Family<EndpointLabel, GaugeF>,
    pub(crate) kv_use: Family<EndpointLabel, GaugeF>,
    pub(crate) healthy: Family<EndpointLabel, GaugeF>,
    pub(crate) models_missing: Family<EndpointLabel, GaugeF>,
    pub(crate) key_refused: Family<EndpointLabel, GaugeF>,
    pub(crate) rtt: Family<EndpointLabel, GaugeF>,
    pub(crate) correction: Family<EndpointLabel, GaugeF>,
    pub(crate) age: Family<SignalLabel, GaugeF>,
    pub(crate) watts: Family<SiteLabel, GaugeF>,
    pub(crate) power_price: Family<SiteLabel, GaugeF>,
    pub(crate) view: GaugeF,
    pub(crate) backlog: GaugeF,
    pub(crate) log_waiting: GaugeF,
    pub(crate) log_waiting_bytes: GaugeF,
    pub(crate) log_dropped: Counter,
    pub(crate) lines_lost: Counter,
    pub(crate) restarts: Family<TaskLabel, Counter>,
    /// Counted as requests begin and end.
    pub(crate) in_progress: Gauge,
    pub(crate) waiting_here: Family<PriorityLabel, GaugeF>,
    pub(crate) window: Family<EndpointLabel, GaugeF>,
    pub(crate) level: GaugeF,
    pub(crate) pressure: Family<ResourceLabel, GaugeF>,
    pub(crate) held: GaugeF,
    pub(crate) connections: GaugeF,
}

impl Gauges {
    /// Gives every one its name.
    pub(crate) fn register(&self, r: &mut Registry) {
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
        let text = "Requests accepted and not ended: being decided, waiting, in flight or relayed";
        r.register("requests_in_progress", text, self.in_progress.clone());
        r.register("queue_length", "Requests that wait at the router", self.waiting_here.clone());
        let text = "Requests that may be in flight at the endpoint, as learnt";
        r.register("endpoint_window", text, self.window.clone());
        let text = "1, for the version of the configuration in force";
        r.register("config_info", text, self.config.clone());
        let text = "0 calm; 1 takes no batch, 2 interactive alone, 3 none: memory, descriptors or connections run out";
        r.register("overload_level", text, self.level.clone());
        r.register(
            "overload_pressure",
            "Share of the gateway's memory, descriptors and connections in use, 1 being all of it",
            self.pressure.clone(),
        );
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
}
