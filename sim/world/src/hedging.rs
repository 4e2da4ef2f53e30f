//! A second attempt beside a first that is late.

use rhumb_core::failover::Action;
use rhumb_core::memory::Memory;

use crate::attempt::InFlight;
use crate::queue::{Event, Ticket};
use crate::request::{SimRequest, request};
use crate::world::World;

impl<M: Memory> World<'_, M> {
    /// A request has been sent for the first time: when a second attempt is due.
    pub(crate) fn may_hedge(&mut self, ticket: Ticket) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return };
        let is_allowed = self.setup.hedges && self.setup.terms(flight.ask.tenant).1.hedge;
        // One that was preempted has been tried for the first time before.
        let is_first = flight.lost_us == 0 && flight.failover.order().attempts() == 1 && !flight.is_hedge;
        let Some(in_flight) = flight.in_flight.as_ref().filter(|_| is_allowed && is_first) else { return };
        let request = request(flight.source(), &flight.targets, flight.is_last_resort);
        let memory = &mut self.gateways[flight.gateway as usize].memory;
        if let Some(ms) = flight.failover.hedge_after_ms(memory, &request, &in_flight.attempt) {
            self.queue.at(now_us + (ms * 1e3) as u64, Event::Late { flight: ticket });
        }
    }

    /// An attempt has not begun in its time.
    pub(crate) fn late(&mut self, ticket: Ticket) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return };
        let came = flight.first_at_gateway_us.is_some_and(|first_us| first_us <= now_us);
        let source = flight.source();
        let Some(first) = flight.in_flight.as_mut().filter(|_| !came) else { return };
        let request = request(source, &flight.targets, flight.is_last_resort);
        let gateway = &mut self.gateways[flight.gateway as usize];
        let Some(place) = gateway.hedge(first, &request, &mut flight.failover, now_us) else { return };
        let second = flight.second(ticket);
        let second = self.flights.insert(second);
        if let Some(flight) = self.flights.get(ticket) {
            flight.beside = Some(second);
        }
        self.hedges.0 += 1;
        self.send(second, place);
    }

    /// An attempt has content: the request is its own, and another beside it is cancelled and paid for.
    pub(crate) fn win(&mut self, ticket: Ticket) {
        let Some(flight) = self.flights.get(ticket) else { return };
        let (Some(other), is_hedge) = (flight.beside.take(), flight.is_hedge) else { return };
        let lost = if is_hedge { self.flights.take_over(ticket, other) } else { self.flights.remove(other) };
        self.hedges.1 += u64::from(is_hedge);
        let Some(SimRequest { in_flight: Some(in_flight), done, gateway, .. }) = lost else { return };
        let usd = self.cancel(other, in_flight, (gateway, done), |gateway, in_flight, now_us| {
            gateway.lost(in_flight, !is_hedge, now_us)
        });
        if let Some(flight) = self.flights.get(ticket) {
            flight.lost_usd += usd;
        }
    }

    /// The client of a request has left, or its first attempt is over: nothing is waited for beside it.
    pub(crate) fn drop_second(&mut self, flight: &SimRequest) {
        let Some(second) = flight.beside.and_then(|beside| self.flights.remove(beside).map(|f| (beside, f))) else {
            return;
        };
        if let (ticket, SimRequest { in_flight: Some(in_flight), done, gateway, .. }) = second {
            self.cancel(ticket, in_flight, (gateway, done), |gateway, in_flight, now_us| {
                gateway.left(in_flight, 0, now_us)
            });
        }
    }

    /// Cancels an attempt that nobody waits for any more.
    fn cancel(
        &mut self,
        ticket: Ticket,
        in_flight: InFlight,
        (gateway, done): (u32, bool),
        settle: impl FnOnce(&mut crate::gateway::Gateway<M>, InFlight, u64) -> f64,
    ) -> f64 {
        let (now_us, target) = (self.queue.now_us, in_flight.attempt.target);
        let usd = settle(&mut self.gateways[gateway as usize], in_flight, now_us);
        if !done {
            let at_us = now_us + self.network.there_us(gateway, target.site);
            self.queue.at(at_us, Event::Cancel { endpoint: target.endpoint, id: ticket.id() });
        }
        self.freed(gateway, target.endpoint);
        usd
    }

    /// An attempt has failed while another of its request was under way, or was to be until just now.
    pub(crate) fn failed_beside(&mut self, ticket: Ticket) {
        let now_us = self.queue.now_us;
        let Some(flight) = self.flights.get(ticket) else { return };
        let (Some(other), is_hedge) = (flight.beside, flight.is_hedge) else { return };
        let (Some(in_flight), fail) = (flight.in_flight.take(), flight.fail) else { return };
        let (number, target) = (flight.gateway, in_flight.attempt.target);
        let first = if is_hedge { other } else { ticket };
        if is_hedge {
            self.flights.remove(ticket);
        }
        // Whatever was meant for the attempt that is over is void.
        let Some(first) = (if is_hedge { Some(first) } else { self.flights.renew(first) }) else { return };
        if let Some(second) = self.flights.get(other).filter(|_| !is_hedge) {
            second.beside = Some(first);
        }
        let Some(flight) = self.flights.get(first) else { return };
        if is_hedge {
            flight.beside = None;
        }
        let is_another_under_way = !is_hedge || flight.in_flight.is_some();
        let failed = self.setup.failed(flight.ask.tenant, &target, fail);
        let request = request(flight.source(), &flight.targets, flight.is_last_resort);
        let gateway = &mut self.gateways[number as usize];
        let failover = &mut flight.failover;
        let action = gateway.failed(in_flight, &request, &failed, failover, is_another_under_way, now_us);
        match action {
            Action::Wait => {}
            Action::Send(place) => {
                if let Some(first) = self.flights.renew(first) {
                    self.send(first, place);
                }
            }
            Action::GiveUp => self.give_up(first),
        }
        self.freed(number, target.endpoint);
    }
}
