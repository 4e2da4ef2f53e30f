//! Simulated worlds on a live gateway's memory: its locks, counters, numbers and views come to the same as the simulator's
//! plain fields, decision by decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb_core::Parts;
use rhumb_core::candidates::unqueued_ttft_ms;
use rhumb_core::endpoint::EndpointTracker;
use rhumb_core::facts::Estimates;
use rhumb_core::memory::Memory;
use rhumb_flow::admission::{Admission, AdmissionRequest as AdmissionAsk, Turn, Verdict};
use rhumb_flow::blame::Failure;
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::fair::Ticket;
use rhumb_flow::hedge::Hedging;
use rhumb_flow::quarantine::Quarantine;
use rhumb_flow::window::Window;
use rhumb_grid::config::{Location, Priority, Router};
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_process::Tasks;
use rhumb_route::account::PriceSnapshot;
use rhumb_route::compact_row::CompactRow;
use rhumb_route::decide::{Decision, Target, World};
use rhumb_route::facts::Facts;
use rhumb_route::lower_bound::LowerBounds;
use rhumb_route::row::{LocalLoad, Row};
use rhumb_route::view::View;
use rhumb_route::workload::WorkloadStats;
use rhumb_store::{Log, Retention};
use rhumb_upstream::Names;
use rhumb_world::{Breach, Decided, End, FaultKind, Poison, Setup, Watch, run, run_on};

use self::common::{asks, fault, setup};
use crate::drain::Drains;
use crate::epoch::{ConfigEpoch, upstreams};
use crate::lock::lock;
use crate::parts::LiveParts;
use crate::resource_limits::ResourceLimits;
use crate::salt::Secret;
use crate::state::GatewayState;
use crate::version::{Digest, Version};

#[path = "../../../sim/world/tests/common/mod.rs"]
mod common;

/// A live gateway's memory, driven by a simulated world.
struct Driven {
    epoch: Arc<ConfigEpoch>,
    view: Arc<View>,
}

/// Folders of this test's gateways.
static FOLDERS: AtomicUsize = AtomicUsize::new(0);

impl Driven {
    /// Of a gateway at a place in a grid, as it starts.
    fn new(setup: &Setup, location: Location) -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("rhumb-parity-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut grid = setup.grid.clone();
        grid.config.gateway.location = Some(location);
        grid.config.gateway.router = Router::Rhumb;
        let tasks = Tasks::default();
        let log = Log::open(&folder, Retention::default(), &tasks).unwrap();
        let names = Names::new(&[], &tasks).unwrap();
        let upstreams = upstreams(&grid, &names).unwrap();
        let (drains, secret) = (Drains::open(&folder).unwrap(), Secret::open(&folder).unwrap());
        let limits = ResourceLimits::new(&grid.config, 1);
        let state = Arc::new(GatewayState::new((log, None), tasks, drains, limits, names, secret));
        let version = Version { ordinal: 1, digest: Digest::of(b"") };
        let epoch = Arc::new(ConfigEpoch::new(&state, grid, upstreams, version, None));
        epoch.versions.enter(&epoch);
        std::fs::remove_dir_all(&folder).unwrap();
        let view = epoch.view.load_full();
        Self { epoch, view }
    }

    fn live(&self) -> LiveParts<'_> {
        LiveParts(&self.epoch)
    }
}

impl World for Driven {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        self.view.rows(model)
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        self.epoch.live[endpoint].local_load()
    }

    fn lower_bounds(&self, model: ModelIndex) -> &[LowerBounds] {
        World::lower_bounds(&*self.view, model)
    }

    fn compact_rows(&self, model: ModelIndex) -> &[CompactRow] {
        World::compact_rows(&*self.view, model)
    }
}

impl Parts for Driven {
    /// The world frees places itself.
    type ConcurrencyPermit = ();

    fn endpoint<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut EndpointTracker) -> T) -> T {
        self.live().endpoint(endpoint, with)
    }

    fn workload<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut WorkloadStats) -> T) -> T {
        self.live().workload(model, with)
    }

    fn hedging<T>(&mut self, model: ModelIndex, with: impl FnOnce(&mut Hedging) -> T) -> T {
        self.live().hedging(model, with)
    }

    fn window<T>(&mut self, endpoint: EndpointIndex, with: impl FnOnce(&mut Window) -> T) -> T {
        self.live().window(endpoint, with)
    }

    fn quarantine<T>(&mut self, with: impl FnOnce(&mut Quarantine) -> T) -> T {
        self.live().quarantine(with)
    }

    fn budget<T>(&mut self, tenant: u32, target: &Target, with: impl FnOnce(&mut RetryBudget) -> T) -> T {
        self.live().budget(tenant, target, with)
    }

    fn backlog_add(&mut self, endpoint: EndpointIndex, tokens: f64) {
        self.live().backlog_add(endpoint, tokens);
    }

    fn backlog_sub(&mut self, endpoint: EndpointIndex, tokens: f64) {
        self.live().backlog_sub(endpoint, tokens);
    }

    fn prompt_sent(&mut self, endpoint: EndpointIndex, now_ms: u64, tokens: f64) {
        self.live().prompt_sent(endpoint, now_ms, tokens);
    }

    fn spare(
        &mut self,
        targets: &[Target],
        now_ms: u64,
        choose: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<(usize, ())> {
        let queue = lock(&self.epoch.state.queue);
        let has_room = |place: usize| {
            let endpoint = targets[place].endpoint;
            let (number, in_flight) = (self.epoch.numbers.endpoint(endpoint).0, self.local_load(endpoint).in_flight);
            let admission = queue.admission();
            !admission.is_wanted(number) && admission.has_room(now_ms, Priority::Batch, number, in_flight)
        };
        choose(&has_room).map(|place| (place, ()))
    }

    fn price_snapshot(&self, target: &Target) -> PriceSnapshot {
        self.live().price_snapshot(target)
    }

    fn context_tokens(&self, target: &Target) -> u32 {
        self.live().context_tokens(target)
    }

    fn model_number(&self, model: ModelIndex) -> u32 {
        self.live().model_number(model)
    }

    fn endpoint_number(&self, endpoint: EndpointIndex) -> u32 {
        self.live().endpoint_number(endpoint)
    }
}

impl Memory for Driven {
    fn depart(&mut self, endpoint: EndpointIndex) {
        self.epoch.live[endpoint].depart();
    }

    fn depart_end(&mut self, endpoint: EndpointIndex, has_begun: bool, now_ms: u64) {
        self.epoch.live[endpoint].depart_end();
        if has_begun {
            self.window(endpoint, |window| window.completed(now_ms));
        }
    }

    fn admission<T>(&mut self, with: impl FnOnce(&mut Admission) -> T) -> T {
        with(lock(&self.epoch.state.queue).admission_mut())
    }

    fn arrive(&mut self, now_ms: u64, ask: &AdmissionAsk, targets: &[Target]) -> Verdict {
        let candidates = crate::admission::candidates(&self.epoch, targets);
        lock(&self.epoch.state.queue).admission_mut().arrive(now_ms, ask, unqueued_ttft_ms(targets), candidates)
    }

    fn turn(
        &mut self,
        now_ms: u64,
        ask: &AdmissionAsk,
        waited_ms: f64,
        caller: Option<EndpointIndex>,
        targets: &[Target],
    ) -> Turn {
        let candidates = crate::admission::candidates(&self.epoch, targets);
        lock(&self.epoch.state.queue).admission_mut().turn(now_ms, ask, waited_ms, caller.map(|e| e.0), candidates)
    }

    fn next(&mut self, now_ms: u64, endpoint: EndpointIndex) -> Option<Ticket> {
        let in_flight = self.local_load(endpoint).in_flight;
        lock(&self.epoch.state.queue).admission_mut().next(now_ms, endpoint.0, in_flight)
    }

    fn look_again(&mut self, now_ms: u64) -> Vec<Ticket> {
        let in_flight = |e: u32| self.local_load(EndpointIndex(e)).in_flight;
        lock(&self.epoch.state.queue).admission_mut().look_again(now_ms, in_flight)
    }

    fn estimates<T>(&mut self, tenant: u32, model: ModelIndex, with: impl FnOnce(&mut Estimates) -> T) -> T {
        assert_eq!(tenant, 0, "the worlds here have one tenant, who is nobody to a gateway");
        with(&mut lock(self.epoch.estimates(None, model)))
    }

    fn set_energy(&mut self, site: SiteIndex, usd_per_kwh: f64, carbon_g_per_kwh: f64) {
        lock(&self.epoch.viewer).set_energy(site, usd_per_kwh, carbon_g_per_kwh);
    }

    fn publish(&mut self, now_ms: u64) {
        self.epoch.publish_at(now_ms);
        self.view = self.epoch.view.load_full();
    }
}

/// Every decision, in order.
#[derive(Default)]
struct Decisions(Vec<(u64, u32, Facts, Decision)>);

impl Watch for Decisions {
    fn decided(&mut self, d: &Decided<'_>) -> Result<(), Breach> {
        self.0.push((d.now_us, d.gateway, d.facts.clone(), d.decision.clone()));
        Ok(())
    }
}

/// A world in which everything happens that a gateway learns from: four sites, of which one dies and answers wrongly when it
/// is back, one fails requests and falls silent, one is busy and one far away stalls; and requests that engines die of.
fn world(seed: u64) -> Setup {
    let mut setup = setup(4, 2, Router::Rhumb);
    setup.engines.iter_mut().for_each(|spec| spec.limits.max_num_seqs = 16);
    setup.service.max_wait_ms = 2_000;
    setup.seed = seed;
    setup.clients.retries = 2;
    setup.clients.poison = Some(Poison { tenant: 0, share: 0.01, failure: Failure::Died, served_by: None });
    (setup.service.hedge, setup.hedges, setup.canaries) = (true, true, true);
    setup.grid.config.gateway.canary_interval_ms = 5_000;
    setup.faults = vec![
        fault(0, FaultKind::Loss, 20.0, 30.0),
        fault(0, FaultKind::WrongAnswers, 40.0, 60.0),
        fault(1, FaultKind::Errors(0.5), 35.0, 45.0),
        fault(2, FaultKind::Busy(0.6), 40.0, 50.0),
        fault(3, FaultKind::BrownOut(30.0), 25.0, 55.0),
        fault(1, FaultKind::BlackHole, 55.0, 60.0),
    ];
    setup
}

#[test]
fn simulated_worlds_run_the_same_on_a_live_gateways_memory() {
    for seed in 1..=3 {
        let setup = world(seed);
        let requests = || asks(2_400, 32.0, 4, seed).into_iter();
        let (mut plain, mut live) = (Decisions::default(), Decisions::default());
        let of_plain = run(&setup, &mut requests(), &mut plain).unwrap();
        let memory = |g: usize| Driven::new(&setup, setup.gateways[g].location);
        let of_live = run_on(&setup, &mut requests(), &mut live, memory).unwrap();
        let differs = plain.0.iter().zip(&live.0).position(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}: {:#?}", differs.map(|i| (&plain.0[i], &live.0[i])));
        assert_eq!((plain.0.len(), of_plain.attempts), (live.0.len(), of_live.attempts));
        let text = |outcomes: &[rhumb_world::Outcome]| format!("{outcomes:?}");
        assert_eq!(text(&of_plain.outcomes), text(&of_live.outcomes));
        assert!(of_plain.decisions > of_plain.sent, "some wait and are decided on again");
        assert!(of_plain.hedges.0 > 0 && of_plain.wrong_answers > 0, "some are hedged, and canaries find something");
        assert!(of_plain.outcomes.iter().any(|o| o.end == End::Rejected), "some are quarantined");
    }
}
