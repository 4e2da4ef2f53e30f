//! New views: what is known of every endpoint, compared and put together for decisions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rhumb_core::judge::{Finding, judge};
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_route::explain::Names as _;
use rhumb_route::view::{EndpointState, View};
use rhumb_route::workload::WorkloadStats;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::parts::LiveParts;

/// A view that decisions are made on is no older than this, ms, where nothing keeps the control thread from its work.
pub(crate) const VIEW_MS: u64 = 100;

impl ConfigEpoch {
    /// Publishes a view of the present readings, here and under the newest configuration.
    pub(crate) fn publish(self: &Arc<Self>) {
        self.publish_own();
        if !self.versions.is_newest(self)
            && let Some(newest) = self.versions.newest()
        {
            newest.publish_own();
        }
    }

    fn publish_own(self: &Arc<Self>) {
        // One at a time: what was read before a drain must not be shown after it, and no view is older than the one before.
        let _publishing = lock(&self.publishing);
        self.publish_at(self.now_ms());
    }

    /// Publishes a view here, at this time by the gateway's clock. Nobody else does so meanwhile.
    pub(crate) fn publish_at(self: &Arc<Self>, now: u64) {
        self.judge(now);
        self.viewed_at_ms.store(now, Ordering::Relaxed);
        let windows: Vec<Option<f64>> = {
            let queue = lock(&self.state.queue);
            self.numbers.endpoints.iter().map(|number| queue.window(*number).learnt(now)).collect()
        };
        let mut viewer = lock(&self.viewer);
        let drains = lock(&self.state.drains);
        let accepts = |(endpoint, site): (EndpointIndex, &SiteIndex)| {
            drains.of(self.names.endpoint(endpoint), self.names.site(*site))
        };
        let states: Vec<EndpointState> = self
            .live
            .iter()
            .zip(windows)
            .zip(EndpointIndex::all().zip(&self.grid.endpoint_site).map(accepts))
            .zip(EndpointIndex::all())
            .map(|(((live, window), accepts), endpoint)| {
                let tracker = &mut lock(&live.learnt).tracker;
                // Whoever is compared with its peers is so as it is now.
                tracker.state.accepts = accepts;
                let serves = viewer.served(endpoint).iter().map(|m| self.numbers.models[*m].0);
                let missing = tracker.missing(now, serves);
                EndpointState { missing, ..tracker.snapshot(now, window, live.local_load().in_flight, accepts) }
            })
            .collect();
        drop(drains);
        let workload: Vec<WorkloadStats> = self.workload.iter().map(|h| *lock(h)).collect();
        ModelIndex::all().zip(workload).for_each(|(model, workload)| viewer.set_workload(model, workload));
        let mut view = viewer.view(&states, now);
        drop(viewer);
        view.version = self.state.next_view();
        self.view.store(Arc::new(view));
    }

    /// The view to decide on. The control thread publishes those of the newest configuration only: what still waits
    /// under an older one sees to its own.
    pub(crate) fn current_view(self: &Arc<Self>) -> Arc<View> {
        if !self.versions.is_newest(self) && self.now_ms() >= self.viewed_at_ms.load(Ordering::Relaxed) + VIEW_MS {
            self.publish_own();
        }
        self.view.load_full()
    }

    /// Compares endpoints with their peers, and finds those that are back.
    fn judge(self: &Arc<Self>, now_ms: u64) {
        let name = |endpoint: EndpointIndex| self.names.endpoint(endpoint);
        for finding in judge(&mut LiveParts(self), self.live.len(), &self.peers, now_ms) {
            match finding {
                Finding::Outlier { endpoint } => {
                    tracing::warn!("endpoint `{}` is unhealthy: it is far slower than its peers", name(endpoint));
                }
                Finding::CanaryDoubted { endpoint, model } => tracing::error!(
                    "endpoint `{}` stays in use: no endpoint answers the canary of `{model}` rightly; is it right?",
                    name(endpoint)
                ),
                Finding::Back { endpoint, away_ms } => {
                    let per_s = lock(&self.viewer).prompt_tokens_per_s(endpoint);
                    lock(&self.state.queue).back(self.numbers.endpoint(endpoint), now_ms, away_ms, per_s);
                    self.live[endpoint].is_slow_starting.store(true, Ordering::Relaxed);
                }
            }
        }
        for (live, number) in self.live.iter().zip(&self.numbers.endpoints) {
            if live.is_slow_starting.load(Ordering::Relaxed) {
                live.is_slow_starting
                    .store(lock(&self.state.queue).is_slow_starting(*number, now_ms), Ordering::Relaxed);
            }
        }
    }
}
