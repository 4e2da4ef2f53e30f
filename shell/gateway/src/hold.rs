//! Requests that wait at the router for their turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rhumb_flow::admission::{Admission, Ask, Candidate, Lanes, Verdict};
use rhumb_flow::fair::Ticket;
use rhumb_flow::window::Window;
use rhumb_grid::config::Priority;
use rhumb_grid::index::Grid;
use rhumb_route::decide::Target;
use tokio::sync::oneshot;

use crate::live::lock;
use crate::shared::Shared;

/// Admission, and how to call those who wait. Every place at an endpoint is taken under its lock, so that none is
/// given twice.
pub(crate) struct Hold {
    admission: Admission,
    /// Whoever is called learns which endpoint has room, if it is one in particular.
    calls: BTreeMap<Ticket, oneshot::Sender<Option<u32>>>,
    tickets: Ticket,
}

/// A place at an endpoint. Dropping it frees the place and calls whoever is next.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    endpoint: u32,
    /// The endpoint has answered: its place is freed by work done, and not by a failure.
    pub(crate) served: bool,
}

/// A request is told to come back after this, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u64);

impl Hold {
    pub(crate) fn new(grid: &Grid, lanes: &Lanes) -> Self {
        Self { admission: Admission::over(grid, lanes), calls: BTreeMap::new(), tickets: 0 }
    }

    /// The window of an endpoint.
    pub(crate) fn window(&self, endpoint: usize) -> &Window {
        self.admission.window(endpoint as u32)
    }

    /// The window of an endpoint, to teach it.
    pub(crate) fn window_mut(&mut self, endpoint: usize) -> &mut Window {
        self.admission.window_mut(endpoint as u32)
    }

    /// Requests of a priority that wait.
    pub(crate) fn waiting(&self, priority: Priority) -> usize {
        self.admission.waiting(priority)
    }

    /// What was charged for a request that waited is set right.
    pub(crate) fn settle(&mut self, ask: &Ask, cost: f64) {
        self.admission.settle(ask, cost);
    }

    /// Calls the next for an endpoint that has room.
    fn call(&mut self, shared: &Shared, endpoint: u32) {
        let in_flight = shared.live[endpoint as usize].overlay().in_flight;
        while let Some(ticket) = self.admission.next(shared.now_ms(), endpoint, in_flight) {
            // One that has just left does not hear it.
            if self.calls.remove(&ticket).is_some_and(|call| call.send(Some(endpoint)).is_ok()) {
                return;
            }
        }
    }
}

/// Targets as admission sees them.
fn candidates<'a>(shared: &'a Shared, targets: &'a [Target]) -> impl Iterator<Item = Candidate> + 'a {
    targets.iter().map(|t| Candidate {
        endpoint: t.endpoint,
        in_flight: shared.live[t.endpoint as usize].overlay().in_flight,
        ttft_ms: t.predicted.ttft_p95_ms - t.predicted.queue_ms,
    })
}

/// Has the first of those who wait look again: windows widen and endpoints recover without a request ending there.
pub(crate) fn look_again(shared: &Shared) {
    let mut hold = lock(&shared.hold);
    for ticket in hold.admission.look_again() {
        if let Some(call) = hold.calls.remove(&ticket) {
            // One that has just left does not hear it.
            let _ = call.send(None);
        }
    }
}

impl Permit {
    /// Takes a place whether or not there is room: a request that has been admitted once goes on.
    pub(crate) fn take(shared: &Arc<Shared>, endpoint: u32) -> Self {
        shared.live[endpoint as usize].depart();
        Self { shared: Arc::clone(shared), endpoint, served: false }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut hold = lock(&shared.hold);
        shared.live[self.endpoint as usize].depart_end();
        if self.served {
            hold.window_mut(self.endpoint as usize).completed(shared.now_ms());
        }
        hold.call(shared, self.endpoint);
    }
}

/// A request in the queue. Dropping it takes it out, wherever it stands.
struct Waiting<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    call: oneshot::Receiver<Option<u32>>,
}

impl Waiting<'_> {
    /// The endpoint that called, if one has.
    fn called(&mut self) -> Option<u32> {
        self.call.try_recv().ok().flatten()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut hold = lock(&self.shared.hold);
        if hold.admission.leave(self.ticket) {
            hold.calls.remove(&self.ticket);
        } else if let Some(endpoint) = self.called() {
            // Its turn came as it left: the next one has it.
            hold.call(self.shared, endpoint);
        }
    }
}

/// What a request that asks for admission decides, again at its turn, when the world has moved on.
pub(crate) trait Deciding {
    /// Decides on what is known now.
    fn decide(&mut self);
    /// The ranked targets of the last decision.
    fn targets(&self) -> &[Target];
    /// What was decided last is what is done: the log is to say it.
    fn record(&self);
}

/// Waits until a target of the request has room. Its place in the ranking, the permit, and whether it had to wait; `None`
/// when nothing may serve it (any more).
///
/// # Errors
/// It would wait, or has waited, longer than it may.
pub(crate) async fn admit(
    shared: &Arc<Shared>,
    ask: &Ask,
    asking: &mut impl Deciding,
) -> Result<Option<(usize, Permit, bool)>, Refused> {
    asking.decide();
    asking.record();
    let targets = asking.targets();
    let Some(first) = targets.first() else { return Ok(None) };
    // The queue is what is waited for here.
    let ttft_ms = first.predicted.ttft_p50_ms - first.predicted.queue_ms;
    let (mut waiting, bound_ms) = {
        let mut hold = lock(&shared.hold);
        match hold.admission.arrive(shared.now_ms(), ask, ttft_ms, candidates(shared, targets)) {
            Verdict::Go(i) => return Ok(Some((i, Permit::take(shared, targets[i].endpoint), false))),
            Verdict::Refuse(ms) => return Err(Refused(ms)),
            Verdict::Wait(bound_ms) => (hold.enter(shared, ask, targets), bound_ms),
        }
    };
    let since = tokio::time::Instant::now();
    let deadline = since + Duration::from_secs_f64(bound_ms / 1e3);
    loop {
        let called = match tokio::time::timeout_at(deadline, &mut waiting.call).await {
            Ok(called) => called.ok(),
            Err(_) => {
                let hold = lock(&shared.hold);
                let after = hold.admission.retry_after_ms(shared.now_ms(), ask, bound_ms);
                drop(hold);
                return Err(Refused(after));
            }
        };
        // The sender is kept until it calls.
        let Some(caller) = called else { return Err(Refused(0)) };
        asking.decide();
        let targets = asking.targets();
        let mut hold = lock(&shared.hold);
        let waited_ms = since.elapsed().as_secs_f64() * 1e3;
        match hold.admission.turn(shared.now_ms(), ask, waited_ms, candidates(shared, targets)) {
            Some(i) => {
                let permit = Permit::take(shared, targets[i].endpoint);
                if let Some(endpoint) = caller.filter(|e| *e != targets[i].endpoint) {
                    hold.call(shared, endpoint);
                }
                drop(hold);
                asking.record();
                return Ok(Some((i, permit, true)));
            }
            None => {
                let nothing_left = targets.is_empty();
                if !nothing_left {
                    let (sender, receiver) = oneshot::channel();
                    waiting.call = receiver;
                    hold.calls.insert(waiting.ticket, sender);
                    let without = targets.iter().map(|t| t.endpoint).filter(|e| Some(*e) != caller);
                    hold.admission.put_back(waiting.ticket, *ask, without);
                }
                if let Some(endpoint) = caller {
                    hold.call(shared, endpoint);
                }
                drop(hold);
                if nothing_left {
                    asking.record();
                    return Ok(None);
                }
            }
        }
    }
}

impl Hold {
    /// Puts a request in the queue.
    fn enter<'a>(&mut self, shared: &'a Shared, ask: &Ask, targets: &[Target]) -> Waiting<'a> {
        self.tickets += 1;
        let ticket = self.tickets;
        let (sender, call) = oneshot::channel();
        self.calls.insert(ticket, sender);
        self.admission.wait(ticket, *ask, targets.iter().map(|t| t.endpoint));
        Waiting { shared, ticket, call }
    }
}
