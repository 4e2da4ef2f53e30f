//! Whether an endpoint may be sent requests, by everything that is known of it.

use crate::health::Health;
use crate::peers::{Peer, Showing};

/// The condition of one endpoint. Each way of looking judges alone and none heals another: an engine may answer probes
/// and fail every request, or serve every request too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Condition {
    requests: Health,
    probes: Health,
    peers: Health,
    showing: Showing,
    answers_wrong: bool,
    ill_since_ms: Option<u64>,
}

/// By what an endpoint was found ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Requests fail there.
    ByRequests,
    /// Probes fail there.
    ByProbes,
    /// It is far slower than its peers.
    ByPeers,
    /// It gives wrong answers.
    ByCanary,
}

impl Found {
    /// Its code in metrics and output.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ByRequests => "requests",
            Self::ByProbes => "probes",
            Self::ByPeers => "peers",
            Self::ByCanary => "canary",
        }
    }
}

impl Condition {
    /// Of an endpoint whose speed is modelled, or is not known before it is seen.
    #[must_use]
    pub fn new(is_modelled: bool) -> Self {
        Self { showing: Showing::new(is_modelled), ..Self::default() }
    }

    /// A request or a probe failed in a way that says the endpoint is broken, not that it is busy. True when this is
    /// what confirms it ill.
    pub fn failed(&mut self, by: By, now_ms: u64) -> bool {
        let before = self.is_ill(now_ms);
        self.of(by).failed(now_ms);
        !before && self.is_ill(now_ms)
    }

    /// It answered as it should.
    pub fn succeeded(&mut self, by: By, now_ms: u64) {
        self.of(by).succeeded(now_ms);
    }

    fn of(&mut self, by: By) -> &mut Health {
        match by {
            By::Request => &mut self.requests,
            By::Probe => &mut self.probes,
        }
    }

    /// It has become slower than it usually is.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.showing.is_suspect()
    }

    /// What its requests show of its speed.
    pub fn showing_mut(&mut self) -> &mut Showing {
        &mut self.showing
    }

    /// Its peers do far better: it is left alone for a while, and then judged anew.
    pub fn is_outlier(&mut self, now_ms: u64) {
        self.peers.condemn(now_ms);
        self.showing.forget();
    }

    /// Its canaries are answered, rightly or not. A wrong answer is believed until a right one comes: no time heals it.
    pub fn canary(&mut self, is_right: bool) {
        self.answers_wrong = !is_right;
    }

    /// By what it is ill, if it is.
    #[must_use]
    pub fn found(&self, now_ms: u64) -> Option<Found> {
        let ways = [
            (self.requests.is_ill(now_ms), Found::ByRequests),
            (self.probes.is_ill(now_ms), Found::ByProbes),
            (self.answers_wrong, Found::ByCanary),
            (self.peers.is_ill(now_ms), Found::ByPeers),
        ];
        ways.into_iter().find(|(is_ill, _)| *is_ill).map(|(_, found)| found)
    }

    /// Confirmed ill, one way or the other.
    #[must_use]
    pub fn is_ill(&self, now_ms: u64) -> bool {
        self.found(now_ms).is_some()
    }

    /// Looks at it now, as is done before every view. When it is back since the last look: how long it was away, ms.
    pub fn look(&mut self, now_ms: u64) -> Option<u64> {
        if !self.is_ill(now_ms) {
            if self.showing.is_judged() {
                self.peers.succeeded(now_ms);
            }
            return self.ill_since_ms.take().map(|since| now_ms.saturating_sub(since));
        }
        self.ill_since_ms.get_or_insert(now_ms);
        None
    }

    /// As its peers see it, whether it is sent anything or not.
    #[must_use]
    pub fn peer(&self, now_ms: u64, is_open: bool) -> Peer {
        Peer { showing: self.showing, is_out: self.is_ill(now_ms), is_open }
    }
}

/// Who found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A request.
    Request,
    /// A probe.
    Probe,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_looking_heals_another() {
        let mut c = Condition::default();
        assert!(!c.failed(By::Request, 0) && !c.failed(By::Request, 0));
        c.succeeded(By::Probe, 0);
        assert!(c.failed(By::Request, 0));
        assert_eq!(c.found(0), Some(Found::ByRequests));
        c.canary(false);
        assert_eq!((c.found(0), c.found(1_000_000)), (Some(Found::ByRequests), Some(Found::ByCanary)));
        c.canary(true);
        assert_eq!(c.found(1_000_000), None);
    }

    #[test]
    fn it_is_back_once_and_says_how_long_it_was_away() {
        let mut c = Condition::default();
        assert_eq!(c.look(0), None);
        (0..3).for_each(|_| {
            c.failed(By::Probe, 100);
        });
        assert_eq!((c.look(100), c.look(600), c.look(1_200), c.look(1_300)), (None, None, Some(1_100), None));
    }

    #[test]
    fn an_outlier_rests_longer_each_time_until_it_has_shown_that_it_keeps_up() {
        let mut c = Condition::new(true);
        c.is_outlier(0);
        assert_eq!((c.found(999), c.found(1_000)), (Some(Found::ByPeers), None));
        c.look(1_000);
        c.is_outlier(1_000);
        assert!(c.is_ill(2_999) && !c.is_ill(3_000));
        (0..8).for_each(|_| c.showing_mut().token(20.0, 20.0));
        c.look(3_000);
        c.is_outlier(4_000);
        assert!(c.is_ill(4_999) && !c.is_ill(5_000));
    }
}
