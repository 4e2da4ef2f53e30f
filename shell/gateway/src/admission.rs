//! A request asks for a place at one of its targets, and waits for its turn.

use std::sync::Arc;
use std::time::Duration;

use rhumb_core::candidates::unqueued_ttft_ms;
use rhumb_flow::admission::{Admission, AdmissionRequest, Candidate, Turn, Verdict};
use rhumb_flow::fair::Ticket;
use rhumb_grid::position::EndpointIndex;
use rhumb_process::clock;
use rhumb_route::decide::Target;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::numbers::EndpointNumber;
use crate::permit::ConcurrencyPermit;
use crate::routing::RoutingRequest;

/// A request is rejected, with this as its Retry-After, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy(pub(crate) u64);

/// A place at a target of the request.
pub(crate) struct Admitted {
    /// Its place in the ranking.
    pub(crate) target: usize,
    pub(crate) permit: ConcurrencyPermit,
    /// It had to wait.
    pub(crate) waited: bool,
}

/// Targets as admission sees them.
pub(crate) fn candidates<'a>(
    epoch: &'a ConfigEpoch,
    targets: &'a [Target],
) -> impl Iterator<Item = Candidate> + Clone + 'a {
    let in_flight = |e: EndpointIndex| epoch.live[e].local_load().in_flight;
    rhumb_core::candidates::candidates(targets, |e| epoch.numbers.endpoint(e).0, in_flight)
}

/// A request in the queue. Dropping it takes it out, wherever it stands.
struct Waiting<'a> {
    epoch: &'a Arc<ConfigEpoch>,
    ticket: Ticket,
    call: oneshot::Receiver<Option<EndpointNumber>>,
}

impl Waiting<'_> {
    /// The endpoint that called, if one has.
    fn called(&mut self) -> Option<EndpointNumber> {
        self.call.try_recv().ok().flatten()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.epoch.state.queue);
        if !queue.leave(self.ticket)
            && let Some(endpoint) = self.called()
        {
            // Its turn came as it left: the next one has it.
            queue.call(self.epoch.now_ms(), endpoint);
        }
    }
}

/// What becomes of a request as it comes.
enum Arrived<'a> {
    /// It goes at once, to the target with this place.
    Goes(usize, ConcurrencyPermit),
    /// It waits for so long at most, ms.
    Waits(Waiting<'a>, f64),
}

/// What becomes of a request at its turn.
enum AtTurn {
    /// It goes, to the target with this place.
    Goes(usize, ConcurrencyPermit),
    /// It waits again.
    Waits,
    /// Nothing may serve it any more.
    NothingLeft,
}

/// Waits until a target of the request has room, behind others at least where it has just been preempted by one; `None` when
/// nothing may serve it (any more).
///
/// # Errors
/// It would wait, or has waited, longer than it may.
pub(crate) async fn admit(
    epoch: &Arc<ConfigEpoch>,
    ask: &AdmissionRequest,
    routing: &mut RoutingRequest<'_>,
    was_preempted: bool,
) -> Result<Option<Admitted>, Busy> {
    routing.decide();
    routing.record();
    if routing.targets().is_empty() {
        return Ok(None);
    }
    let (mut waiting, bound_ms) = match arrive(epoch, ask, routing.targets(), was_preempted)? {
        Arrived::Goes(target, permit) => return Ok(Some(Admitted { target, permit, waited: false })),
        Arrived::Waits(waiting, bound_ms) => (waiting, bound_ms),
    };
    let since = clock::timer_now();
    let deadline = since + Duration::from_secs_f64(bound_ms / 1e3);
    loop {
        let Ok(called) = tokio::time::timeout_at(deadline, &mut waiting.call).await else {
            let queue = lock(&epoch.state.queue);
            return Err(Busy(queue.admission().retry_after_ms(epoch.now_ms(), ask, bound_ms)));
        };
        // The sender is kept until it calls.
        let Ok(caller) = called else { return Err(Busy(0)) };
        routing.decide();
        match waiting.turn(ask, routing.targets(), since, caller) {
            AtTurn::Goes(target, permit) => {
                routing.record();
                return Ok(Some(Admitted { target, permit, waited: true }));
            }
            AtTurn::NothingLeft => {
                routing.record();
                return Ok(None);
            }
            AtTurn::Waits => {}
        }
    }
}

/// A request comes with the ranked targets that it may be given a place at.
fn arrive<'a>(
    epoch: &'a Arc<ConfigEpoch>,
    ask: &AdmissionRequest,
    targets: &[Target],
    was_preempted: bool,
) -> Result<Arrived<'a>, Busy> {
    let ttft_ms = unqueued_ttft_ms(targets);
    let mut queue = lock(&epoch.state.queue);
    let verdict = if was_preempted {
        Admission::requeue_preempted(ask)
    } else {
        queue.admission_mut().arrive(epoch.now_ms(), ask, ttft_ms, candidates(epoch, targets))
    };
    match verdict {
        Verdict::Go(i) => Ok(Arrived::Goes(i, ConcurrencyPermit::take(epoch, targets[i].endpoint))),
        Verdict::Refuse(ms) => Err(Busy(ms)),
        Verdict::Wait { bound_ms, room_at, preempted } => {
            let (ticket, call) = queue.enter(ask, targets.iter().map(|t| epoch.numbers.endpoint(t.endpoint)));
            let waiting = Waiting { epoch, ticket, call };
            if let Some(preempted) = preempted {
                queue.preempt(preempted);
            }
            if let Some(endpoint) = room_at {
                queue.call(epoch.now_ms(), EndpointNumber(endpoint));
            }
            Ok(Arrived::Waits(waiting, bound_ms))
        }
    }
}

impl Waiting<'_> {
    /// Its turn has come, called by an endpoint or to look again.
    fn turn(
        &mut self,
        ask: &AdmissionRequest,
        targets: &[Target],
        since: Instant,
        caller: Option<EndpointNumber>,
    ) -> AtTurn {
        let epoch = self.epoch;
        let number = |t: &Target| epoch.numbers.endpoint(t.endpoint);
        let mut queue = lock(&epoch.state.queue);
        let waited_ms = (clock::timer_now() - since).as_secs_f64() * 1e3;
        let (now_ms, called_by) = (epoch.now_ms(), caller.map(|number| number.0));
        match queue.admission_mut().turn(now_ms, ask, waited_ms, called_by, candidates(epoch, targets)) {
            Turn::Go(i) => {
                let permit = ConcurrencyPermit::take(epoch, targets[i].endpoint);
                if let Some(endpoint) = caller.filter(|e| *e != number(&targets[i])) {
                    queue.call(epoch.now_ms(), endpoint);
                }
                AtTurn::Goes(i, permit)
            }
            Turn::Requeue { pass_on } => {
                let caller = caller.filter(|_| pass_on);
                if !targets.is_empty() {
                    self.call = queue.waits(self.ticket);
                    let without = targets.iter().map(number).filter(|e| Some(*e) != caller);
                    queue.admission_mut().put_back(self.ticket, *ask, without.map(|e| e.0));
                }
                if let Some(endpoint) = caller {
                    queue.call(epoch.now_ms(), endpoint);
                }
                if targets.is_empty() { AtTurn::NothingLeft } else { AtTurn::Waits }
            }
        }
    }
}
