//! Requests that keep killing engines.

use alloc::collections::BTreeMap;

use crate::evidence::Source;

/// Endpoints that a request may take down. One death is chance, and two may be one site's trouble, as a retry goes to
/// another site; three that had nothing in common but this request are its doing.
pub const DEATHS: usize = 3;

/// Deaths further apart than this have nothing to do with each other, and so long a request is held: long enough for
/// every client to have given up its retries, short enough for one that was held by mistake.
pub const WINDOW_MS: u64 = 600_000;

/// Requests remembered. Each has broken a connection lately, so there are few; in a mass failure the oldest are dropped.
const SUSPECTS_MAX: usize = 4_096;

/// Fingerprints of requests whose connection broke after they had been sent and before any content, and where.
///
/// Whoever was on an engine when it died is a suspect, so those that share one with a killer have a strike each: the
/// innocent lose theirs as soon as an engine answers them.
#[derive(Debug, Clone, Default)]
pub struct Quarantine {
    suspects: BTreeMap<u64, Suspect>,
    /// Requests that endpoints which serve others have failed alike, and when.
    blamed: BTreeMap<Source, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    /// Where it broke a connection, and when.
    deaths: [Option<(u32, u64)>; DEATHS],
    last_ms: u64,
    held: bool,
}

impl Suspect {
    fn is_old(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= WINDOW_MS
    }
}

impl Quarantine {
    /// Nobody is suspected of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.suspects.is_empty()
    }

    /// The request with this fingerprint is not to be tried.
    #[must_use]
    pub fn holds(&self, now_ms: u64, fingerprint: u64) -> bool {
        self.suspects.get(&fingerprint).is_some_and(|s| s.held && !s.is_old(now_ms))
    }

    /// An endpoint has died of the request lately.
    #[must_use]
    pub fn suspects(&self, now_ms: u64, fingerprint: u64) -> bool {
        self.suspects.get(&fingerprint).is_some_and(|s| !s.is_old(now_ms))
    }

    /// The connection of a request to this endpoint broke; true when it is not to be tried any more.
    pub fn struck(&mut self, now_ms: u64, fingerprint: u64, endpoint: u32) -> bool {
        self.make_room(now_ms, fingerprint);
        let new = Suspect { deaths: [None; DEATHS], last_ms: now_ms, held: false };
        let suspect = self.suspects.entry(fingerprint).or_insert(new);
        if suspect.is_old(now_ms) {
            *suspect = new;
        }
        suspect.last_ms = now_ms;
        let is_over = |at: u64| now_ms.saturating_sub(at) >= WINDOW_MS;
        let kept = suspect.deaths.iter_mut().find(|d| d.is_none_or(|(e, at)| e == endpoint || is_over(at)));
        if let Some(death) = kept {
            *death = Some((endpoint, now_ms));
        }
        let mut deaths = suspect.deaths.iter().flatten();
        suspect.held |= deaths.clone().count() == DEATHS && deaths.all(|(_, at)| !is_over(*at));
        suspect.held
    }

    /// An engine answered the request and lived.
    pub fn cleared(&mut self, fingerprint: u64) {
        self.suspects.remove(&fingerprint);
    }

    /// Endpoints that serve others have failed the request alike.
    pub fn blame(&mut self, now_ms: u64, source: Source) {
        if self.blamed.len() >= SUSPECTS_MAX {
            self.blamed.retain(|_, at| now_ms.saturating_sub(*at) < WINDOW_MS);
        }
        if self.blamed.len() < SUSPECTS_MAX {
            self.blamed.insert(source, now_ms);
        }
    }

    /// They have done so lately.
    #[must_use]
    pub fn is_blamed(&self, now_ms: u64, source: Source) -> bool {
        self.blamed.get(&source).is_some_and(|at| now_ms.saturating_sub(*at) < WINDOW_MS)
    }

    fn make_room(&mut self, now_ms: u64, fingerprint: u64) {
        if self.suspects.len() < SUSPECTS_MAX || self.suspects.contains_key(&fingerprint) {
            return;
        }
        self.suspects.retain(|_, s| !s.is_old(now_ms));
        if self.suspects.len() >= SUSPECTS_MAX {
            // Those that are held go last.
            let oldest = self.suspects.iter().min_by_key(|(_, s)| (s.held, s.last_ms)).map(|(f, _)| *f);
            oldest.and_then(|f| self.suspects.remove(&f));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_endpoints_hold_a_request_and_no_other() {
        let mut q = Quarantine::default();
        assert!(!q.struck(0, 7, 1) && !q.struck(1, 7, 2) && !q.holds(1, 7));
        assert!(q.struck(2, 7, 3));
        assert!(q.holds(2, 7) && !q.holds(2, 8));
        assert!(q.suspects(2, 7) && !q.suspects(2, 8) && !q.suspects(2 + WINDOW_MS, 7));
    }

    #[test]
    fn an_endpoint_that_dies_again_and_again_is_its_own_trouble() {
        let mut q = Quarantine::default();
        for ms in 0..100 {
            assert!(!q.struck(ms, 7, ms as u32 % 2));
        }
    }

    #[test]
    fn deaths_far_apart_have_nothing_to_do_with_each_other_and_none_is_held_for_ever() {
        let mut q = Quarantine::default();
        assert!(!q.struck(0, 7, 1) && !q.struck(300_000, 7, 2) && !q.struck(WINDOW_MS, 7, 3));
        assert!(q.struck(WINDOW_MS + 1, 7, 4), "2, 3 and 4");
        assert!(q.holds(2 * WINDOW_MS, 7) && !q.holds(2 * WINDOW_MS + 1, 7));
        assert!(!q.struck(2 * WINDOW_MS + 1, 7, 1), "it starts anew");
    }

    #[test]
    fn whoever_is_answered_is_innocent() {
        let mut q = Quarantine::default();
        assert!(!q.struck(0, 7, 1) && !q.struck(0, 7, 2));
        q.cleared(7);
        assert!(q.is_empty() && !q.struck(0, 7, 3));
    }

    #[test]
    fn who_is_blamed_is_known_for_ten_minutes_and_few_are_remembered() {
        let mut q = Quarantine::default();
        let source = |request| Source { tenant: 1, request };
        q.blame(0, source(7));
        assert!(
            q.is_blamed(WINDOW_MS - 1, source(7)) && !q.is_blamed(WINDOW_MS, source(7)) && !q.is_blamed(0, source(8))
        );
        assert!(q.is_empty(), "no engine died of it");
        (0..10_000).for_each(|f| q.blame(1, source(f)));
        assert_eq!(q.blamed.len(), SUSPECTS_MAX);
    }

    #[test]
    fn a_site_that_dies_under_ten_thousand_requests_holds_none_and_is_forgotten_in_bounds() {
        let mut q = Quarantine::default();
        (1..=DEATHS as u32).for_each(|e| assert_eq!(q.struck(0, u64::MAX, e), e == 3));
        for endpoint in 0..2 {
            for f in 0..10_000 {
                assert!(!q.struck(1 + f, f, endpoint));
            }
        }
        assert_eq!(q.suspects.len(), SUSPECTS_MAX);
        assert!(q.holds(20_000, u64::MAX), "the one that is held is kept");
    }
}
