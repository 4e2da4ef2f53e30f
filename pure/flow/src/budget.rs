//! How many retries a service may be burdened with.

/// Retries allowed in proportion to first attempts, so that a service that is busy is not also overrun: each first
/// attempt earns a share of a retry, and a few a minute are free, so that rare requests have theirs.
///
/// An answer that says "busy" takes a retry out. An error that may be the request's takes one out for each retry of a
/// request that nobody serves in the end: while others serve what one fails, however many requests that is, they are tried
/// elsewhere, and where everything fails, tries do not add up. The requests that a site takes with it when it dies or falls silent are
/// always tried elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    balance: f64,
    at_ms: u64,
}

/// Retries that a first attempt earns: with the first attempts themselves, upstream load stays within 1.2 times what is
/// offered.
const EARNED: f64 = 0.2;

/// Most retries saved up.
const SAVED_MAX: f64 = 20.0;

/// Retries a second that are free.
const FREE_PER_S: f64 = 0.2;

impl Default for RetryBudget {
    fn default() -> Self {
        Self { balance: SAVED_MAX, at_ms: 0 }
    }
}

impl RetryBudget {
    /// A request is tried for the first time.
    pub fn first(&mut self) {
        self.balance = (self.balance + EARNED).min(SAVED_MAX);
    }

    /// There is a retry.
    pub fn allows(&mut self, now_ms: u64) -> bool {
        let free = now_ms.saturating_sub(self.at_ms) as f64 / 1e3 * FREE_PER_S;
        self.at_ms = self.at_ms.max(now_ms);
        self.balance = (self.balance + free).min(SAVED_MAX);
        self.balance >= 1.0
    }

    /// Takes retries out that were allowed and came to nothing. Of several requests at a time each may have been allowed the
    /// same one, so that the balance may fall below zero.
    pub fn in_vain(&mut self, retries: u32) {
        self.balance = (self.balance - f64::from(retries)).max(-SAVED_MAX);
    }

    /// Takes a retry out, if there is one.
    pub fn retry(&mut self, now_ms: u64) -> bool {
        let granted = self.allows(now_ms);
        if granted {
            self.in_vain(1);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retries granted when so many requests a second all fail, in a minute after the first.
    fn granted(per_s: u64) -> (u64, u64) {
        let mut budget = RetryBudget::default();
        let (mut first, mut retries) = (0, 0);
        for ms in (0..120_000).step_by((1_000 / per_s) as usize) {
            budget.first();
            let granted = u64::from(budget.retry(ms));
            if ms >= 60_000 {
                first += 1;
                retries += granted;
            }
        }
        (first, retries)
    }

    #[test]
    fn when_everything_fails_retries_stay_a_share_of_the_requests() {
        let (first, retries) = granted(100);
        assert!((0.2..=0.205).contains(&(retries as f64 / first as f64)), "{retries} of {first}");
    }

    #[test]
    fn requests_that_are_allowed_the_same_retry_at_the_same_time_pay_for_it_later() {
        let mut budget = RetryBudget::default();
        let mut retries = 0;
        for round in 0..1_000 {
            let allowed = (0..10).filter(|_| {
                budget.first();
                budget.allows(round)
            });
            let allowed = allowed.count() as u32;
            (0..allowed).for_each(|_| budget.in_vain(2));
            retries += 2 * allowed;
        }
        assert!((1_900..=2_050).contains(&retries), "{retries} retries of 10,000 requests");
    }

    #[test]
    fn a_failure_now_and_then_is_always_retried() {
        let mut budget = RetryBudget::default();
        for i in 0..10_000 {
            budget.first();
            assert!(i % 10 != 0 || budget.retry(i * 10));
        }
    }

    #[test]
    fn rare_requests_have_their_retries_and_none_are_saved_up_for_ever() {
        let mut budget = RetryBudget::default();
        (0..20).for_each(|_| assert!(budget.retry(0)));
        assert!(!budget.retry(0) && !budget.retry(4_000));
        assert!(budget.retry(9_000));
        (0..20).for_each(|_| assert!(budget.retry(100_000_000)));
        assert!(!budget.retry(100_000_000));
    }
}
