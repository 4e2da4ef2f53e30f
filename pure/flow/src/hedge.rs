//! When a second target is asked although the first has not failed.

/// How far first tokens come later than predicted, and how many second tries that may cost (Dean and Barroso, "The
/// Tail at Scale", CACM 2013: a second request after the 95th percentile of the latency, for a few per cent of load).
///
/// What is learnt is the ratio of observed to predicted, so that a long prompt is not taken for a slow endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedging {
    quantile: f64,
    balance: f64,
}

/// The share of requests that begin before a second try would start.
const QUANTILE: f64 = 0.95;

/// Relative step of the estimate: it moves by a factor of two in about fifteen late answers.
const STEP: f64 = 0.05;

/// Before anything is known.
const PRIOR: f64 = 3.0;

/// Predictions are not further off than that, after the corrections that endpoints have of their own.
const BOUNDS: (f64, f64) = (0.25, 16.0);

/// A second try never starts before that, ms: it would cost its work and save next to nothing.
const LEAST_MS: f64 = 50.0;

/// Second tries that a request earns.
const EARNED: f64 = 0.05;

/// Most second tries saved up.
pub const SAVED_MAX: f64 = 5.0;

impl Default for Hedging {
    fn default() -> Self {
        Self { quantile: PRIOR, balance: SAVED_MAX }
    }
}

impl Hedging {
    /// A request that may have a second try is sent; the delay after which it may, ms.
    pub fn first(&mut self, predicted_ms: f64) -> f64 {
        self.balance = (self.balance + EARNED).min(SAVED_MAX);
        (predicted_ms * self.quantile).max(LEAST_MS)
    }

    /// Takes a second try out, if there is one.
    pub fn take(&mut self) -> bool {
        let granted = self.balance >= 1.0;
        if granted {
            self.balance -= 1.0;
        }
        granted
    }

    /// A second try that was taken out found no place to go to.
    pub fn put_back(&mut self) {
        self.balance = (self.balance + 1.0).min(SAVED_MAX);
    }

    /// A first token came after `observed_ms`, or had not come by then. Stochastic approximation of a quantile
    /// (Robbins and Monro 1951), in relative steps: it rests where the steps up and down cancel out.
    pub fn observe(&mut self, observed_ms: f64, predicted_ms: f64) {
        if !(predicted_ms > 0.0 && observed_ms.is_finite()) {
            return;
        }
        let step = if observed_ms > predicted_ms * self.quantile { QUANTILE } else { QUANTILE - 1.0 };
        self.quantile = (self.quantile * (1.0 + STEP * step)).clamp(BOUNDS.0, BOUNDS.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratios spread evenly over 0.5 to 2, in an order without pattern.
    fn ratio(i: u64) -> f64 {
        0.5 + 1.5 * ((i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64)
    }

    #[test]
    fn one_in_twenty_is_later_than_the_delay_however_long_its_prompt() {
        let mut h = Hedging::default();
        let mut late = 0;
        for i in 0..40_000 {
            let predicted = if i % 2 == 0 { 100.0 } else { 10_000.0 };
            late += u32::from(i >= 20_000 && ratio(i) * predicted > h.first(predicted));
            h.observe(ratio(i) * predicted, predicted);
        }
        assert!((600..1_400).contains(&late), "{late} of 20,000");
        assert!((1.7..2.1).contains(&h.quantile), "{}", h.quantile);
    }

    #[test]
    fn however_slow_all_are_second_tries_stay_a_share() {
        let mut h = Hedging::default();
        let granted = (0..1_000).filter(|_| {
            h.first(100.0);
            h.take()
        });
        assert!((54..=55).contains(&granted.count()));
    }

    #[test]
    fn a_try_that_found_no_place_is_not_lost() {
        let mut h = Hedging::default();
        (0..100).for_each(|_| {
            assert!(h.take());
            h.put_back();
        });
        (0..5).for_each(|_| assert!(h.take()));
        assert!(!h.take());
    }

    #[test]
    fn the_delay_has_a_floor_and_bounds_and_nonsense_teaches_nothing() {
        let mut h = Hedging::default();
        assert_eq!((h.first(0.0), h.first(100.0)), (LEAST_MS, 300.0));
        for (observed, predicted) in [(f64::NAN, 1.0), (1.0, 0.0), (1.0, f64::NAN), (f64::INFINITY, 1.0)] {
            h.observe(observed, predicted);
        }
        assert_eq!(h.quantile, PRIOR);
        (0..10_000).for_each(|_| h.observe(1e9, 1.0));
        assert_eq!(h.quantile, BOUNDS.1);
        (0..10_000).for_each(|_| h.observe(0.0, 1.0));
        assert_eq!(h.quantile, BOUNDS.0);
    }
}
