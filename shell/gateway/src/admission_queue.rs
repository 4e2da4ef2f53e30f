//! Requests that wait at the router for their turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rhumb_core::candidates::unqueued_ttft_ms;
use rhumb_flow::admission::{
    Admission, AdmissionRequest, Candidate, Expected, Preempted, QueueClass, Turn, Verdict, stated,
};
use rhumb_flow::fair::Ticket;
use rhumb_flow::window::Window;
use rhumb_grid::config::Priority;
use rhumb_route::decide::Target;
use tokio::sync::oneshot;

use crate::epoch::ConfigEpoch;
use crate::live::{Live, lock};
use crate::numbers::{Known, Number};

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
    calls: BTreeMap<Ticket, oneshot::Sender<Option<Number>>>,
    tickets: Ticket,
    /// By number, those that may be taken back.
    preemptible: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place at an endpoint. Dropping it frees the place and calls whoever is next.
pub(crate) struct ConcurrencyPermit {
    epoch: Arc<ConfigEpoch>,
    endpoint: u32,
    /// The endpoint has answered: its place is freed by work done, and not by a failure.
    pub(crate) served: bool,
}

/// A request is rejected, with this as its Retry-After, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy(pub(crate) u64);

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
    /// queue classes of [`serves`].
    pub(crate) fn reconfigure(&mut self, known: &Known, newest: &ConfigEpoch, mut serves: Vec<Vec<QueueClass>>) {
        let learnt = self.live.len();
        self.live.extend_from_slice(&known.live()[learnt..]);
        self.stated.resize(self.live.len(), f64::INFINITY);
        let mut windows: Vec<Window> = (0..learnt as u32).map(|n| *self.admission.window(n)).collect();
        windows.resize(self.live.len(), Window::open());
        for (endpoint, number) in newest.grid.config.endpoints.iter().zip(&newest.numbers.endpoints) {
            let now = stated(&newest.grid, endpoint);
            if self.stated[number.at()] != now {
                self.stated[number.at()] = now;
                windows[number.at()] = Window::new(now);
            }
        }
        serves.resize(self.live.len(), Vec::new());
        let queue_max = newest.grid.config.gateway.max_queue as usize;
        self.admission.reconfigure(windows, serves, known.queue_classes(), queue_max);
    }

    /// Admission alone, for a test that drives it.
    #[cfg(test)]
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The same, to change it.
    #[cfg(test)]
    pub(crate) fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// The window of an endpoint.
    pub(crate) fn window(&self, endpoint: Number) -> &Window {
        self.admission.window(endpoint.0)
    }

    /// The window of an endpoint, to teach it.
    pub(crate) fn window_mut(&mut self, endpoint: Number) -> &mut Window {
        self.admission.window_mut(endpoint.0)
    }

    /// A request with so many prompt tokens to be computed is sent to an endpoint.
    pub(crate) fn sent(&mut self, endpoint: Number, now_ms: u64, tokens: f64) {
        self.admission.sent(endpoint.0, now_ms, tokens);
    }

    /// An endpoint that computes so many prompt tokens in a second is back after so long.
    pub(crate) fn back(&mut self, endpoint: Number, now_ms: u64, away_ms: u64, full_per_s: f64) {
        self.admission.back(endpoint.0, now_ms, away_ms, full_per_s);
    }

    /// An endpoint is being loaded slowly.
    pub(crate) fn is_slow_starting(&self, endpoint: Number, now_ms: u64) -> bool {
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
        endpoint: Number,
        expected: &Expected,
    ) -> (u64, oneshot::Receiver<()>) {
        let number = self.admission.preemptible(now_ms, endpoint.0, expected);
        let (sender, call) = oneshot::channel();
        self.preemptible.insert(number, sender);
        (number, call)
    }

    /// It may not be any more.
    pub(crate) fn begun(&mut self, endpoint: Number, number: u64) {
        self.preemptible.remove(&number);
        self.admission.begun(endpoint.0, number);
    }

    /// A request is to be preempted, for one other: nobody else counts on its place.
    fn preempt(&mut self, Preempted { endpoint, number }: Preempted) {
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

    /// Calls the next for an endpoint that has room.
    fn call(&mut self, now_ms: u64, endpoint: Number) {
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
    fn has_room(&self, now_ms: u64, endpoint: Number) -> bool {
        let in_flight = self.live[endpoint.at()].local_load().in_flight;
        self.admission.has_room(now_ms, Priority::Batch, endpoint.0, in_flight)
    }
}

/// For each endpoint, by number, the queue classes it serves under any of these configurations: whoever waits under an older one
/// waits in that one's.
pub(crate) fn serves(versions: &[Arc<ConfigEpoch>]) -> Vec<Vec<QueueClass>> {
    let mut serves: Vec<Vec<QueueClass>> = Vec::new();
    for version in versions {
        for (queue_classes, number) in
            version.queue_classes.served(&version.grid).iter().zip(&version.numbers.endpoints)
        {
            serves.resize(serves.len().max(number.at() + 1), Vec::new());
            serves[number.at()]
                .extend(queue_classes.iter().map(|queue_class| version.numbers.queue_class(*queue_class)));
        }
    }
    for queue_classes in &mut serves {
        queue_classes.sort_unstable();
        queue_classes.dedup();
    }
    serves
}

/// Targets as admission sees them.
pub(crate) fn candidates<'a>(
    epoch: &'a ConfigEpoch,
    targets: &'a [Target],
) -> impl Iterator<Item = Candidate> + Clone + 'a {
    let in_flight = |e: u32| epoch.live[e as usize].local_load().in_flight;
    rhumb_core::candidates::candidates(targets, |e| epoch.numbers.endpoint(e).0, in_flight)
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

impl ConcurrencyPermit {
    /// Takes a place for a second try at the target that `choose` finds of those that have one to spare: there is room
    /// now, and nobody waits for it.
    pub(crate) fn spare(
        epoch: &Arc<ConfigEpoch>,
        targets: &[Target],
        now_ms: u64,
        choose: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<(usize, Self)> {
        let queue = lock(&epoch.state.queue);
        let to_spare = |e: u32| {
            let number = epoch.numbers.endpoint(e);
            !queue.admission.is_wanted(number.0) && queue.has_room(now_ms, number)
        };
        let chosen = choose(&|i| to_spare(targets[i].endpoint))?;
        Some((chosen, Self::take(epoch, targets[chosen].endpoint)))
    }

    /// Takes a place whether or not there is room: a request that has been admitted once goes on.
    pub(crate) fn take(epoch: &Arc<ConfigEpoch>, endpoint: u32) -> Self {
        epoch.live[endpoint as usize].depart();
        Self { epoch: Arc::clone(epoch), endpoint, served: false }
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let epoch = &self.epoch;
        let (number, now_ms) = (epoch.numbers.endpoint(self.endpoint), epoch.now_ms());
        let mut queue = lock(&epoch.state.queue);
        epoch.live[self.endpoint as usize].depart_end();
        if self.served {
            queue.window_mut(number).completed(now_ms);
        }
        queue.call(now_ms, number);
    }
}

/// A request in the queue. Dropping it takes it out, wherever it stands.
struct Waiting<'a> {
    epoch: &'a ConfigEpoch,
    ticket: Ticket,
    call: oneshot::Receiver<Option<Number>>,
}

impl Waiting<'_> {
    /// The endpoint that called, if one has.
    fn called(&mut self) -> Option<Number> {
        self.call.try_recv().ok().flatten()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.epoch.state.queue);
        if queue.admission.leave(self.ticket) {
            queue.calls.remove(&self.ticket);
        } else if let Some(endpoint) = self.called() {
            // Its turn came as it left: the next one has it.
            queue.call(self.epoch.now_ms(), endpoint);
        }
    }
}

/// What a request that asks for admission decides, again at its turn, when the world has moved on.
pub(crate) trait Deciding {
    /// Decides on what is known now.
    fn decide(&mut self);
    /// The ranked targets of the last decision that it may be given a place at.
    fn targets(&self) -> &[Target];
    /// What was decided last is what is done: the log is to say it.
    fn record(&self);
}

/// Waits until a target of the request has room, behind others at least where it has just been preempted by one. Its place in
/// the ranking, the permit, and whether it had to wait; `None` when nothing may serve it (any more).
///
/// # Errors
/// It would wait, or has waited, longer than it may.
pub(crate) async fn admit(
    epoch: &Arc<ConfigEpoch>,
    ask: &AdmissionRequest,
    routing: &mut impl Deciding,
    was_preempted: bool,
) -> Result<Option<(usize, ConcurrencyPermit, bool)>, Busy> {
    let number = |t: &Target| epoch.numbers.endpoint(t.endpoint);
    routing.decide();
    routing.record();
    let targets = routing.targets();
    if targets.is_empty() {
        return Ok(None);
    }
    let ttft_ms = unqueued_ttft_ms(targets);
    let (mut waiting, bound_ms) = {
        let mut queue = lock(&epoch.state.queue);
        let verdict = if was_preempted {
            Admission::requeue_preempted(ask)
        } else {
            queue.admission.arrive(epoch.now_ms(), ask, ttft_ms, candidates(epoch, targets))
        };
        match verdict {
            Verdict::Go(i) => return Ok(Some((i, ConcurrencyPermit::take(epoch, targets[i].endpoint), false))),
            Verdict::Refuse(ms) => return Err(Busy(ms)),
            Verdict::Wait { bound_ms, room_at, preempted } => {
                let waiting = queue.enter(epoch, ask, targets);
                if let Some(preempted) = preempted {
                    queue.preempt(preempted);
                }
                if let Some(endpoint) = room_at {
                    queue.call(epoch.now_ms(), Number(endpoint));
                }
                (waiting, bound_ms)
            }
        }
    };
    let since = tokio::time::Instant::now();
    let deadline = since + Duration::from_secs_f64(bound_ms / 1e3);
    loop {
        let called = match tokio::time::timeout_at(deadline, &mut waiting.call).await {
            Ok(called) => called.ok(),
            Err(_) => {
                let queue = lock(&epoch.state.queue);
                let after = queue.admission.retry_after_ms(epoch.now_ms(), ask, bound_ms);
                drop(queue);
                return Err(Busy(after));
            }
        };
        // The sender is kept until it calls.
        let Some(caller) = called else { return Err(Busy(0)) };
        routing.decide();
        let targets = routing.targets();
        let mut queue = lock(&epoch.state.queue);
        let waited_ms = since.elapsed().as_secs_f64() * 1e3;
        let called_by = caller.map(|number| number.0);
        match queue.admission.turn(epoch.now_ms(), ask, waited_ms, called_by, candidates(epoch, targets)) {
            Turn::Go(i) => {
                let permit = ConcurrencyPermit::take(epoch, targets[i].endpoint);
                if let Some(endpoint) = caller.filter(|e| *e != number(&targets[i])) {
                    queue.call(epoch.now_ms(), endpoint);
                }
                drop(queue);
                routing.record();
                return Ok(Some((i, permit, true)));
            }
            Turn::Requeue { pass_on } => {
                let nothing_left = targets.is_empty();
                let caller = caller.filter(|_| pass_on);
                if !nothing_left {
                    let (sender, receiver) = oneshot::channel();
                    waiting.call = receiver;
                    queue.calls.insert(waiting.ticket, sender);
                    let without = targets.iter().map(number).filter(|e| Some(*e) != caller);
                    queue.admission.put_back(waiting.ticket, *ask, without.map(|e| e.0));
                }
                if let Some(endpoint) = caller {
                    queue.call(epoch.now_ms(), endpoint);
                }
                drop(queue);
                if nothing_left {
                    routing.record();
                    return Ok(None);
                }
            }
        }
    }
}

impl AdmissionQueue {
    /// Puts a request in the queue.
    fn enter<'a>(&mut self, epoch: &'a ConfigEpoch, ask: &AdmissionRequest, targets: &[Target]) -> Waiting<'a> {
        self.tickets += 1;
        let ticket = self.tickets;
        let (sender, call) = oneshot::channel();
        self.calls.insert(ticket, sender);
        self.admission.wait(ticket, *ask, targets.iter().map(|t| epoch.numbers.endpoint(t.endpoint).0));
        Waiting { epoch, ticket, call }
    }
}
