//! The memory of one gateway in plain fields: for whoever drives it from one thread.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use rhumb_flow::admission::{Admission, AdmissionRequest, QueueClasses, Turn, Verdict};
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::fair::Ticket;
use rhumb_flow::hedge::Hedging;
use rhumb_flow::peers::groups;
use rhumb_flow::quarantine::Quarantine;
use rhumb_flow::window::Window;
use rhumb_grid::config::{Accepts, Priority};
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_route::account::PriceSnapshot;
use rhumb_route::compact_row::CompactRow;
use rhumb_route::decide::{Target, World};
use rhumb_route::lower_bound::LowerBounds;
use rhumb_route::row::{LocalLoad, Row};
use rhumb_route::view::{EndpointState, View, Viewer};
use rhumb_route::workload::WorkloadStats;

use crate::candidates::{candidates, unqueued_ttft_ms};
use crate::endpoint::EndpointTracker;
use crate::facts::Estimates;
use crate::judge::{Finding, judge};
use crate::memory::Memory;
use crate::parts::Parts;

/// A gateway's memory under one configuration, so that positions are the stable numbers too.
#[derive(Debug)]
pub struct PlainMemory {
    viewer: Viewer,
    /// The view that decisions are made on.
    view: View,
    /// What it is made of, kept for the next one.
    states: Vec<EndpointState>,
    /// By endpoint.
    pub(crate) endpoints: Vec<EndpointTracker>,
    /// Endpoints that are compared with each other.
    peers: Vec<Vec<EndpointIndex>>,
    /// By endpoint, apart from the rest: a decision reads all of them and nothing else.
    pub(crate) local_loads: Vec<LocalLoad>,
    /// By model.
    workload: Vec<WorkloadStats>,
    admission: Admission,
    /// By tenant, then model.
    estimates: Vec<Estimates>,
    /// By model.
    hedging: Vec<Hedging>,
    /// By tenant, model and site.
    budgets: BTreeMap<(u32, ModelIndex, SiteIndex), RetryBudget>,
    quarantine: Quarantine,
}

impl PlainMemory {
    /// That of a gateway which knows its configuration and nothing else yet.
    #[must_use]
    pub fn new(grid: &Grid, mut viewer: Viewer, queue_classes: &QueueClasses, tenants: usize) -> Self {
        let (endpoints, models) = (grid.config.endpoints.len(), grid.config.models.len());
        let states = vec![EndpointState::default(); endpoints];
        Self {
            view: viewer.view(&states, 0),
            endpoints: EndpointIndex::of(&states).map(|e| EndpointTracker::new(viewer.is_modelled(e))).collect(),
            states,
            peers: groups(grid),
            local_loads: vec![LocalLoad::default(); endpoints],
            workload: vec![WorkloadStats::default(); models],
            admission: Admission::over(grid, queue_classes),
            estimates: vec![Estimates::default(); tenants.max(1) * models],
            hedging: vec![Hedging::default(); models],
            budgets: BTreeMap::new(),
            quarantine: Quarantine::default(),
            viewer,
        }
    }
}

impl World for PlainMemory {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        self.view.rows(model)
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        self.local_loads[endpoint]
    }

    fn lower_bounds(&self, model: ModelIndex) -> &[LowerBounds] {
        World::lower_bounds(&self.view, model)
    }

    fn compact_rows(&self, model: ModelIndex) -> &[CompactRow] {
        World::compact_rows(&self.view, model)
    }
}

impl Parts for PlainMemory {
    type ConcurrencyPermit = ();

    fn endpoint<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut EndpointTracker) -> T) -> T {
        with(&mut self.endpoints[endpoint])
    }

    fn workload<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut WorkloadStats) -> T) -> T {
        with(&mut self.workload[model])
    }

    fn hedging<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut Hedging) -> T) -> T {
        with(&mut self.hedging[model])
    }

    fn window<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut Window) -> T) -> T {
        with(self.admission.window_mut(endpoint.0))
    }

    fn quarantine<T>(&mut self, with: impl FnOnce(&mut Quarantine) -> T) -> T {
        with(&mut self.quarantine)
    }

    fn budget<T>(&mut self, tenant: u32, target: &Target, with: impl FnOnce(&mut RetryBudget) -> T) -> T {
        with(self.budgets.entry((tenant, target.model, target.site)).or_default())
    }

    fn backlog_add(&mut self, endpoint: EndpointIndex, tokens: f64) {
        self.local_loads[endpoint].backlog_tokens += tokens;
    }

    fn backlog_sub(&mut self, endpoint: EndpointIndex, tokens: f64) {
        let local_load = &mut self.local_loads[endpoint];
        local_load.backlog_tokens = (local_load.backlog_tokens - tokens).max(0.0);
    }

    fn prompt_sent(&mut self, endpoint: EndpointIndex, now_ms: u64, tokens: f64) {
        self.admission.sent(endpoint.0, now_ms, tokens);
    }

    fn spare(
        &mut self,
        targets: &[Target],
        now_ms: u64,
        choose: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<(usize, ())> {
        let (admission, local_loads) = (&self.admission, &self.local_loads);
        let has_room = |place: usize| {
            let endpoint = targets[place].endpoint;
            let in_flight = local_loads[endpoint].in_flight;
            !admission.is_wanted(endpoint.0) && admission.has_room(now_ms, Priority::Batch, endpoint.0, in_flight)
        };
        choose(&has_room).map(|place| (place, ()))
    }

    fn price_snapshot(&self, target: &Target) -> PriceSnapshot {
        self.view.row(target).map_or(PriceSnapshot::NONE, PriceSnapshot::of)
    }

    fn context_tokens(&self, target: &Target) -> u32 {
        self.view.row(target).map_or(0, |r| r.context_tokens)
    }

    fn model_number(&self, model: ModelIndex) -> u32 {
        model.0
    }

    fn endpoint_number(&self, endpoint: EndpointIndex) -> u32 {
        endpoint.0
    }
}

impl Memory for PlainMemory {
    fn depart(&mut self, endpoint: EndpointIndex) {
        self.local_loads[endpoint].in_flight += 1.0;
    }

    fn depart_end(&mut self, endpoint: EndpointIndex, has_begun: bool, now_ms: u64) {
        self.local_loads[endpoint].in_flight -= 1.0;
        if has_begun {
            self.admission.window_mut(endpoint.0).completed(now_ms);
        }
    }

    fn admission<T>(&mut self, with: impl FnOnce(&mut Admission) -> T) -> T {
        with(&mut self.admission)
    }

    fn arrive(&mut self, now_ms: u64, ask: &AdmissionRequest, targets: &[Target]) -> Verdict {
        let (admission, local_loads) = (&mut self.admission, &self.local_loads);
        let candidates = candidates(targets, |e| e.0, |e| local_loads[e].in_flight);
        admission.arrive(now_ms, ask, unqueued_ttft_ms(targets), candidates)
    }

    fn turn(
        &mut self,
        now_ms: u64,
        ask: &AdmissionRequest,
        waited_ms: f64,
        caller: Option<EndpointIndex>,
        targets: &[Target],
    ) -> Turn {
        let (admission, local_loads) = (&mut self.admission, &self.local_loads);
        let candidates = candidates(targets, |e| e.0, |e| local_loads[e].in_flight);
        admission.turn(now_ms, ask, waited_ms, caller.map(|e| e.0), candidates)
    }

    fn next(&mut self, now_ms: u64, endpoint: EndpointIndex) -> Option<Ticket> {
        self.admission.next(now_ms, endpoint.0, self.local_loads[endpoint].in_flight)
    }

    fn look_again(&mut self, now_ms: u64) -> Vec<Ticket> {
        let (admission, local_loads) = (&mut self.admission, &self.local_loads);
        admission.look_again(now_ms, |e| local_loads[EndpointIndex(e)].in_flight)
    }

    fn estimates<T>(&mut self, tenant: u32, model: ModelIndex, with: impl FnOnce(&mut Estimates) -> T) -> T {
        with(&mut self.estimates[tenant as usize * self.workload.len() + model.at()])
    }

    fn set_energy(&mut self, site: SiteIndex, usd_per_kwh: f64, carbon_g_per_kwh: f64) {
        self.viewer.set_energy(site, usd_per_kwh, carbon_g_per_kwh);
    }

    fn publish(&mut self, now_ms: u64) {
        let peers = core::mem::take(&mut self.peers);
        for finding in judge(self, self.states.len(), &peers, now_ms) {
            if let Finding::Back { endpoint, away_ms } = finding {
                let per_s = self.viewer.prompt_tokens_per_s(endpoint);
                self.admission.back(endpoint.0, now_ms, away_ms, per_s);
            }
        }
        self.peers = peers;
        let known = self.endpoints.iter().zip(&self.local_loads);
        for ((state, (known, local_load)), endpoint) in self.states.iter_mut().zip(known).zip(EndpointIndex::all()) {
            let window = self.admission.window(endpoint.0).learnt(now_ms);
            let missing = known.missing(now_ms, self.viewer.served(endpoint).iter().map(|m| m.0));
            let shown = known.snapshot(now_ms, window, local_load.in_flight, Accepts::NewAndExisting);
            *state = EndpointState { missing, ..shown };
        }
        for (model, workload) in ModelIndex::all().zip(&self.workload) {
            self.viewer.set_workload(model, *workload);
        }
        self.view = self.viewer.view(&self.states, now_ms);
    }
}
