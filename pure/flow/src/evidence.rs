//! Whether the failures charged to an endpoint are its own, or those of one client.
//!
//! Evidence counts requests, not attempts, and starts anew with every request that the endpoint answers. While an
//! endpoint answers others, a few failures of one tenant or of one request are that tenant's or that request's trouble.

/// A request, as evidence knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Source {
    /// Number of its tenant.
    pub tenant: u32,
    /// Hash of what it says.
    pub request: u64,
}

/// Failures in a row that confirm illness. One may be chance, and every failed request is tried elsewhere anyway.
pub const FAILURES: u32 = 3;

/// Failures in a row of one tenant that confirm it although others are answered.
pub const FAILURES_BESIDE_ANSWERS: u32 = 10;

/// An answer speaks for an endpoint for so long, ms.
const ANSWER_COUNTS_MS: u64 = 5_000;

/// An endpoint that has answered within this time serves others, ms.
const PROVEN_MS: u64 = 60_000;

/// Failures in a row, and the last answer before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    failures: u32,
    first: Source,
    many_tenants: bool,
    many_requests: bool,
    answered: Option<(u64, Source)>,
}

impl Evidence {
    /// A request failed there that was not at fault. True when that confirms that the endpoint is unhealthy.
    pub fn failed(&mut self, now_ms: u64, source: Source) -> bool {
        if self.failures == 0 {
            (self.first, self.many_tenants, self.many_requests) = (source, false, false);
        }
        self.failures = self.failures.saturating_add(1);
        self.many_tenants |= source.tenant != self.first.tenant;
        self.many_requests |= source.request != self.first.request;
        self.failures >= FAILURES && !self.is_one_clients(now_ms)
    }

    /// The failures may be the doing of one client, since others are answered.
    fn is_one_clients(&self, now_ms: u64) -> bool {
        let Some((_, other)) = self.answered.filter(|(at, _)| now_ms.saturating_sub(*at) < ANSWER_COUNTS_MS) else {
            return false;
        };
        if self.many_tenants {
            return false;
        }
        let is_same = other.tenant == self.first.tenant && (self.many_requests || other.request == self.first.request);
        self.failures < FAILURES_BESIDE_ANSWERS || !is_same
    }

    /// The failures are those of several tenants, or so many that one alone would not explain them.
    #[must_use]
    pub fn is_of_many(&self) -> bool {
        self.many_tenants || self.failures >= FAILURES_BESIDE_ANSWERS
    }

    /// It answered a request.
    pub fn answered(&mut self, now_ms: u64, source: Source) {
        *self = Self { answered: Some((now_ms, source)), ..Self::default() };
    }

    /// It has been found unhealthy: after its rest one more failure is enough.
    pub fn confirmed(&mut self) {
        (self.failures, self.answered) = (FAILURES - 1, None);
    }

    /// It has answered within so long.
    #[must_use]
    pub fn has_answered(&self, now_ms: u64, within_ms: u64) -> bool {
        self.answered.is_some_and(|(at, _)| now_ms.saturating_sub(at) < within_ms)
    }

    /// It serves others: it has answered lately, and has failed nobody since.
    #[must_use]
    pub fn is_proven(&self, now_ms: u64) -> bool {
        self.failures == 0 && self.has_answered(now_ms, PROVEN_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(tenant: u32, request: u64) -> Source {
        Source { tenant, request }
    }

    #[test]
    fn three_failures_in_a_row_are_enough_where_nobody_is_answered() {
        let mut e = Evidence::default();
        assert!(!e.failed(0, source(1, 1)) && !e.failed(1, source(1, 1)) && e.failed(2, source(1, 1)));
        let mut e = Evidence::default();
        e.answered(0, source(1, 7));
        assert!(!e.failed(6_000, source(1, 1)) && !e.failed(6_001, source(1, 1)) && e.failed(6_002, source(1, 1)));
    }

    #[test]
    fn an_answer_starts_the_count_anew() {
        let mut e = Evidence::default();
        for ms in 0..100 {
            assert!(!e.failed(ms, source(1, ms)) && !e.failed(ms, source(2, ms)));
            e.answered(ms, source(3, 0));
        }
    }

    #[test]
    fn a2_one_tenant_alone_does_not_make_an_endpoint_ill_that_answers_others() {
        let mut e = Evidence::default();
        e.answered(0, source(2, 0));
        assert!((0..1_000).all(|i| !e.failed(i, source(1, i))));
        assert!(e.failed(1_000, source(3, 0)), "a second tenant is evidence");
    }

    #[test]
    fn without_tenants_it_takes_ten_and_of_one_request_alone_none_is_enough() {
        let mut e = Evidence::default();
        e.answered(0, source(0, 99));
        assert!((0..9).all(|i| !e.failed(i, source(0, i))));
        assert!(e.failed(20, source(0, 20)));
        let mut e = Evidence::default();
        e.answered(0, source(0, 99));
        assert!((0..1_000).all(|i| !e.failed(i, source(0, 7))));
        e.answered(2_000, source(0, 7));
        assert!((0..9).all(|_| !e.failed(2_001, source(0, 7))));
        assert!(e.failed(2_001, source(0, 7)), "it has answered just this before");
    }

    #[test]
    fn after_a_rest_one_failure_is_enough_and_an_answer_proves() {
        let mut e = Evidence::default();
        e.confirmed();
        assert!(e.failed(0, source(1, 1)));
        e.answered(1, source(1, 1));
        assert!(e.is_proven(2) && !e.is_proven(60_001));
        e.failed(3, source(1, 1));
        assert!(!e.is_proven(4) && e.has_answered(4, 5));
    }
}
