//! Who may go now, who waits at the router, and who is rejected with Retry-After.
//!
//! A request is held here rather than in an engine's queue: here it can still go to whichever endpoint has room first,
//! be preempted by a more urgent one, and leave without a trace.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use rhumb_grid::config::Priority;

use self::preempt::Unbegun;
pub use self::preempt::{Expected, Preempted};
pub use self::queue_classes::{QueueClasses, stated};
use self::waiting::Waiting;

use crate::fair::{FairQueue, From, Ticket};
use crate::slow_start::SlowStart;
use crate::window::Window;

/// Those who want the same: requests for one model, or one virtual model. They wait together and no others with them.
pub type QueueClass = u32;

/// What admission has to know of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionRequest {
    /// What it wants.
    pub queue_class: QueueClass,
    /// How urgent it is.
    pub priority: Priority,
    /// Who it is from.
    pub from: From,
    /// Share of its tenant against the others'.
    pub weight: f64,
    /// Objective for the time to first token, ms.
    pub slo_ms: f64,
    /// Longest it may wait, ms.
    pub wait_max_ms: f64,
    /// What it is expected to be served (see [`crate::fair::cost`]).
    pub cost: f64,
    /// 0 to 1, drawn by the caller: spreads those who are rejected with Retry-After.
    pub jitter: f64,
}

/// An endpoint that may serve a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which.
    pub endpoint: u32,
    /// This gateway's requests in flight there.
    pub in_flight: f64,
    /// How long the request would wait in the engine, ms.
    pub queue_ms: f64,
    /// The same if other gateways have sent there since its last report what this one has, each for its share, ms.
    pub crowd_ms: f64,
    /// How long its own prompt would take there, ms.
    pub prefill_ms: f64,
    /// The time to first token that it would hardly exceed there, apart from what waits before it, ms.
    pub ttft_ms: f64,
}

/// What happens to a request that has come, or whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It goes to the candidate with this place in the ranking.
    Go(usize),
    /// It waits for its turn.
    Wait {
        /// No longer than this, ms.
        bound_ms: f64,
        /// This endpoint has room: once the request waits, it may call whoever is next.
        room_at: Option<u32>,
        /// Once the request waits, this one is to be taken back: then there is room for it.
        preempted: Option<Preempted>,
    },
    /// It would wait too long: it is rejected, with this as its Retry-After, ms.
    Refuse(u64),
}

/// What happens to a waiting request whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It goes to the candidate with this place in the ranking.
    Go(usize),
    /// It is to be put back. The endpoint that called it may have room for another, or has none.
    Requeue {
        /// The next may be called to that endpoint.
        pass_on: bool,
    },
}

/// Requests that wait, and the windows of the endpoints they wait for.
#[derive(Debug, Clone)]
pub struct Admission {
    windows: Vec<Window>,
    ramps: Vec<SlowStart>,
    /// By endpoint: batch requests there that may be taken back.
    unbegun: Vec<Vec<Unbegun>>,
    /// How many have been.
    numbers: u64,
    /// By endpoint: the queue classes it serves.
    serves: Vec<Vec<QueueClass>>,
    queue_classes: Vec<Waiting>,
    asks: BTreeMap<Ticket, Queued>,
    /// By priority, how many may wait.
    queue_max: usize,
}

#[derive(Debug, Clone)]
struct Queued {
    ask: AdmissionRequest,
    /// Its targets when it was last decided on: an endpoint that is none of them does not call it.
    targets: Vec<u32>,
}

/// So many of those whose turn would come next are looked at.
const LOOK_AHEAD: usize = 32;

/// The shortest and longest that anybody is told to stay away for, ms.
const RETRY_AFTER_MS: (f64, f64) = (250.0, 60_000.0);

impl Admission {
    /// For endpoints with these windows, and the queue classes that each serves.
    #[must_use]
    pub fn new(windows: Vec<Window>, serves: Vec<Vec<QueueClass>>, queue_classes: usize, queue_max: usize) -> Self {
        Self {
            ramps: windows.iter().map(|_| SlowStart::default()).collect(),
            unbegun: windows.iter().map(|_| Vec::new()).collect(),
            numbers: 0,
            windows,
            serves,
            queue_classes: (0..queue_classes).map(|_| Waiting::default()).collect(),
            asks: BTreeMap::new(),
            queue_max,
        }
    }

    /// Goes on with these endpoints and at least so many queue classes. A number keeps its meaning, so that whoever waits, and
    /// what has been charged, stays: endpoints and queue classes may be added and windows be others.
    pub fn reconfigure(
        &mut self,
        windows: Vec<Window>,
        serves: Vec<Vec<QueueClass>>,
        queue_classes: usize,
        queue_max: usize,
    ) {
        self.ramps.resize(windows.len(), SlowStart::default());
        self.unbegun.resize(windows.len(), Vec::new());
        (self.windows, self.serves, self.queue_max) = (windows, serves, queue_max);
        self.queue_classes.resize_with(self.queue_classes.len().max(queue_classes), Waiting::default);
    }

    /// The window of an endpoint.
    #[must_use]
    pub fn window(&self, endpoint: u32) -> &Window {
        &self.windows[endpoint as usize]
    }

    /// The window of an endpoint, to teach it.
    pub fn window_mut(&mut self, endpoint: u32) -> &mut Window {
        &mut self.windows[endpoint as usize]
    }

    /// An endpoint that computes `full_per_s` prompt tokens in a second is back after so long: it is loaded slowly.
    pub fn back(&mut self, endpoint: u32, now_ms: u64, away_ms: u64, full_per_s: f64) {
        if self.window(endpoint).is_closable() {
            self.ramps[endpoint as usize].back(now_ms, away_ms, full_per_s);
        }
    }

    /// An endpoint is being loaded slowly.
    #[must_use]
    pub fn is_slow_starting(&self, endpoint: u32, now_ms: u64) -> bool {
        self.ramps[endpoint as usize].is_on(now_ms)
    }

    /// A request with so many prompt tokens to be computed is sent to an endpoint.
    pub fn sent(&mut self, endpoint: u32, now_ms: u64, tokens: f64) {
        self.ramps[endpoint as usize].sent(now_ms, tokens);
    }

    /// Requests of a priority that wait.
    #[must_use]
    pub fn waiting(&self, priority: Priority) -> usize {
        self.queue_classes.iter().map(|queue_class| queue_class.queue(priority).len()).sum()
    }

    /// Nobody waits for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// Somebody waits for something that the endpoint serves.
    #[must_use]
    pub fn is_wanted(&self, endpoint: u32) -> bool {
        let waits = |queue_class: &QueueClass| !self.queue_classes[*queue_class as usize].is_empty();
        self.serves[endpoint as usize].iter().any(waits)
    }

    /// Decides on a request that comes, given its ranked candidates and the time to first token that is to be expected
    /// at the first, apart from the wait, ms.
    pub fn arrive(
        &mut self,
        now_ms: u64,
        ask: &AdmissionRequest,
        ttft_ms: f64,
        candidates: impl Iterator<Item = Candidate> + Clone,
    ) -> Verdict {
        self.queue_classes[ask.queue_class as usize].came(now_ms, ask);
        let queue_class = &self.queue_classes[ask.queue_class as usize];
        let is_first = queue_class.is_empty_before(ask.priority);
        let (room_at, closed_ms) = match self.with_room(now_ms, ask, candidates.clone()) {
            Ok((i, _)) if is_first => {
                self.queue_classes[ask.queue_class as usize].dispatch(now_ms, ask, 0.0);
                return Verdict::Go(i);
            }
            Ok((_, endpoint)) => (Some(endpoint), 0),
            Err(closed_ms) => (None, closed_ms),
        };
        let bound_ms = queue_class.bound_ms(ask, ttft_ms);
        // A place that is made for it is to be its own, and not that of one before it.
        let preempted = if is_first { self.preempted(now_ms, ask, bound_ms, candidates) } else { None };
        if preempted.is_some() && self.waiting(ask.priority) < self.queue_max {
            return Verdict::Wait { bound_ms, room_at, preempted };
        }
        let expected_ms = queue_class.expected_ms(now_ms, ask).max(closed_ms as f64);
        if expected_ms > bound_ms || self.waiting(ask.priority) >= self.queue_max {
            // Never sooner than the first of them says.
            return Verdict::Refuse(self.retry_after_ms(now_ms, ask, bound_ms).max(closed_ms));
        }
        Verdict::Wait { bound_ms, room_at, preempted: None }
    }

    /// A request that has been preempted waits, for as long as it may. Its place looks free until whoever it is for has heard of
    /// it, so it is not asked for.
    #[must_use]
    pub fn requeue_preempted(ask: &AdmissionRequest) -> Verdict {
        Verdict::Wait { bound_ms: ask.wait_max_ms, room_at: None, preempted: None }
    }

    /// When a request that would not wait longer than `bound_ms` may come back, ms: when those before it have gone, as
    /// they go now.
    #[must_use]
    pub fn retry_after_ms(&self, now_ms: u64, ask: &AdmissionRequest, bound_ms: f64) -> u64 {
        let expected_ms = self.queue_classes[ask.queue_class as usize].expected_ms(now_ms, ask);
        let after = (expected_ms - bound_ms).clamp(RETRY_AFTER_MS.0, RETRY_AFTER_MS.1);
        (after * (1.0 + 0.5 * ask.jitter)) as u64
    }

    /// Decides on a request whose turn it is after it `waited_ms`, as [`Self::next`] said of the endpoint that called, or
    /// [`Self::look_again`] did; it does not wait any more.
    pub fn turn(
        &mut self,
        now_ms: u64,
        ask: &AdmissionRequest,
        waited_ms: f64,
        caller: Option<u32>,
        mut candidates: impl Iterator<Item = Candidate> + Clone,
    ) -> Turn {
        match self.with_room(now_ms, ask, candidates.clone()) {
            Ok((i, _)) => {
                self.queue_classes[ask.queue_class as usize].dispatch(now_ms, ask, waited_ms);
                self.queue_of(ask).charge(ask.from, ask.cost, ask.weight);
                Turn::Go(i)
            }
            Err(_) => {
                // One that is full to this request is full to its like; whoever yields less looks again soon.
                let is_full = |c: Candidate| Some(c.endpoint) == caller && self.is_late_start(now_ms, ask, &c);
                Turn::Requeue { pass_on: !candidates.any(is_full) }
            }
        }
    }

    /// The first candidate that has room, and its endpoint; without one, how long the first of them is still busy by its
    /// own word, ms. Where that one would start the request late, another takes it at once that would have its first
    /// token sooner. Otherwise the request waits here: the ranking says that the first is the best even so, and what waits
    /// in an engine can neither be preempted, nor go elsewhere, nor be rejected with Retry-After.
    ///
    /// In overload it waits for the first all the same, and those where it would be late are none: a place farther away
    /// that is taken in a hurry sends those near it away in turn, until everybody is late.
    fn with_room(
        &self,
        now_ms: u64,
        ask: &AdmissionRequest,
        candidates: impl Iterator<Item = Candidate>,
    ) -> Result<(usize, u32), u64> {
        let mut opens_ms = u64::MAX;
        let mut first_ms = None;
        let is_overload = self.queue_classes[ask.queue_class as usize].is_overload(ask);
        for (i, candidate) in candidates.enumerate() {
            let Candidate { endpoint, in_flight, queue_ms, ttft_ms, .. } = candidate;
            opens_ms = opens_ms.min(self.window(endpoint).closed_ms(now_ms));
            let is_late = is_overload && i > 0 && ttft_ms > ask.slo_ms;
            if is_late || !self.has_room(now_ms, ask.priority, endpoint, in_flight) {
                continue;
            }
            let is_better = first_ms.is_none_or(|first_ms| !is_overload && queue_ms + ttft_ms < first_ms);
            if is_better && !self.is_late_start(now_ms, ask, &candidate) {
                return Ok((i, endpoint));
            }
            first_ms.get_or_insert(queue_ms + ttft_ms);
        }
        Err(if opens_ms == u64::MAX { 0 } else { opens_ms })
    }

    /// One more request of a priority may be sent to an endpoint: where more urgent ones have come lately for a queue class that
    /// it serves, only beside room for some of them. They would wait for a place otherwise as long as an answer takes.
    #[must_use]
    pub fn has_room(&self, now_ms: u64, priority: Priority, endpoint: u32, in_flight: f64) -> bool {
        if !self.ramps[endpoint as usize].has_room(now_ms) {
            return false;
        }
        let window = self.window(endpoint);
        match self.urgent_ms(now_ms, priority, endpoint) {
            Some(_) => window.has_room_beside(now_ms, in_flight),
            None => window.has_room(now_ms, in_flight),
        }
    }

    /// The strictest objective of more urgent requests that have come lately for a queue class that the endpoint serves, ms.
    fn urgent_ms(&self, now_ms: u64, priority: Priority, endpoint: u32) -> Option<f64> {
        let of_lane = |queue_class: &QueueClass| self.queue_classes[*queue_class as usize].urgent_ms(now_ms, priority);
        self.serves[endpoint as usize].iter().filter_map(of_lane).reduce(f64::min)
    }

    /// A candidate's engine would start the request late.
    fn is_late_start(&self, now_ms: u64, ask: &AdmissionRequest, c: &Candidate) -> bool {
        let queue_class = &self.queue_classes[ask.queue_class as usize];
        let yields = queue_class.yields(ask);
        let crowd_ms = c.queue_ms.max(c.crowd_ms);
        let (queue_ms, most_ms) = match self.urgent_ms(now_ms, ask.priority, c.endpoint) {
            Some(slo_ms) => (crowd_ms, beside_ms(slo_ms, c)),
            None if yields > 0.0 => {
                let alone_ms = start_ms(START_OVERLOAD, ask, c);
                (crowd_ms, alone_ms + yields * (beside_ms(ask.slo_ms, c).min(alone_ms) - alone_ms))
            }
            None if queue_class.is_overload(ask) => (crowd_ms, start_ms(START_OVERLOAD, ask, c)),
            // What may be is half believed as long as nobody has had to wait.
            None => (c.queue_ms.max(0.5 * c.crowd_ms), start_ms(START, ask, c)),
        };
        self.window(c.endpoint).is_closable() && queue_ms > most_ms
    }

    /// A request waits from now on for one of its targets. Tickets are given once, in the order of arrival.
    pub fn wait(&mut self, ticket: Ticket, ask: AdmissionRequest, targets: impl Iterator<Item = u32>) {
        self.queue_of(&ask).push(ticket, ask.from, ask.weight);
        self.asks.insert(ticket, Queued { ask, targets: targets.collect() });
    }

    /// A request that could not use its turn waits on, before the others of its session.
    pub fn put_back(&mut self, ticket: Ticket, ask: AdmissionRequest, targets: impl Iterator<Item = u32>) {
        self.queue_of(&ask).push_front(ticket, ask.from, ask.weight);
        self.asks.insert(ticket, Queued { ask, targets: targets.collect() });
    }

    fn queue_of(&mut self, ask: &AdmissionRequest) -> &mut FairQueue {
        self.queue_classes[ask.queue_class as usize].queue_mut(ask.priority)
    }

    /// A waiting request leaves; false when it does not wait (any more).
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let Some(queued) = self.asks.remove(&ticket) else { return false };
        self.queue_of(&queued.ask).remove(ticket)
    }

    /// The request whose turn it is at an endpoint that has so many in flight, if that has room for it; it does not wait
    /// any more. The most urgent goes first, wherever it waits; among equals of several queue classes the one that has waited
    /// longest.
    pub fn next(&mut self, now_ms: u64, endpoint: u32, in_flight: f64) -> Option<Ticket> {
        if self.asks.is_empty() || !self.has_room(now_ms, Priority::Interactive, endpoint, in_flight) {
            return None;
        }
        let suits = |t: &Ticket| self.asks.get(t).is_some_and(|q| q.targets.contains(&endpoint));
        let first = |queue_class: &QueueClass, priority: usize| {
            self.queue_classes[*queue_class as usize].in_turn(priority).take(LOOK_AHEAD).find(suits)
        };
        let queue_classes = &self.serves[endpoint as usize];
        let has_room = |(_, priority): &(_, Priority)| self.has_room(now_ms, *priority, endpoint, in_flight);
        let ticket = Priority::ALL.into_iter().take_while(has_room).find_map(|(_, priority)| {
            queue_classes.iter().filter_map(|queue_class| first(queue_class, priority as usize)).min()
        })?;
        self.leave(ticket);
        Some(ticket)
    }

    /// Those who are to be decided on anew though nothing has ended at their targets, because windows widen, endpoints
    /// recover and others become better meanwhile: the first in turn of every queue class that an endpoint with room serves,
    /// given the requests in flight at each. They do not wait any more, so whoever finds no room would lose its turn to
    /// others meanwhile: where nothing has room, nobody looks.
    pub fn look_again(&mut self, now_ms: u64, in_flight: impl Fn(u32) -> f64) -> Vec<Ticket> {
        let mut again = Vec::new();
        if self.asks.is_empty() {
            return again;
        }
        let has_room = |e: &u32| self.has_room(now_ms, Priority::Interactive, *e, in_flight(*e));
        let open: BTreeSet<QueueClass> = (0..self.serves.len() as u32)
            .filter(has_room)
            .flat_map(|e| self.serves[e as usize].iter().copied())
            .collect();
        for queue_class in open {
            let queue_class = &self.queue_classes[queue_class as usize];
            let in_turn = (0..Priority::COUNT).flat_map(|p| queue_class.in_turn(p).take(LOOK_AHEAD));
            again.extend(in_turn.take(LOOK_AHEAD));
        }
        again.retain(|ticket| self.leave(*ticket));
        again
    }

    /// A request ended having been served `cost` in truth: what was charged for it is corrected.
    pub fn settle(&mut self, ask: &AdmissionRequest, cost: f64) {
        self.queue_of(ask).charge(ask.from, cost - ask.cost, ask.weight);
    }
}

/// How long a request may wait in an engine that may wait there for a share of its objective, ms. A prompt's own time is
/// always let wait before it, so that engines do not run dry.
fn start_ms(share: f64, ask: &AdmissionRequest, c: &Candidate) -> f64 {
    (share * ask.slo_ms).min(START_MS_MAX).max(c.prefill_ms)
}

/// The same beside others who come first, of this objective.
fn beside_ms(slo_ms: f64, c: &Candidate) -> f64 {
    (START_BESIDE * slo_ms).min(START_MS_MAX).max(START_BESIDE_PREFILL * c.prefill_ms)
}

/// Share of the objective that may be spent waiting in an engine: a burst is taken in, and what comes after it still has
/// time to go elsewhere.
const START: f64 = 0.4;

/// The same in overload: queues are kept where they can be jumped, and sent away before anything is spent on them.
const START_OVERLOAD: f64 = 0.1;

/// The same where others come first: of their objective, where they are more urgent, and of its own where they are within
/// their share; or else of the time that its own prompt takes. Whoever comes first finds next to nothing before
/// it.
const START_BESIDE: f64 = 0.015;
const START_BESIDE_PREFILL: f64 = 0.1;

/// No engine does more for having more before it than this, ms.
const START_MS_MAX: f64 = 1_000.0;

mod preempt;
mod queue_classes;
#[cfg(test)]
mod tests;
mod waiting;
