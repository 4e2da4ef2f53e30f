//! What an endpoint has been sent and has not begun to answer, and for how long it has kept all of it waiting.
//!
//! A prompt of a hundred thousand tokens keeps an engine busy for half a minute, and whatever comes behind it waits. Its
//! reports do not tell: one more request runs there. Whoever has a request behind it can tell, as soon as that is late.

use alloc::collections::BTreeSet;

/// Requests sent to one endpoint whose first content has not come.
#[derive(Debug, Clone, Default)]
pub struct PendingFirstTokens {
    /// By when each was to begin, with its number.
    due: BTreeSet<PendingFirstToken>,
    sent: u64,
    /// When a request was last sent.
    sent_ms: u64,
    /// When an answer last began.
    began_ms: u64,
}

/// What has stalled is tried again once nothing has been sent there for so long, ms, and for half as long as it has stalled:
/// one request that is lost must not keep all others away, and a long prompt meets few.
const LEFT_ALONE_MS: u64 = 1_000;

/// One request among those sent to an endpoint: when it was to begin, by the caller's clock, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingFirstToken {
    at_ms: u64,
    number: u64,
}

impl PendingFirstTokens {
    /// A request leaves at `now_ms` and is to begin after so long.
    pub fn sent(&mut self, now_ms: u64, predicted_ms: f64) -> PendingFirstToken {
        self.sent += 1;
        self.sent_ms = now_ms;
        let due = PendingFirstToken { at_ms: now_ms.saturating_add(predicted_ms as u64), number: self.sent };
        self.due.insert(due);
        due
    }

    /// An answer begins, of a request that was waited for or of one whose beginning does not show.
    pub fn began(&mut self, now_ms: u64) {
        self.began_ms = now_ms;
    }

    /// A request is not waited for any more.
    pub fn over(&mut self, due: PendingFirstToken) {
        self.due.remove(&due);
    }

    /// For how long a request has been late there while no other began: the one that is late the longest, or since an
    /// answer last began. One that is lost among others that are answered says nothing, and none says anything of an
    /// endpoint that has been left alone.
    #[must_use]
    pub fn stalled_ms(&self, now_ms: u64) -> f64 {
        let Some(first) = self.due.first() else { return 0.0 };
        let late_ms = now_ms.saturating_sub(first.at_ms.max(self.began_ms));
        let is_left_alone = now_ms.saturating_sub(self.sent_ms) >= LEFT_ALONE_MS.max(late_ms / 2);
        if is_left_alone { 0.0 } else { late_ms as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_stalled_for_as_long_as_its_latest_is_late_and_none_began() {
        let mut endpoint = PendingFirstTokens::default();
        assert_eq!(endpoint.stalled_ms(1_000), 0.0);
        let (a, b) = (endpoint.sent(1_000, 200.0), endpoint.sent(1_100, 300.0));
        assert_eq!((endpoint.stalled_ms(1_150), endpoint.stalled_ms(1_250)), (0.0, 50.0));
        endpoint.over(b);
        endpoint.began(1_500);
        assert_eq!((endpoint.stalled_ms(1_500), endpoint.stalled_ms(1_600)), (0.0, 100.0));
        endpoint.over(a);
        endpoint.over(a);
        assert_eq!(endpoint.stalled_ms(9_000), 0.0);
    }

    #[test]
    fn one_that_is_lost_keeps_others_away_for_a_while_only() {
        let mut endpoint = PendingFirstTokens::default();
        endpoint.sent(1_000, 100.0);
        assert_eq!((endpoint.stalled_ms(1_900), endpoint.stalled_ms(2_000)), (800.0, 0.0), "left alone for a second");
        let tried = endpoint.sent(2_050, 100.0);
        assert_eq!(
            (endpoint.stalled_ms(2_100), endpoint.stalled_ms(3_100)),
            (1_000.0, 0.0),
            "as late, and tried again"
        );
        endpoint.over(tried);
        endpoint.began(2_150);
        assert_eq!((endpoint.stalled_ms(2_150), endpoint.stalled_ms(60_000)), (0.0, 0.0));
        let mut busy = PendingFirstTokens::default();
        busy.sent(0, 0.0);
        busy.sent(20_000, 0.0);
        assert_eq!((busy.stalled_ms(29_000), busy.stalled_ms(40_000)), (29_000.0, 0.0), "seldom where it is long");
    }

    #[test]
    fn what_was_to_begin_at_once_is_late_at_once() {
        let mut endpoint = PendingFirstTokens::default();
        endpoint.sent(10, f64::NAN);
        endpoint.sent(10, -5.0);
        assert_eq!(endpoint.stalled_ms(15), 5.0);
        endpoint.sent(20, f64::INFINITY);
        assert_eq!(endpoint.stalled_ms(25), 15.0);
    }
}
