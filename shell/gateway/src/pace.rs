//! How fast the tokens of one answer come, as far as it is the endpoint that is waited for.

use std::time::{Duration, Instant};

use rhumb_process::clock;

/// Pieces of content whose mean is one sample.
const SAMPLE_PIECES: u64 = 8;

/// A pause is reported while it lasts when it is so many times what a token was to take, and this long at least.
const PAUSE: f64 = 20.0;
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// What a slow client does not take, its endpoint may not send: only the time counts in which the endpoint could have
/// sent and did not.
pub(crate) struct Pace {
    since: Option<Instant>,
    waited: Duration,
    pieces: u64,
    /// A pause so long is a sample of its own.
    pub(crate) pause: Duration,
}

impl Pace {
    /// Of an answer whose tokens were to take `token_ms` each.
    pub(crate) fn new(token_ms: f64) -> Self {
        let pause = Duration::from_secs_f64((token_ms * PAUSE / 1e3).clamp(0.0, 3_600.0)).max(PAUSE_MIN);
        Self { since: None, waited: Duration::ZERO, pieces: 0, pause }
    }

    /// Nothing has come yet.
    pub(crate) fn waits(&mut self) {
        if self.since.is_none() {
            self.since = Some(clock::now());
        }
    }

    /// So many pieces of content came; the time that each took, ms, once there are enough.
    pub(crate) fn came(&mut self, now: Instant, pieces: u64) -> Option<f64> {
        if let Some(since) = self.since.take() {
            self.waited += now.duration_since(since);
        }
        self.pieces += pieces;
        if self.pieces < SAMPLE_PIECES {
            return None;
        }
        let each_ms = self.waited.as_secs_f64() * 1e3 / self.pieces as f64;
        (self.waited, self.pieces) = (Duration::ZERO, 0);
        Some(each_ms)
    }

    /// How long it is waited for a piece now, ms, if that is a pause.
    pub(crate) fn pauses(&self, now: Instant) -> Option<f64> {
        let waited = now.duration_since(self.since?);
        (waited >= self.pause).then_some(waited.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_pieces_are_a_sample_and_only_waiting_counts() {
        let mut pace = Pace::new(10.0);
        let start = clock::now();
        pace.since = Some(start);
        assert_eq!(pace.came(start + Duration::from_millis(80), 1), None);
        // Nobody waited for these.
        assert_eq!(pace.came(start + Duration::from_secs(60), 6), None);
        pace.since = Some(start);
        assert_eq!(pace.came(start + Duration::from_millis(80), 1), Some(20.0));
        assert_eq!(pace.came(start, 8), Some(0.0));
    }

    #[test]
    fn a_long_pause_is_a_sample_while_it_lasts() {
        let mut pace = Pace::new(200.0);
        let start = clock::now();
        assert_eq!(pace.pauses(start), None);
        pace.since = Some(start);
        assert_eq!(pace.pauses(start + Duration::from_millis(3_999)), None);
        assert_eq!(pace.pauses(start + Duration::from_secs(4)), Some(4_000.0));
        assert_eq!(Pace::new(0.1).pause, PAUSE_MIN);
    }
}
