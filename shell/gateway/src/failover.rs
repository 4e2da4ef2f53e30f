//! Targets in turn, until one sends content; beside one that is late, a second.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use rhumb_api::ApiError;
use rhumb_api::fault::{ContextLimit, EngineError};
use rhumb_core::failover::{self, Action, Failover, Request};
use rhumb_core::refusal::Refusal;
use rhumb_flow::blame::Failure;
use rhumb_flow::evidence::Source;
use rhumb_flow::patience::is_long;
use rhumb_grid::config::{Dialect, EngineErrors, Priority};
use rhumb_grid::index::NamedRates;
use rhumb_openai::request::{Api, Scan};
use rhumb_passing::usage;
use rhumb_process::clock;
use rhumb_record::Outcome;
use rhumb_route::decide::{Reason, Target};
use rhumb_route::explain::Names as _;
use rhumb_websocket::Side;
use tokio::time::Sleep;

use crate::epoch::ConfigEpoch;
use crate::forms::Form;
use crate::hop_headers::{HOPS_MAX, HopHeaders};
use crate::in_flight::InFlight;
use crate::metrics::Hedged;
use crate::opening::{Fail, Opened};
use crate::parts::LiveParts;
use crate::permit::ConcurrencyPermit;
use crate::preempt::Preemptible;
use crate::quarantine;
use crate::relay::{Idle, Relay};
use crate::request_record::RequestRecord;
use crate::routing::RoutingRequest;
use crate::session::Session;
use crate::translation::Reply;

/// What a client gets.
pub(crate) enum Served {
    /// A plain answer in a dialect, with its content type.
    Plain(Target, Bytes, HeaderValue, Dialect),
    /// A stream whose first content has come.
    Stream(Target, Box<Relay>),
    /// A session that has been opened.
    Session(Target, Box<Session>),
}

impl Served {
    /// The dialect that the endpoint answered in.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Plain(.., dialect) => *dialect,
            Self::Stream(_, relay) => relay.dialect(),
            Self::Session(..) => Dialect::Chat,
        }
    }

    /// As its client reads it. A stream is translated on its way.
    ///
    /// # Errors
    /// It cannot be read; where it came from.
    pub(crate) fn translated(self, reply: &Reply) -> Result<Self, Box<Target>> {
        match self {
            Self::Plain(target, body, content_type, dialect) => match reply.whole(dialect, body) {
                Some(body) => Ok(Self::Plain(target, body, content_type, dialect)),
                None => Err(Box::new(target)),
            },
            other @ (Self::Stream(..) | Self::Session(..)) => Ok(other),
        }
    }
}

/// Why a client gets nothing of a run.
pub(crate) enum Unserved {
    /// It gets an error; where it was tried last.
    Failed(Box<(ApiError, Option<Target>)>),
    /// A more urgent request has its place: it is to ask for admission anew, and may be tried so often.
    Preempted(Box<RequestRecord>, u32),
}

/// A request on its way.
pub(crate) struct FailoverDriver<'a> {
    pub(crate) epoch: &'a Arc<ConfigEpoch>,
    pub(crate) api: Api,
    /// Of the body.
    pub(crate) content_type: &'a str,
    /// What the client tries out of Anthropic's API, as it names it.
    pub(crate) beta: Option<&'a str>,
    pub(crate) policy: &'a NamedRates,
    pub(crate) scan: &'a Scan,
    pub(crate) body: &'a Bytes,
    /// As its client wrote it, for endpoints that speak its dialect, where that is another form.
    pub(crate) own: Option<&'a Form>,
    pub(crate) reply: &'a Reply,
    pub(crate) placed: &'a RoutingRequest<'a>,
    pub(crate) chain: HopHeaders,
    pub(crate) priority: Priority,
    /// When the client's patience for the first content ends.
    pub(crate) deadline: Option<Instant>,
}

/// A try under way. Dropping it cancels it at the endpoint, then frees its place there.
pub(crate) struct Try<'a> {
    coming: Pin<Box<dyn Future<Output = Result<Opened, Fail>> + Send + 'a>>,
    in_flight: InFlight,
    /// It is the second, beside one that is late.
    is_hedge: bool,
}

/// What engines have said that failed, as far as its client may hear of it.
#[derive(Default)]
struct Words {
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
    /// It is preempted. So many tries are left.
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
    /// It is to be preempted.
    GiveWay,
}

impl FailoverDriver<'_> {
    /// Tries so many of the ranked targets until one serves, from the one that admission has given a place at.
    pub(crate) async fn run(
        &self,
        mut record: Box<RequestRecord>,
        most: u32,
        first: usize,
        permit: ConcurrencyPermit,
    ) -> Result<Served, Unserved> {
        let mut tries = [None, None];
        let mut failover = Failover::new(most);
        let served = self.first_content(&mut record, &mut tries, &mut failover, first, permit).await;
        let other = tries.into_iter().flatten().next();
        match served {
            Ok((won, opened)) => {
                self.epoch.served(record.source(), &failover);
                Ok(self.serve(won, opened, other, record))
            }
            Err(Nothing::Ended((outcome, error))) => {
                if other.is_some_and(|t| t.is_hedge) {
                    self.epoch.metrics.hedged(Hedged::Failed);
                }
                record.refused(outcome, error.status());
                Err(Unserved::Failed(Box::new((error, record.failed_last()))))
            }
            Err(Nothing::Preempted(left)) => {
                // Its whole prompt is paid for, whatever of it was computed; the place is free once the try is gone.
                record.lost(other.map_or(0.0, |t| t.in_flight.lost(false)));
                self.epoch.metrics.preempted();
                Err(Unserved::Preempted(record, left))
            }
        }
    }

    /// The request as failing over sees it.
    pub(crate) fn request(&self, source: Source) -> Request<'_> {
        let decision = &self.placed.decision;
        let is_last_resort = decision.reason == Reason::LastResort;
        Request { source, targets: &decision.targets, fitting: decision.fitting, is_last_resort }
    }

    /// The try that has content first. What else runs then stays in `tries`.
    async fn first_content<'t>(
        &'t self,
        record: &mut RequestRecord,
        tries: &mut [Option<Try<'t>>; 2],
        failover: &mut Failover,
        first: usize,
        permit: ConcurrencyPermit,
    ) -> Result<(Try<'t>, Opened), Nothing> {
        let (mut parts, request) = (LiveParts(self.epoch), self.request(record.source()));
        let mut words = Words::default();
        let is_first = record.attempts() == 0;
        let mut next_try = failover.start(&mut parts, &request, first, is_first).then_some((first, permit));
        let mut late: Option<Pin<Box<Sleep>>> = None;
        let mut preemptible = None;
        let gives_way = self.priority == Priority::Batch && failover.order_mut().keep_back();
        loop {
            if let Some((place, permit)) = next_try.take() {
                if self.deadline.is_some_and(|d| d <= clock::now()) {
                    return Err((Outcome::Failed, ApiError::deadline_exceeded()).into());
                }
                let sent = self.depart(record, failover, place, permit, false);
                if record.attempts() == 1 {
                    let after = self.hedge_after(record, failover, &sent.in_flight);
                    late = after.map(|after| Box::pin(tokio::time::sleep(after)));
                }
                if gives_way && failover.order().attempts() == 1 {
                    preemptible = Some(Preemptible::sent(self.epoch, sent.in_flight.target(), record.is_plain()));
                }
                tries[0] = Some(sent);
            }
            if tries.iter().all(Option::is_none) {
                let refusal = failover.refusal(&mut parts, &request, self.epoch.now_ms());
                return Err(self.told(refusal, &words).into());
            }
            let (over, fail) = match poll_fn(|cx| poll_next(tries, &mut late, &mut preemptible, cx)).await {
                Event::Over(won, Ok(opened)) => return Ok((won, opened)),
                Event::Over(over, Err(fail)) => (over, fail),
                Event::GiveWay => return Err(Nothing::Preempted(failover.order().left())),
                Event::Late => {
                    preemptible = None;
                    tries[1] = self.hedge(record, failover);
                    continue;
                }
            };
            (late, preemptible) = (None, None);
            let target = *over.in_flight.target();
            if over.is_hedge {
                self.epoch.metrics.hedged(Hedged::Failed);
            }
            drop(over);
            record.failed(target);
            let is_another_under_way = tries.iter().any(Option::is_some);
            match self.failed(record, &target, fail, failover, &mut words, is_another_under_way) {
                Ok(Action::Send(place)) => {
                    next_try = Some((place, ConcurrencyPermit::take(self.epoch, request.targets[place].endpoint)));
                }
                Ok(Action::GiveUp | Action::Wait) => {}
                // What one of two tries came to says nothing of the other, which may be about to answer.
                Err(_) if is_another_under_way => {}
                Err(ended) => return Err(ended.into()),
            }
        }
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.placed.decision.targets
    }

    /// Sends it to a target that it has a place at.
    pub(crate) fn depart(
        &self,
        record: &mut RequestRecord,
        failover: &mut Failover,
        place: usize,
        permit: ConcurrencyPermit,
        is_hedge: bool,
    ) -> Try<'_> {
        let target = &self.targets()[place];
        record.departs();
        self.epoch.metrics.sent(target.endpoint);
        let order = failover.order_mut();
        let (tries, before) =
            (order.hand_down(self.targets().len()), record.attempts().saturating_sub(order.attempts()));
        Try {
            coming: Box::pin(self.attempt(target, tries, before)),
            in_flight: InFlight::new(self.epoch, permit, *target, !record.is_plain()),
            is_hedge,
        }
    }

    /// What to do after an attempt at a target has failed.
    ///
    /// # Errors
    /// The request ends with it, unless another attempt may be about to answer.
    fn failed(
        &self,
        record: &RequestRecord,
        target: &Target,
        fail: Fail,
        failover: &mut Failover,
        words: &mut Words,
        is_another_under_way: bool,
    ) -> Result<Action, Ended> {
        let failed = match fail {
            Fail::Deadline => return Err((Outcome::Failed, ApiError::deadline_exceeded())),
            Fail::LoadShed(error) => return Err((Outcome::Shed, error)),
            Fail::Failed(failed) => *failed,
        };
        let (epoch, failure, now_ms) = (self.epoch, failed.failure, self.epoch.now_ms());
        epoch.metrics.failed(target.endpoint, epoch.names.endpoint(target.endpoint), failure);
        let (predicted, granted_ms) = (&target.predicted, self.policy.rates.first_token_timeout_ms);
        let of = failover::Failed {
            failure,
            after_ms: failed.after_ms,
            context: failed.said.context.map(|c| c.limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX))),
            // The wait for a plain answer has the time to generate it in it.
            is_long: !self.scan.request.stream || is_long(granted_ms, predicted.begins_ms() - predicted.stalled_ms),
        };
        let noted = epoch.note_failure(record.source(), target, &failed, &of, now_ms);
        let (mut parts, request) = (LiveParts(epoch), self.request(record.source()));
        if failure == Failure::Died {
            let fingerprint = quarantine::fingerprint(epoch, self.body, record.tenant());
            if failover.struck(&mut parts, target.endpoint, fingerprint, now_ms) {
                tracing::warn!("a request is quarantined: engines break off while they read it");
            }
        }
        words.context = failed.said.context.or(words.context);
        (words.said, words.status) = (failed.said, failed.status);
        Ok(failover.failed(&mut parts, &request, target, (&of, noted), is_another_under_way, now_ms))
    }

    /// What the client is told of a refusal, and how the request ends.
    fn told(&self, refusal: Refusal, words: &Words) -> Ended {
        let (outcome, mut error) = match refusal {
            Refusal::Looped => (Outcome::Failed, ApiError::loop_detected(HOPS_MAX)),
            Refusal::ContextLength => {
                let error =
                    ApiError::engine_context_length(words.context.unwrap_or_default(), self.api.prompt_fields()[0]);
                (Outcome::Rejected, error)
            }
            Refusal::Invalid => (Outcome::Rejected, self.engine_refusal(words)),
            Refusal::ModelMissing => (Outcome::Rejected, ApiError::engine_model_missing(&self.scan.request.model)),
            Refusal::AnswerTooLarge => (Outcome::Failed, ApiError::answer_too_large()),
            Refusal::Busy(ms) => (Outcome::Failed, ApiError::overloaded("Every suitable site is busy.", ms)),
            Refusal::RequestFailed => (Outcome::Failed, ApiError::request_failed()),
            Refusal::Quarantined => (Outcome::Quarantined, ApiError::quarantined()),
            Refusal::Timeout => (Outcome::Failed, ApiError::upstream_timeout()),
            Refusal::Failed => (Outcome::Failed, ApiError::upstream_failed()),
        };
        let retry = refusal.retry();
        (error.retry, error.retry_after_ms) = (retry.may, retry.after_ms);
        (outcome, error)
    }

    /// The engine's refusal, as far as the policy lets the client see it.
    fn engine_refusal(&self, words: &Words) -> ApiError {
        match self.policy.service.engine_errors {
            EngineErrors::Pass => ApiError::engine_refused(words.status, &words.said, true),
            EngineErrors::Map => ApiError::engine_refused(words.status, &words.said, false),
            EngineErrors::Hide => ApiError::engine_refused(words.status, &EngineError::default(), false),
        }
    }

    /// The request is this target's from here on. Another try that still ran is cancelled, and paid for.
    fn serve(&self, won: Try<'_>, opened: Opened, other: Option<Try<'_>>, mut record: Box<RequestRecord>) -> Served {
        if won.is_hedge || other.as_ref().is_some_and(|t| t.is_hedge) {
            self.epoch.metrics.hedged(if won.is_hedge { Hedged::Won } else { Hedged::Lost });
        }
        if let Some(lost) = other {
            record.lost(lost.in_flight.lost(!lost.is_hedge));
        }
        let target = record.served_by(won.in_flight);
        quarantine::cleared(self.epoch, self.body, record.tenant());
        if let Some(session) = self.placed.session {
            self.epoch.pin(session, &target);
        }
        if self.api.generates() && !self.placed.blocks.is_empty() {
            self.epoch.cached(&self.placed.blocks, target.endpoint);
        }
        match opened {
            Opened::Plain(body, content_type, dialect) => {
                record.complete(usage(dialect, &body));
                Served::Plain(target, body, content_type, dialect)
            }
            Opened::Session(opened) => {
                let (stream, ahead) = *opened;
                Served::Session(target, Box::new(Session::new(Side { stream, ahead }, record)))
            }
            Opened::Stream(opening) => {
                let limit = Duration::from_millis(self.policy.rates.idle_timeout_ms);
                let idle = Idle { limit, extensions: if self.scan.request.tools { 3 } else { 0 } };
                let key = self.epoch.live[target.endpoint].pool_key;
                let rewriter = self.reply.stream(opening.scanner.dialect());
                Served::Stream(target, Box::new(Relay::new(*opening, record, rewriter, idle, key)))
            }
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
