//! Whether an endpoint is confirmed unhealthy.

/// Failures in a row that confirm illness. One may be chance, and every failed request is retried elsewhere anyway.
pub const FAILURES_TO_ILL: u32 = 3;

/// First rest of an unhealthy endpoint.
pub const REST_MS_MIN: u64 = 1_000;

/// Longest rest: an endpoint is never excluded for ever.
pub const REST_MS_MAX: u64 = 30_000;

/// Counts failures in a row; at [`FAILURES_TO_ILL`] the endpoint rests, each time twice as long. After its rest it may
/// be tried again, and the first failure sends it back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    failures: u32,
    rests: u32,
    rest_until_ms: u64,
}

impl Health {
    /// A request or a probe failed in a way that says the endpoint is broken, not that it is busy.
    pub fn failed(&mut self, now_ms: u64) {
        if self.is_unhealthy(now_ms) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_TO_ILL {
            self.condemn(now_ms);
        }
    }

    /// It is unhealthy beyond doubt: it rests at once.
    pub fn condemn(&mut self, now_ms: u64) {
        if !self.is_unhealthy(now_ms) {
            let rest = REST_MS_MIN.checked_shl(self.rests.min(16)).unwrap_or(REST_MS_MAX).min(REST_MS_MAX);
            self.rest_until_ms = now_ms + rest;
            self.rests = self.rests.saturating_add(1);
            // One more failure after the rest is enough.
            self.failures = FAILURES_TO_ILL - 1;
        }
    }

    /// It answered as it should.
    pub fn succeeded(&mut self, now_ms: u64) {
        // An answer that was under way when it became unhealthy proves nothing.
        if !self.is_unhealthy(now_ms) {
            *self = Self::default();
        }
    }

    /// It is well beyond doubt: nothing that was held against it counts any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// It rests.
    pub fn is_unhealthy(&self, now_ms: u64) -> bool {
        now_ms < self.rest_until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_a_rest() {
        let mut h = Health::default();
        h.failed(0);
        h.failed(0);
        h.succeeded(1);
        h.failed(2);
        h.failed(2);
        assert!(!h.is_unhealthy(2));
        h.failed(2);
        assert!(h.is_unhealthy(2) && h.is_unhealthy(1_001) && !h.is_unhealthy(1_002));
    }

    #[test]
    fn rests_double_up_to_a_bound_and_success_resets_them() {
        let mut h = Health::default();
        let mut now = 0;
        for want in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            while !h.is_unhealthy(now) {
                h.failed(now);
            }
            h.failed(now);
            h.succeeded(now);
            assert!(h.is_unhealthy(now + want - 1) && !h.is_unhealthy(now + want), "{want}");
            now += want;
        }
        h.succeeded(now);
        h.failed(now);
        assert!(!h.is_unhealthy(now));
    }

    #[test]
    fn after_a_rest_one_failure_is_enough() {
        let mut h = Health::default();
        (0..3).for_each(|_| h.failed(0));
        h.failed(1_000);
        assert!(h.is_unhealthy(1_000));
    }

    #[test]
    fn a_hundred_rests_do_not_overflow() {
        let mut h = Health::default();
        let mut now = 0;
        for _ in 0..300 {
            h.failed(now);
            now += REST_MS_MAX;
        }
        assert!(!h.is_unhealthy(now));
    }
}
