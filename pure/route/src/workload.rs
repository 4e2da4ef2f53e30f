//! What requests for a model are like. A gateway knows its own, and takes those of others to be the same: reports say how
//! many of theirs an endpoint has, and neither how often they come nor how long their prompts are.

use crate::learn::Ewma;

/// Prompts and stays of a gateway's own requests for one model, at all endpoints together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkloadStats {
    prompt_tokens: Ewma,
    /// Of the tokens. One prompt in hundreds may be most of the sum, so that many count.
    squares: Ewma,
    stay_ms: Ewma,
}

impl Default for WorkloadStats {
    fn default() -> Self {
        Self {
            prompt_tokens: Ewma::new(500.0, 0.002),
            squares: Ewma::new(1e6, 0.0005),
            stay_ms: Ewma::new(5_000.0, 0.002),
        }
    }
}

impl WorkloadStats {
    /// A request leaves whose prompt is to be computed so far.
    pub fn sent(&mut self, uncached_tokens: f64) {
        self.prompt_tokens.add(uncached_tokens);
        self.squares.add(uncached_tokens * uncached_tokens);
    }

    /// A request has been answered whole, so long after it left.
    pub fn answered(&mut self, stay_ms: f64) {
        self.stay_ms.add(stay_ms);
    }

    /// Prompt tokens to be computed for a request.
    #[must_use]
    pub fn prompt_tokens(&self) -> f64 {
        self.prompt_tokens.mean()
    }

    /// Requests per millisecond that come to where so many are at a time (Little's law).
    #[must_use]
    pub fn per_ms(&self, requests: f64) -> f64 {
        requests / self.stay_ms.mean().max(1.0)
    }

    /// Mean time that is left of a prompt being computed where so many come, of which most arrivals find none and few a
    /// very long one: `λ E[S²] / 2`, as in the formula of Pollaczek and Khinchine.
    #[must_use]
    pub fn left_ms(&self, per_ms: f64, prefill_ms: f64) -> f64 {
        per_ms * self.squares.mean() * prefill_ms * prefill_ms / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_prompts_is_the_mean_residual_of_those_that_come() {
        let mut workload = WorkloadStats::default();
        // One prompt in a hundred is a hundred times as long; ten tokens take a millisecond, a request stays two seconds.
        for i in 0..200_000 {
            workload.sent(if i % 100 == 50 { 100_000.0 } else { 1_000.0 });
            workload.answered(2_000.0);
        }
        let per_ms = workload.per_ms(3.0);
        assert!((per_ms - 0.0015).abs() < 1e-6, "{per_ms}");
        // E[S²] is (0.99 × 100² + 0.01 × 10,000²) ms², half of it times 1.5 a second: 757 ms.
        let left_ms = workload.left_ms(per_ms, 0.1);
        assert!((left_ms / 757.4 - 1.0).abs() < 0.05, "{left_ms}");
        assert_eq!(workload.left_ms(0.0, 0.1), 0.0);
    }
}
