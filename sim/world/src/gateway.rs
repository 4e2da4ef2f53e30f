//! A gateway: the router's own code with what a live gateway would hold in memory.
//!
//! Nothing here can see an engine, another gateway, or the length of an answer that has not ended: readings, probes and
//! the request's own events come in as arguments, each with the time at which it arrived.

use std::collections::BTreeMap;

use rhumb_core::attempt::Attempt;
use rhumb_core::candidates::{candidates, unqueued_ttft_ms};
use rhumb_core::endpoint::EndpointTracker;
use rhumb_core::failover::{self, Action, Failed, Failover, note_failure};
use rhumb_core::judge::{Finding, judge};
use rhumb_core::usage::Usage;
use rhumb_flow::admission::{Admission, Ask as Hold, Expected, Lane, Lanes, Preempted, Turn, Verdict};
use rhumb_flow::evidence::Source;
use rhumb_flow::fair::cost;
use rhumb_flow::peers::groups;
use rhumb_grid::config::{Accepts, Router};
use rhumb_grid::index::Grid;
use rhumb_grid::rates::Rates;
use rhumb_rivals::{Candidate as Shown, Policy, Request};
use rhumb_route::decide::{Choice, Decision, Scratch, Target, decide, decide_by};
use rhumb_route::facts::{Facts, Hit};
use rhumb_route::learn::Ewma;
use rhumb_route::pins::Pins;
use rhumb_route::prefix::PrefixIndex;
use rhumb_route::row::Able;
use rhumb_route::view::{EndpointState, LoadReport, Viewer};

use crate::attempt::InFlight;
use crate::flight::Flight;
use crate::memory::Memory;
use crate::queue::Ticket;
use crate::rival::shown;
use crate::setup::Choosing;
use crate::telemetry::Reading;

/// What a gateway can see of a request.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) models: &'a [u32],
    pub(crate) tenant: u32,
    /// The policy it is under.
    pub(crate) rates: &'a Rates,
    /// Length of the prompt in bytes; tokens are the engine's to count.
    pub(crate) prompt_bytes: f64,
    pub(crate) client_ms: f64,
    pub(crate) session: Option<u64>,
    pub(crate) blocks: &'a [u64],
}

/// The last reading of an endpoint, and the first probe in a row without an answer.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// When the last reading taken in was taken.
    taken_us: Option<u64>,
    /// When a probe last went unanswered.
    silent_us: Option<u64>,
}

/// One gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) memory: Memory,
    viewer: Viewer,
    /// By endpoint.
    watched: Vec<Watched>,
    /// Endpoints that are compared with each other.
    peers: Vec<Vec<usize>>,
    states: Vec<EndpointState>,
    pins: Pins,
    prefixes: PrefixIndex,
    block_tokens: f64,
    /// By tenant, then model.
    output_tokens: Vec<Ewma>,
    bytes_per_token: Vec<Ewma>,
    turn: u64,
    scratch: Scratch,
    hits: Vec<Hit>,
    router: Router,
    /// Whose order it is instead.
    rival: Option<Box<dyn Policy>>,
    lanes: Lanes,
    /// By their place in the queue, who waits.
    waiting: BTreeMap<u64, Ticket>,
    places: u64,
    /// By number, those that may be taken back.
    preemptible: BTreeMap<u64, Ticket>,
}

/// Answer length before one has been seen, as in the live gateway.
const OUTPUT_TOKENS: f64 = 200.0;
/// Bytes of prompt per token before one has been seen, as in the live gateway.
const BYTES_PER_TOKEN: f64 = 4.2;
/// Bytes one streamed token takes on the wire, as in the live gateway.
pub(crate) const STREAM_BYTES_PER_TOKEN: f64 = 190.0;
const PINS: usize = 1 << 18;
/// A probe that gets no answer at all is given up after so long.
const PROBE_TIMEOUT_US: u64 = 5_000_000;

impl Gateway {
    /// One that knows `grid` and nothing else yet.
    pub(crate) fn new(mut viewer: Viewer, grid: &Grid, choosing: &Choosing, tenants: usize, cache: Cache) -> Self {
        let (endpoints, models) = (grid.config.endpoints.len(), grid.config.models.len());
        let (router, rival) = match choosing {
            Choosing::Router(router) => (*router, None),
            Choosing::Rival(rival, values) => (Router::LeastRequest, Some(rival.policy(values))),
        };
        viewer.set_best_first(router == Router::Rhumb);
        let states = vec![EndpointState::default(); endpoints];
        let view = viewer.view(&states, 0);
        let lanes = Lanes::of(grid);
        let known = (0..endpoints).map(|e| EndpointTracker::new(viewer.is_modelled(e))).collect();
        Self {
            memory: Memory::new(view, known, models, Admission::over(grid, &lanes)),
            viewer,
            watched: vec![Watched::default(); endpoints],
            peers: groups(grid),
            states,
            pins: Pins::new(PINS),
            prefixes: PrefixIndex::new(cache.blocks),
            block_tokens: cache.block_tokens,
            output_tokens: vec![Ewma::new(OUTPUT_TOKENS, 0.02); tenants.max(1) * models],
            bytes_per_token: vec![Ewma::new(BYTES_PER_TOKEN, 0.02); models],
            turn: 0,
            scratch: Scratch::default(),
            hits: Vec::new(),
            router,
            rival,
            lanes,
            waiting: BTreeMap::new(),
            places: 0,
            preemptible: BTreeMap::new(),
        }
    }

    /// The lane of the models that a name stands for.
    pub(crate) fn lane(&self, models: &[u32]) -> Lane {
        self.lanes.lane(models).expect("the models are those of a name in the grid")
    }

    /// Whether a request that has been decided on goes, and where, or waits.
    pub(crate) fn arrive(&mut self, ask: &Hold, targets: &[Target], now_us: u64) -> Verdict {
        let Memory { admission, overlays, .. } = &mut self.memory;
        let candidates = candidates(targets, |e| e, |e| overlays[e as usize].in_flight);
        admission.arrive(now_us / 1_000, ask, unqueued_ttft_ms(targets), candidates)
    }

    /// Where a request goes that has waited since then and whose turn it is; nowhere when nothing that suits it has room.
    pub(crate) fn turn(
        &mut self,
        ask: &Hold,
        targets: &[Target],
        caller: Option<u32>,
        since_us: u64,
        now_us: u64,
    ) -> Turn {
        let waited_ms = (now_us - since_us) as f64 / 1e3;
        let Memory { admission, overlays, .. } = &mut self.memory;
        let candidates = candidates(targets, |e| e, |e| overlays[e as usize].in_flight);
        admission.turn(now_us / 1_000, ask, waited_ms, caller, candidates)
    }

    /// A request waits from now on; its place.
    pub(crate) fn wait(&mut self, ticket: Ticket, ask: Hold, targets: &[Target]) -> u64 {
        self.places += 1;
        self.waiting.insert(self.places, ticket);
        self.memory.admission.wait(self.places, ask, targets.iter().map(|t| t.endpoint));
        self.places
    }

    /// A request that could not use its turn, called by `caller`, waits on.
    pub(crate) fn put_back(&mut self, place: u64, ticket: Ticket, ask: Hold, targets: &[Target], caller: Option<u32>) {
        self.waiting.insert(place, ticket);
        let without = targets.iter().map(|t| t.endpoint).filter(|e| Some(*e) != caller);
        self.memory.admission.put_back(place, ask, without);
    }

    /// Those who are to look again.
    pub(crate) fn look_again(&mut self, now_us: u64) -> Vec<Ticket> {
        let in_flight = |e: u32| self.memory.overlays[e as usize].in_flight;
        let again = self.memory.admission.look_again(now_us / 1_000, in_flight);
        again.into_iter().filter_map(|place| self.waiting.remove(&place)).collect()
    }

    /// A request does not wait any longer; false when its turn had come.
    pub(crate) fn leave(&mut self, place: u64) -> bool {
        self.waiting.remove(&place);
        self.memory.admission.leave(place)
    }

    /// Whose turn it is at an endpoint, if that has room.
    pub(crate) fn next(&mut self, endpoint: u32, now_us: u64) -> Option<Ticket> {
        let place =
            self.memory.admission.next(now_us / 1_000, endpoint, self.memory.overlays[endpoint as usize].in_flight)?;
        self.waiting.remove(&place)
    }

    /// When a request that is sent away after waiting so long may come back, ms.
    pub(crate) fn retry_after_ms(&self, ask: &Hold, bound_ms: f64, now_us: u64) -> u64 {
        self.memory.admission.retry_after_ms(now_us / 1_000, ask, bound_ms)
    }

    /// What it holds: requests in flight, their tokens not computed yet, and requests that wait.
    pub(crate) fn holds(&self) -> (f64, f64, usize) {
        let in_flight = self.memory.overlays.iter().map(|o| o.in_flight).sum();
        let backlog_tokens = self.memory.overlays.iter().map(|o| o.backlog_tokens).sum();
        (in_flight, backlog_tokens, self.waiting.len())
    }

    /// Somebody waits.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.memory.admission.is_empty()
    }

    /// A request has been served this in truth: what it was charged for at its turn, if it had to wait, is set right.
    pub(crate) fn settle(&mut self, flight: &Flight, prompt_tokens: u32, output_tokens: u32) {
        if let Some(ask) = flight.hold.filter(|_| flight.held_us.is_some()) {
            self.memory.admission.settle(&ask, cost(f64::from(prompt_tokens), f64::from(output_tokens)));
        }
    }

    /// Decides where a request runs.
    pub(crate) fn decide(&mut self, asked: &Asked<'_>, now_us: u64) -> (Facts, Decision) {
        let first = asked.models.first().copied().unwrap_or(0) as usize;
        self.hits.clear();
        if !asked.blocks.is_empty() {
            self.prefixes.lookup(asked.blocks, self.block_tokens, &mut self.hits);
        }
        let prompt_tokens = (asked.prompt_bytes / self.bytes_per_token[first].mean()).max(1.0);
        let facts = Facts {
            models: asked.models.to_vec(),
            prompt_tokens,
            output_tokens: self.expected_output(asked.tenant, first),
            max_tokens: None,
            bytes_per_token: STREAM_BYTES_PER_TOKEN,
            needs: Able::default(),
            countries: Vec::new(),
            client_ms: asked.client_ms,
            affinity: asked.session.or(asked.blocks.first().copied()),
            pin: asked.session.and_then(|s| self.pins.get(s).copied()),
            hits: self.hits.clone(),
            longest_tokens: prompt_tokens,
            certain_tokens: 1.0,
        };
        let choice = Choice { rates: *asked.rates, router: self.router, seed: self.turn };
        self.turn += 1;
        let decision = match &mut self.rival {
            None => decide(&self.memory, &facts, &choice, &mut self.scratch),
            Some(policy) => decide_by(&self.memory, &facts, asked.rates, |candidates, keys| {
                let request = Request {
                    now_ms: now_us / 1_000,
                    affinity: facts.affinity,
                    prompt_tokens: facts.prompt_tokens,
                    output_tokens: facts.output_tokens,
                    draw: self.turn,
                };
                let shown: Vec<Shown> = candidates.iter().map(|c| shown(c.row, &c.overlay, &c.predicted)).collect();
                policy.rank(&request, &shown, keys);
            }),
        };
        (facts, decision)
    }

    fn expected_output(&self, tenant: u32, model: usize) -> f64 {
        self.output_tokens[tenant as usize * self.bytes_per_token.len() + model].mean()
    }

    /// A request leaves for a target.
    pub(crate) fn depart(&mut self, target: &Target, tenant: u32, second_usd: f64, now_us: u64) -> InFlight {
        let output_tokens = self.expected_output(tenant, target.model as usize);
        if let (Some(policy), Some(row)) = (&mut self.rival, self.memory.row(target)) {
            let p = &target.predicted;
            let prompt_tokens = p.uncached_tokens + p.cached_tokens;
            let (now_ms, draw) = (now_us / 1_000, self.turn);
            let request = Request { now_ms, affinity: None, prompt_tokens, output_tokens, draw };
            policy.sent(&request, &shown(row, &target.overlay, p));
        }
        self.memory.overlays[target.endpoint as usize].in_flight += 1.0;
        InFlight { attempt: Attempt::sent(&mut self.memory, *target, true, now_us), preemptible: None, second_usd }
    }

    /// The first token of an answer arrives.
    pub(crate) fn first(
        &mut self,
        in_flight: &mut InFlight,
        source: Source,
        session: Option<u64>,
        blocks: &[u64],
        now_us: u64,
    ) {
        self.begun(in_flight);
        in_flight.attempt.began(&mut self.memory, source, in_flight.second_usd, now_us);
        let Target { endpoint, model, .. } = in_flight.attempt.target;
        if let Some(session) = session {
            self.pins.insert(session, (endpoint, model));
        }
        if !blocks.is_empty() {
            self.prefixes.insert(blocks, endpoint);
        }
    }

    /// An attempt may not be preempted any more.
    fn begun(&mut self, in_flight: &mut InFlight) {
        if let Some(number) = in_flight.preemptible.take() {
            self.preemptible.remove(&number);
            self.memory.admission.begun(in_flight.attempt.target.endpoint, number);
        }
    }

    /// An attempt that has just been sent may be preempted.
    pub(crate) fn preemptible(&mut self, in_flight: &mut InFlight, ticket: Ticket) {
        let Target { endpoint, predicted: p, .. } = &in_flight.attempt.target;
        let expected = Expected { begins_ms: p.begins_ms(), prefill_ms: p.prefill_ms, delays_ms: p.delays_ms() };
        let sent_ms = in_flight.attempt.sent_us() / 1_000;
        let number = self.memory.admission.preemptible(sent_ms, *endpoint, &expected);
        in_flight.preemptible = Some(number);
        self.preemptible.insert(number, ticket);
    }

    /// Whose attempt is to give way.
    pub(crate) fn preempted(&self, preempted: Preempted) -> Option<Ticket> {
        self.preemptible.get(&preempted.number).copied()
    }

    /// An attempt gives way; its whole prompt is paid for, whatever of it has been computed, USD.
    pub(crate) fn gave_way(&mut self, mut in_flight: InFlight, now_us: u64) -> f64 {
        self.over(&mut in_flight, now_us);
        in_flight.attempt.lost_usd()
    }

    /// An attempt is over, one way or the other.
    fn over(&mut self, in_flight: &mut InFlight, now_us: u64) {
        self.begun(in_flight);
        in_flight.attempt.over(&mut self.memory);
        let endpoint = in_flight.attempt.target.endpoint;
        self.memory.overlays[endpoint as usize].in_flight -= 1.0;
        if in_flight.attempt.first_us().is_some() {
            self.memory.admission.window_mut(endpoint).completed(now_us / 1_000);
        }
    }

    /// An answer is whole; what it cost, USD.
    pub(crate) fn complete(
        &mut self,
        mut in_flight: InFlight,
        usage: Usage,
        source: Source,
        prompt_bytes: f64,
        now_us: u64,
    ) -> f64 {
        self.over(&mut in_flight, now_us);
        let attempt = &in_flight.attempt;
        // Tokens between the first and the last are no events here: their pace shows once, at the end.
        if let Some(token_ms) = attempt.completed(&mut self.memory, Some(usage.output_tokens), source, now_us) {
            attempt.paced(&mut self.memory, token_ms);
        }
        let (model, models) = (attempt.target.model as usize, self.bytes_per_token.len());
        self.output_tokens[source.tenant as usize * models + model].add(usage.output_tokens as f64);
        let density = prompt_bytes / usage.prompt_tokens.max(1) as f64;
        self.bytes_per_token[model].add(density.clamp(0.5, 32.0));
        attempt.usd(&usage, STREAM_BYTES_PER_TOKEN)
    }

    /// A stream broke after its first token: what had come is billed; what it cost, USD. The engine never said its usage.
    pub(crate) fn broke(&mut self, mut in_flight: InFlight, output_tokens: u32, source: Source, now_us: u64) -> f64 {
        self.over(&mut in_flight, now_us);
        if in_flight.attempt.broke_off(&mut self.memory, source, now_us) {
            self.publish(now_us);
        }
        part_usd(&in_flight.attempt, output_tokens)
    }

    /// A client left: what had come of its answer is billed as that of a broken stream; what it cost, USD.
    pub(crate) fn left(&mut self, mut in_flight: InFlight, output_tokens: u32, now_us: u64) -> f64 {
        self.over(&mut in_flight, now_us);
        if output_tokens == 0 { 0.0 } else { part_usd(&in_flight.attempt, output_tokens) }
    }

    /// An attempt failed before its first token; what becomes of its request.
    pub(crate) fn failed(
        &mut self,
        mut in_flight: InFlight,
        request: &failover::Request<'_>,
        failed: &Failed,
        failover: &mut Failover,
        now_us: u64,
    ) -> Action {
        self.over(&mut in_flight, now_us);
        let (target, now_ms) = (in_flight.attempt.target, now_us / 1_000);
        let noted = note_failure(&mut self.memory, request.source, &target, failed, now_ms);
        if noted.is_unhealthy {
            // Decisions read the view: an illness that waits for the next one costs the requests until then.
            self.publish(now_us);
        }
        failover.failed(&mut self.memory, request, &target, (failed, noted), false, now_ms)
    }

    /// A request is served: what it met before at other endpoints was not its own fault.
    pub(crate) fn served(&mut self, failover: &Failover, source: Source, now_us: u64) {
        let mut is_news = false;
        failover.served(&mut self.memory, source, now_us / 1_000, |_, _| is_news = true);
        if is_news {
            self.publish(now_us);
        }
    }

    /// When the last reading of an endpoint that has been taken in was taken.
    pub(crate) fn taken_us(&self, endpoint: usize) -> Option<u64> {
        self.watched[endpoint].taken_us
    }

    /// A reading arrived.
    pub(crate) fn report(&mut self, endpoint: usize, taken_us: u64, arrived_us: u64, r: Reading) {
        self.watched[endpoint].taken_us = Some(taken_us);
        let own = self.memory.overlays[endpoint].in_flight;
        self.memory.endpoints[endpoint].reported(LoadReport {
            running: r.running,
            waiting: r.waiting,
            kv_use: Some(r.kv_use),
            watts: Some(r.watts),
            own_in_flight: own,
            at_ms: arrived_us / 1_000,
        });
        self.memory.admission.window_mut(endpoint as u32).report(
            arrived_us / 1_000,
            own,
            r.running,
            r.waiting,
            Some(r.kv_use),
        );
    }

    /// A probe came back.
    pub(crate) fn round_trip(&mut self, endpoint: usize, ms: f64, now_us: u64) {
        self.watched[endpoint].silent_us = None;
        let rtt_ms = self.memory.endpoints[endpoint].probe_answered(now_us / 1_000, ms);
        self.memory.admission.window_mut(endpoint as u32).round_trip(rtt_ms);
    }

    /// A probe was refused.
    pub(crate) fn probe_refused(&mut self, endpoint: usize, now_us: u64) {
        self.memory.endpoints[endpoint].probe_failed(now_us / 1_000);
    }

    /// A probe has no answer; it counts as failed when it is given up.
    pub(crate) fn probe_silent(&mut self, endpoint: usize, now_us: u64) {
        let silent_us = &mut self.watched[endpoint].silent_us;
        if now_us - *silent_us.get_or_insert(now_us) >= PROBE_TIMEOUT_US {
            *silent_us = Some(now_us);
            self.memory.endpoints[endpoint].probe_failed(now_us / 1_000);
        }
    }

    /// Energy at a site costs this from now on.
    pub(crate) fn set_energy(&mut self, site: u32, usd_per_kwh: f64, carbon_g_per_kwh: f64) {
        self.viewer.set_energy(site, usd_per_kwh, carbon_g_per_kwh);
    }

    /// Makes a new view of what is known.
    pub(crate) fn publish(&mut self, now_us: u64) {
        let now_ms = now_us / 1_000;
        for finding in judge(&mut self.memory, self.states.len() as u32, &self.peers, now_ms) {
            if let Finding::Back { endpoint, away_ms } = finding {
                let per_s = self.viewer.prompt_tokens_per_s(endpoint as usize);
                self.memory.admission.back(endpoint, now_ms, away_ms, per_s);
            }
        }
        let Memory { endpoints, overlays, admission, habits, .. } = &self.memory;
        for (((state, known), overlay), endpoint) in self.states.iter_mut().zip(endpoints).zip(overlays).zip(0..) {
            let window = admission.window(endpoint).learnt(now_ms);
            *state = known.snapshot(now_ms, window, overlay.in_flight, Accepts::NewAndExisting);
        }
        for (model, habits) in (0..).zip(habits) {
            self.viewer.set_habits(model, *habits);
        }
        self.memory.view = self.viewer.view(&self.states, now_ms);
    }
}

/// What an attempt has cost whose engine never said its usage, USD.
fn part_usd(attempt: &Attempt, output_tokens: u32) -> f64 {
    attempt.usd(&Usage::estimated(&attempt.target.predicted, output_tokens.into()), STREAM_BYTES_PER_TOKEN)
}

/// The prefix caches a gateway mirrors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cache {
    /// Blocks that all engines together can hold.
    pub(crate) blocks: usize,
    /// Tokens of a block.
    pub(crate) block_tokens: f64,
}
