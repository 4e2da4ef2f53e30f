//! Targets in turn, until one sends content; beside one that is late, a second.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::condition::By;
use rhumb_flow::failover::Failover;
use rhumb_grid::config::Priority;
use rhumb_grid::index::NamedRates;
use rhumb_openai::error::ApiError;
use rhumb_openai::request::{Api, Scan};
use rhumb_openai::response::usage;
use rhumb_route::decide::Target;
use rhumb_store::Outcome;
use tokio::time::Sleep;

use crate::chain::{Chain, HOPS_MAX};
use crate::hold::Permit;
use crate::ledger::{Flight, Ledger};
use crate::live::lock;
use crate::metrics::Hedged;
use crate::place::Asking;
use crate::preempt::Preemptible;
use crate::quarantine;
use crate::relay::Relay;
use crate::shared::Shared;
use crate::tries::{Fail, Opened};

/// What a client gets.
pub(crate) enum Served {
    /// A plain answer.
    Plain(Target, Bytes),
    /// A stream whose first content has come.
    Stream(Target, Box<Relay>),
}

/// Why a client gets nothing of a run.
pub(crate) enum Unserved {
    /// It gets an error.
    Failed(ApiError),
    /// A more urgent request has its place: it is to ask for admission anew, and may be tried so often.
    Preempted(Box<Ledger>, u32),
}

/// A request on its way.
pub(crate) struct Journey<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) api: Api,
    pub(crate) policy: &'a NamedRates,
    pub(crate) scan: &'a Scan,
    pub(crate) body: &'a Bytes,
    pub(crate) placed: &'a Asking<'a>,
    pub(crate) chain: Chain,
    pub(crate) priority: Priority,
    /// When the client's patience for the first content ends.
    pub(crate) deadline: Option<Instant>,
}

/// A try under way. Dropping it cancels it at the endpoint, then frees its place there.
pub(crate) struct Try<'a> {
    coming: Pin<Box<dyn Future<Output = Result<Opened, Fail>> + Send + 'a>>,
    flight: Flight,
    /// It is the second, beside one that is late.
    is_hedge: bool,
}

/// What the tries that have failed come to.
#[derive(Default)]
struct Failures {
    busy: u32,
    timed_out: u32,
    looped: bool,
    retry_after_ms: Option<u64>,
}

/// An end without an answer.
type Ended = (Outcome, ApiError);

/// Why no target has sent content.
enum Nothing {
    Ended(Ended),
    /// It gives way. So many tries are left.
    Preempted(u32),
}

impl From<Ended> for Nothing {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// What happens first to the tries under way.
#[expect(clippy::large_enum_variant, reason = "one is made at a time, and taken apart at once")]
enum Next<'a> {
    Over(Try<'a>, Result<Opened, Fail>),
    /// The first of them is late.
    Late,
    /// It is to give way.
    GiveWay,
}

impl Journey<'_> {
    /// Tries so many of the ranked targets until one serves, from the one that admission has given a place at.
    pub(crate) async fn run(
        &self,
        mut ledger: Ledger,
        most: u32,
        first: usize,
        permit: Permit,
    ) -> Result<Served, Unserved> {
        let mut tries = [None, None];
        let failover = Failover::new(most);
        let served = self.first_content(&mut ledger, &mut tries, failover, first, permit).await;
        let other = tries.into_iter().flatten().next();
        match served {
            Ok((won, opened)) => Ok(self.serve(won, opened, other, ledger)),
            Err(Nothing::Ended((outcome, error))) => {
                if other.is_some_and(|t| t.is_hedge) {
                    self.shared.metrics.hedged(Hedged::Failed);
                }
                (ledger.outcome, ledger.status) = (outcome, error.status);
                Err(Unserved::Failed(error))
            }
            Err(Nothing::Preempted(left)) => {
                // Its whole prompt is paid for, whatever of it was computed; the place is free once the try is gone.
                ledger.lost_usd += other.map_or(0.0, |t| t.flight.lost(false));
                self.shared.metrics.preempted();
                Err(Unserved::Preempted(Box::new(ledger), left))
            }
        }
    }

    /// The try that has content first. What else runs then stays in `tries`.
    async fn first_content<'t>(
        &'t self,
        ledger: &mut Ledger,
        tries: &mut [Option<Try<'t>>; 2],
        mut failover: Failover,
        first: usize,
        permit: Permit,
    ) -> Result<(Try<'t>, Opened), Nothing> {
        let targets = self.targets();
        let tenant = ledger.tenant;
        let mut failures = Failures::default();
        let mut next = failover.start(first).then_some((first, permit));
        if ledger.attempts == 0 {
            self.shared.budget(tenant, &targets[first], RetryBudget::first);
        }
        let mut late: Option<Pin<Box<Sleep>>> = None;
        let mut preemptible = None;
        let gives_way = self.priority == Priority::Batch && failover.keep_back();
        loop {
            if let Some((place, permit)) = next.take() {
                if self.deadline.is_some_and(|d| d <= Instant::now()) {
                    return Err((Outcome::Failed, ApiError::deadline_exceeded()).into());
                }
                let sent = self.depart(ledger, &mut failover, place, permit, false);
                if ledger.attempts == 1 {
                    late = self.hedge_after(&failover, &sent.flight).map(|ms| Box::pin(tokio::time::sleep(ms)));
                }
                if gives_way && failover.attempts() == 1 {
                    preemptible = Some(Preemptible::sent(self.shared, &sent.flight.target, ledger.plain));
                }
                tries[0] = Some(sent);
            }
            if tries.iter().all(Option::is_none) {
                return Err((Outcome::Failed, failures.error(failover.attempts())).into());
            }
            let (over, fail) = match poll_fn(|cx| poll_next(tries, &mut late, &mut preemptible, cx)).await {
                Next::Over(won, Ok(opened)) => return Ok((won, opened)),
                Next::Over(over, Err(fail)) => (over, fail),
                Next::GiveWay => return Err(Nothing::Preempted(failover.left())),
                Next::Late => {
                    preemptible = None;
                    failover.give_back();
                    tries[1] = self.hedge(ledger, &mut failover, targets[first].model);
                    continue;
                }
            };
            (late, preemptible) = (None, None);
            failover.give_back();
            let (target, was_busy) = (over.flight.target, matches!(fail, Fail::Busy(_)));
            if over.is_hedge {
                self.shared.metrics.hedged(Hedged::Failed);
            }
            drop(over);
            let ended = self.failed(tenant, target.endpoint, fail, &mut failures);
            // What one of two tries came to says nothing of the other, which may be about to answer.
            if tries.iter().all(Option::is_none) {
                ended?;
            }
            if tries.iter().all(Option::is_none)
                && (!was_busy || self.shared.budget(tenant, &target, |b| b.retry(self.shared.now_ms())))
                && let Some(place) = self.next_target(&mut failover)
            {
                next = Some((place, Permit::take(self.shared, targets[place].endpoint)));
            }
        }
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.placed.decision.targets
    }

    /// The target to try after one has failed: those whose context the request may exceed come last.
    fn next_target(&self, failover: &mut Failover) -> Option<usize> {
        let (targets, fitting) = (self.targets(), self.placed.decision.fitting);
        let mut next = |among| failover.next(among, |i| targets[i].site);
        next(fitting).or_else(|| next(targets.len()))
    }

    /// Sends it to a target that it has a place at.
    pub(crate) fn depart(
        &self,
        ledger: &mut Ledger,
        failover: &mut Failover,
        place: usize,
        permit: Permit,
        is_hedge: bool,
    ) -> Try<'_> {
        let target = &self.targets()[place];
        ledger.attempts += 1;
        self.shared.metrics.sent(target.endpoint);
        let (tries, before) =
            (failover.hand_down(self.targets().len()), ledger.attempts.saturating_sub(failover.attempts()));
        Try {
            coming: Box::pin(self.attempt(target, tries, before)),
            flight: Flight::new(self.shared, permit, *target, ledger.plain),
            is_hedge,
        }
    }

    /// What a failure means for its endpoint.
    ///
    /// # Errors
    /// No other target is to be tried.
    fn failed(&self, tenant: Option<usize>, endpoint: u32, fail: Fail, sum: &mut Failures) -> Result<(), Ended> {
        self.shared.metrics.failed(endpoint);
        match fail {
            Fail::Rejected(error) => return Err((Outcome::Rejected, error)),
            Fail::Shed(error) => return Err((Outcome::Shed, error)),
            Fail::Deadline => return Err((Outcome::Failed, ApiError::deadline_exceeded())),
            Fail::Busy(after_ms) => {
                sum.busy += 1;
                let (number, now_ms) = (self.shared.numbers.endpoint(endpoint), self.shared.now_ms());
                lock(&self.shared.lasting.hold).window_mut(number).busy(now_ms, after_ms);
                sum.retry_after_ms = sum.retry_after_ms.max(after_ms);
            }
            Fail::Timeout => {
                sum.timed_out += 1;
                self.fault(endpoint);
            }
            Fail::Broken => self.fault(endpoint),
            Fail::Died => {
                self.fault(endpoint);
                if quarantine::struck(self.shared, self.body, tenant, endpoint) {
                    return Err((Outcome::Quarantined, ApiError::quarantined()));
                }
            }
            Fail::Looped => sum.looped = true,
            Fail::Unsuitable => {}
        }
        Ok(())
    }

    fn fault(&self, endpoint: u32) {
        let now = self.shared.now_ms();
        let fell_ill = lock(&self.shared.live[endpoint as usize].learnt).condition.failed(By::Request, now);
        if fell_ill {
            // The view is what decisions read: an illness that waits for the next one costs the requests until then.
            self.shared.publish();
        }
    }

    /// The request is this target's from here on. Another try that still ran is cancelled, and paid for.
    fn serve(&self, won: Try<'_>, opened: Opened, other: Option<Try<'_>>, mut ledger: Ledger) -> Served {
        if won.is_hedge || other.as_ref().is_some_and(|t| t.is_hedge) {
            self.shared.metrics.hedged(if won.is_hedge { Hedged::Won } else { Hedged::Lost });
        }
        if let Some(lost) = other {
            ledger.lost_usd += lost.flight.lost(!lost.is_hedge);
        }
        let mut flight = won.flight;
        flight.began(ledger.second_usd);
        let target = flight.target;
        ledger.flight = Some(flight);
        ledger.status = 200;
        quarantine::cleared(self.shared, self.body, ledger.tenant);
        if let Some(session) = self.placed.session {
            self.shared.pin(session, &target);
        }
        if !self.placed.blocks.is_empty() {
            self.shared.cached(&self.placed.blocks, target.endpoint);
        }
        match opened {
            Opened::Plain(body) => {
                ledger.usage = usage(&body);
                ledger.outcome = Outcome::Complete;
                Served::Plain(target, body)
            }
            Opened::Stream(opening) => {
                let idle = Duration::from_millis(self.policy.rates.idle_timeout_ms);
                let key = self.shared.live[target.endpoint as usize].pool_key;
                Served::Stream(target, Box::new(Relay::new(*opening, ledger, idle, key)))
            }
        }
    }
}

impl Failures {
    /// What the client is told after so many tries.
    fn error(&self, attempts: u32) -> ApiError {
        if self.looped {
            ApiError::loop_detected(HOPS_MAX)
        } else if self.busy > 0 && self.busy == attempts {
            ApiError::overloaded("Every suitable site is busy.", self.retry_after_ms.unwrap_or(1_000))
        } else if self.timed_out == attempts {
            ApiError::upstream_timeout()
        } else {
            ApiError::upstream_failed()
        }
    }
}

/// The try that is over first, or what else comes before.
fn poll_next<'a>(
    tries: &mut [Option<Try<'a>>; 2],
    late: &mut Option<Pin<Box<Sleep>>>,
    preemptible: &mut Option<Preemptible>,
    cx: &mut Context<'_>,
) -> Poll<Next<'a>> {
    for slot in tries {
        if let Some(running) = slot
            && let Poll::Ready(result) = running.coming.as_mut().poll(cx)
            && let Some(over) = slot.take()
        {
            return Poll::Ready(Next::Over(over, result));
        }
    }
    if preemptible.as_mut().is_some_and(|p| p.poll(cx).is_ready()) {
        return Poll::Ready(Next::GiveWay);
    }
    if late.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
        *late = None;
        return Poll::Ready(Next::Late);
    }
    Poll::Pending
}
