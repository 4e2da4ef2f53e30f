//! How long an attempt is waited for.

use std::time::{Duration, Instant};

use crate::opening::Fail;
use rhumb_flow::blame::Failure;
use rhumb_process::clock;

/// Signs that the endpoint is at work extend the wait up to so many times.
const EXTENDED_MAX: u32 = 4;

/// No wait for one attempt is longer, however long the policy and the prediction are.
const LONGEST: Duration = Duration::from_secs(4 * 3_600);

/// The wait for the first content of one attempt. Each sign of work (the response's head, a comment, a role) grants the
/// step anew, up to [`EXTENDED_MAX`] steps: heartbeats alone keep nobody waiting for ever.
#[derive(Debug)]
pub(crate) struct Patience {
    step: Duration,
    until: Instant,
    end: Instant,
    /// When the client's own patience ends.
    deadline: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(step: Duration, deadline: Option<Instant>) -> Self {
        let (now, step) = (clock::now(), step.min(LONGEST));
        Self { step, until: now + step, end: now + step.saturating_mul(EXTENDED_MAX).min(LONGEST), deadline }
    }

    /// The endpoint has shown that it is at work.
    pub(crate) fn sign(&mut self) {
        self.until = (clock::now() + self.step).clamp(self.until, self.end.max(self.until));
    }

    /// Waits for a part of the attempt. It is pinned by the caller: held by value, it would stand twice in this future.
    ///
    /// # Errors
    /// It took too long, or it failed.
    pub(crate) async fn wait<T>(&self, part: impl Future<Output = Result<T, Fail>> + Unpin) -> Result<T, Fail> {
        let deadline = self.deadline.filter(|d| *d < self.until);
        let waited = tokio::time::timeout_at(deadline.unwrap_or(self.until).into(), part).await;
        waited.unwrap_or_else(|_| Err(if deadline.is_some() { Fail::Deadline } else { Failure::Silent.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_signs_of_work_extend_the_wait_and_not_for_ever() {
        let start = clock::now();
        let mut patience = Patience::new(Duration::from_secs(30), None);
        let first = patience.until;
        patience.sign();
        assert!(patience.until >= first);
        patience.end = start + Duration::from_secs(31);
        (0..100).for_each(|_| patience.sign());
        assert!(patience.until <= start + Duration::from_secs(31));
    }
}
