//! How long an attempt is waited for until its first content.

/// The wait is so many times what is predicted, where that is longer than what the policy grants: who is given up is
/// computed again elsewhere.
const OF_PREDICTED: f64 = 6.0;

/// Longest prediction that is believed, ms.
const PREDICTED_MS_MAX: f64 = 3.6e6;

/// The wait for the first content, ms, from what the policy grants and what is predicted.
#[must_use]
pub fn first_content_ms(granted_ms: u64, predicted_ms: f64) -> f64 {
    (granted_ms as f64).max(OF_PREDICTED * predicted_ms.clamp(0.0, PREDICTED_MS_MAX))
}

/// The work is long: what is predicted lengthens the wait.
#[must_use]
pub fn is_long(granted_ms: u64, predicted_ms: f64) -> bool {
    first_content_ms(granted_ms, predicted_ms) > granted_ms as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_long_work_is_waited_for_longer_and_never_less_than_the_policy_grants() {
        for (predicted_ms, wait_ms) in [(0.0, 2_000.0), (300.0, 2_000.0), (1_000.0, 6_000.0), (-1.0, 2_000.0)] {
            assert_eq!(first_content_ms(2_000, predicted_ms), wait_ms);
        }
        assert_eq!(first_content_ms(2_000, f64::INFINITY), 6.0 * PREDICTED_MS_MAX);
        assert_eq!(first_content_ms(2_000, f64::NAN), 2_000.0);
    }
}
