//! Requests under way, in places that are used again.

use std::collections::BTreeMap;

use rhumb_core::failover::{Failed, Failover, Request};
use rhumb_flow::admission::AdmissionRequest;
use rhumb_flow::blame::Failure;
use rhumb_flow::evidence::Source;
use rhumb_route::decide::Target;

use crate::attempt::InFlight;
use crate::queue::Ticket;
use crate::source::Arrival;

/// One request on its way, with one of its attempts. A second attempt beside it is a flight of its own until one of them has
/// content, and the request is that one's from then on.
#[derive(Debug, Clone)]
pub(crate) struct SimRequest {
    pub(crate) ask: Arrival,
    /// Counts requests by entry.
    pub(crate) request: u64,
    /// Times its client has sent it.
    pub(crate) sends: u32,
    /// Targets tried for what its client had sent before.
    pub(crate) tried_before: u32,
    pub(crate) gateway: u32,
    /// One way between user and gateway, µs.
    pub(crate) client_us: u64,
    /// Length of the prompt as the gateway sees it.
    pub(crate) prompt_bytes: f64,
    pub(crate) targets: Vec<Target>,
    /// All of them are known to fail.
    pub(crate) is_last_resort: bool,
    pub(crate) failover: Failover,
    /// What it asked of admission.
    pub(crate) hold: Option<AdmissionRequest>,
    /// Its place in the queue of its gateway, and since when.
    pub(crate) waits: Option<(u64, u64)>,
    /// For how long it was held there, µs.
    pub(crate) held_us: Option<u64>,
    /// What attempts have cost that were preempted by more urgent requests, USD.
    pub(crate) lost_usd: f64,
    /// For how long it was at its gateway until the last of them did, µs.
    pub(crate) lost_us: u64,
    /// The attempt under way at an endpoint.
    pub(crate) in_flight: Option<InFlight>,
    /// The other attempt of the same request, while two are under way.
    pub(crate) beside: Option<Ticket>,
    /// It is the second of the two.
    pub(crate) is_hedge: bool,
    /// Which attempt that is, counted over all requests at this place.
    pub(crate) number: u32,
    pub(crate) reached_us: u64,
    pub(crate) started_us: Option<u64>,
    /// When its first token left the engine.
    pub(crate) first_us: Option<u64>,
    /// When its first token reaches the gateway.
    pub(crate) first_at_gateway_us: Option<u64>,
    /// Its last token has left the engine.
    pub(crate) done: bool,
    pub(crate) cached_tokens: u32,
    /// Why the attempt under way fails, if it does, or why the last one did.
    pub(crate) fail: Option<Failed>,
}

/// An engine has no room for a request of this size.
pub(crate) fn too_long() -> Failed {
    Failed { context: Some(None), ..Failure::ContextLength.into() }
}

/// What failing over has to know of a request.
pub(crate) fn request(source: Source, targets: &[Target], is_last_resort: bool) -> Request<'_> {
    Request { source, targets, fitting: targets.len(), is_last_resort }
}

impl SimRequest {
    /// The request, as evidence for or against an endpoint knows it. Every request says something else.
    pub(crate) fn source(&self) -> Source {
        Source { tenant: self.ask.tenant, request: self.request }
    }

    /// Its client sends it once more.
    pub(crate) fn again(&mut self, max_attempts: u32) {
        self.sends += 1;
        self.anew(max_attempts);
        self.lost_us = 0;
    }

    /// Its attempt has been preempted: it is decided on once more, with the tries that are left.
    pub(crate) fn was_preempted(&mut self) {
        self.anew(self.failover.order().left());
    }

    /// A second attempt beside this one, which has yet to be sent.
    pub(crate) fn second(&self, first: Ticket) -> Self {
        let mut second = Self { beside: Some(first), is_hedge: true, in_flight: None, ..self.clone() };
        second.attempt_anew();
        second
    }

    /// The request is this attempt's from now on, where `first` was the one that it stood beside.
    pub(crate) fn take_over(&mut self, first: Self) {
        self.is_hedge = false;
        (self.failover, self.sends, self.tried_before) = (first.failover, first.sends, first.tried_before);
        (self.hold, self.held_us) = (first.hold, first.held_us);
        (self.lost_usd, self.lost_us) = (first.lost_usd, first.lost_us);
    }

    /// Nothing has happened to its attempt.
    fn attempt_anew(&mut self) {
        (self.reached_us, self.started_us, self.first_us, self.first_at_gateway_us) = (0, None, None, None);
        (self.done, self.cached_tokens) = (false, 0);
    }

    /// What is known of it at a gateway begins anew.
    fn anew(&mut self, max_attempts: u32) {
        self.tried_before += self.failover.order().attempts();
        self.failover = Failover::new(max_attempts);
        self.targets.clear();
        (self.hold, self.waits, self.held_us) = (None, None, None);
        self.fail = None;
        self.attempt_anew();
    }
}

/// All requests under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    places: Vec<Option<Box<SimRequest>>>,
    free: Vec<u32>,
    /// The last attempt number of each place.
    numbers: Vec<u32>,
    /// Second attempts among them.
    seconds: usize,
    /// By request, the place of those that have moved to that of their second attempt.
    moved: BTreeMap<u64, u32>,
}

impl Flights {
    /// Takes a request in.
    pub(crate) fn insert(&mut self, mut flight: SimRequest) -> Ticket {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.numbers.push(0);
            self.places.len() as u32 - 1
        });
        self.numbers[slot as usize] += 1;
        self.seconds += usize::from(flight.is_hedge);
        flight.number = self.numbers[slot as usize];
        let ticket = Ticket { slot, attempt: flight.number };
        self.places[slot as usize] = Some(Box::new(flight));
        ticket
    }

    /// The request of a ticket, unless the ticket is void.
    pub(crate) fn get(&mut self, ticket: Ticket) -> Option<&mut SimRequest> {
        let flight = self.places.get_mut(ticket.slot as usize)?.as_deref_mut()?;
        (flight.number == ticket.attempt).then_some(flight)
    }

    /// The request of a ticket, to look at.
    pub(crate) fn peek(&self, ticket: Ticket) -> Option<&SimRequest> {
        let flight = self.places.get(ticket.slot as usize)?.as_deref()?;
        (flight.number == ticket.attempt).then_some(flight)
    }

    /// The ticket of a request at a place, if it is still there.
    pub(crate) fn ticket(&self, slot: u32, request: u64) -> Option<Ticket> {
        let slot = self.moved.get(&request).copied().unwrap_or(slot);
        let flight = self.places.get(slot as usize)?.as_deref().filter(|f| f.request == request)?;
        Some(Ticket { slot, attempt: flight.number })
    }

    /// Makes every earlier ticket of the request void; its new one.
    pub(crate) fn renew(&mut self, ticket: Ticket) -> Option<Ticket> {
        let number = self.numbers[ticket.slot as usize] + 1;
        self.get(ticket)?.number = number;
        self.numbers[ticket.slot as usize] = number;
        Some(Ticket { slot: ticket.slot, attempt: number })
    }

    /// Takes a request out.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<SimRequest> {
        self.get(ticket)?;
        self.free.push(ticket.slot);
        let flight = self.places[ticket.slot as usize].take().map(|flight| *flight)?;
        self.seconds -= usize::from(flight.is_hedge);
        self.moved.remove(&flight.request);
        Some(flight)
    }

    /// A second attempt has content first: the request is that one's from now on. The first attempt, as far as it had come.
    pub(crate) fn take_over(&mut self, second: Ticket, first: Ticket) -> Option<SimRequest> {
        let first = self.remove(first)?;
        let old = first.clone();
        let flight = self.get(second)?;
        flight.take_over(first);
        let request = flight.request;
        self.seconds -= 1;
        self.moved.insert(request, second.slot);
        Some(old)
    }

    /// Every request under way with its ticket.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticket, &SimRequest)> {
        self.places.iter().enumerate().filter_map(|(slot, f)| {
            let flight = f.as_deref()?;
            Some((Ticket { slot: slot as u32, attempt: flight.number }, flight))
        })
    }

    /// Requests under way.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len() - self.seconds
    }
}
