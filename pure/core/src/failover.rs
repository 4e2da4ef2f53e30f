//! One request on its way through its ranked targets: what has happened goes in, what to do next comes out.

use rhumb_flow::blame::{self, Counts, Failure, Inquiry, Next, Tries, Whose};
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::evidence::Source;
use rhumb_flow::target_order::TargetOrder;
use rhumb_grid::position::EndpointIndex;
use rhumb_route::decide::Target;

use crate::attempt::Attempt;
use crate::parts::Parts;
use crate::refusal::{RETRY_AFTER_MS, Refusal};

/// What failing over has to know of a request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The request, as evidence knows it.
    pub source: Source,
    /// Its ranked targets.
    pub targets: &'a [Target],
    /// So many of them lead whose context it is expected to fit.
    pub fitting: usize,
    /// All of them are known to fail.
    pub is_last_resort: bool,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// What it came to.
    pub failure: Failure,
    /// When the endpoint says to come back, ms.
    pub after_ms: Option<u64>,
    /// The engine says that the request does not fit its context, and how many tokens that has, if it says so.
    pub context: Option<Option<u32>>,
    /// The work was predicted to take so long that the wait for it was longer than the policy grants.
    pub is_long: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, after_ms: None, context: None, is_long: false }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send it to the target at this place of the ranking.
    Send(usize),
    /// Wait: another attempt is under way.
    Wait,
    /// Give it up: see [`Failover::refusal`].
    GiveUp,
}

/// What a failure says of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// It serves others: it has answered lately, and has failed nobody since.
    pub is_proven: bool,
    /// This is what confirms that it is unhealthy: views should say so at once.
    pub is_unhealthy: bool,
}

/// The way of one request through its targets.
#[derive(Debug, Clone)]
pub struct Failover {
    order: TargetOrder,
    inquiry: Inquiry,
    /// The target that it was sent to first.
    first: usize,
    is_quarantined: bool,
    retry_after_ms: Option<u64>,
    is_too_long: bool,
}

/// Notes what a failed attempt says of its endpoint. What counts at once does so; what counts only where another serves the
/// request waits for [`Failover::served`].
pub fn note_failure(parts: &mut impl Parts, source: Source, target: &Target, failed: &Failed, now_ms: u64) -> Noted {
    let (failure, rule) = (failed.failure, failed.failure.rule());
    let model = parts.model_number(target.model);
    let (noted, is_unavailable) = parts.endpoint(target.endpoint, |known| {
        let is_proven = known.health.is_proven(now_ms) && known.models.is_proven(model);
        let is_unhealthy = match (rule.counts, rule.whose) {
            (Counts::AtOnce, Whose::Credential) => known.health.credential_refused(now_ms),
            (Counts::AtOnce, _) => known.health.unreachable(now_ms),
            _ => false,
        };
        if let Some(tokens) = failed.context.flatten() {
            known.state.context = Some((target.model, tokens));
        }
        let is_unavailable = failure == Failure::Unavailable && known.health.unavailable(now_ms, source);
        (Noted { is_proven, is_unhealthy }, is_unavailable)
    });
    if failure == Failure::Busy {
        parts.window(target.endpoint, |window| window.busy(now_ms, failed.after_ms));
    } else if is_unavailable {
        parts.window(target.endpoint, |window| window.unavailable(now_ms));
    }
    noted
}

impl Failover {
    /// Of a request that may be tried at so many targets.
    #[must_use]
    pub fn new(max_attempts: u32) -> Self {
        Self {
            order: TargetOrder::new(max_attempts),
            inquiry: Inquiry::default(),
            first: 0,
            is_quarantined: false,
            retry_after_ms: None,
            is_too_long: false,
        }
    }

    /// Admission has given it a place at this target; false when no attempt is left. The retry budget earns a share where
    /// it has not been tried before.
    pub fn start(&mut self, parts: &mut impl Parts, request: &Request<'_>, place: usize, is_first: bool) -> bool {
        self.first = place;
        if is_first && let Some(target) = request.targets.get(place) {
            parts.budget(request.source.tenant, target, RetryBudget::first);
        }
        self.order.start(place)
    }

    /// An attempt at a target has failed while another was under way or not; `noted` is what [`note_failure`] said of it.
    pub fn failed(
        &mut self,
        parts: &mut impl Parts,
        request: &Request<'_>,
        target: &Target,
        failed: (&Failed, Noted),
        is_another_under_way: bool,
        now_ms: u64,
    ) -> Action {
        let (&Failed { failure, after_ms, context, is_long }, noted) = failed;
        self.order.give_back();
        if failure == Failure::Busy {
            self.retry_after_ms = self.retry_after_ms.max(after_ms);
        }
        self.is_too_long |= context.is_some();
        let is_blamable = failure.rule().tries == Tries::UntilAlike;
        if is_blamable && parts.quarantine(|q| q.is_blamed(now_ms, request.source)) {
            self.inquiry.known();
        }
        let (endpoint, model) = (target.endpoint, target.model);
        let attempt = blame::Attempt { endpoint, model, failure, proven: noted.is_proven, long: is_long };
        let next = self.inquiry.failed(attempt);
        // What one of two attempts came to says nothing of the other, which may be about to answer.
        if is_another_under_way {
            return Action::Wait;
        }
        let is_doubtful = self.inquiry.is_doubtful(request.is_last_resort);
        let tenant = request.source.tenant;
        // What comes to nothing is charged where the request was sent first, so that is where it is allowed.
        let first = request.targets.get(self.first).unwrap_or(target);
        let is_granted = match next {
            Next::GiveUp => false,
            Next::Another if self.is_quarantined => false,
            Next::Another if failure == Failure::Busy => parts.budget(tenant, target, |b| b.retry(now_ms)),
            Next::Another if is_doubtful => parts.budget(tenant, first, |b| b.allows(now_ms)),
            Next::Another => true,
        };
        let place = if is_granted { self.next_place(parts, request) } else { None };
        place.map_or(Action::GiveUp, Action::Send)
    }

    /// The request broke the connection of an endpoint, by its fingerprint; true when it is not to be tried any more.
    pub fn struck(&mut self, parts: &mut impl Parts, endpoint: EndpointIndex, fingerprint: u64, now_ms: u64) -> bool {
        let number = parts.endpoint_number(endpoint);
        self.is_quarantined |= parts.quarantine(|q| q.struck(now_ms, fingerprint, number));
        self.is_quarantined
    }

    /// The target to try after one has failed: those whose context the request may exceed come last, and first those whose
    /// context is no shorter than the longest that was too short.
    fn next_place(&mut self, parts: &impl Parts, request: &Request<'_>) -> Option<usize> {
        let targets = request.targets;
        let too_short = self.inquiry.attempts().iter().filter(|a| a.failure == Failure::ContextLength);
        let too_short =
            too_short.filter_map(|a| targets.iter().find(|t| (t.endpoint, t.model) == (a.endpoint, a.model)));
        let longest = too_short.map(|t| parts.context_tokens(t)).max().unwrap_or(0);
        // Where the configuration does not tell them apart, the engine's own may.
        let suits = |i: usize| !self.is_too_long || parts.context_tokens(&targets[i]) >= longest;
        let mut order = self.order;
        let mut next = |among: usize| order.next_of(among, |i| targets[i].site, suits);
        let place = next(request.fitting).or_else(|| next(targets.len()));
        self.order = order;
        place
    }

    /// How long its first attempt has before a second may be made beside it, ms.
    pub fn hedge_after_ms(&self, parts: &mut impl Parts, request: &Request<'_>, first: &Attempt) -> Option<f64> {
        if !self.order.is_open() || request.targets.len() < 2 {
            return None;
        }
        let predicted_ms = first.target.predicted.begins_ms();
        Some(parts.hedging(first.target.model, |hedging| hedging.first(predicted_ms)))
    }

    /// Its first attempt is late: the place of a second, if there is a budget for one and another target has room. Its
    /// fingerprint is taken only while any request is suspected of being what engines die of.
    pub fn hedge<P: Parts>(
        &mut self,
        parts: &mut P,
        request: &Request<'_>,
        fingerprint: impl FnOnce() -> u64,
        now_ms: u64,
    ) -> Option<(usize, P::ConcurrencyPermit)> {
        self.order.give_back();
        // What engines die of is not to take two at a time.
        if !parts.quarantine(|q| q.is_empty()) {
            let fingerprint = fingerprint();
            if parts.quarantine(|q| q.suspects(now_ms, fingerprint)) {
                return None;
            }
        }
        let model = request.targets[self.first].model;
        let targets = &request.targets[..request.fitting];
        if !parts.hedging(model, |hedging| hedging.take()) {
            return None;
        }
        let mut order = self.order;
        let spare =
            parts.spare(targets, now_ms, |has_room| order.next_of(targets.len(), |i| targets[i].site, has_room));
        self.order = order;
        if spare.is_none() {
            parts.hedging(model, |hedging| hedging.put_back());
        }
        spare
    }

    /// It is served: what it met before was not its own fault, and counts now against those that failed it. Those that this
    /// confirms unhealthy, or without the model, are given to `confirmed`: views should say so at once.
    pub fn served(
        &self,
        parts: &mut impl Parts,
        source: Source,
        now_ms: u64,
        mut confirmed: impl FnMut(&blame::Attempt, Whose),
    ) {
        for (attempt, whose) in self.inquiry.served() {
            let model = parts.model_number(attempt.model);
            let is_news = parts.endpoint(attempt.endpoint, |known| match whose {
                Whose::EndpointModel => known.models.refused(model, now_ms, source),
                Whose::Credential => known.health.credential_refused(now_ms),
                Whose::Endpoint | Whose::Request | Whose::Nobody => known.health.charged(now_ms, source),
            });
            if is_news {
                confirmed(&attempt, whose);
            }
        }
    }

    /// No target is left: why its client gets no answer. A request that endpoints have failed alike which serve others is
    /// known for it from now on, and second attempts that came to nothing are taken out of the retry budget.
    pub fn refusal(&self, parts: &mut impl Parts, request: &Request<'_>, now_ms: u64) -> Refusal {
        let last = self.inquiry.attempts().last();
        let is_alike = last.is_some_and(|a| a.failure.rule().tries == Tries::UntilAlike);
        if is_alike && self.inquiry.verdict() == Whose::Request {
            parts.quarantine(|q| q.blame(now_ms, request.source));
        }
        if self.inquiry.is_doubtful(request.is_last_resort)
            && let Some(first) = request.targets.get(self.first)
        {
            let in_vain = self.order.attempts().saturating_sub(1);
            parts.budget(request.source.tenant, first, |b| b.in_vain(in_vain));
        }
        self.why()
    }

    fn why(&self) -> Refusal {
        let (all, attempts) = (self.inquiry.attempts(), self.order.attempts());
        let of = |failure: Failure| all.iter().filter(|a| a.failure == failure).count() as u32;
        let Some(last) = all.last().map(|a| a.failure) else { return Refusal::Failed };
        if self.is_quarantined {
            return Refusal::Quarantined;
        }
        if self.is_too_long {
            return Refusal::ContextLength;
        }
        match last {
            _ if of(Failure::Looped) > 0 => Refusal::Looped,
            Failure::Invalid => Refusal::Invalid,
            Failure::Missing if of(Failure::Missing) == attempts => Refusal::ModelMissing,
            Failure::TooLarge => Refusal::AnswerTooLarge,
            _ if of(Failure::Busy) > 0 && of(Failure::Busy) + of(Failure::Unavailable) == attempts => {
                Refusal::Busy(self.retry_after_ms.unwrap_or(RETRY_AFTER_MS))
            }
            _ if last.rule().tries == Tries::UntilAlike && self.inquiry.verdict() == Whose::Request => {
                Refusal::RequestFailed
            }
            Failure::Unavailable if of(Failure::Unavailable) == attempts => Refusal::Busy(RETRY_AFTER_MS),
            Failure::Silent if of(Failure::Silent) == attempts => Refusal::Timeout,
            _ => Refusal::Failed,
        }
    }

    /// The ranked targets that have been tried, those left, and what may be kept back or handed down of them.
    #[must_use]
    pub fn order(&self) -> &TargetOrder {
        &self.order
    }

    /// The same, to keep an attempt back or to hand some down.
    pub fn order_mut(&mut self) -> &mut TargetOrder {
        &mut self.order
    }
}
