//! Requests that wait at the router for their turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rhumb_flow::admission::{Admission, AdmissionRequest, Expected, Preempted, QueueClass, stated};
use rhumb_flow::fair::Ticket;
use rhumb_flow::window::Window;
use rhumb_grid::config::Priority;
use rhumb_grid::index::Grid;
use tokio::sync::oneshot;

use crate::live::Live;
use crate::lock::lock;
use crate::numbers::{EndpointNumber, Known, Numbers};

/// Admission, and how to call those who wait. Every place at an endpoint is taken under its lock, so that none is
/// given twice. It outlasts configurations: endpoints and queue classes go by their numbers here, and a place that is freed goes
/// to whoever is next, whichever configuration either was admitted under.
pub(crate) struct AdmissionQueue {
    admission: Admission,
    /// By the number of the endpoint, as those below.
    live: Vec<Arc<Live>>,
    /// What each window began with.
    stated: Vec<f64>,
    /// Whoever is called learns which endpoint has room, if it is one in particular.
    calls: BTreeMap<Ticket, oneshot::Sender<Option<EndpointNumber>>>,
    tickets: Ticket,
    /// By number, those that may be taken back.
    preemptible: BTreeMap<u64, oneshot::Sender<()>>,
}

impl AdmissionQueue {
    /// Without an endpoint yet.
    pub(crate) fn new() -> Self {
        Self {
            admission: Admission::new(Vec::new(), Vec::new(), 0, 0),
            live: Vec::new(),
            stated: Vec::new(),
            calls: BTreeMap::new(),
            tickets: 0,
            preemptible: BTreeMap::new(),
        }
    }

    /// Goes on under another configuration, which states from now on what windows begin with. Its endpoints serve the
    /// queue classes `serves`.
    pub(crate) fn reconfigure(
        &mut self,
        known: &Known,
        (grid, numbers): (&Grid, &Numbers),
        mut serves: Vec<Vec<QueueClass>>,
    ) {
        let learnt = self.live.len();
        self.live.extend_from_slice(&known.live()[learnt..]);
        self.stated.resize(self.live.len(), f64::INFINITY);
        let mut windows: Vec<Window> = (0..learnt as u32).map(|n| *self.admission.window(n)).collect();
        windows.resize(self.live.len(), Window::open());
        for (endpoint, number) in grid.config.endpoints.iter().zip(&numbers.endpoints) {
            let now = stated(grid, endpoint);
            if self.stated[number.at()] != now {
                self.stated[number.at()] = now;
                windows[number.at()] = Window::new(now);
            }
        }
        serves.resize(self.live.len(), Vec::new());
        let queue_max = grid.config.gateway.max_queue as usize;
        self.admission.reconfigure(windows, serves, known.queue_classes(), queue_max);
    }

    /// Who may go and who waits.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The same, to change it.
    pub(crate) fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// The window of an endpoint.
    pub(crate) fn window(&self, endpoint: EndpointNumber) -> &Window {
        self.admission.window(endpoint.0)
    }

    /// The window of an endpoint, to teach it.
    pub(crate) fn window_mut(&mut self, endpoint: EndpointNumber) -> &mut Window {
        self.admission.window_mut(endpoint.0)
    }

    /// A request with so many prompt tokens to be computed is sent to an endpoint.
    pub(crate) fn sent(&mut self, endpoint: EndpointNumber, now_ms: u64, tokens: f64) {
        self.admission.sent(endpoint.0, now_ms, tokens);
    }

    /// An endpoint that computes so many prompt tokens in a second is back after so long.
    pub(crate) fn back(&mut self, endpoint: EndpointNumber, now_ms: u64, away_ms: u64, full_per_s: f64) {
        self.admission.back(endpoint.0, now_ms, away_ms, full_per_s);
    }

    /// An endpoint is being loaded slowly.
    pub(crate) fn is_slow_starting(&self, endpoint: EndpointNumber, now_ms: u64) -> bool {
        self.admission.is_slow_starting(endpoint.0, now_ms)
    }

    /// Requests of a priority that wait.
    pub(crate) fn waiting(&self, priority: Priority) -> usize {
        self.admission.waiting(priority)
    }

    /// A request that is sent to an endpoint may be taken back from there: its number, and what tells it so.
    pub(crate) fn preemptible(
        &mut self,
        now_ms: u64,
        endpoint: EndpointNumber,
        expected: &Expected,
    ) -> (u64, oneshot::Receiver<()>) {
        let number = self.admission.preemptible(now_ms, endpoint.0, expected);
        let (sender, call) = oneshot::channel();
        self.preemptible.insert(number, sender);
        (number, call)
    }

    /// It may not be any more.
    pub(crate) fn begun(&mut self, endpoint: EndpointNumber, number: u64) {
        self.preemptible.remove(&number);
        self.admission.begun(endpoint.0, number);
    }

    /// A request is to be preempted, for one other: nobody else counts on its place.
    pub(crate) fn preempt(&mut self, Preempted { endpoint, number }: Preempted) {
        self.admission.begun(endpoint, number);
        if let Some(call) = self.preemptible.remove(&number) {
            // One that has just ended does not hear it, and has given its place up.
            let _ = call.send(());
        }
    }

    /// What was charged for a request that waited is set right.
    pub(crate) fn settle(&mut self, ask: &AdmissionRequest, cost: f64) {
        self.admission.settle(ask, cost);
    }

    /// Puts a request in the queue that waits for one of these endpoints: its ticket, and what calls it.
    pub(crate) fn enter(
        &mut self,
        ask: &AdmissionRequest,
        endpoints: impl Iterator<Item = EndpointNumber>,
    ) -> (Ticket, oneshot::Receiver<Option<EndpointNumber>>) {
        self.tickets += 1;
        let ticket = self.tickets;
        let call = self.waits(ticket);
        self.admission.wait(ticket, *ask, endpoints.map(|number| number.0));
        (ticket, call)
    }

    /// What calls whoever waits with this ticket.
    pub(crate) fn waits(&mut self, ticket: Ticket) -> oneshot::Receiver<Option<EndpointNumber>> {
        let (sender, call) = oneshot::channel();
        self.calls.insert(ticket, sender);
        call
    }

    /// A request leaves the queue; false when its turn has come already.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> bool {
        let was_waiting = self.admission.leave(ticket);
        if was_waiting {
            self.calls.remove(&ticket);
        }
        was_waiting
    }

    /// Calls the next for an endpoint that has room.
    pub(crate) fn call(&mut self, now_ms: u64, endpoint: EndpointNumber) {
        let in_flight = self.live[endpoint.at()].local_load().in_flight;
        while let Some(ticket) = self.admission.next(now_ms, endpoint.0, in_flight) {
            // One that has just left does not hear it.
            if self.calls.remove(&ticket).is_some_and(|call| call.send(Some(endpoint)).is_ok()) {
                return;
            }
        }
    }
}

impl AdmissionQueue {
    /// A request that nobody would have to wait for may be sent there as well.
    pub(crate) fn has_room(&self, now_ms: u64, endpoint: EndpointNumber) -> bool {
        let in_flight = self.live[endpoint.at()].local_load().in_flight;
        self.admission.has_room(now_ms, Priority::Batch, endpoint.0, in_flight)
    }
}

/// Has the first of those who wait look again: windows widen and endpoints recover without a request ending there.
pub(crate) fn look_again(queue: &Mutex<AdmissionQueue>, now_ms: u64) {
    let mut guard = lock(queue);
    let queue = &mut *guard;
    for ticket in queue.admission.look_again(now_ms, |e| queue.live[e as usize].local_load().in_flight) {
        if let Some(call) = queue.calls.remove(&ticket) {
            // One that has just left does not hear it.
            let _ = call.send(None);
        }
    }
}
