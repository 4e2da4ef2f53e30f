//! What one session of an agent has come to, and which of its limits it has reached.

use rhumb_grid::config::SessionLimits;

/// A limit that a session has reached, as operators and clients know it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reached {
    /// So many requests.
    Steps(u64),
    /// So many tokens.
    Tokens(u64),
    /// So much money, USD.
    Usd(f64),
    /// So many seconds.
    Seconds(u64),
    /// The same call so many times in a row.
    Repeats(u64),
}

impl Reached {
    /// The limit's key in `session_limits`, without `max_`; also its name in `x-rhumb-session-limit`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps(_) => "steps",
            Self::Tokens(_) => "tokens",
            Self::Usd(_) => "usd",
            Self::Seconds(_) => "seconds",
            Self::Repeats(_) => "repeats",
        }
    }
}

/// What a session has come to. Times are milliseconds of one clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Session {
    /// Requests that were let through.
    pub steps: u64,
    /// Of those, still in progress.
    pub in_progress: u64,
    /// Most that were in progress at once: an agent's parallel steps and sub-agents.
    pub at_once: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Of those, tokens that a cache held.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Money, USD.
    pub usd: f64,
    /// The longest run of the same call that its requests told of.
    pub repeats: u64,
    /// When its first request came.
    pub first_ms: u64,
    /// When something of it was last seen.
    pub last_ms: u64,
}

impl Session {
    /// A session whose first request comes now.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            steps: 0,
            in_progress: 0,
            at_once: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
            usd: 0.0,
            repeats: 0,
            first_ms: now_ms,
            last_ms: now_ms,
        }
    }

    /// A request comes that tells of so many repeats of one call. What is in progress counts once it has ended, so that a
    /// session goes beyond a limit by that at most.
    ///
    /// # Errors
    /// It is beyond a limit, and not let through.
    pub fn begin(&mut self, limits: &SessionLimits, repeats: u64, now_ms: u64) -> Result<(), Reached> {
        self.last_ms = now_ms;
        self.repeats = self.repeats.max(repeats);
        let tokens = self.prompt_tokens + self.completion_tokens;
        let over = |limit: Option<u64>, now: u64| limit.filter(|limit| now >= *limit);
        if let Some(limit) = over(limits.max_repeats, repeats) {
            return Err(Reached::Repeats(limit));
        }
        if let Some(limit) = over(limits.max_steps, self.steps) {
            return Err(Reached::Steps(limit));
        }
        if let Some(limit) = over(limits.max_tokens, tokens) {
            return Err(Reached::Tokens(limit));
        }
        if let Some(limit) = limits.max_usd.filter(|limit| self.usd >= *limit) {
            return Err(Reached::Usd(limit));
        }
        if let Some(limit) = over(limits.max_seconds, now_ms.saturating_sub(self.first_ms) / 1_000) {
            return Err(Reached::Seconds(limit));
        }
        self.steps += 1;
        self.in_progress += 1;
        self.at_once = self.at_once.max(self.in_progress);
        Ok(())
    }

    /// A request of it has ended: tokens of its prompt, those of them that a cache held, tokens of its answer; USD.
    pub fn end(&mut self, (prompt, cached, completion): (u64, u64, u64), usd: f64, now_ms: u64) {
        self.in_progress = self.in_progress.saturating_sub(1);
        self.prompt_tokens += prompt;
        self.cached_tokens += cached;
        self.completion_tokens += completion;
        self.usd += usd;
        self.last_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_stops_a_session_once_it_is_reached() {
        let none = SessionLimits::default();
        let stopped = |limits: SessionLimits| {
            let mut session = Session::new(0);
            (0..10).find_map(|step| {
                let begun = session.begin(&limits, step, step * 1_000);
                session.end((90, 10, 10), 0.5, step * 1_000);
                begun.err().map(|reached| (step, reached))
            })
        };
        assert_eq!(stopped(none), None);
        assert_eq!(stopped(SessionLimits { max_steps: Some(3), ..none }), Some((3, Reached::Steps(3))));
        assert_eq!(stopped(SessionLimits { max_tokens: Some(250), ..none }), Some((3, Reached::Tokens(250))));
        assert_eq!(stopped(SessionLimits { max_usd: Some(1.5), ..none }), Some((3, Reached::Usd(1.5))));
        assert_eq!(stopped(SessionLimits { max_seconds: Some(4), ..none }), Some((4, Reached::Seconds(4))));
        assert_eq!(stopped(SessionLimits { max_repeats: Some(5), ..none }), Some((5, Reached::Repeats(5))));
    }

    #[test]
    fn what_is_refused_is_no_step_and_parallel_steps_are_seen() {
        let limits = SessionLimits { max_steps: Some(3), ..SessionLimits::default() };
        let mut session = Session::new(0);
        for _ in 0..5 {
            let _ = session.begin(&limits, 0, 7);
        }
        assert_eq!((session.steps, session.in_progress, session.at_once, session.last_ms), (3, 3, 3, 7));
        session.end((1, 0, 1), 0.0, 9);
        assert_eq!((session.in_progress, session.at_once, session.last_ms), (2, 3, 9));
    }

    #[test]
    fn limits_of_two_hold_both() {
        let limit = |steps, usd| SessionLimits { max_steps: steps, max_usd: usd, ..SessionLimits::default() };
        assert_eq!(limit(Some(5), None).and(limit(Some(3), Some(1.0))), limit(Some(3), Some(1.0)));
        assert_eq!(limit(None, Some(0.5)).and(limit(Some(3), Some(1.0))), limit(Some(3), Some(0.5)));
    }
}
