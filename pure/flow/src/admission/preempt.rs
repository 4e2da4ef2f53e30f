//! Batch work that is under way gives way to whoever waits for the first token, as long as it has not begun itself.
//!
//! A prompt of a hundred thousand tokens that was let in while nobody else was there keeps an engine busy for half a
//! minute. Cancelled before its first byte nobody has seen anything of it, and it can be sent again: what is lost is what
//! was computed of it. So it is not taken back when half of that is done, and by its sender at most as often as it may be
//! tried. Requests of the standard class are not taken back: theirs is a person's wait too.

use rhumb_grid::config::Priority;

use super::{Admission, Ask, Candidate};

/// A batch request at an endpoint that has not begun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unbegun {
    /// Its number, which nobody else has.
    pub number: u64,
    /// By how much others begin later for it, ms; 0 where its prompt is no part of their queue.
    pub delays_ms: f64,
    /// Until when it may be taken back, by the caller's clock.
    pub until_ms: u64,
}

impl Unbegun {
    /// A request that is sent now, is to begin after `begins_ms`, and whose prompt takes `prompt_ms` of that.
    #[must_use]
    pub fn sent(number: u64, now_ms: u64, begins_ms: f64, prompt_ms: f64, delays_ms: f64) -> Self {
        Self { number, delays_ms, until_ms: now_ms.saturating_add((begins_ms - prompt_ms / 2.0) as u64) }
    }
}

/// A request that is to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preempted {
    /// Where it is.
    pub endpoint: u32,
    /// Its number.
    pub number: u64,
}

impl Admission {
    /// A batch request is sent to an endpoint and may be taken back from there.
    pub fn may_preempt(&mut self, endpoint: u32, unbegun: Unbegun) {
        self.unbegun[endpoint as usize].push(unbegun);
    }

    /// It has begun, or is over.
    pub fn begun(&mut self, endpoint: u32, number: u64) {
        self.unbegun[endpoint as usize].retain(|u| u.number != number);
    }

    /// The request without which the best candidate that batch work keeps busy would take this one at once. Of several
    /// the one that delays others longest.
    pub(super) fn preempted(
        &self,
        now_ms: u64,
        ask: &Ask,
        mut candidates: impl Iterator<Item = Candidate>,
    ) -> Option<Preempted> {
        if ask.priority == Priority::Batch {
            return None;
        }
        candidates.find_map(|c| {
            let would_do = |u: &&Unbegun| now_ms < u.until_ms && self.would_do(now_ms, ask, &without(c, u));
            let unbegun = self.unbegun[c.endpoint as usize].iter().filter(would_do);
            let longest = unbegun.max_by(|a, b| a.delays_ms.total_cmp(&b.delays_ms))?;
            Some(Preempted { endpoint: c.endpoint, number: longest.number })
        })
    }

    fn would_do(&self, now_ms: u64, ask: &Ask, c: &Candidate) -> bool {
        self.has_room(now_ms, ask.priority, c.endpoint, c.in_flight) && !self.is_late_start(now_ms, ask, c)
    }
}

/// A candidate as it would be had one request not been sent there.
fn without(c: Candidate, unbegun: &Unbegun) -> Candidate {
    Candidate {
        in_flight: c.in_flight - 1.0,
        queue_ms: (c.queue_ms - unbegun.delays_ms).max(0.0),
        crowd_ms: (c.crowd_ms - unbegun.delays_ms).max(0.0),
        ..c
    }
}
