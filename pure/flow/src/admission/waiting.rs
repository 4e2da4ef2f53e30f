//! The requests that wait for the same, and what is known of how they are served.

use alloc::collections::BTreeMap;

use rhumb_grid::config::Priority;

use super::{AdmissionRequest, START_OVERLOAD};
use crate::demand::Demand;
use crate::fair::{FairQueue, Ticket};
use crate::rate::Rate;

/// Requests of one queue class that wait, by priority.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    queues: [FairQueue; Priority::COUNT],
    dispatched: Rate<DISPATCHED_MS>,
    demand: [Demand; Priority::COUNT],
    /// By priority and tenant, how long those who went lately had waited, ms. That others wait long, because they are
    /// less urgent or ask for more than their share, is no overload to those who do not.
    pub(super) waited_ms: BTreeMap<(Priority, u32), f64>,
    /// By priority, when one came last and its objective, ms.
    came: [Option<(u64, f64)>; Priority::COUNT],
}

/// Whatever is predicted, a standing queue leaves this share of the objective to wait in.
const LEAST_WAIT_SHARE: f64 = 0.1;

/// Who cannot wait has come lately if it was within so long.
const URGENT_MS: u64 = 10_000;

/// Those that went in the last so long tell how fast others go, ms.
const DISPATCHED_MS: u32 = 5_000;

/// Mean wait, as a share of the objective, above which a queue is overload.
const OVERLOAD: f64 = 0.1;

/// The same for a tenant within its share.
const OVERLOAD_ANYHOW: f64 = 0.5;

/// The least such mean wait, ms: an engine's step or two are no overload, however strict the objective.
const OVERLOAD_MS_MIN: f64 = 60.0;

/// Share of the last request in the mean wait: the last fifty or so count.
const WAITED_SHARE: f64 = 0.02;

impl Waiting {
    /// The queue of a priority.
    pub(super) fn queue(&self, priority: Priority) -> &FairQueue {
        &self.queues[priority as usize]
    }

    /// The same, to change it.
    pub(super) fn queue_mut(&mut self, priority: Priority) -> &mut FairQueue {
        &mut self.queues[priority as usize]
    }

    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(FairQueue::is_empty)
    }

    /// Nobody waits who is as urgent as this, or more so.
    pub(super) fn is_empty_before(&self, priority: Priority) -> bool {
        self.queues[..=priority as usize].iter().all(FairQueue::is_empty)
    }

    /// The strictest objective of requests more urgent than this that have come lately, ms.
    pub(super) fn urgent_ms(&self, now_ms: u64, priority: Priority) -> Option<f64> {
        let lately = |(at, slo_ms): (u64, f64)| (now_ms.saturating_sub(at) < URGENT_MS).then_some(slo_ms);
        self.came[..priority as usize].iter().filter_map(|came| came.and_then(lately)).reduce(f64::min)
    }

    /// A request has come.
    pub(super) fn came(&mut self, now_ms: u64, ask: &AdmissionRequest) {
        self.came[ask.priority as usize] = Some((now_ms, ask.slo_ms));
        self.demand[ask.priority as usize].asked(now_ms, ask.from.tenant, ask.cost, ask.weight);
    }

    /// Those that wait, in turn: first those of tenants within their share. There is enough for all of these, so that
    /// whoever asks for more is the only one to wait for it.
    pub(super) fn in_turn(&self, priority: usize) -> impl Iterator<Item = Ticket> + '_ {
        let is_within = move |tenant| self.demand[priority].is_within(tenant);
        let queue = &self.queues[priority];
        queue.in_turn(is_within).chain(queue.in_turn(move |t| !is_within(t)))
    }

    /// Those that would be served before a request that came now.
    fn ahead(&self, ask: &AdmissionRequest) -> usize {
        let own = ask.priority as usize;
        let urgent: usize = self.queues[..own].iter().map(FairQueue::len).sum();
        let is_within = |tenant| self.demand[own].is_within(tenant);
        let is_own_within = is_within(ask.from.tenant);
        let first = if is_own_within { 0 } else { self.queues[own].len_of(is_within) };
        let like = |t| is_within(t) == is_own_within;
        urgent + first + self.queues[own].ahead_of(ask.from.tenant, ask.cost, ask.weight, like)
    }

    /// How long a request that came now would wait, ms; 0 where nothing is known: where none has gone lately, as at
    /// engines of few places with long answers, the next may go at any moment.
    pub(super) fn expected_ms(&self, now_ms: u64, ask: &AdmissionRequest) -> f64 {
        if self.dispatched.sum(now_ms) < 1.0 {
            return 0.0;
        }
        (self.ahead(ask) + 1) as f64 / self.dispatched.per_s(now_ms) * 1e3
    }

    /// How much it has to leave to tenants within their share, if its own asks for more: 0 to 1.
    pub(super) fn yields(&self, ask: &AdmissionRequest) -> f64 {
        self.demand[ask.priority as usize].yields(ask.from.tenant)
    }

    /// Its like that went lately have waited for much of the objective: this is no burst but overload, until waits are
    /// short again. There is none for a tenant within its share, unless it waits as long all the same: it
    /// may be allowed in few places, which have less than its share of everything.
    pub(super) fn is_overload(&self, ask: &AdmissionRequest) -> bool {
        let waited_ms = self.waited_ms.get(&(ask.priority, ask.from.tenant)).copied().unwrap_or(0.0);
        let is_within = || self.demand[ask.priority as usize].is_within(ask.from.tenant);
        waited_ms > (OVERLOAD * ask.slo_ms).max(OVERLOAD_MS_MIN)
            && (waited_ms > OVERLOAD_ANYHOW * ask.slo_ms || !is_within())
    }

    /// How long a request may wait. A burst may use all of its patience. In overload whoever waits longer than the
    /// objective allows only misses it, and makes the next one miss it too.
    pub(super) fn bound_ms(&self, ask: &AdmissionRequest, ttft_ms: f64) -> f64 {
        if !self.is_overload(ask) {
            return ask.wait_max_ms;
        }
        let left_ms = (1.0 - START_OVERLOAD) * ask.slo_ms - ttft_ms;
        left_ms.max(LEAST_WAIT_SHARE * ask.slo_ms).min(ask.wait_max_ms)
    }

    /// A request goes, having waited so long.
    pub(super) fn dispatch(&mut self, now_ms: u64, ask: &AdmissionRequest, waited_ms: f64) {
        self.dispatched.add(now_ms, 1.0);
        self.demand[ask.priority as usize].served(now_ms, ask.cost);
        let mean_ms = self.waited_ms.entry((ask.priority, ask.from.tenant)).or_insert(0.0);
        *mean_ms += WAITED_SHARE * (waited_ms - *mean_ms);
    }
}
