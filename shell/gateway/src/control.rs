//! The thread apart: readings come in, views go out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb_flow::condition::By;
use rhumb_route::view::LoadReport;
use rhumb_signals::{Reading, Sink, Target, watch};

use crate::hold::look_again;
use crate::live::lock;
use crate::shared::Shared;

/// Shortest period between two views.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// Receives readings and stamps them with the gateway's own clock.
pub(crate) struct Readings(pub(crate) Arc<Shared>);

impl Sink for Readings {
    fn load(&self, endpoint: usize, r: Reading) {
        let live = &self.0.live[endpoint];
        let own_in_flight = live.overlay().in_flight;
        let mut learnt = lock(&live.learnt);
        learnt.load_error = None;
        let at_ms = self.0.now_ms();
        let Reading { running, waiting, kv_use, watts } = r;
        learnt.state.load = Some(LoadReport { running, waiting, kv_use, watts, own_in_flight, at_ms });
        drop(learnt);
        lock(&self.0.hold).window_mut(endpoint).report(at_ms, own_in_flight, running, waiting);
    }

    fn load_failed(&self, endpoint: usize, why: &str) {
        let mut learnt = lock(&self.0.live[endpoint].learnt);
        if learnt.load_error.as_deref() != Some(why) {
            let name = &self.0.grid.config.endpoints[endpoint].name;
            tracing::warn!("endpoint `{name}`: its load is not known: {why}");
            learnt.load_error = Some(why.to_owned());
        }
    }

    fn round_trip(&self, endpoint: usize, ms: f64) {
        let now = self.0.now_ms();
        let mut learnt = lock(&self.0.live[endpoint].learnt);
        learnt.state.rtt.add(ms);
        learnt.state.rtt_at_ms = Some(now);
        learnt.condition.succeeded(By::Probe, now);
        let rtt_ms = learnt.state.rtt.ms().unwrap_or(ms);
        drop(learnt);
        lock(&self.0.hold).window_mut(endpoint).round_trip(rtt_ms);
    }

    fn probe_failed(&self, endpoint: usize) {
        let now = self.0.now_ms();
        if lock(&self.0.live[endpoint].learnt).condition.failed(By::Probe, now) {
            tracing::warn!("endpoint `{}` is ill: probes fail", self.0.grid.config.endpoints[endpoint].name);
        }
    }
}

/// Watches endpoints and publishes views until the runtime ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let gateway = &shared.grid.config.gateway;
    let targets = shared
        .upstreams
        .iter()
        .zip(&shared.grid.config.endpoints)
        .enumerate()
        .map(|(endpoint, (u, e))| Target {
            endpoint,
            origin: u.origin.clone(),
            engine: e.engine,
            headers: u.headers.clone(),
        })
        .collect();
    let every = Duration::from_millis;
    let readings = Arc::new(Readings(Arc::clone(&shared)));
    watch(targets, every(gateway.scrape_interval_ms), every(gateway.probe_interval_ms), &readings);
    loop {
        let start = Instant::now();
        shared.publish();
        look_again(&shared);
        // A large grid is published less often, so that it never takes more than a twentieth of a core.
        tokio::time::sleep(PUBLISH_EVERY.max(start.elapsed() * 20)).await;
    }
}
