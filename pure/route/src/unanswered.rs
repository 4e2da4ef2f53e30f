//! What an endpoint has been sent and has not begun to answer, and for how long it has kept all of it waiting.
//!
//! A prompt of a hundred thousand tokens keeps an engine busy for half a minute, and whatever comes behind it waits. Its
//! reports do not tell: one more request runs there. Whoever has a request behind it can tell, as soon as that is late.

use alloc::collections::BTreeSet;

/// Requests sent to one endpoint whose first content has not come.
#[derive(Debug, Clone, Default)]
pub struct Unanswered {
    /// By when each was to begin, with its number.
    due: BTreeSet<Due>,
    sent: u64,
    /// When an answer last began.
    began_ms: u64,
}

/// One request among those sent to an endpoint: when it was to begin, by the caller's clock, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    at_ms: u64,
    number: u64,
}

impl Unanswered {
    /// A request leaves at `now_ms` and is to begin after so long.
    pub fn sent(&mut self, now_ms: u64, predicted_ms: f64) -> Due {
        self.sent += 1;
        let due = Due { at_ms: now_ms.saturating_add(predicted_ms as u64), number: self.sent };
        self.due.insert(due);
        due
    }

    /// Its answer begins.
    pub fn began(&mut self, due: Due, now_ms: u64) {
        self.over(due);
        self.began_ms = now_ms;
    }

    /// It is not waited for any more.
    pub fn over(&mut self, due: Due) {
        self.due.remove(&due);
    }

    /// For how long a request has been late there while no other began: the one that is late the longest, or since an
    /// answer last began. One that is lost among others that are answered says nothing.
    #[must_use]
    pub fn stalled_ms(&self, now_ms: u64) -> f64 {
        self.due.first().map_or(0.0, |first| now_ms.saturating_sub(first.at_ms.max(self.began_ms)) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_stalled_for_as_long_as_its_latest_is_late_and_none_began() {
        let mut endpoint = Unanswered::default();
        assert_eq!(endpoint.stalled_ms(1_000), 0.0);
        let (a, b) = (endpoint.sent(1_000, 200.0), endpoint.sent(1_100, 300.0));
        assert_eq!((endpoint.stalled_ms(1_150), endpoint.stalled_ms(1_250)), (0.0, 50.0));
        endpoint.began(b, 1_500);
        assert_eq!((endpoint.stalled_ms(1_500), endpoint.stalled_ms(1_600)), (0.0, 100.0));
        endpoint.over(a);
        endpoint.over(a);
        assert_eq!(endpoint.stalled_ms(9_000), 0.0);
    }

    #[test]
    fn what_was_to_begin_at_once_is_late_at_once() {
        let mut endpoint = Unanswered::default();
        endpoint.sent(10, f64::NAN);
        endpoint.sent(10, -5.0);
        assert_eq!(endpoint.stalled_ms(15), 5.0);
        endpoint.sent(20, f64::INFINITY);
        assert_eq!(endpoint.stalled_ms(25), 15.0);
    }
}
