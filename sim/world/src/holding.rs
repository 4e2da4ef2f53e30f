//! A request at its gateway: decided on, sent on or held, decided on again at its turn.

use rhumb_core::memory::Memory;
use rhumb_core::refusal::Refusal;
use rhumb_flow::admission::{Admission, AdmissionRequest, Turn, Verdict};
use rhumb_flow::fair::{From, cost};
use rhumb_grid::position::EndpointIndex;
use rhumb_rng::{hash, label, unit};
use rhumb_route::decide::Reason;
use rhumb_route::facts::Facts;

use crate::gateway::Asked;
use crate::outcome::End;
use crate::queue::{Event, Ticket};
use crate::request::request;
use crate::watch::{Breach, Decided, Watch};
use crate::world::{World, is_on};

impl<M: Memory> World<'_, M> {
    /// A request has come: it goes, waits, or is rejected with Retry-After.
    pub(crate) fn at_gateway(&mut self, ticket: Ticket, watch: &mut impl Watch) -> Result<(), Breach> {
        let now_ms = self.queue.now_us / 1_000;
        let Some(flight) = self.flights.get(ticket) else { return Ok(()) };
        let fingerprint = flight.source().request;
        if self.gateways[flight.gateway as usize].memory.quarantine(|q| q.holds(now_ms, fingerprint)) {
            self.refused(ticket, End::Rejected, Refusal::Quarantined.retry());
            return Ok(());
        }
        self.ask(ticket, false, watch)
    }

    /// A request asks for admission, once more where it has just been preempted.
    fn ask(&mut self, ticket: Ticket, was_preempted: bool, watch: &mut impl Watch) -> Result<(), Breach> {
        let Some(facts) = self.decide(ticket, watch)? else { return Ok(()) };
        let now_us = self.queue.now_us;
        let hold = self.hold(&facts, ticket);
        let Some(flight) = self.flights.get(ticket) else { return Ok(()) };
        if flight.targets.is_empty() {
            self.give_up(ticket);
            return Ok(());
        }
        flight.hold = Some(hold);
        let gateway = &mut self.gateways[flight.gateway as usize];
        let verdict = if was_preempted {
            Admission::requeue_preempted(&hold)
        } else {
            gateway.arrive(&hold, &flight.targets, now_us)
        };
        match verdict {
            Verdict::Go(i) => self.begin(ticket, i),
            Verdict::Wait { bound_ms, room_at, preempted } => {
                let place = gateway.wait(ticket, hold, &flight.targets);
                flight.waits = Some((place, now_us));
                if let Some(endpoint) = room_at {
                    self.queue.at(now_us, Event::Room { gateway: flight.gateway, endpoint: EndpointIndex(endpoint) });
                }
                let at_us = now_us + (bound_ms * 1e3) as u64;
                self.queue.at(at_us, Event::Patience { flight: ticket, place });
                if let Some(other) = preempted.and_then(|p| gateway.preempted(p)) {
                    self.preempt(other, watch)?;
                }
            }
            Verdict::Refuse(after_ms) => self.shed(ticket, after_ms),
        }
        Ok(())
    }

    /// A request under way is preempted by a more urgent one that waits now, and asks for admission anew.
    fn preempt(&mut self, ticket: Ticket, watch: &mut impl Watch) -> Result<(), Breach> {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return Ok(()) };
        let Some(in_flight) = flight.in_flight.take() else { return Ok(()) };
        let (number, target) = (flight.gateway, in_flight.attempt.target);
        let gateway = &mut self.gateways[number as usize];
        // What it waited for comes to nothing.
        gateway.settle(flight, 0, 0);
        flight.lost_us += flight.held_us.unwrap_or(0) + now_us - in_flight.attempt.sent_us();
        flight.lost_usd += gateway.was_preempted(in_flight, now_us);
        flight.was_preempted();
        self.was_preempted += 1;
        let at_us = now_us + self.network.there_us(number, target.site);
        self.queue.at(at_us, Event::Cancel { endpoint: target.endpoint, id: ticket.id() });
        if let Some(ticket) = self.flights.renew(ticket) {
            self.ask(ticket, true, watch)?;
        }
        self.freed(number, target.endpoint);
        Ok(())
    }

    /// A request that still waits has waited as long as it may.
    pub(crate) fn patience(&mut self, ticket: Ticket, place: u64) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return };
        let Some((waits, since_us)) = flight.waits.filter(|(waits, _)| *waits == place) else { return };
        let (Some(hold), gateway) = (flight.hold, &mut self.gateways[flight.gateway as usize]) else { return };
        if gateway.leave(waits) {
            let after_ms = gateway.retry_after_ms(&hold, (now_us - since_us) as f64 / 1e3, now_us);
            self.shed(ticket, after_ms);
        }
    }

    /// A request goes to a target for the first time.
    fn begin(&mut self, ticket: Ticket, target: usize) {
        let Some(flight) = self.flights.get(ticket) else { return };
        // One that was preempted has been tried for the first time before.
        let is_first = flight.lost_us == 0;
        let request = request(flight.source(), &flight.targets, flight.is_last_resort);
        let memory = &mut self.gateways[flight.gateway as usize].memory;
        flight.failover.start(memory, &request, target, is_first);
        self.send(ticket, target);
    }

    /// Calls those that wait while an endpoint has room for them.
    pub(crate) fn room(&mut self, gateway: u32, endpoint: EndpointIndex, watch: &mut impl Watch) -> Result<(), Breach> {
        while let Some(ticket) = self.gateways[gateway as usize].next(endpoint, self.queue.now_us) {
            if !self.turn(ticket, Some(endpoint), watch)? {
                break;
            }
        }
        Ok(())
    }

    /// Windows widen and endpoints recover without an attempt being over there.
    pub(crate) fn look_again(&mut self, gateway: u32, watch: &mut impl Watch) -> Result<(), Breach> {
        for ticket in self.gateways[gateway as usize].look_again(self.queue.now_us) {
            self.turn(ticket, None, watch)?;
        }
        Ok(())
    }

    /// It is a request's turn, because an endpoint has room or because it is to look again. Whether the next may be called.
    fn turn(&mut self, ticket: Ticket, caller: Option<EndpointIndex>, watch: &mut impl Watch) -> Result<bool, Breach> {
        let now_us = self.queue.now_us;
        self.decide(ticket, watch)?;
        let Some(flight) = self.flights.get(ticket) else { return Ok(true) };
        let (Some((place, since_us)), Some(hold)) = (flight.waits, flight.hold) else { return Ok(true) };
        let gateway = &mut self.gateways[flight.gateway as usize];
        match gateway.turn(&hold, &flight.targets, caller, since_us, now_us) {
            Turn::Go(i) => {
                (flight.waits, flight.held_us) = (None, Some(now_us - since_us));
                self.begin(ticket, i);
            }
            Turn::Requeue { .. } if flight.targets.is_empty() => self.give_up(ticket),
            Turn::Requeue { pass_on } => {
                gateway.put_back(place, ticket, hold, &flight.targets, caller.filter(|_| pass_on));
                return Ok(pass_on);
            }
        }
        Ok(true)
    }

    /// Those who wait may have room after an attempt at an endpoint is over.
    pub(crate) fn freed(&mut self, gateway: u32, endpoint: EndpointIndex) {
        if self.gateways[gateway as usize].is_waiting() {
            self.queue.at(self.queue.now_us, Event::Room { gateway, endpoint });
        }
    }

    /// What admission has to know of a request: what its gateway can see of it.
    fn hold(&self, facts: &Facts, ticket: Ticket) -> AdmissionRequest {
        let flight = self.flights.peek(ticket);
        let session = flight.and_then(|f| f.ask.session);
        let (gateway, tenant) = flight.map_or((0, 0), |f| (f.gateway, f.ask.tenant));
        let (rates, service, weight) = self.setup.terms(tenant);
        AdmissionRequest {
            queue_class: self.gateways[gateway as usize].queue_class(&facts.models),
            priority: service.priority,
            from: From { tenant, session: session.unwrap_or(self.decisions) },
            weight,
            slo_ms: rates.ttft_slo_ms,
            wait_max_ms: service.max_wait_ms as f64,
            cost: cost(facts.prompt_tokens, facts.output_tokens),
            jitter: unit(hash(hash(self.setup.seed, label("jitter")), self.decisions)),
        }
    }

    fn decide(&mut self, ticket: Ticket, watch: &mut impl Watch) -> Result<Option<Facts>, Breach> {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return Ok(None) };
        let gateway = &mut self.gateways[flight.gateway as usize];
        let asked = Asked {
            models: &self.setup.names[flight.ask.name as usize],
            tenant: flight.ask.tenant,
            rates: self.setup.terms(flight.ask.tenant).0,
            prompt_bytes: flight.prompt_bytes,
            client_ms: flight.client_us as f64 / 500.0,
            session: flight.ask.session,
            blocks: &flight.ask.blocks,
        };
        let (facts, decision) = gateway.decide(&asked, now_us);
        self.decisions += 1;
        if is_on(watch) {
            let newest_reading_us = self.newest_reading_us;
            let (gateway, tenant, request) = (flight.gateway, flight.ask.tenant, self.decisions);
            let (facts, decision) = (&facts, &decision);
            watch.decided(&Decided { now_us, gateway, request, tenant, facts, decision, newest_reading_us })?;
        }
        // The clients here send nothing that engines would refuse for its length: what may not fit is never tried.
        flight.is_last_resort = decision.reason == Reason::LastResort;
        flight.targets = decision.targets;
        flight.targets.truncate(decision.fitting);
        Ok(Some(facts))
    }

    fn shed(&mut self, ticket: Ticket, after_ms: u64) {
        self.refused(ticket, End::Shed, Refusal::Busy(after_ms).retry());
    }
}
