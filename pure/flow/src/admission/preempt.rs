//! Batch work that is under way is preempted by whoever waits for the first token, as long as it has not begun itself.
//!
//! A prompt of a hundred thousand tokens that was let in while nobody else was there keeps an engine busy for half a
//! minute. Cancelled before its first byte nobody has seen anything of it, and it can be sent again: what is lost is what
//! was computed of it. So it is not taken back when half of that is to be done by now. Requests of the standard class are
//! not taken back: theirs is a person's wait too.

use rhumb_grid::config::Priority;

use super::{Admission, AdmissionRequest, Candidate};

/// What is expected of a batch request that is sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// It begins after so long, ms.
    pub begins_ms: f64,
    /// Its prefill takes so much of that, ms.
    pub prefill_ms: f64,
    /// Others there begin so much later for it, ms; 0 where its prompt is no part of their queue.
    pub delays_ms: f64,
}

/// A batch request at an endpoint that has not begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unbegun {
    number: u64,
    delays_ms: f64,
    /// Until when it may be taken back, by the caller's clock.
    until_ms: u64,
}

/// A request that is to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preempted {
    /// Where it is.
    pub endpoint: u32,
    /// Its number.
    pub number: u64,
}

/// Whoever would not wait so long would be gone before the place is free, ms.
const LEAST_BOUND_MS: f64 = 50.0;

impl Admission {
    /// A batch request is sent to an endpoint and may be taken back from there: its number, which nobody else has.
    pub fn preemptible(&mut self, now_ms: u64, endpoint: u32, expected: &Expected) -> u64 {
        self.numbers += 1;
        let Expected { begins_ms, prefill_ms, delays_ms } = *expected;
        let until_ms = now_ms.saturating_add((begins_ms - prefill_ms / 2.0) as u64);
        let here = &mut self.unbegun[endpoint as usize];
        here.retain(|u| now_ms < u.until_ms);
        here.push(Unbegun { number: self.numbers, delays_ms, until_ms });
        self.numbers
    }

    /// It has begun, or is over.
    pub fn begun(&mut self, endpoint: u32, number: u64) {
        self.unbegun[endpoint as usize].retain(|u| u.number != number);
    }

    /// The request without which this one, which may wait so long, would go at once to where that is: of the best candidate
    /// for which there is one, that which delays others longest.
    pub(super) fn preempted(
        &self,
        now_ms: u64,
        ask: &AdmissionRequest,
        bound_ms: f64,
        candidates: impl Iterator<Item = Candidate> + Clone,
    ) -> Option<Preempted> {
        if ask.priority == Priority::Batch || bound_ms < LEAST_BOUND_MS {
            return None;
        }
        candidates.clone().enumerate().find_map(|(i, c)| {
            let unbegun = self.unbegun[c.endpoint as usize].iter().filter(|u| now_ms < u.until_ms);
            let longest = unbegun.max_by(|a, b| a.delays_ms.total_cmp(&b.delays_ms))?;
            let freed = candidates.clone().enumerate().map(|(k, c)| if k == i { without(c, longest) } else { c });
            let goes_there = self.with_room(now_ms, ask, freed).is_ok_and(|(k, _)| k == i);
            goes_there.then_some(Preempted { endpoint: c.endpoint, number: longest.number })
        })
    }
}

/// A candidate as it would be had one request not been sent there.
fn without(c: Candidate, unbegun: &Unbegun) -> Candidate {
    // Of what others may have sent, which goes by what this gateway has there, as much more goes with it.
    let crowd_share = if c.queue_ms > 0.0 { (c.crowd_ms / c.queue_ms).max(1.0) } else { 1.0 };
    Candidate {
        in_flight: c.in_flight - 1.0,
        queue_ms: (c.queue_ms - unbegun.delays_ms).max(0.0),
        crowd_ms: (c.crowd_ms - unbegun.delays_ms * crowd_share).max(0.0),
        ..c
    }
}
