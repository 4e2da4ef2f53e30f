//! The addresses of a name: what was last found, and for how long that is worth having.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Addresses that were found, kept while they cannot be found again.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastGood {
    found: Option<(Arc<[IpAddr]>, Instant)>,
    /// Lookups in a row that found nothing.
    failures: u32,
}

/// Longest time that addresses are used while looking them up fails.
pub(crate) const KEPT: Duration = Duration::from_secs(3_600);

/// Records that ask not to be kept at all are kept for this long, and nothing is looked up more often.
const AGAIN_MIN: Duration = Duration::from_secs(1);

/// Longest time until a name that was found is looked up again.
const AGAIN_MAX: Duration = Duration::from_secs(3_600);

/// Longest time until a name that was not found is.
const FAILED_AGAIN_MAX: Duration = Duration::from_secs(30);

impl LastGood {
    /// The name has these addresses for so long. When to look again.
    pub(crate) fn found(&mut self, now: Instant, addresses: Arc<[IpAddr]>, for_time: Duration) -> Duration {
        (self.found, self.failures) = (Some((addresses, now)), 0);
        for_time.clamp(AGAIN_MIN, AGAIN_MAX)
    }

    /// A lookup found nothing, whether the name is said not to exist or nobody answered: an outage of the name service
    /// looks like either. When to look again.
    pub(crate) fn failed(&mut self) -> Duration {
        let wait = AGAIN_MIN.saturating_mul(1 << self.failures.min(16)).min(FAILED_AGAIN_MAX);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// The first failure after a success, or at all.
    pub(crate) fn has_just_failed(&self) -> bool {
        self.failures == 1
    }

    /// What may be connected to.
    pub(crate) fn usable(&self, now: Instant) -> Option<Arc<[IpAddr]>> {
        let (addresses, at) = self.found.as_ref()?;
        let is_kept = self.failures == 0 || now.saturating_duration_since(*at) < KEPT;
        is_kept.then(|| Arc::clone(addresses))
    }
}

#[cfg(test)]
mod tests {
    use rhumb_process::clock;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn one(last: u8) -> Arc<[IpAddr]> {
        [IpAddr::from([10, 0, 0, last])].into()
    }

    #[test]
    fn what_was_found_outlives_failures_for_an_hour_and_no_longer() {
        let (mut names, start) = (LastGood::default(), clock::now());
        assert_eq!(names.usable(start), None);
        names.found(start, one(1), S);
        names.failed();
        assert_eq!(names.usable(start + KEPT - S), Some(one(1)));
        assert_eq!(names.usable(start + KEPT), None);
        names.found(start + KEPT, one(2), S);
        assert_eq!(names.usable(start + KEPT), Some(one(2)), "what was found last, at once");
    }

    #[test]
    fn a_name_is_looked_up_as_its_record_says_and_within_bounds() {
        let (mut names, now) = (LastGood::default(), clock::now());
        let next = [0, 1, 60, 86_400].map(|ttl| names.found(now, one(1), S * ttl));
        assert_eq!(next, [S, S, S * 60, S * 3_600]);
    }

    #[test]
    fn failures_are_looked_at_ever_less_often_and_never_given_up() {
        let mut names = LastGood::default();
        let next: Vec<u64> = (0..8).map(|_| names.failed().as_secs()).collect();
        assert_eq!(next, [1, 2, 4, 8, 16, 30, 30, 30]);
        (0..100).for_each(|_| assert_eq!(names.failed(), S * if names.failures == 0 { 1 } else { 30 }));
        names.found(clock::now(), one(1), S);
        assert_eq!(names.failed(), S);
        assert!(names.has_just_failed());
    }
}
