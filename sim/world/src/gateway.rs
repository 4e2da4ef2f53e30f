//! A gateway: the router's own code with what a live gateway would hold in memory.
//!
//! Nothing here can see an engine, another gateway, or the length of an answer that has not ended: readings, probes and
//! the request's own events come in as arguments, each with the time at which it arrived.

use std::collections::BTreeMap;

use rhumb_flow::admission::{Admission, Ask as Hold, Candidate, Expected, Lane, Lanes, Preempted, Turn, Verdict};
use rhumb_flow::blame::{Counts, Failure, Inquiry, Next, Tries, Whose};
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::condition::{Condition, Found};
use rhumb_flow::evidence::Source;
use rhumb_flow::fair::cost;
use rhumb_flow::peers::{Peer, groups, outliers};
use rhumb_flow::quarantine::Quarantine;
use rhumb_grid::config::Router;
use rhumb_grid::index::Grid;
use rhumb_grid::rates::Rates;
use rhumb_rivals::{Candidate as Shown, Policy, Request};
use rhumb_route::account::Tariff;
use rhumb_route::decide::{Choice, Decision, Scratch, Target, World as Candidates, decide, decide_by};
use rhumb_route::facts::{Facts, Hit};
use rhumb_route::floor::Floors;
use rhumb_route::glance::Glance;
use rhumb_route::habits::Habits;
use rhumb_route::learn::Ewma;
use rhumb_route::pins::Pins;
use rhumb_route::predict::Prediction;
use rhumb_route::prefix::PrefixIndex;
use rhumb_route::row::{Able, CandidateHealth, Overlay, Row};
use rhumb_route::unanswered::Unanswered;
use rhumb_route::view::{EndpointState, LoadReport, View, Viewer};

use crate::attempt::{Attempt, Usage, charge, charge_part};
use crate::flight::Flight;
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

#[derive(Debug, Clone)]
struct Known {
    state: EndpointState,
    unanswered: Unanswered,
    condition: Condition,
    /// When the last reading taken in was taken.
    taken_us: Option<u64>,
    /// When a probe last went unanswered.
    silent_us: Option<u64>,
}

impl Known {
    fn new(is_modelled: bool) -> Self {
        Self {
            state: EndpointState::default(),
            unanswered: Unanswered::default(),
            condition: Condition::new(is_modelled),
            taken_us: None,
            silent_us: None,
        }
    }
}

/// One gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    viewer: Viewer,
    view: View,
    known: Vec<Known>,
    /// By model.
    habits: Vec<Habits>,
    /// Endpoints that are compared with each other.
    peers: Vec<Vec<usize>>,
    /// By endpoint, apart from the rest: a decision reads all of them and nothing else.
    overlays: Vec<Overlay>,
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
    admission: Admission,
    /// By tenant, model and site.
    budgets: BTreeMap<(u32, u32, u32), RetryBudget>,
    lanes: Lanes,
    /// By their place in the queue, who waits.
    waiting: BTreeMap<u64, Ticket>,
    places: u64,
    /// By number, those that may be taken back.
    preemptible: BTreeMap<u64, Ticket>,
    quarantine: Quarantine,
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

/// The candidates as this gateway sees them.
struct Seen<'a> {
    view: &'a View,
    overlays: &'a [Overlay],
}

impl Candidates for Seen<'_> {
    fn rows(&self, model: u32) -> &[Row] {
        self.view.rows(model)
    }

    fn overlay(&self, endpoint: u32) -> Overlay {
        self.overlays[endpoint as usize]
    }

    fn floors(&self, model: u32) -> &[Floors] {
        Candidates::floors(self.view, model)
    }

    fn glances(&self, model: u32) -> &[Glance] {
        Candidates::glances(self.view, model)
    }
}

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
        Self {
            known: (0..endpoints).map(|e| Known::new(viewer.is_modelled(e))).collect(),
            habits: vec![Habits::default(); models],
            viewer,
            view,
            peers: groups(grid),
            overlays: vec![Overlay::default(); endpoints],
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
            admission: Admission::over(grid, &lanes),
            budgets: BTreeMap::new(),
            lanes,
            waiting: BTreeMap::new(),
            places: 0,
            preemptible: BTreeMap::new(),
            quarantine: Quarantine::default(),
        }
    }

    /// The lane of the models that a name stands for.
    pub(crate) fn lane(&self, models: &[u32]) -> Lane {
        self.lanes.lane(models).expect("the models are those of a name in the grid")
    }

    /// Whether a request that has been decided on goes, and where, or waits.
    pub(crate) fn arrive(&mut self, ask: &Hold, targets: &[Target], now_us: u64) -> Verdict {
        let ttft_ms = targets.first().map_or(0.0, |t| t.predicted.ttft_p50_ms - t.predicted.queue_ms);
        self.admission.arrive(now_us / 1_000, ask, ttft_ms, candidates(&self.overlays, targets))
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
        self.admission.turn(now_us / 1_000, ask, waited_ms, caller, candidates(&self.overlays, targets))
    }

    /// A request waits from now on; its place.
    pub(crate) fn wait(&mut self, ticket: Ticket, ask: Hold, targets: &[Target]) -> u64 {
        self.places += 1;
        self.waiting.insert(self.places, ticket);
        self.admission.wait(self.places, ask, targets.iter().map(|t| t.endpoint));
        self.places
    }

    /// A request that could not use its turn, called by `caller`, waits on.
    pub(crate) fn put_back(&mut self, place: u64, ticket: Ticket, ask: Hold, targets: &[Target], caller: Option<u32>) {
        self.waiting.insert(place, ticket);
        let without = targets.iter().map(|t| t.endpoint).filter(|e| Some(*e) != caller);
        self.admission.put_back(place, ask, without);
    }

    /// Those who are to look again.
    pub(crate) fn look_again(&mut self, now_us: u64) -> Vec<Ticket> {
        let in_flight = |e: u32| self.overlays[e as usize].in_flight;
        let again = self.admission.look_again(now_us / 1_000, in_flight);
        again.into_iter().filter_map(|place| self.waiting.remove(&place)).collect()
    }

    /// A request does not wait any longer; false when its turn had come.
    pub(crate) fn leave(&mut self, place: u64) -> bool {
        self.waiting.remove(&place);
        self.admission.leave(place)
    }

    /// Whose turn it is at an endpoint, if that has room.
    pub(crate) fn next(&mut self, endpoint: u32, now_us: u64) -> Option<Ticket> {
        let place = self.admission.next(now_us / 1_000, endpoint, self.overlays[endpoint as usize].in_flight)?;
        self.waiting.remove(&place)
    }

    /// When a request that is sent away after waiting so long may come back, ms.
    pub(crate) fn retry_after_ms(&self, ask: &Hold, bound_ms: f64, now_us: u64) -> u64 {
        self.admission.retry_after_ms(now_us / 1_000, ask, bound_ms)
    }

    /// The retry budget of a tenant for a model at a site.
    pub(crate) fn budget(&mut self, tenant: u32, target: &Target) -> &mut RetryBudget {
        self.budgets.entry((tenant, target.model, target.site)).or_default()
    }

    /// What it holds: requests in flight, their tokens not computed yet, and requests that wait.
    pub(crate) fn holds(&self) -> (f64, f64, usize) {
        let in_flight = self.overlays.iter().map(|o| o.in_flight).sum();
        let backlog_tokens = self.overlays.iter().map(|o| o.backlog_tokens).sum();
        (in_flight, backlog_tokens, self.waiting.len())
    }

    /// Somebody waits.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.admission.is_empty()
    }

    /// A request has been served this in truth: what it was charged for at its turn, if it had to wait, is set right.
    pub(crate) fn settle(&mut self, flight: &Flight, prompt_tokens: u32, output_tokens: u32) {
        if let Some(ask) = flight.hold.filter(|_| flight.held_us.is_some()) {
            self.admission.settle(&ask, cost(f64::from(prompt_tokens), f64::from(output_tokens)));
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
        let seen = Seen { view: &self.view, overlays: &self.overlays };
        let decision = match &mut self.rival {
            None => decide(&seen, &facts, &choice, &mut self.scratch),
            Some(policy) => decide_by(&seen, &facts, asked.rates, |candidates, keys| {
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
    pub(crate) fn depart(&mut self, target: &Target, tenant: u32, second_usd: f64, now_us: u64) -> Attempt {
        let output_tokens = self.expected_output(tenant, target.model as usize);
        let row = self.view.rows(target.model).iter().find(|r| r.endpoint == target.endpoint);
        if let (Some(policy), Some(row)) = (&mut self.rival, row) {
            let p = &target.predicted;
            let prompt_tokens = p.uncached_tokens + p.cached_tokens;
            let (now_ms, draw) = (now_us / 1_000, self.turn);
            let request = Request { now_ms, affinity: None, prompt_tokens, output_tokens, draw };
            policy.sent(&request, &shown(row, &target.overlay, p));
        }
        let backlog = target.predicted.uncached_tokens;
        let known = &mut self.known[target.endpoint as usize];
        self.habits[target.model as usize].sent(backlog);
        let due = known.unanswered.sent(now_us / 1_000, target.predicted.begins_ms());
        let overlay = &mut self.overlays[target.endpoint as usize];
        overlay.in_flight += 1.0;
        overlay.backlog_tokens += backlog;
        self.admission.sent(target.endpoint, now_us / 1_000, backlog);
        Attempt {
            target: *target,
            tariff: row.map_or(Tariff::NONE, Tariff::of),
            backlog: Some(backlog),
            due,
            sent_us: now_us,
            first_us: None,
            preemptible: None,
            second_usd,
        }
    }

    /// The first token of an answer arrives.
    pub(crate) fn first(
        &mut self,
        attempt: &mut Attempt,
        source: Source,
        session: Option<u64>,
        blocks: &[u64],
        now_us: u64,
    ) {
        attempt.first_us = Some(now_us);
        self.answered(attempt);
        let Target { endpoint, model, .. } = attempt.target;
        let known = &mut self.known[endpoint as usize];
        known.unanswered.over(attempt.due);
        known.unanswered.began(now_us / 1_000);
        let observed_ms = (now_us - attempt.sent_us) as f64 / 1e3;
        let Prediction { site_ms, prefill_ms, .. } = attempt.target.predicted;
        let waited_ms = (observed_ms - site_ms - prefill_ms).max(0.0);
        let window = self.admission.window_mut(endpoint);
        window.first_token(now_us / 1_000, waited_ms, attempt.target.overlay.in_flight);
        attempt.tariff.learn_ttft(&mut known.state, &attempt.target, observed_ms);
        if known.state.is_unqueued(now_us / 1_000) {
            let showing = known.condition.showing_mut();
            showing.first_token(observed_ms - site_ms, attempt.tariff.modelled_ttft_ms(&attempt.target));
        }
        known.state.others_second_usd.add(attempt.second_usd);
        known.condition.answered(now_us / 1_000, attempt.sent_us / 1_000, source);
        if let Some(session) = session {
            self.pins.insert(session, (endpoint, model));
        }
        if !blocks.is_empty() {
            self.prefixes.insert(blocks, endpoint);
        }
    }

    fn answered(&mut self, attempt: &mut Attempt) {
        if let Some(tokens) = attempt.backlog.take() {
            let overlay = &mut self.overlays[attempt.target.endpoint as usize];
            overlay.backlog_tokens = (overlay.backlog_tokens - tokens).max(0.0);
        }
        if let Some(number) = attempt.preemptible.take() {
            self.preemptible.remove(&number);
            self.admission.begun(attempt.target.endpoint, number);
        }
    }

    /// An attempt that has just been sent may be taken back.
    pub(crate) fn preemptible(&mut self, attempt: &mut Attempt, ticket: Ticket) {
        let Target { endpoint, predicted: p, .. } = &attempt.target;
        let expected = Expected { begins_ms: p.begins_ms(), prefill_ms: p.prefill_ms, delays_ms: p.delays_ms() };
        let number = self.admission.preemptible(attempt.sent_us / 1_000, *endpoint, &expected);
        attempt.preemptible = Some(number);
        self.preemptible.insert(number, ticket);
    }

    /// Whose attempt is to give way.
    pub(crate) fn preempted(&self, preempted: Preempted) -> Option<Ticket> {
        self.preemptible.get(&preempted.number).copied()
    }

    /// An attempt gives way; its whole prompt is paid for, whatever of it has been computed, USD.
    pub(crate) fn gave_way(&mut self, mut attempt: Attempt, now_us: u64) -> f64 {
        self.over(&mut attempt, now_us);
        charge_part(&attempt, 0)
    }

    /// An attempt is over, one way or the other.
    fn over(&mut self, attempt: &mut Attempt, now_us: u64) {
        self.answered(attempt);
        let endpoint = attempt.target.endpoint;
        self.known[endpoint as usize].unanswered.over(attempt.due);
        self.overlays[endpoint as usize].in_flight -= 1.0;
        if attempt.first_us.is_some() {
            self.admission.window_mut(endpoint).completed(now_us / 1_000);
        }
    }

    /// An answer is whole; what it cost, USD.
    pub(crate) fn complete(
        &mut self,
        mut attempt: Attempt,
        usage: Usage,
        source: Source,
        prompt_bytes: f64,
        now_us: u64,
    ) -> f64 {
        self.over(&mut attempt, now_us);
        let tenant = source.tenant;
        self.known[attempt.target.endpoint as usize].condition.completed(now_us / 1_000, source);
        let Target { endpoint, model, predicted, .. } = attempt.target;
        self.habits[model as usize].answered((now_us - attempt.sent_us) as f64 / 1e3);
        let output = f64::from(usage.output_tokens);
        let models = self.bytes_per_token.len();
        self.output_tokens[tenant as usize * models + model as usize].add(output);
        let density = prompt_bytes / f64::from(usage.prompt_tokens.max(1));
        self.bytes_per_token[model as usize].add(density.clamp(0.5, 32.0));
        if let Some(first_us) = attempt.first_us
            && usage.output_tokens > 8
        {
            let observed_ms = (now_us - first_us) as f64 / 1e3 / (output - 1.0);
            let known = &mut self.known[endpoint as usize];
            attempt.tariff.learn_pace(&mut known.state, &attempt.target, observed_ms);
            known.condition.showing_mut().token(observed_ms, attempt.tariff.modelled_pace_ms(&attempt.target));
        }
        charge(&attempt, usage, predicted.running)
    }

    /// A stream broke after its first token: what had come is billed; what it cost, USD. The engine never said its usage,
    /// so the prompt counts as it was predicted, as in the live gateway.
    pub(crate) fn broke(&mut self, mut attempt: Attempt, output_tokens: u32, source: Source, now_us: u64) -> f64 {
        self.over(&mut attempt, now_us);
        if self.known[attempt.target.endpoint as usize].condition.broke_off(now_us / 1_000, source) {
            self.publish(now_us);
        }
        charge_part(&attempt, output_tokens)
    }

    /// A client left: what had come of its answer is billed as that of a broken stream; what it cost, USD.
    pub(crate) fn left(&mut self, mut attempt: Attempt, output_tokens: u32, now_us: u64) -> f64 {
        self.over(&mut attempt, now_us);
        if output_tokens == 0 { 0.0 } else { charge_part(&attempt, output_tokens) }
    }

    /// An attempt failed before its first token; what becomes of its request.
    pub(crate) fn failed(
        &mut self,
        mut attempt: Attempt,
        failure: Failure,
        source: Source,
        long: bool,
        inquiry: &mut Inquiry,
        now_us: u64,
    ) -> Next {
        self.over(&mut attempt, now_us);
        let (endpoint, model, now_ms) = (attempt.target.endpoint, attempt.target.model, now_us / 1_000);
        let condition = &mut self.known[endpoint as usize].condition;
        let proven = condition.is_proven(now_ms);
        let is_ill = failure.rule().counts == Counts::AtOnce && condition.unreachable(now_ms);
        if failure == Failure::Unavailable && condition.unavailable(now_ms, source) {
            self.admission.window_mut(endpoint).unavailable(now_ms);
        }
        if is_ill {
            // Decisions read the view: an illness that waits for the next one costs the requests until then.
            self.publish(now_us);
        }
        if failure.rule().tries == Tries::UntilAlike && self.quarantine.is_blamed(now_ms, source) {
            inquiry.known();
        }
        let next = inquiry.failed(rhumb_flow::blame::Attempt { endpoint, model, failure, proven, long });
        if next == Next::GiveUp && failure.rule().tries == Tries::UntilAlike {
            self.quarantine.blame(now_ms, source);
        }
        next
    }

    /// A request is served: what it met before at other endpoints was not its own fault.
    pub(crate) fn charge(&mut self, inquiry: &Inquiry, source: Source, now_us: u64) {
        let mut is_ill = false;
        for (attempt, whose) in inquiry.served() {
            let condition = &mut self.known[attempt.endpoint as usize].condition;
            if whose == Whose::Endpoint {
                is_ill |= condition.charged(now_us / 1_000, source);
            }
        }
        if is_ill {
            self.publish(now_us);
        }
    }

    /// An endpoint says that it is busy, and for how long: it is left alone until then.
    pub(crate) fn busy(&mut self, attempt: Attempt, after_ms: u64, now_us: u64) {
        self.admission.window_mut(attempt.target.endpoint).busy(now_us / 1_000, Some(after_ms));
        self.rejected(attempt, now_us);
    }

    /// An endpoint does not take a request, for its size or its load: this says nothing of its health.
    pub(crate) fn rejected(&mut self, mut attempt: Attempt, now_us: u64) {
        self.over(&mut attempt, now_us);
    }

    /// When the last reading of an endpoint that has been taken in was taken.
    pub(crate) fn taken_us(&self, endpoint: usize) -> Option<u64> {
        self.known[endpoint].taken_us
    }

    /// A reading arrived.
    pub(crate) fn report(&mut self, endpoint: usize, taken_us: u64, arrived_us: u64, r: Reading) {
        let known = &mut self.known[endpoint];
        known.taken_us = Some(taken_us);
        let own = self.overlays[endpoint].in_flight;
        known.state.report(LoadReport {
            running: r.running,
            waiting: r.waiting,
            kv_use: Some(r.kv_use),
            watts: Some(r.watts),
            own_in_flight: own,
            at_ms: arrived_us / 1_000,
        });
        self.admission.window_mut(endpoint as u32).report(
            arrived_us / 1_000,
            own,
            r.running,
            r.waiting,
            Some(r.kv_use),
        );
    }

    /// A probe came back.
    pub(crate) fn round_trip(&mut self, endpoint: usize, ms: f64, now_us: u64) {
        let known = &mut self.known[endpoint];
        known.state.rtt.add(ms);
        known.state.rtt_at_ms = Some(now_us / 1_000);
        known.condition.probe_answered(now_us / 1_000);
        known.silent_us = None;
        let rtt_ms = known.state.rtt.ms().unwrap_or(ms);
        self.admission.window_mut(endpoint as u32).round_trip(rtt_ms);
    }

    /// A probe was refused.
    pub(crate) fn probe_refused(&mut self, endpoint: usize, now_us: u64) {
        self.known[endpoint].condition.probe_failed(now_us / 1_000);
    }

    /// A probe has no answer; it counts as failed when it is given up.
    pub(crate) fn probe_silent(&mut self, endpoint: usize, now_us: u64) {
        let known = &mut self.known[endpoint];
        let since_us = *known.silent_us.get_or_insert(now_us);
        if now_us - since_us >= PROBE_TIMEOUT_US {
            known.silent_us = Some(now_us);
            known.condition.probe_failed(now_us / 1_000);
        }
    }

    /// Energy at a site costs this from now on.
    pub(crate) fn set_energy(&mut self, site: u32, usd_per_kwh: f64, carbon_g_per_kwh: f64) {
        self.viewer.set_energy(site, usd_per_kwh, carbon_g_per_kwh);
    }

    /// Makes a new view of what is known.
    pub(crate) fn publish(&mut self, now_us: u64) {
        let now_ms = now_us / 1_000;
        self.judge(now_ms);
        for (((state, known), overlay), endpoint) in
            self.states.iter_mut().zip(&self.known).zip(&self.overlays).zip(0..)
        {
            *state = EndpointState {
                window: self.admission.window(endpoint).learnt(now_ms),
                health: match known.condition.found(now_ms) {
                    None => CandidateHealth::Healthy,
                    Some(Found::ByCanary) => CandidateHealth::WrongAnswers,
                    Some(Found::ByCredential) => CandidateHealth::CredentialRefused,
                    Some(_) => CandidateHealth::Unhealthy,
                },
                own_in_flight: overlay.in_flight,
                stalled_ms: known.unanswered.stalled_ms(now_ms),
                ..known.state
            };
        }
        for (model, habits) in (0..).zip(&self.habits) {
            self.viewer.set_habits(model, *habits);
        }
        self.view = self.viewer.view(&self.states, now_ms);
    }

    /// Compares endpoints with their peers, and finds those that are back.
    fn judge(&mut self, now_ms: u64) {
        for group in &self.peers {
            if group.iter().any(|e| self.known[*e].condition.is_suspect()) {
                let peers: Vec<Peer> = group.iter().map(|e| self.known[*e].condition.peer(now_ms, true)).collect();
                for place in outliers(&peers) {
                    self.known[group[place]].condition.is_outlier(now_ms);
                }
            }
        }
        for (endpoint, known) in self.known.iter_mut().enumerate() {
            if let Some(away_ms) = known.condition.look(now_ms) {
                let per_s = self.viewer.prompt_tokens_per_s(endpoint);
                self.admission.back(endpoint as u32, now_ms, away_ms, per_s);
            }
        }
    }
}

/// Targets as admission sees them.
fn candidates<'a>(overlays: &'a [Overlay], targets: &'a [Target]) -> impl Iterator<Item = Candidate> + Clone + 'a {
    targets.iter().map(|t| Candidate {
        endpoint: t.endpoint,
        in_flight: overlays[t.endpoint as usize].in_flight,
        queue_ms: t.predicted.queue_ms,
        crowd_ms: t.predicted.crowd_ms,
        prefill_ms: t.predicted.prefill_ms,
        ttft_ms: t.predicted.ttft_p95_ms - t.predicted.queue_ms,
    })
}

/// The prefix caches a gateway mirrors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cache {
    /// Blocks that all engines together can hold.
    pub(crate) blocks: usize,
    /// Tokens of a block.
    pub(crate) block_tokens: f64,
}
