//! A gateway: the router's own code with what a live gateway would hold in memory.
//!
//! Nothing here can see an engine, another gateway, or the length of an answer that has not ended: readings, probes and
//! the request's own events come in as arguments, each with the time at which it arrived.

use std::collections::BTreeMap;

use rhumb_baselines::{Candidate as Shown, Policy, Request};
use rhumb_core::attempt::Attempt;
use rhumb_core::facts::{BYTES_PER_TOKEN, PromptSize, RequestShape, bytes_per_token, facts};
use rhumb_core::failover::{self, Action, Failed, Failover, note_failure};
use rhumb_core::memory::Memory;
use rhumb_core::usage::Usage;
use rhumb_flow::admission::{AdmissionRequest, Expected, Preempted, QueueClass, QueueClasses, Turn, Verdict};
use rhumb_flow::blame::Failure;
use rhumb_flow::evidence::Source;
use rhumb_flow::fair::cost;
use rhumb_grid::config::Router;
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use rhumb_route::decide::{Choice, Decision, Scratch, Target, decide, decide_by};
use rhumb_route::facts::{Facts, Hit};
use rhumb_route::pins::Pins;
use rhumb_route::prefix::{Held, PrefixIndex};
use rhumb_route::row::Able;
use rhumb_route::view::LoadReport;

use crate::attempt::InFlight;
use crate::baseline::shown;
use crate::queue::Ticket;
use crate::request::SimRequest;
use crate::setup::Choosing;
use crate::telemetry::Reading;

/// What a gateway can see of a request.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) models: &'a [ModelIndex],
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
pub(crate) struct Gateway<M> {
    pub(crate) memory: M,
    /// By endpoint.
    watched: Vec<Watched>,
    pins: Pins<EndpointIndex, ModelIndex>,
    prefixes: PrefixIndex,
    block_tokens: f64,
    turn: u64,
    scratch: Scratch,
    held: Vec<Held>,
    router: Router,
    /// Whose order it is instead.
    baseline: Option<Box<dyn Policy>>,
    queue_classes: QueueClasses,
    /// By their place in the queue, who waits.
    waiting: BTreeMap<u64, Ticket>,
    places: u64,
    /// By number, those that may be taken back.
    preemptible: BTreeMap<u64, Ticket>,
}

const PINS: usize = 1 << 18;
/// A probe that gets no answer at all is given up after so long.
const PROBE_TIMEOUT_US: u64 = 5_000_000;

impl<M: Memory> Gateway<M> {
    /// One with this memory.
    pub(crate) fn new(memory: M, grid: &Grid, choosing: &Choosing, queue_classes: QueueClasses, cache: Cache) -> Self {
        let (router, baseline) = match choosing {
            Choosing::Router(router) => (*router, None),
            Choosing::Baseline(baseline, values) => (Router::LeastRequest, Some(baseline.policy(values))),
        };
        Self {
            memory,
            watched: vec![Watched::default(); grid.config.endpoints.len()],
            pins: Pins::new(PINS),
            prefixes: PrefixIndex::new(cache.blocks),
            block_tokens: cache.block_tokens,
            turn: 0,
            scratch: Scratch::default(),
            held: Vec::new(),
            router,
            baseline,
            queue_classes,
            waiting: BTreeMap::new(),
            places: 0,
            preemptible: BTreeMap::new(),
        }
    }

    /// The queue class of the models that a name stands for.
    pub(crate) fn queue_class(&self, models: &[ModelIndex]) -> QueueClass {
        self.queue_classes.queue_class(models).expect("the models are those of a name in the grid")
    }

    /// Whether a request that has been decided on goes, and where, or waits.
    pub(crate) fn arrive(&mut self, ask: &AdmissionRequest, targets: &[Target], now_us: u64) -> Verdict {
        self.memory.arrive(now_us / 1_000, ask, targets)
    }

    /// Where a request goes that has waited since then and whose turn it is; nowhere when nothing that suits it has room.
    pub(crate) fn turn(
        &mut self,
        ask: &AdmissionRequest,
        targets: &[Target],
        caller: Option<EndpointIndex>,
        since_us: u64,
        now_us: u64,
    ) -> Turn {
        let waited_ms = (now_us - since_us) as f64 / 1e3;
        self.memory.turn(now_us / 1_000, ask, waited_ms, caller, targets)
    }

    /// A request waits from now on; its place.
    pub(crate) fn wait(&mut self, ticket: Ticket, ask: AdmissionRequest, targets: &[Target]) -> u64 {
        self.places += 1;
        self.waiting.insert(self.places, ticket);
        let place = self.places;
        self.memory.admission(|a| a.wait(place, ask, targets.iter().map(|t| t.endpoint.0)));
        self.places
    }

    /// A request that could not use its turn, called by `caller`, waits on.
    pub(crate) fn put_back(
        &mut self,
        place: u64,
        ticket: Ticket,
        ask: AdmissionRequest,
        targets: &[Target],
        caller: Option<EndpointIndex>,
    ) {
        self.waiting.insert(place, ticket);
        let without = targets.iter().map(|t| t.endpoint).filter(|e| Some(*e) != caller).map(|e| e.0);
        self.memory.admission(|a| a.put_back(place, ask, without));
    }

    /// Those who are to look again.
    pub(crate) fn look_again(&mut self, now_us: u64) -> Vec<Ticket> {
        let again = self.memory.look_again(now_us / 1_000);
        again.into_iter().filter_map(|place| self.waiting.remove(&place)).collect()
    }

    /// A request does not wait any longer; false when its turn had come.
    pub(crate) fn leave(&mut self, place: u64) -> bool {
        self.waiting.remove(&place);
        self.memory.admission(|a| a.leave(place))
    }

    /// Whose turn it is at an endpoint, if that has room.
    pub(crate) fn next(&mut self, endpoint: EndpointIndex, now_us: u64) -> Option<Ticket> {
        let place = self.memory.next(now_us / 1_000, endpoint)?;
        self.waiting.remove(&place)
    }

    /// When a request that is sent away after waiting so long may come back, ms.
    pub(crate) fn retry_after_ms(&mut self, ask: &AdmissionRequest, bound_ms: f64, now_us: u64) -> u64 {
        self.memory.admission(|a| a.retry_after_ms(now_us / 1_000, ask, bound_ms))
    }

    /// What it holds: requests in flight, their tokens not computed yet, and requests that wait.
    pub(crate) fn holds(&self) -> (f64, f64, usize) {
        let local_loads = || EndpointIndex::of(&self.watched).map(|e| self.memory.local_load(e));
        let in_flight = local_loads().map(|o| o.in_flight).sum();
        let backlog_tokens = local_loads().map(|o| o.backlog_tokens).sum();
        (in_flight, backlog_tokens, self.waiting.len())
    }

    /// Somebody waits.
    pub(crate) fn is_waiting(&mut self) -> bool {
        !self.memory.admission(|a| a.is_empty())
    }

    /// A request has been served this in truth: what it was charged for at its turn, if it had to wait, is set right.
    pub(crate) fn settle(&mut self, flight: &SimRequest, prompt_tokens: u32, output_tokens: u32) {
        if let Some(ask) = flight.hold.filter(|_| flight.held_us.is_some()) {
            let cost = cost(f64::from(prompt_tokens), f64::from(output_tokens));
            self.memory.admission(|a| a.settle(&ask, cost));
        }
    }

    /// Decides where a request runs.
    pub(crate) fn decide(&mut self, asked: &Asked<'_>, now_us: u64) -> (Facts, Decision) {
        let first = asked.models.first().copied().unwrap_or(ModelIndex(0));
        self.held.clear();
        if !asked.blocks.is_empty() {
            self.prefixes.lookup(asked.blocks, self.block_tokens, &mut self.held);
        }
        let shape = RequestShape {
            models: asked.models.to_vec(),
            prompt: prompt_size(asked.prompt_bytes),
            certain_tokens: 1.0,
            max_tokens: None,
            sequences: 1.0,
            streams: true,
            needs: Able::default(),
            countries: Vec::new(),
            client_ms: asked.client_ms,
            affinity: asked.session.or(asked.blocks.first().copied()),
            pin: asked.session.and_then(|s| self.pins.get(s).copied()),
            hits: self.held.iter().map(|h| Hit { endpoint: EndpointIndex(h.endpoint), tokens: h.tokens }).collect(),
        };
        let facts = self.memory.estimates(asked.tenant, first, |estimates| facts(shape, estimates));
        let choice = Choice { rates: *asked.rates, router: self.router, seed: self.turn };
        self.turn += 1;
        let decision = match &mut self.baseline {
            None => decide(&self.memory, &facts, &choice, &mut self.scratch),
            Some(policy) => decide_by(&self.memory, &facts, asked.rates, |candidates, keys| {
                let request = Request {
                    now_ms: now_us / 1_000,
                    affinity: facts.affinity,
                    prompt_tokens: facts.prompt_tokens,
                    output_tokens: facts.output_tokens,
                    draw: self.turn,
                };
                let shown: Vec<Shown> = candidates.iter().map(|c| shown(c.row, &c.local_load, &c.predicted)).collect();
                policy.rank(&request, &shown, keys);
            }),
        };
        (facts, decision)
    }

    /// A request leaves for a target.
    pub(crate) fn depart(&mut self, target: &Target, tenant: u32, second_usd: f64, now_us: u64) -> InFlight {
        let row = |memory: &M| memory.rows(target.model).iter().find(|r| r.endpoint == target.endpoint).copied();
        if let Some(policy) = &mut self.baseline
            && let Some(row) = row(&self.memory)
        {
            let output_tokens = self.memory.estimates(tenant, target.model, |e| e.output_tokens());
            let p = &target.predicted;
            let prompt_tokens = p.uncached_tokens + p.cached_tokens;
            let (now_ms, draw) = (now_us / 1_000, self.turn);
            let request = Request { now_ms, affinity: None, prompt_tokens, output_tokens, draw };
            policy.sent(&request, &shown(&row, &target.local_load, p));
        }
        self.memory.depart(target.endpoint);
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
        self.memory.quarantine(|q| q.cleared(source.request));
        let Target { endpoint, model, .. } = in_flight.attempt.target;
        if let Some(session) = session {
            self.pins.insert(session, (endpoint, model));
        }
        if !blocks.is_empty() {
            self.prefixes.insert(blocks, endpoint.0);
        }
    }

    /// An attempt may not be preempted any more.
    fn begun(&mut self, in_flight: &mut InFlight) {
        if let Some(number) = in_flight.preemptible.take() {
            self.preemptible.remove(&number);
            self.memory.admission(|a| a.begun(in_flight.attempt.target.endpoint.0, number));
        }
    }

    /// An attempt that has just been sent may be preempted.
    pub(crate) fn preemptible(&mut self, in_flight: &mut InFlight, ticket: Ticket) {
        let Target { endpoint, predicted: p, .. } = &in_flight.attempt.target;
        let expected = Expected { begins_ms: p.begins_ms(), prefill_ms: p.prefill_ms, delays_ms: p.delays_ms() };
        let sent_ms = in_flight.attempt.sent_us() / 1_000;
        let number = self.memory.admission(|a| a.preemptible(sent_ms, endpoint.0, &expected));
        in_flight.preemptible = Some(number);
        self.preemptible.insert(number, ticket);
    }

    /// Whose attempt is to be preempted.
    pub(crate) fn preempted(&self, preempted: Preempted) -> Option<Ticket> {
        self.preemptible.get(&preempted.number).copied()
    }

    /// An attempt is late, and may not be preempted any more. The place of a second attempt beside it, if there is one.
    pub(crate) fn hedge(
        &mut self,
        first: &mut InFlight,
        request: &failover::Request<'_>,
        failover: &mut Failover,
        now_us: u64,
    ) -> Option<usize> {
        self.begun(first);
        let fingerprint = || request.source.request;
        failover.hedge(&mut self.memory, request, fingerprint, now_us / 1_000).map(|(place, _)| place)
    }

    /// Another attempt of the same request had content first; what this one has cost, USD. The second of the two is not late.
    pub(crate) fn lost(&mut self, mut in_flight: InFlight, is_hedge: bool, now_us: u64) -> f64 {
        if !is_hedge {
            in_flight.attempt.was_late(&mut self.memory, now_us);
        }
        self.over(&mut in_flight, now_us);
        in_flight.attempt.lost_usd()
    }

    /// An attempt is preempted; its whole prompt is paid for, whatever of it has been computed, USD.
    pub(crate) fn was_preempted(&mut self, mut in_flight: InFlight, now_us: u64) -> f64 {
        self.over(&mut in_flight, now_us);
        in_flight.attempt.lost_usd()
    }

    /// An attempt is over, one way or the other.
    fn over(&mut self, in_flight: &mut InFlight, now_us: u64) {
        self.begun(in_flight);
        in_flight.attempt.over(&mut self.memory);
        let endpoint = in_flight.attempt.target.endpoint;
        self.memory.depart_end(endpoint, in_flight.attempt.first_us().is_some(), now_us / 1_000);
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
        let prompt = prompt_size(prompt_bytes);
        self.memory.estimates(source.tenant, attempt.target.model, |e| e.learn(&prompt, 1.0, &usage));
        attempt.usd(&usage, bytes_per_token(true))
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
        is_another_under_way: bool,
        now_us: u64,
    ) -> Action {
        self.over(&mut in_flight, now_us);
        let (target, now_ms) = (in_flight.attempt.target, now_us / 1_000);
        let noted = note_failure(&mut self.memory, request.source, &target, failed, now_ms);
        if noted.is_unhealthy {
            // Decisions read the view: an illness that waits for the next one costs the requests until then.
            self.publish(now_us);
        }
        if failed.failure == Failure::Died {
            // A request is the same however often its client sends it.
            failover.struck(&mut self.memory, target.endpoint, request.source.request, now_ms);
        }
        failover.failed(&mut self.memory, request, &target, (failed, noted), is_another_under_way, now_ms)
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
    pub(crate) fn taken_us(&self, endpoint: EndpointIndex) -> Option<u64> {
        self.watched[endpoint].taken_us
    }

    /// A reading arrived.
    pub(crate) fn report(&mut self, endpoint: EndpointIndex, taken_us: u64, arrived_us: u64, r: Reading) {
        self.watched[endpoint].taken_us = Some(taken_us);
        let own = self.memory.local_load(endpoint).in_flight;
        let report = LoadReport {
            running: r.running,
            waiting: r.waiting,
            kv_use: Some(r.kv_use),
            watts: Some(r.watts),
            own_in_flight: own,
            at_ms: arrived_us / 1_000,
        };
        self.memory.endpoint(endpoint, |known| known.reported(report));
        self.memory.window(endpoint, |window| {
            window.report(arrived_us / 1_000, own, r.running, r.waiting, Some(r.kv_use));
        });
    }

    /// A probe came back.
    pub(crate) fn round_trip(&mut self, endpoint: EndpointIndex, ms: f64, now_us: u64) {
        self.watched[endpoint].silent_us = None;
        let rtt_ms = self.memory.endpoint(endpoint, |known| known.probe_answered(now_us / 1_000, ms));
        self.memory.window(endpoint, |window| window.round_trip(rtt_ms));
    }

    /// A probe was refused.
    pub(crate) fn probe_refused(&mut self, endpoint: EndpointIndex, now_us: u64) {
        self.memory.endpoint(endpoint, |known| known.probe_failed(now_us / 1_000));
    }

    /// A probe has no answer; it counts as failed when it is given up.
    pub(crate) fn probe_silent(&mut self, endpoint: EndpointIndex, now_us: u64) {
        let silent_us = &mut self.watched[endpoint].silent_us;
        if now_us - *silent_us.get_or_insert(now_us) >= PROBE_TIMEOUT_US {
            *silent_us = Some(now_us);
            self.memory.endpoint(endpoint, |known| known.probe_failed(now_us / 1_000));
        }
    }

    /// Energy at a site costs this from now on.
    pub(crate) fn set_energy(&mut self, site: SiteIndex, usd_per_kwh: f64, carbon_g_per_kwh: f64) {
        self.memory.set_energy(site, usd_per_kwh, carbon_g_per_kwh);
    }

    /// Makes a new view of what is known.
    pub(crate) fn publish(&mut self, now_us: u64) {
        self.memory.publish(now_us / 1_000);
    }
}

/// What an attempt has cost whose engine never said its usage, USD.
fn part_usd(attempt: &Attempt, output_tokens: u32) -> f64 {
    attempt.usd(&Usage::estimated(&attempt.target.predicted, output_tokens.into()), bytes_per_token(true))
}

/// A prompt of so many bytes, of which a gateway sees nothing else.
fn prompt_size(bytes: f64) -> PromptSize {
    let text = bytes / BYTES_PER_TOKEN;
    PromptSize { inputs: 1.0, text, longest_text: text, ..PromptSize::default() }
}

/// The prefix caches a gateway mirrors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cache {
    /// Blocks that all engines together can hold.
    pub(crate) blocks: usize,
    /// Tokens of a block.
    pub(crate) block_tokens: f64,
}
