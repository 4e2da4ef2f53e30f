//! How fast an endpoint that comes back is loaded.

/// Slow start of an endpoint that comes back, by prompt tokens a second: what a returning endpoint lacks is its prefix
/// cache, and prompts that are computed anew are what would bring it down again. The rate doubles until it is the whole
/// of what the endpoint can compute; from then on nothing is limited.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SlowStart(Option<Began>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Began {
    at_ms: u64,
    /// Prompt tokens that it computes in a second.
    full_per_s: f64,
    /// Share of the whole rate that it began with.
    share: f64,
    /// Tokens that may be sent; below zero after a long prompt, which is never cut in two.
    balance: f64,
    settled_ms: u64,
}

/// The rate doubles in so long, ms.
const DOUBLES_MS: f64 = 3_000.0;

/// The least and the largest share to begin with.
const SHARE: (f64, f64) = (1.0 / 16.0, 0.5);

/// So many seconds of the present rate may be saved up.
const SAVED_S: f64 = 1.0;

impl SlowStart {
    /// It is back at this moment, now or later, after so long: the longer it was away, the less of its cache is left. It
    /// computes `full_per_s` prompt tokens in a second.
    pub fn back(&mut self, at_ms: u64, away_ms: u64, full_per_s: f64) {
        let share = (1_000.0 / away_ms.max(1) as f64).clamp(SHARE.0, SHARE.1);
        let full_per_s = full_per_s.max(1.0);
        self.0 = Some(Began { at_ms, full_per_s, share, balance: 0.0, settled_ms: at_ms });
    }

    /// It is still limited.
    #[must_use]
    pub fn is_on(&self, now_ms: u64) -> bool {
        self.0.is_some_and(|b| b.share_at(now_ms) < 1.0)
    }

    /// One more prompt may be sent there.
    #[must_use]
    pub fn has_room(&self, now_ms: u64) -> bool {
        self.0.is_none_or(|b| now_ms >= b.at_ms && (b.share_at(now_ms) >= 1.0 || b.balance_at(now_ms) >= 0.0))
    }

    /// A prompt of so many tokens to be computed is sent there.
    pub fn sent(&mut self, now_ms: u64, tokens: f64) {
        if !self.is_on(now_ms) {
            self.0 = None;
        } else if let Some(began) = &mut self.0 {
            began.balance = began.balance_at(now_ms) - tokens.max(0.0);
            began.settled_ms = now_ms;
        }
    }
}

impl Began {
    fn share_at(&self, now_ms: u64) -> f64 {
        let doublings = now_ms.saturating_sub(self.at_ms) as f64 / DOUBLES_MS;
        (self.share * libm::exp2(doublings)).min(1.0)
    }

    fn balance_at(&self, now_ms: u64) -> f64 {
        let per_s = self.share_at(now_ms) * self.full_per_s;
        let earned = now_ms.saturating_sub(self.settled_ms) as f64 / 1e3 * per_s;
        (self.balance + earned).min(SAVED_S * per_s)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// Tokens sent in each second when prompts of so many tokens are always there.
    fn sent(ramp: &mut SlowStart, prompt: f64, seconds: u64) -> Vec<f64> {
        let mut by_second = vec![0.0; seconds as usize];
        for ms in 0..seconds * 1_000 {
            // An endpoint that is not limited takes what it can compute.
            while ramp.has_room(ms) && by_second[(ms / 1_000) as usize] < 10_000.0 {
                ramp.sent(ms, prompt);
                by_second[(ms / 1_000) as usize] += prompt;
            }
        }
        by_second
    }

    #[test]
    fn one_that_was_never_away_is_not_limited() {
        let mut ramp = SlowStart::default();
        assert!(sent(&mut ramp, 500.0, 3).iter().all(|t| *t >= 10_000.0));
        assert!(!ramp.is_on(0));
    }

    #[test]
    fn after_a_long_absence_it_begins_with_a_sixteenth_and_doubles() {
        let mut ramp = SlowStart::default();
        ramp.back(0, 60_000, 10_000.0);
        let by_second = sent(&mut ramp, 100.0, 15);
        assert!(by_second[0] <= 1_000.0, "{by_second:?}");
        assert!(by_second.windows(2).all(|w| w[1] >= 0.9 * w[0]), "{by_second:?}");
        assert!((1_000.0..2_500.0).contains(&by_second[4]), "{by_second:?}");
        assert!(by_second[13] >= 9_900.0, "{by_second:?}");
    }

    #[test]
    fn after_a_blink_it_begins_with_half() {
        let mut ramp = SlowStart::default();
        ramp.back(0, 500, 10_000.0);
        assert!(ramp.is_on(0) && ramp.is_on(2_999) && !ramp.is_on(3_000));
        ramp.sent(3_000, 1e9);
        assert!(ramp.has_room(3_000));
    }

    #[test]
    fn until_it_is_back_it_gets_nothing() {
        let mut ramp = SlowStart::default();
        ramp.back(1_000, 1_000, 10_000.0);
        assert!(ramp.is_on(0) && !ramp.has_room(0) && !ramp.has_room(999) && ramp.has_room(1_000));
    }

    #[test]
    fn a_prompt_longer_than_the_rate_goes_whole_and_is_paid_for() {
        let mut ramp = SlowStart::default();
        ramp.back(0, 60_000, 1_600.0);
        assert!(ramp.has_room(0));
        ramp.sent(0, 1_000.0);
        assert!(!ramp.has_room(100) && !ramp.has_room(3_000));
        assert!(ramp.has_room(9_000));
    }
}
