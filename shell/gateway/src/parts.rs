//! The parts of the gateway's memory that the core works on, each behind its lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rhumb_core::Parts;
use rhumb_core::endpoint::EndpointTracker;
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::hedge::Hedging;
use rhumb_flow::quarantine::Quarantine;
use rhumb_flow::window::Window;
use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_route::account::PriceSnapshot;
use rhumb_route::decide::Target;
use rhumb_route::workload::WorkloadStats;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::permit::ConcurrencyPermit;

/// The gateway's memory under one configuration.
pub(crate) struct LiveParts<'a>(pub(crate) &'a Arc<ConfigEpoch>);

impl Parts for LiveParts<'_> {
    type ConcurrencyPermit = ConcurrencyPermit;

    fn endpoint<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut EndpointTracker) -> T) -> T {
        with(&mut lock(&self.0.live[endpoint].learnt).tracker)
    }

    fn workload<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut WorkloadStats) -> T) -> T {
        with(&mut lock(&self.0.workload[model]))
    }

    fn hedging<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut Hedging) -> T) -> T {
        with(&mut lock(&self.0.hedging[model]))
    }

    fn window<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut Window) -> T) -> T {
        with(lock(&self.0.state.queue).window_mut(self.0.numbers.endpoint(endpoint)))
    }

    fn quarantine<T>(&mut self, with: impl FnOnce(&mut Quarantine) -> T) -> T {
        with(&mut lock(&self.0.state.quarantine))
    }

    fn budget<T>(&mut self, tenant: u32, target: &Target, with: impl FnOnce(&mut RetryBudget) -> T) -> T {
        let numbers = &self.0.numbers;
        let of = (tenant, numbers.models[target.model], numbers.sites[target.site]);
        with(lock(&self.0.state.budgets).entry(of).or_default())
    }

    fn backlog_add(&mut self, endpoint: EndpointIndex, tokens: f64) {
        self.0.live[endpoint].backlog_add(tokens);
    }

    fn backlog_sub(&mut self, endpoint: EndpointIndex, tokens: f64) {
        self.0.live[endpoint].backlog_add(-tokens);
    }

    fn prompt_sent(&mut self, endpoint: EndpointIndex, now_ms: u64, tokens: f64) {
        if self.0.live[endpoint].is_slow_starting.load(Ordering::Relaxed) {
            lock(&self.0.state.queue).sent(self.0.numbers.endpoint(endpoint), now_ms, tokens);
        }
    }

    fn spare(
        &mut self,
        targets: &[Target],
        now_ms: u64,
        choose: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<(usize, ConcurrencyPermit)> {
        ConcurrencyPermit::spare(self.0, targets, now_ms, choose)
    }

    fn price_snapshot(&self, target: &Target) -> PriceSnapshot {
        self.0.view.load().row(target).map_or(PriceSnapshot::NONE, PriceSnapshot::of)
    }

    fn context_tokens(&self, target: &Target) -> u32 {
        self.0.view.load().row(target).map_or(0, |r| r.context_tokens)
    }

    fn model_number(&self, model: ModelIndex) -> u32 {
        self.0.numbers.models[model].0
    }

    fn endpoint_number(&self, endpoint: EndpointIndex) -> u32 {
        self.0.numbers.endpoint(endpoint).0
    }
}
