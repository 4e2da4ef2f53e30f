//! What a simulated gateway remembers of its endpoints, and what it has under way there.

use std::collections::BTreeMap;

use rhumb_core::Parts;
use rhumb_core::endpoint::EndpointTracker;
use rhumb_flow::admission::Admission;
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::hedge::Hedging;
use rhumb_flow::quarantine::Quarantine;
use rhumb_flow::window::Window;
use rhumb_grid::config::Priority;
use rhumb_route::account::Tariff;
use rhumb_route::decide::{Target, World as Candidates};
use rhumb_route::floor::Floors;
use rhumb_route::glance::Glance;
use rhumb_route::habits::Habits;
use rhumb_route::row::{Overlay, Row};
use rhumb_route::view::View;

/// The parts of its memory that the core works on.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) view: View,
    /// By endpoint.
    pub(crate) endpoints: Vec<EndpointTracker>,
    /// By endpoint, apart from the rest: a decision reads all of them and nothing else.
    pub(crate) overlays: Vec<Overlay>,
    /// By model.
    pub(crate) habits: Vec<Habits>,
    /// By model.
    hedging: Vec<Hedging>,
    pub(crate) admission: Admission,
    /// By tenant, model and site.
    budgets: BTreeMap<(u32, u32, u32), RetryBudget>,
    quarantine: Quarantine,
}

impl Memory {
    /// Of endpoints about which nothing has been learnt.
    pub(crate) fn new(view: View, endpoints: Vec<EndpointTracker>, models: usize, admission: Admission) -> Self {
        Self {
            view,
            overlays: vec![Overlay::default(); endpoints.len()],
            endpoints,
            habits: vec![Habits::default(); models],
            hedging: vec![Hedging::default(); models],
            admission,
            budgets: BTreeMap::new(),
            quarantine: Quarantine::default(),
        }
    }

    /// The row of a target in the present view.
    pub(crate) fn row(&self, target: &Target) -> Option<&Row> {
        self.view.rows(target.model).iter().find(|r| r.endpoint == target.endpoint)
    }
}

impl Candidates for Memory {
    fn rows(&self, model: u32) -> &[Row] {
        self.view.rows(model)
    }

    fn overlay(&self, endpoint: u32) -> Overlay {
        self.overlays[endpoint as usize]
    }

    fn floors(&self, model: u32) -> &[Floors] {
        Candidates::floors(&self.view, model)
    }

    fn glances(&self, model: u32) -> &[Glance] {
        Candidates::glances(&self.view, model)
    }
}

/// A simulated gateway has one configuration, so that positions are the stable numbers too.
impl Parts for Memory {
    type Permit = ();

    fn endpoint<T>(&mut self, endpoint: u32, with: impl FnOnce(&mut EndpointTracker) -> T) -> T {
        with(&mut self.endpoints[endpoint as usize])
    }

    fn workload<T>(&mut self, model: u32, with: impl FnOnce(&mut Habits) -> T) -> T {
        with(&mut self.habits[model as usize])
    }

    fn hedging<T>(&mut self, model: u32, with: impl FnOnce(&mut Hedging) -> T) -> T {
        with(&mut self.hedging[model as usize])
    }

    fn window<T>(&mut self, endpoint: u32, with: impl FnOnce(&mut Window) -> T) -> T {
        with(self.admission.window_mut(endpoint))
    }

    fn quarantine<T>(&mut self, with: impl FnOnce(&mut Quarantine) -> T) -> T {
        with(&mut self.quarantine)
    }

    fn budget<T>(&mut self, tenant: u32, target: &Target, with: impl FnOnce(&mut RetryBudget) -> T) -> T {
        with(self.budgets.entry((tenant, target.model, target.site)).or_default())
    }

    fn backlog_add(&mut self, endpoint: u32, tokens: f64) {
        self.overlays[endpoint as usize].backlog_tokens += tokens;
    }

    fn backlog_sub(&mut self, endpoint: u32, tokens: f64) {
        let overlay = &mut self.overlays[endpoint as usize];
        overlay.backlog_tokens = (overlay.backlog_tokens - tokens).max(0.0);
    }

    fn prompt_sent(&mut self, endpoint: u32, now_ms: u64, tokens: f64) {
        self.admission.sent(endpoint, now_ms, tokens);
    }

    fn spare(
        &mut self,
        targets: &[Target],
        now_ms: u64,
        choose: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<(usize, ())> {
        let (admission, overlays) = (&self.admission, &self.overlays);
        let has_room = |place: usize| {
            let endpoint = targets[place].endpoint;
            let in_flight = overlays[endpoint as usize].in_flight;
            !admission.is_wanted(endpoint) && admission.has_room(now_ms, Priority::Batch, endpoint, in_flight)
        };
        choose(&has_room).map(|place| (place, ()))
    }

    fn tariff(&self, target: &Target) -> Tariff {
        self.row(target).map_or(Tariff::NONE, Tariff::of)
    }

    fn context_tokens(&self, target: &Target) -> u32 {
        self.row(target).map_or(0, |r| r.context_tokens)
    }

    fn model_number(&self, model: u32) -> u32 {
        model
    }

    fn endpoint_number(&self, endpoint: u32) -> u32 {
        endpoint
    }
}
