//! Where whoever drives the core keeps what it works on.

use rhumb_flow::budget::RetryBudget;
use rhumb_flow::hedge::Hedging;
use rhumb_flow::quarantine::Quarantine;
use rhumb_flow::window::Window;
use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_route::account::PriceSnapshot;
use rhumb_route::decide::Target;
use rhumb_route::workload::WorkloadStats;

use crate::endpoint::EndpointTracker;

/// The parts of one gateway's memory, under one configuration. A live gateway keeps each behind a lock of its own, held
/// while `with` runs, and `with` never asks for another part. The simulator keeps them in plain fields.
///
/// Endpoints, models and sites are given by their positions in the configuration.
pub trait Parts {
    /// A place taken for an attempt at an endpoint.
    type ConcurrencyPermit;

    /// What is known of an endpoint.
    fn endpoint<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut EndpointTracker) -> T) -> T;

    /// What requests for a model are like.
    fn workload<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut WorkloadStats) -> T) -> T;

    /// When a second attempt is due for a model, and how many may be.
    fn hedging<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut Hedging) -> T) -> T;

    /// The concurrency limit of an endpoint.
    fn window<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut Window) -> T) -> T;

    /// Requests that are not to be tried any more, and those under suspicion.
    fn quarantine<T>(&mut self, with: impl FnOnce(&mut Quarantine) -> T) -> T;

    /// The retry budget of a tenant, by its stable number, for the model of a target at its site.
    fn budget<T>(&mut self, tenant: u32, target: &Target, with: impl FnOnce(&mut RetryBudget) -> T) -> T;

    /// Prompt tokens are to be computed at an endpoint from now on.
    fn backlog_add(&mut self, endpoint: EndpointIndex, tokens: f64);

    /// They are not to be computed there any more.
    fn backlog_sub(&mut self, endpoint: EndpointIndex, tokens: f64);

    /// An endpoint in slow start has been sent so many prompt tokens.
    fn prompt_sent(&mut self, endpoint: EndpointIndex, now_ms: u64, tokens: f64);

    /// A place for a second attempt at one of the targets that have one to spare: there is room now, and nobody waits for
    /// it. `choose` names a target, given which of them have one.
    fn spare(
        &mut self,
        targets: &[Target],
        now_ms: u64,
        choose: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<(usize, Self::ConcurrencyPermit)>;

    /// What a target charges, by the present view; nothing where it is no longer in it.
    fn price_snapshot(&self, target: &Target) -> PriceSnapshot;

    /// Tokens that a target's context has, by the present view.
    fn context_tokens(&self, target: &Target) -> u32;

    /// The stable number of a model.
    fn model_number(&self, model: ModelIndex) -> u32;

    /// The stable number of an endpoint.
    fn endpoint_number(&self, endpoint: EndpointIndex) -> u32;
}
