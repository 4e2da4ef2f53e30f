//! What the gauges show: read from the gateway when the page is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use rhumb_grid::config::Priority;
use rhumb_grid::position::EndpointIndex;
use rhumb_process::lines_lost;
use rhumb_route::explain::Names as _;

use crate::epoch::ConfigEpoch;
use crate::gauges::{
    EndpointLabel, Gauges, PriorityLabel, ResourceLabel, SignalLabel, SiteLabel, TaskLabel, VersionLabel,
};
use crate::lock::lock;

/// The page of metrics, as OpenMetrics.
pub(crate) fn page(epoch: &ConfigEpoch) -> String {
    let metrics = &epoch.metrics;
    let _one = lock(&metrics.gauges.page);
    metrics.gauges.set(epoch);
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut page, &metrics.registry);
    page
}

impl Gauges {
    fn set(&self, epoch: &ConfigEpoch) {
        self.clear();
        // The newest last: where two say something of one name, its word counts.
        let mut versions = epoch.versions.all();
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
            self.pressure.get_or_create(&ResourceLabel { means }).set(used);
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
        for (i, live) in EndpointIndex::all().zip(&epoch.live) {
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
        for (i, number) in EndpointIndex::all().zip(&epoch.numbers.endpoints) {
            let label = EndpointLabel { endpoint: epoch.names.endpoint(i).to_owned() };
            self.window.get_or_create(&label).set(queue.window(*number).limit(now));
        }
    }

    /// Requests in flight under any configuration: what has moved to another address is flown to at both for a while.
    fn in_flight(&self, versions: &[Arc<ConfigEpoch>]) {
        let mut by_number = BTreeMap::new();
        for epoch in versions {
            for (i, number) in EndpointIndex::all().zip(&epoch.numbers.endpoints) {
                let name = || epoch.names.endpoint(i).to_owned();
                by_number.entry(*number).or_insert_with(|| (name(), epoch.live[i].local_load().in_flight));
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
