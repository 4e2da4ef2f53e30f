//! The world: events move requests between users, gateways and engines.

use std::collections::VecDeque;

use rhumb_core::failover::{Action, Failed, Failover};
use rhumb_core::memory::Memory;
use rhumb_core::refusal::Refusal;
use rhumb_core::usage::Usage;
use rhumb_engine::Request;
use rhumb_flow::blame::Failure;
use rhumb_flow::patience::first_content_ms;
use rhumb_grid::config::Priority;
use rhumb_grid::position::EndpointIndex;
use rhumb_rng::{hash, label, unit};

use crate::gateway::Gateway;
use crate::network::Network;
use crate::outcome::{End, Outcome, Ran};
use crate::queue::{Event, Queue, Ticket};
use crate::request::{Flights, SimRequest, request, too_long};
use crate::server::{Mode, Server};
use crate::setup::{Poison, Setup};
use crate::site::Site;
use crate::source::{Arrival, Source};
use crate::telemetry::{Board, Falsified};
use crate::watch::{Breach, Broken, Moment, Watch};

/// Gateways take their first readings before users come, µs.
pub const WARM_UP_US: u64 = 3_000_000;

/// A gateway gives up on a connection after this, as the live one does, µs.
const CONNECT_TIMEOUT_US: u64 = 2_000_000;

/// What a busy engine tells a gateway to stay away for, ms.
const BUSY_FOR_MS: u64 = 1_000;

/// Bytes of a prompt token as users write: mean, and relative deviation from one prompt to the next.
const BYTES_PER_TOKEN: f64 = 4.2;
const BYTES_SPREAD: f64 = 0.15;

/// A grid under traffic.
pub(crate) struct World<'a, M> {
    pub(crate) setup: &'a Setup,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) servers: Vec<Server>,
    pub(crate) sites: Vec<Site>,
    pub(crate) gateways: Vec<Gateway<M>>,
    pub(crate) board: Board,
    pub(crate) falsified: Vec<Falsified>,
    pub(crate) flights: Flights,
    /// By gateway: attempts in the order they will be given up in, with that time.
    pub(crate) deadlines: Vec<VecDeque<(u64, Ticket)>>,
    pub(crate) newest_reading_us: u64,
    source: &'a mut dyn Source,
    next: Option<Arrival>,
    bytes_seed: u64,
    fate_seed: u64,
    entered: u64,
    pub(crate) sent: u64,
    pub(crate) attempts: u64,
    pub(crate) decisions: u64,
    pub(crate) steps: u64,
    /// Batch requests taken back for more urgent ones.
    pub(crate) was_preempted: u64,
    /// Second attempts made beside a late first, and those of them that had content first.
    pub(crate) hedges: (u64, u64),
    /// Whole answers of engines that answer wrongly.
    pub(crate) wrong_answers: u64,
    pub(crate) outcomes: Vec<Outcome>,
    /// Request that the event under way ended, for those who look on.
    pub(crate) ended: Option<(Ticket, u32)>,
}

/// Runs a grid under traffic until every request has ended.
///
/// # Errors
/// An invariant that `watch` checks does not hold.
pub fn run<W: Watch>(setup: &Setup, source: &mut dyn Source, watch: &mut W) -> Result<Ran, Broken> {
    let mut memories = crate::start::memories(setup).into_iter();
    run_on(setup, source, watch, |_| memories.next().expect("one for each gateway"))
}

/// The same, on the memories of gateways that are made elsewhere, given the place of each gateway.
///
/// # Errors
/// An invariant that `watch` checks does not hold.
pub fn run_on<M: Memory, W: Watch>(
    setup: &Setup,
    source: &mut dyn Source,
    watch: &mut W,
    memory: impl FnMut(usize) -> M,
) -> Result<Ran, Broken> {
    let mut world = World::new(setup, source, memory);
    loop {
        let next_ask_us = world.next.as_ref().map(|ask| ask.at_us + WARM_UP_US);
        match (next_ask_us, world.queue.next_at_us()) {
            (None, _) if world.flights.len() == 0 => break,
            (Some(ask_us), event_us) if event_us.is_none_or(|event_us| ask_us <= event_us) => {
                let next = world.source.next_arrival();
                if let Some(ask) = std::mem::replace(&mut world.next, next) {
                    world.enter(ask);
                }
            }
            (_, None) => break,
            _ => {
                let Some(event) = world.queue.pop() else { break };
                let (number, now_us) = (world.queue.happened, world.queue.now_us);
                let outcome = world.happen(event, watch).and_then(|()| world.show(event, watch));
                outcome.map_err(|breach| Broken { breach, event: number, at_us: now_us })?;
                // Whoever looks on has seen what the step did: the next one may overwrite it.
                if let Event::Step { endpoint, life } = event
                    && world.servers[endpoint].life == life
                {
                    world.start_step(endpoint);
                }
            }
        }
    }
    Ok(world.end())
}

impl<'a, M: Memory> World<'a, M> {
    fn new(setup: &'a Setup, source: &'a mut dyn Source, memory: impl FnMut(usize) -> M) -> Self {
        let sites = setup.grid.config.sites.len();
        let servers: Vec<Server> =
            setup.engines.iter().zip(&setup.grid.endpoint_site).map(|(spec, site)| Server::new(*spec, *site)).collect();
        let next = source.next_arrival();
        let mut world = Self {
            queue: Queue::default(),
            network: Network::new(&setup.rtt_ms, sites, setup.jitter, setup.seed),
            sites: crate::start::sites(setup),
            gateways: crate::start::gateways(setup, memory),
            board: Board::default(),
            falsified: vec![Falsified::No; sites],
            flights: Flights::default(),
            deadlines: vec![VecDeque::new(); setup.gateways.len()],
            newest_reading_us: 0,
            source,
            next,
            bytes_seed: hash(setup.seed, label("bytes")),
            fate_seed: hash(setup.seed, label("fate")),
            entered: 0,
            sent: 0,
            attempts: 0,
            decisions: 0,
            steps: 0,
            was_preempted: 0,
            hedges: (0, 0),
            wrong_answers: 0,
            outcomes: Vec::new(),
            ended: None,
            setup,
            servers,
        };
        for server in &world.servers {
            world.sites[server.site].add(server.watts);
        }
        world.start_clocks();
        world
    }

    /// A user sends a request.
    fn enter(&mut self, ask: Arrival) {
        self.entered += 1;
        let place = &self.setup.places[ask.place as usize];
        let client_us = (place.rtt_ms * 500.0) as u64;
        // Prompts differ in how many bytes a token takes, and a gateway sees bytes.
        let spread = 1.0 + BYTES_SPREAD * (2.0 * unit(hash(self.bytes_seed, self.entered)) - 1.0);
        let at_us = (ask.at_us + WARM_UP_US + client_us).max(self.queue.now_us);
        let request = self.entered;
        let terms = self.setup.terms(ask.tenant);
        let flight = self.flights.insert(SimRequest {
            request,
            sends: 1,
            tried_before: 0,
            gateway: place.gateway,
            client_us,
            hold: None,
            waits: None,
            held_us: None,
            lost_usd: 0.0,
            lost_us: 0,
            prompt_bytes: f64::from(ask.input_tokens) * BYTES_PER_TOKEN * spread,
            targets: Vec::new(),
            is_last_resort: false,
            failover: Failover::new(terms.0.max_attempts),
            in_flight: None,
            beside: None,
            is_hedge: false,
            number: 0,
            reached_us: 0,
            started_us: None,
            first_us: None,
            first_at_gateway_us: None,
            done: false,
            cached_tokens: 0,
            fail: None,
            ask,
        });
        self.queue.at(at_us, Event::AtGateway { flight });
        self.may_leave(flight, request);
    }

    fn happen(&mut self, event: Event, watch: &mut impl Watch) -> Result<(), Breach> {
        match event {
            Event::AtGateway { flight } => {
                self.sent += 1;
                return self.at_gateway(flight, watch);
            }
            Event::Room { gateway, endpoint } => return self.room(gateway, endpoint, watch),
            Event::LookAgain { gateway } => return self.look_again(gateway, watch),
            Event::Patience { flight, place } => self.patience(flight, place),
            Event::AtEndpoint { flight } => self.at_endpoint(flight),
            Event::Step { endpoint, life } => self.step_ended(endpoint, life),
            Event::First { flight } => self.first(flight),
            Event::Late { flight } => self.late(flight),
            Event::Last { flight } => self.last(flight),
            Event::Failed { flight, tokens } => self.failed(flight, tokens),
            Event::Idle { flight, since_us } => self.idle(flight, since_us),
            Event::Leaves { slot, request } => self.leaves(slot, request),
            Event::Cancel { endpoint, id } => {
                self.servers[endpoint].engine.cancel(id);
            }
            Event::Tick { gateway } => self.tick(gateway),
            Event::Sample => self.sample(),
            Event::Hour => self.hour(),
            Event::Fault { index, begins } => self.fault(index, begins),
        }
        Ok(())
    }

    /// Sends a request to one of its targets.
    pub(crate) fn send(&mut self, ticket: Ticket, target: usize) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return };
        let (gateway, target) = (flight.gateway, flight.targets[target]);
        let (rates, service, _) = self.setup.terms(flight.ask.tenant);
        let sender = &mut self.gateways[gateway as usize];
        let mut in_flight = sender.depart(&target, flight.ask.tenant, rates.second_usd, now_us);
        let order = flight.failover.order_mut();
        if service.priority == Priority::Batch && order.attempts() == 1 && order.keep_back() {
            sender.preemptible(&mut in_flight, ticket);
        }
        flight.in_flight = Some(in_flight);
        flight.fail = Some(Failure::Unreachable.into());
        self.attempts += 1;
        (flight.started_us, flight.first_us, flight.first_at_gateway_us) = (None, None, None);
        self.may_hedge(ticket);
        if self.network.is_cut(gateway, target.site) {
            self.queue.at(now_us + CONNECT_TIMEOUT_US, Event::Failed { flight: ticket, tokens: 0 });
            return;
        }
        let at_us = now_us + self.network.there_us(gateway, target.site);
        self.queue.at(at_us, Event::AtEndpoint { flight: ticket });
        let predicted_ms = target.predicted.begins_ms() - target.predicted.stalled_ms;
        let timeout_us = (first_content_ms(rates.first_token_timeout_ms, predicted_ms) * 1e3) as u64;
        let deadlines = &mut self.deadlines[gateway as usize];
        // In order, though tenants differ in patience: almost always this is the last one.
        let at = deadlines.partition_point(|(at_us, _)| *at_us <= now_us + timeout_us);
        deadlines.insert(at, (now_us + timeout_us, ticket));
    }

    fn at_endpoint(&mut self, ticket: Ticket) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return };
        let Some(target) = flight.in_flight.as_ref().map(|f| f.attempt.target) else { return };
        flight.reached_us = now_us;
        let gateway = flight.gateway;
        let server = &mut self.servers[target.endpoint];
        let draw = |share: f64| unit(hash(self.fate_seed ^ ticket.id(), flight.request)) < share;
        let (tenant, request) = (flight.ask.tenant, flight.request);
        let hits = |p: &Poison| p.hits(self.setup.seed, tenant, request, target.endpoint);
        let poison = self.setup.clients.poison.filter(hits);
        let refused = match server.mode {
            Mode::Silent => {
                flight.fail = Some(Failure::Silent.into());
                return;
            }
            Mode::Dead | Mode::Refusing => true,
            Mode::Erring(share) if draw(share) => {
                flight.fail = Some(Failure::Server.into());
                true
            }
            Mode::Busy(share) if draw(share) => {
                flight.fail = Some(Failed { after_ms: Some(BUSY_FOR_MS), ..Failure::Busy.into() });
                true
            }
            Mode::Up | Mode::Erring(_) | Mode::Busy(_) if let Some(poison) = poison => {
                flight.fail = Some(poison.failure.into());
                true
            }
            Mode::Up | Mode::Erring(_) | Mode::Busy(_) => {
                // What fails it from here on is silence or the loss of its engine.
                flight.fail = Some(Failure::Died.into());
                let request = Request {
                    id: ticket.id(),
                    prompt_blocks: flight.ask.blocks.clone(),
                    prompt_tokens: flight.ask.input_tokens,
                    output_tokens: flight.ask.output_tokens,
                };
                let too_large = server.submit(request).is_err();
                if too_large {
                    flight.fail = Some(too_long());
                }
                too_large
            }
        };
        if refused {
            let at_us = now_us + self.network.back_us(gateway, target.site);
            self.queue.at(at_us, Event::Failed { flight: ticket, tokens: 0 });
        } else {
            self.start_step(target.endpoint);
        }
    }

    /// Starts a step of an engine that has work and is not at it.
    pub(crate) fn start_step(&mut self, endpoint: EndpointIndex) {
        let now_us = self.queue.now_us;
        let server = &mut self.servers[endpoint];
        let site = &mut self.sites[server.site];
        let before = server.watts;
        let max_watts = server.engine.perf().max_watts();
        let Some(duration_us) = server.start(now_us, |watts| site.throttle(watts, max_watts)) else { return };
        site.add(server.watts - before);
        if server.watts < server.step.watts {
            site.totals.throttled_s += duration_us as f64 / 1e6;
        }
        self.steps += 1;
        for admitted in &server.step.admitted {
            if let Some(flight) = self.flights.get(Ticket::of(admitted.id))
                && flight.started_us.is_none()
            {
                flight.started_us = Some(now_us);
                flight.cached_tokens = admitted.cached_tokens;
            }
        }
        let life = server.life;
        self.queue.at(now_us + duration_us, Event::Step { endpoint, life });
    }

    fn step_ended(&mut self, endpoint: EndpointIndex, life: u32) {
        let now_us = self.queue.now_us;
        let server = &mut self.servers[endpoint];
        if server.life != life {
            return;
        }
        if server.frozen_us.is_some() {
            server.held_up = true;
            return;
        }
        let before = server.watts;
        server.end(now_us);
        self.sites[server.site].add(server.watts - before);
        for token in server.step.emitted.iter().filter(|t| t.first || t.finished) {
            let ticket = Ticket::of(token.id);
            let Some(flight) = self.flights.get(ticket) else { continue };
            let mut at_us = now_us + self.network.back_us(flight.gateway, server.site);
            if token.first {
                flight.first_us = Some(now_us);
                flight.first_at_gateway_us = Some(at_us);
                self.queue.at(at_us, Event::First { flight: ticket });
            }
            if token.finished {
                // One connection keeps its order.
                at_us = at_us.max(flight.first_at_gateway_us.unwrap_or(at_us));
                flight.done = true;
                self.queue.at(at_us, Event::Last { flight: ticket });
            }
        }
    }

    fn first(&mut self, ticket: Ticket) {
        let now_us = self.queue.now_us;
        self.win(ticket);
        let Some(flight) = self.flights.get(ticket) else { return };
        let source = flight.source();
        let Some(in_flight) = flight.in_flight.as_mut() else { return };
        let gateway = &mut self.gateways[flight.gateway as usize];
        gateway.served(&flight.failover, source, now_us);
        gateway.first(in_flight, source, flight.ask.session, &flight.ask.blocks, now_us);
    }

    fn last(&mut self, ticket: Ticket) {
        let now_us = self.queue.now_us;
        let Some(mut flight) = self.flights.remove(ticket) else { return };
        let Some(in_flight) = flight.in_flight.take() else { return };
        let (prompt_tokens, output_tokens) = (flight.ask.input_tokens, flight.ask.output_tokens);
        let usage = Usage {
            prompt_tokens: prompt_tokens.into(),
            cached_tokens: flight.cached_tokens.into(),
            output_tokens: output_tokens.into(),
        };
        let (endpoint, sent_us) = (in_flight.attempt.target.endpoint, in_flight.attempt.sent_us());
        self.wrong_answers += u64::from(self.servers[endpoint].answers_wrongly);
        let gateway = &mut self.gateways[flight.gateway as usize];
        let usd = gateway.complete(in_flight, usage, flight.source(), flight.prompt_bytes, now_us);
        gateway.settle(&flight, prompt_tokens, output_tokens);
        self.freed(flight.gateway, endpoint);
        self.ended = Some((ticket, output_tokens));
        self.record(&flight, End::Complete, Some((endpoint, sent_us)), output_tokens, usd);
        self.follow(flight.ask.tag, now_us + flight.client_us);
    }

    fn failed(&mut self, ticket: Ticket, tokens: u32) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return };
        if tokens == 0 && flight.beside.is_some() {
            return self.failed_beside(ticket);
        }
        let Some(in_flight) = flight.in_flight.take() else { return };
        let gateway = &mut self.gateways[flight.gateway as usize];
        if tokens > 0 {
            let (endpoint, sent_us) = (in_flight.attempt.target.endpoint, in_flight.attempt.sent_us());
            let usd = gateway.broke(in_flight, tokens, flight.source(), now_us);
            let Some(flight) = self.flights.remove(ticket) else { return };
            gateway.settle(&flight, flight.ask.input_tokens, tokens);
            self.freed(flight.gateway, endpoint);
            self.ended = Some((ticket, tokens));
            self.record(&flight, End::Broken, Some((endpoint, sent_us)), tokens, usd);
            self.follow(flight.ask.tag, now_us + flight.client_us);
            return;
        }
        let (number, target) = (flight.gateway, in_flight.attempt.target);
        let failed = self.setup.failed(flight.ask.tenant, &target, flight.fail);
        let request = request(flight.source(), &flight.targets, flight.is_last_resort);
        let action = gateway.failed(in_flight, &request, &failed, &mut flight.failover, false, now_us);
        if let Some(ticket) = self.flights.renew(ticket) {
            match action {
                Action::Send(place) => self.send(ticket, place),
                Action::GiveUp | Action::Wait => self.give_up(ticket),
            }
        }
        self.freed(number, target.endpoint);
    }

    /// No target is left: the user gets an error.
    pub(crate) fn give_up(&mut self, ticket: Ticket) {
        let Some(flight) = self.flights.get(ticket) else { return };
        let request = request(flight.source(), &flight.targets, flight.is_last_resort);
        let gateway = &mut self.gateways[flight.gateway as usize];
        let refusal = flight.failover.refusal(&mut gateway.memory, &request, self.queue.now_us / 1_000);
        let end = match refusal {
            Refusal::ContextLength | Refusal::Quarantined => End::Rejected,
            _ => End::Failed,
        };
        self.refused(ticket, end, refusal.retry());
    }

    /// Nothing of an answer has come since its engine froze: its stream is given up if it still stands still.
    fn idle(&mut self, ticket: Ticket, since_us: u64) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket).filter(|f| !f.done) else { return };
        let Some(target) = flight.in_flight.as_ref().map(|f| f.attempt.target) else { return };
        let server = &self.servers[target.endpoint];
        if server.frozen_us != Some(since_us) {
            return;
        }
        let tokens = server.sent_tokens(ticket.id(), flight.ask.output_tokens);
        let at_us = now_us + self.network.there_us(flight.gateway, target.site);
        self.queue.at(at_us, Event::Cancel { endpoint: target.endpoint, id: ticket.id() });
        self.failed(ticket, tokens);
    }

    /// What follows the end of a request in a closed loop.
    pub(crate) fn follow(&mut self, tag: u64, at_us: u64) {
        if let Some(ask) = self.source.ended(tag, at_us.saturating_sub(WARM_UP_US)) {
            self.enter(ask);
        }
    }

    pub(crate) fn record(
        &mut self,
        flight: &SimRequest,
        end: End,
        served: Option<(EndpointIndex, u64)>,
        output_tokens: u32,
        usd: f64,
    ) {
        let now_us = self.queue.now_us;
        let sent_us = flight.ask.at_us + WARM_UP_US;
        let ms = |us: u64| us as f32 / 1e3;
        let first = flight.first_at_gateway_us.filter(|at_us| *at_us <= now_us);
        let ttft = first.map(|at_us| at_us + flight.client_us - sent_us);
        let started = flight.started_us.unwrap_or(flight.reached_us);
        let first_us = flight.first_us.unwrap_or(started);
        let network = served.filter(|_| first.is_some()).map(|(_, attempt_us)| {
            2 * flight.client_us + (flight.reached_us - attempt_us) + (first.unwrap_or(first_us) - first_us)
        });
        let held_us = flight.held_us.unwrap_or(0) + flight.lost_us;
        self.outcomes.push(Outcome {
            at_us: flight.ask.at_us,
            end,
            tenant: flight.ask.tenant,
            place: flight.ask.place,
            endpoint: served.map_or(EndpointIndex(u32::MAX), |s| s.0),
            sends: flight.sends,
            attempts: flight.tried_before + flight.failover.order().attempts(),
            input_tokens: flight.ask.input_tokens,
            cached_tokens: flight.cached_tokens,
            output_tokens,
            ttft_ms: ttft.map_or(f32::NAN, ms),
            e2e_ms: if end == End::Complete { ms(now_us + flight.client_us - sent_us) } else { f32::NAN },
            network_ms: network.map_or(f32::NAN, ms),
            queue_ms: if first.is_some() { ms(started - flight.reached_us + held_us) } else { f32::NAN },
            prefill_ms: if first.is_some() { ms(first_us - started) } else { f32::NAN },
            usd: usd + flight.lost_usd,
        });
    }

    fn show(&mut self, event: Event, watch: &mut impl Watch) -> Result<(), Breach> {
        let ended = self.ended.take();
        if !is_on(watch) {
            return Ok(());
        }
        let engine = match event {
            Event::Step { endpoint, life } => {
                let server = &self.servers[endpoint];
                // A step that is held up has not ended.
                let ended = server.life == life && !server.stepping;
                Some((endpoint, &server.engine, ended.then_some(&server.step)))
            }
            Event::AtEndpoint { flight } => self.flights.get(flight).and_then(|f| f.in_flight.as_ref()).map(|f| {
                let endpoint = f.attempt.target.endpoint;
                (endpoint, &self.servers[endpoint].engine, None)
            }),
            _ => None,
        };
        let (left, under_way) = (self.outcomes.len() as u64, self.flights.len() as u64);
        let (number, now_us, entered) = (self.queue.happened, self.queue.now_us, self.entered);
        watch.happened(&Moment { number, now_us, event, entered, left, under_way, engine, ended })
    }
}

pub(crate) fn is_on<W: Watch>(_: &W) -> bool {
    W::ON
}
