//! What happens by the clock and not by a request: readings, probes, views, deadlines, faults.

use rhumb_core::endpoint::CanaryAnswer;
use rhumb_core::memory::Memory;
use rhumb_flow::blame::Failure;
use rhumb_grid::position::EndpointIndex;
use rhumb_rng::{hash, label, unit};

use crate::attempt::InFlight;
use crate::queue::Event;
use crate::server::{Mode, Server};
use crate::setup::{Fault, FaultKind};
use crate::telemetry::Falsified;
use crate::world::World;

/// More requests than this at one endpoint is a lie or a fault, not a load (`shell/signals`).
const REQUESTS_MAX: f64 = 1e6;

/// What a server's own dither adds to a probe at most, ms.
const PROBE_DITHER_MS: f64 = 0.4;

impl<M: Memory> World<'_, M> {
    /// Every engine's load is read.
    pub(crate) fn sample(&mut self) {
        self.board.take(self.queue.now_us, &self.servers, &self.falsified);
        self.queue.at(self.queue.now_us + self.setup.telemetry.scrape_us, Event::Sample);
    }

    /// A gateway gives up what is overdue, takes in what has arrived, probes, and publishes a view.
    pub(crate) fn tick(&mut self, gateway: u32) {
        let (now_us, telemetry) = (self.queue.now_us, self.setup.telemetry);
        self.give_up_overdue(gateway);
        self.take_readings(gateway);
        // The first tick of each probe period probes.
        if now_us % telemetry.probe_us < telemetry.publish_us {
            self.probe(gateway);
        }
        let canary_us = self.setup.grid.config.gateway.canary_interval_ms * 1_000;
        if self.setup.canaries && now_us % canary_us.max(1) < telemetry.publish_us {
            self.ask_canaries(gateway);
        }
        self.gateways[gateway as usize].publish(now_us);
        if self.gateways[gateway as usize].is_waiting() {
            self.queue.at(now_us, Event::LookAgain { gateway });
        }
        self.queue.at(now_us + telemetry.publish_us, Event::Tick { gateway });
    }

    fn give_up_overdue(&mut self, gateway: u32) {
        let now_us = self.queue.now_us;
        while let Some((at_us, ticket)) = self.deadlines[gateway as usize].front().copied() {
            if at_us > now_us {
                return;
            }
            self.deadlines[gateway as usize].pop_front();
            let Some(flight) = self.flights.get(ticket) else { continue };
            // A first token that is on its way has not come either, as far as the gateway can tell.
            let came = flight.first_at_gateway_us.is_some_and(|first_us| first_us <= now_us);
            let Some(in_flight) = flight.in_flight.as_ref().filter(|_| !came) else { continue };
            let (endpoint, site) = (in_flight.attempt.target.endpoint, in_flight.attempt.target.site);
            let there_us = self.network.there_us(gateway, site);
            self.queue.at(now_us + there_us, Event::Cancel { endpoint, id: ticket.id() });
            flight.fail = Some(Failure::Silent.into());
            self.queue.at(now_us, Event::Failed { flight: ticket, tokens: 0 });
        }
    }

    fn take_readings(&mut self, gateway: u32) {
        let (now_us, telemetry) = (self.queue.now_us, self.setup.telemetry);
        let lost = hash(self.setup.seed, label("readings"));
        for endpoint in EndpointIndex::of(&self.servers) {
            let server = &self.servers[endpoint];
            if matches!(server.mode, Mode::Dead | Mode::Silent) || self.network.is_cut(gateway, server.site) {
                continue;
            }
            let delay_us = telemetry.delay_us + self.network.base_back_us(gateway, server.site);
            let arrives_us = |taken_us: u64| {
                let which = hash(lost ^ u64::from(gateway) << 32 ^ u64::from(endpoint.0), taken_us);
                (telemetry.loss == 0.0 || unit(which) >= telemetry.loss).then_some(taken_us + delay_us)
            };
            let known = &mut self.gateways[gateway as usize];
            if let Some((taken_us, arrived_us, reading)) =
                self.board.newest(endpoint, known.taken_us(endpoint), now_us, arrives_us)
            {
                // As the live reader of metrics does: what makes no sense counts as no reading.
                let makes_sense = |requests: f64| (0.0..=REQUESTS_MAX).contains(&requests);
                if !makes_sense(reading.running) || !makes_sense(reading.waiting) {
                    continue;
                }
                self.newest_reading_us = self.newest_reading_us.max(arrived_us);
                known.report(endpoint, taken_us, arrived_us, reading);
            }
        }
    }

    fn probe(&mut self, gateway: u32) {
        let now_us = self.queue.now_us;
        let dither = hash(self.setup.seed, label("probes"));
        for endpoint in EndpointIndex::of(&self.servers) {
            let (site, mode) = (self.servers[endpoint].site, self.servers[endpoint].mode);
            let cut = self.network.is_cut(gateway, site);
            match mode {
                Mode::Silent => self.gateways[gateway as usize].probe_silent(endpoint, now_us),
                _ if cut => self.gateways[gateway as usize].probe_silent(endpoint, now_us),
                Mode::Dead | Mode::Refusing => self.gateways[gateway as usize].probe_refused(endpoint, now_us),
                Mode::Up | Mode::Erring(_) | Mode::Busy(_) => {
                    let draw = unit(hash(dither ^ u64::from(gateway) << 32 ^ u64::from(endpoint.0), now_us));
                    let network_us = self.network.there_us(gateway, site) + self.network.back_us(gateway, site);
                    let ms = network_us as f64 / 1e3 + PROBE_DITHER_MS * draw;
                    self.gateways[gateway as usize].round_trip(endpoint, ms, now_us);
                }
            }
        }
    }

    /// A gateway asks each engine a question whose answer it knows. It is answered at once: what asking costs is not modelled.
    /// Whoever cannot be asked is the probes' to find.
    fn ask_canaries(&mut self, gateway: u32) {
        let now_ms = self.queue.now_us / 1_000;
        for (endpoint, server) in EndpointIndex::all().zip(&self.servers) {
            let answers = matches!(server.mode, Mode::Up | Mode::Erring(_) | Mode::Busy(_));
            if !answers || self.network.is_cut(gateway, server.site) {
                continue;
            }
            let answer = if server.answers_wrongly { CanaryAnswer::Wrong } else { CanaryAnswer::Right };
            let served = &self.setup.grid.config.endpoints[endpoint].models;
            for model in served {
                let memory = &mut self.gateways[gateway as usize].memory;
                memory.endpoint(endpoint, |known| known.canary(now_ms, &model.model, answer));
            }
        }
    }

    /// A fault begins or ends.
    pub(crate) fn fault(&mut self, index: u32, begins: bool) {
        let fault = self.setup.faults[index as usize];
        let Fault { site, kind, .. } = fault;
        match kind {
            FaultKind::Refuse => self.set_mode(&fault, if begins { Mode::Refusing } else { Mode::Up }),
            FaultKind::BlackHole => self.set_mode(&fault, if begins { Mode::Silent } else { Mode::Up }),
            FaultKind::Errors(share) => self.set_mode(&fault, if begins { Mode::Erring(share) } else { Mode::Up }),
            FaultKind::Busy(share) => self.set_mode(&fault, if begins { Mode::Busy(share) } else { Mode::Up }),
            FaultKind::Freeze if begins => self.freeze(&fault),
            FaultKind::Freeze => self.thaw(&fault),
            FaultKind::Loss if begins => self.lose(&fault),
            FaultKind::Loss => self.set_mode(&fault, Mode::Up),
            FaultKind::BrownOut(factor) => {
                self.struck(&fault).for_each(|server| server.slow = if begins { factor } else { 1.0 });
            }
            FaultKind::WrongAnswers => self.struck(&fault).for_each(|server| server.answers_wrongly = begins),
            FaultKind::Rtt(factor) => self.network.stretch(site, if begins { factor } else { 1.0 }),
            FaultKind::Partition(gateway) => self.network.set_cut(gateway, site, begins),
            FaultKind::StaleTelemetry => {
                self.falsified[site] = if begins { Falsified::Stale } else { Falsified::No };
            }
            FaultKind::LyingTelemetry(requests) => {
                self.falsified[site] = if begins { Falsified::Lying(requests) } else { Falsified::No };
            }
            FaultKind::PowerCap(share) => self.sites[site].cap_share = if begins { share } else { 1.0 },
        }
    }

    fn struck(&mut self, fault: &Fault) -> impl Iterator<Item = &mut Server> {
        let fault = *fault;
        EndpointIndex::all().zip(&mut self.servers).filter(move |(e, s)| fault.strikes(*e, s.site)).map(|(_, s)| s)
    }

    fn set_mode(&mut self, fault: &Fault, mode: Mode) {
        let (now_us, mut change) = (self.queue.now_us, 0.0);
        for server in self.struck(fault) {
            let before = server.watts;
            match mode {
                Mode::Up => server.recover(now_us),
                mode => server.mode = mode,
            }
            change += server.watts - before;
        }
        self.sites[fault.site].add(change);
    }

    /// Engines of a site stop in the middle of what they do: each gateway waits for the next token so long, then gives up.
    fn freeze(&mut self, fault: &Fault) {
        let now_us = self.queue.now_us;
        self.struck(fault).for_each(|server| server.frozen_us = Some(now_us));
        for (ticket, flight) in self.flights.iter() {
            let Some(InFlight { attempt, .. }) = &flight.in_flight else { continue };
            let target = attempt.target;
            let begun = flight.first_us.is_some() && !flight.done;
            if fault.strikes(target.endpoint, target.site) && begun {
                let idle_us = self.setup.terms(flight.ask.tenant).0.idle_timeout_ms * 1_000;
                // The last token may be on its way still.
                let at_us = now_us.max(flight.first_at_gateway_us.unwrap_or(0)) + idle_us;
                self.queue.at(at_us, Event::Idle { flight: ticket, since_us: now_us });
            }
        }
    }

    /// They go on where they stopped.
    fn thaw(&mut self, fault: &Fault) {
        let mut again = Vec::new();
        let servers = EndpointIndex::all().zip(&mut self.servers);
        for (endpoint, server) in servers.filter(|(e, s)| fault.strikes(*e, s.site)) {
            server.frozen_us = None;
            if std::mem::take(&mut server.held_up) {
                again.push((endpoint, server.life));
            }
        }
        for (endpoint, life) in again {
            self.queue.at(self.queue.now_us, Event::Step { endpoint, life });
        }
    }

    /// Engines of a site die: what runs there is lost, and each gateway learns it when the reset arrives.
    fn lose(&mut self, fault: &Fault) {
        let (now_us, mut change) = (self.queue.now_us, 0.0);
        let mut resets = Vec::new();
        for (ticket, flight) in self.flights.iter() {
            let Some(InFlight { attempt, .. }) = &flight.in_flight else { continue };
            let (target, sent_us) = (attempt.target, attempt.sent_us());
            // What has not reached the site yet is refused there; what has left it arrives.
            let reached = flight.reached_us > 0 && flight.reached_us >= sent_us;
            if fault.strikes(target.endpoint, target.site) && reached && !flight.done {
                let server = &self.servers[target.endpoint];
                let tokens = server.sent_tokens(ticket.id(), flight.ask.output_tokens);
                resets.push((ticket, flight.gateway, flight.first_at_gateway_us, tokens));
            }
        }
        for server in self.struck(fault) {
            change -= server.watts;
            server.die(now_us);
        }
        self.sites[fault.site].add(change);
        for (ticket, gateway, first_us, tokens) in resets {
            let at_us = now_us + self.network.back_us(gateway, fault.site);
            // The reset follows what was sent before it: every token that had left the engine has come.
            let at_us = at_us.max(first_us.unwrap_or(0));
            self.queue.at(at_us, Event::Failed { flight: ticket, tokens });
        }
    }
}
