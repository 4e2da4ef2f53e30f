//! Targets in turn, until one sends content; beside one that is late, a second.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rhumb_flow::blame::{Failure, Inquiry, Next, Tries, Whose};
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::evidence::Source;
use rhumb_flow::failover::Failover;
use rhumb_grid::config::{EngineErrors, Priority};
use rhumb_grid::index::NamedRates;
use rhumb_openai::error::ApiError;
use rhumb_openai::fault::{ContextLimit, EngineError};
use rhumb_openai::request::{Api, Scan};
use rhumb_openai::response::usage;
use rhumb_route::decide::{Reason, Target};
use rhumb_route::explain::Names as _;
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
use crate::relay::{Idle, Relay};
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
    /// It gets an error; where it was tried last.
    Failed(Box<(ApiError, Option<Target>)>),
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
    inquiry: Inquiry,
    busy: u32,
    retry_after_ms: Option<u64>,
    /// What the engine said that refused it last.
    said: EngineError,
    status: u16,
    /// What an engine said does not fit its context.
    context: Option<ContextLimit>,
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
enum Event<'a> {
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
        mut ledger: Box<Ledger>,
        most: u32,
        first: usize,
        permit: Permit,
    ) -> Result<Served, Unserved> {
        let mut tries = [None, None];
        let failover = Failover::new(most);
        let mut failures = Failures::default();
        let served = self.first_content(&mut ledger, &mut tries, &mut failures, failover, first, permit).await;
        let other = tries.into_iter().flatten().next();
        match served {
            Ok((won, opened)) => {
                self.shared.charge(ledger.source, &failures.inquiry);
                Ok(self.serve(won, opened, other, ledger))
            }
            Err(Nothing::Ended((outcome, error))) => {
                if other.is_some_and(|t| t.is_hedge) {
                    self.shared.metrics.hedged(Hedged::Failed);
                }
                (ledger.outcome, ledger.status) = (outcome, error.status);
                Err(Unserved::Failed(Box::new((error, ledger.last))))
            }
            Err(Nothing::Preempted(left)) => {
                // Its whole prompt is paid for, whatever of it was computed; the place is free once the try is gone.
                ledger.lost_usd += other.map_or(0.0, |t| t.flight.lost(false));
                self.shared.metrics.preempted();
                Err(Unserved::Preempted(ledger, left))
            }
        }
    }

    /// The try that has content first. What else runs then stays in `tries`.
    async fn first_content<'t>(
        &'t self,
        ledger: &mut Ledger,
        tries: &mut [Option<Try<'t>>; 2],
        failures: &mut Failures,
        mut failover: Failover,
        first: usize,
        permit: Permit,
    ) -> Result<(Try<'t>, Opened), Nothing> {
        let targets = self.targets();
        let tenant = ledger.tenant;
        let mut next_try = failover.start(first).then_some((first, permit));
        if ledger.attempts == 0 {
            self.shared.budget(tenant, &targets[first], RetryBudget::first);
        }
        let mut late: Option<Pin<Box<Sleep>>> = None;
        let mut preemptible = None;
        let gives_way = self.priority == Priority::Batch && failover.keep_back();
        loop {
            if let Some((place, permit)) = next_try.take() {
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
                self.blamed(ledger.source, failures);
                if failures.inquiry.is_doubtful(self.is_last_resort()) {
                    let in_vain = failover.attempts().saturating_sub(1);
                    self.shared.budget(tenant, &targets[first], |b| b.in_vain(in_vain));
                }
                return Err(failures.end(self, failover.attempts()).into());
            }
            let (over, fail) = match poll_fn(|cx| poll_next(tries, &mut late, &mut preemptible, cx)).await {
                Event::Over(won, Ok(opened)) => return Ok((won, opened)),
                Event::Over(over, Err(fail)) => (over, fail),
                Event::GiveWay => return Err(Nothing::Preempted(failover.left())),
                Event::Late => {
                    preemptible = None;
                    failover.give_back();
                    tries[1] = self.hedge(ledger, &mut failover, targets[first].model);
                    continue;
                }
            };
            (late, preemptible) = (None, None);
            failover.give_back();
            let target = over.flight.target;
            if over.is_hedge {
                self.shared.metrics.hedged(Hedged::Failed);
            }
            drop(over);
            ledger.last = Some(target);
            let next = self.failed(ledger.source, tenant, &target, fail, failures);
            // What one of two tries came to says nothing of the other, which may be about to answer.
            if tries.iter().any(Option::is_some) {
                continue;
            }
            let now_ms = self.shared.now_ms();
            let is_granted = match next? {
                After::GiveUp => false,
                After::Another => true,
                After::BusyOne => self.shared.budget(tenant, &target, |b| b.retry(now_ms)),
                After::Doubtful => self.shared.budget(tenant, &target, |b| b.allows(now_ms)),
            };
            let next_place = if is_granted { self.next_target(&mut failover, failures) } else { None };
            if let Some(place) = next_place {
                next_try = Some((place, Permit::take(self.shared, targets[place].endpoint)));
            }
        }
    }

    fn is_last_resort(&self) -> bool {
        self.placed.decision.reason == Reason::LastResort
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.placed.decision.targets
    }

    /// The target to try after one has failed: those whose context the request may exceed come last.
    fn next_target(&self, failover: &mut Failover, failures: &Failures) -> Option<usize> {
        let (targets, fitting) = (self.targets(), self.placed.decision.fitting);
        let suits = |i: usize| failures.context.is_none() || self.has_more_context(&targets[i], failures);
        let mut next = |among| failover.next_of(among, |i| targets[i].site, suits);
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

    /// What a failure means for its endpoint and for the request.
    ///
    /// # Errors
    /// The request ends with it.
    fn failed(
        &self,
        source: Source,
        tenant: Option<usize>,
        target: &Target,
        fail: Fail,
        sum: &mut Failures,
    ) -> Result<After, Ended> {
        let failed = match fail {
            Fail::Deadline => return Err((Outcome::Failed, ApiError::deadline_exceeded())),
            Fail::Shed(error) => return Err((Outcome::Shed, error)),
            Fail::Failed(failed) => *failed,
        };
        let (failure, now_ms) = (failed.failure, self.shared.now_ms());
        self.shared.metrics.failed(target.endpoint, self.shared.names.endpoint(target.endpoint), failure);
        let proven = self.shared.note_failure(source, target, &failed, now_ms);
        if failure == Failure::Busy {
            sum.busy += 1;
            sum.retry_after_ms = sum.retry_after_ms.max(failed.after_ms);
        }
        if failure == Failure::Died && quarantine::struck(self.shared, self.body, tenant, target.endpoint) {
            return Err((Outcome::Quarantined, ApiError::quarantined()));
        }
        if failed.said.context.is_some() {
            sum.context = failed.said.context.or(sum.context);
        }
        let is_blamable = failure.rule().tries == Tries::UntilAlike;
        if is_blamable && lock(&self.shared.lasting.quarantine).is_blamed(now_ms, source) {
            sum.inquiry.known();
        }
        (sum.said, sum.status) = (failed.said, failed.status);
        let (endpoint, model) = (target.endpoint, target.model);
        let long = self.patience(target) > Duration::from_millis(self.policy.rates.first_token_timeout_ms);
        Ok(match sum.inquiry.failed(rhumb_flow::blame::Attempt { endpoint, model, failure, proven, long }) {
            Next::GiveUp => After::GiveUp,
            Next::Another if matches!(failure, Failure::Busy | Failure::Unavailable) => After::BusyOne,
            Next::Another if sum.inquiry.is_doubtful(self.is_last_resort()) => After::Doubtful,
            Next::Another => After::Another,
        })
    }

    /// The target's context is longer than what engines have said is too short.
    fn has_more_context(&self, target: &Target, failures: &Failures) -> bool {
        let view = self.shared.view.load();
        let of =
            |t: &Target| view.rows(t.model).iter().find(|r| r.endpoint == t.endpoint).map_or(0, |r| r.context_tokens);
        let tried = failures.inquiry.attempts().iter().filter(|a| a.failure == Failure::ContextLength);
        let longest =
            tried.filter_map(|a| self.targets().iter().find(|t| (t.endpoint, t.model) == (a.endpoint, a.model)));
        let longest = longest.map(of).max().unwrap_or(0);
        // Where nothing tells them apart, the engine's own configuration may.
        of(target) >= longest
    }

    /// A request that endpoints have failed alike which serve others is known for it from now on.
    fn blamed(&self, source: Source, failures: &Failures) {
        let alike = failures.inquiry.attempts().last().is_some_and(|a| a.failure.rule().tries == Tries::UntilAlike);
        if alike && failures.inquiry.verdict() == Whose::Request {
            lock(&self.shared.lasting.quarantine).blame(self.shared.now_ms(), source);
        }
    }

    /// The request is this target's from here on. Another try that still ran is cancelled, and paid for.
    fn serve(&self, won: Try<'_>, opened: Opened, other: Option<Try<'_>>, mut ledger: Box<Ledger>) -> Served {
        if won.is_hedge || other.as_ref().is_some_and(|t| t.is_hedge) {
            self.shared.metrics.hedged(if won.is_hedge { Hedged::Won } else { Hedged::Lost });
        }
        if let Some(lost) = other {
            ledger.lost_usd += lost.flight.lost(!lost.is_hedge);
        }
        let mut flight = won.flight;
        flight.began(ledger.second_usd, ledger.source);
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
                ledger.state_usage(usage(&body));
                ledger.outcome = Outcome::Complete;
                Served::Plain(target, body)
            }
            Opened::Stream(opening) => {
                let limit = Duration::from_millis(self.policy.rates.idle_timeout_ms);
                let idle = Idle { limit, extensions: if self.scan.tools { 3 } else { 0 } };
                let key = self.shared.live[target.endpoint as usize].pool_key;
                Served::Stream(target, Box::new(Relay::new(*opening, ledger, idle, key)))
            }
        }
    }
}

/// What is done after a failure.
enum After {
    Another,
    /// The same, while such retries are not in vain: it may be the request's doing, or all are known to fail.
    Doubtful,
    /// The same, if there is a retry for it: the endpoint is busy.
    BusyOne,
    GiveUp,
}

impl Failures {
    /// What the client is told after so many tries, and how the request ends.
    fn end(&self, journey: &Journey<'_>, attempts: u32) -> Ended {
        let of = |failure: Failure| self.inquiry.attempts().iter().filter(|a| a.failure == failure).count() as u32;
        let last = self.inquiry.attempts().last().map(|a| a.failure);
        if let Some(limit) = self.context {
            return (Outcome::Rejected, ApiError::engine_context_length(limit, journey.api.prompt_field()));
        }
        let error = match last {
            _ if of(Failure::Looped) > 0 => ApiError::loop_detected(HOPS_MAX),
            Some(Failure::Invalid) => return (Outcome::Rejected, self.refused(journey)),
            Some(Failure::Missing) if of(Failure::Missing) == attempts => {
                return (Outcome::Rejected, ApiError::engine_model_missing(&journey.scan.model));
            }
            Some(Failure::TooLarge) => ApiError::answer_too_large(),
            _ if self.busy > 0 && self.busy + of(Failure::Unavailable) == attempts => {
                ApiError::overloaded("Every suitable site is busy.", self.retry_after_ms.unwrap_or(1_000))
            }
            Some(last) if last.rule().tries == Tries::UntilAlike && self.inquiry.verdict() == Whose::Request => {
                ApiError::request_failed()
            }
            Some(Failure::Unavailable) if of(Failure::Unavailable) == attempts => {
                ApiError::overloaded("Every suitable site is busy.", 1_000)
            }
            Some(Failure::Silent) if of(Failure::Silent) == attempts => ApiError::upstream_timeout(),
            _ => ApiError::upstream_failed(),
        };
        (Outcome::Failed, error)
    }

    /// The engine's refusal, as far as the policy lets the client see it.
    fn refused(&self, journey: &Journey<'_>) -> ApiError {
        match journey.policy.service.engine_errors {
            EngineErrors::Pass => ApiError::engine_refused(self.status, &self.said, true),
            EngineErrors::Map => ApiError::engine_refused(self.status, &self.said, false),
            EngineErrors::Hide => ApiError::engine_refused(self.status, &EngineError::default(), false),
        }
    }
}

/// The try that is over first, or what else comes before.
fn poll_next<'a>(
    tries: &mut [Option<Try<'a>>; 2],
    late: &mut Option<Pin<Box<Sleep>>>,
    preemptible: &mut Option<Preemptible>,
    cx: &mut Context<'_>,
) -> Poll<Event<'a>> {
    for slot in tries {
        if let Some(running) = slot
            && let Poll::Ready(result) = running.coming.as_mut().poll(cx)
            && let Some(over) = slot.take()
        {
            return Poll::Ready(Event::Over(over, result));
        }
    }
    if preemptible.as_mut().is_some_and(|p| p.poll(cx).is_ready()) {
        return Poll::Ready(Event::GiveWay);
    }
    if late.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
        *late = None;
        return Poll::Ready(Event::Late);
    }
    Poll::Pending
}
