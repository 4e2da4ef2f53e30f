//! Whether an endpoint may be sent requests, by everything that is known of it.

use alloc::collections::BTreeMap;

use crate::evidence::{Evidence, Source};
use crate::health::Health;
use crate::peers::{Peer, PerformanceStats};

/// The condition of one endpoint. Each way of looking judges alone: an engine may answer probes and fail every request, or
/// serve every request too slowly. Only an answered request overrules probes, since it is what they ask for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EndpointHealth {
    requests: Health,
    /// Of requests until their first content.
    begun: Evidence,
    /// Of those that it called itself unavailable for, without a time to come back.
    unavailable: Evidence,
    /// Of answers that had begun.
    ended: Evidence,
    streams: Health,
    probes: Health,
    credential: Health,
    peers: Health,
    performance: PerformanceStats,
    answers_wrong: bool,
    /// When it last became unhealthy.
    fell_ill_ms: u64,
    ill_since_ms: Option<u64>,
}

/// By what an endpoint was found unhealthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Requests fail there.
    ByRequests,
    /// Probes fail there.
    ByProbes,
    /// It refuses the gateway's credential.
    ByCredential,
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
            Self::ByCredential => "credential",
            Self::ByPeers => "peers",
            Self::ByCanary => "canary",
        }
    }
}

/// A failed probe does not count while requests have been answered within so long, ms: as long as a probe may take.
const ANSWERS_OVERRULE_PROBES_MS: u64 = 5_000;

impl EndpointHealth {
    /// Of an endpoint whose speed is modelled, or is not known before it is seen.
    #[must_use]
    pub fn new(is_modelled: bool) -> Self {
        Self { performance: PerformanceStats::new(is_modelled), ..Self::default() }
    }

    /// It could not be reached, or did not answer a canary: no request is at fault. True when this is what confirms it
    /// ill.
    pub fn unreachable(&mut self, now_ms: u64) -> bool {
        self.confirms(now_ms, |c| c.requests.failed(now_ms))
    }

    /// A request that was not at fault failed there. True when this is what confirms it unhealthy.
    pub fn charged(&mut self, now_ms: u64, source: Source) -> bool {
        self.confirms(now_ms, |c| {
            if c.begun.failed(now_ms, source) {
                c.requests.condemn(now_ms);
                c.begun.confirmed();
            }
        })
    }

    /// An answer broke off after its first content. There is no second endpoint to compare with, so that whole answers are
    /// what speaks for it. True when this is what confirms it unhealthy.
    pub fn broke_off(&mut self, now_ms: u64, source: Source) -> bool {
        self.confirms(now_ms, |c| {
            if c.ended.failed(now_ms, source) {
                c.streams.condemn(now_ms);
                c.ended.confirmed();
            }
        })
    }

    /// It called itself unavailable and said no time to come back. True when it is to be taken for busy: it answers
    /// nobody of several tenants, or calls itself so again and again.
    pub fn unavailable(&mut self, now_ms: u64, source: Source) -> bool {
        self.unavailable.failed(now_ms, source) && self.unavailable.is_of_many()
    }

    /// It refused the gateway's credential, or its credit is used up. True when this is what confirms it.
    pub fn credential_refused(&mut self, now_ms: u64) -> bool {
        self.confirms(now_ms, |c| c.credential.failed(now_ms))
    }

    /// A probe failed in a way that says the endpoint is broken, not that it is busy. True when this is what confirms it
    /// ill.
    pub fn probe_failed(&mut self, now_ms: u64) -> bool {
        if self.begun.has_answered(now_ms, ANSWERS_OVERRULE_PROBES_MS) {
            return false;
        }
        self.confirms(now_ms, |c| c.probes.failed(now_ms))
    }

    fn confirms(&mut self, now_ms: u64, fail: impl FnOnce(&mut Self)) -> bool {
        let before = self.is_unhealthy(now_ms);
        fail(self);
        let now = self.is_unhealthy(now_ms);
        if now && !before {
            self.fell_ill_ms = now_ms;
        }
        now && !before
    }

    /// A request that was sent at `sent_ms` has its first content.
    pub fn answered(&mut self, now_ms: u64, sent_ms: u64, source: Source) {
        self.begun.answered(now_ms, source);
        self.unavailable.answered(now_ms, source);
        self.probes.clear();
        // An answer that was under way when it became unhealthy proves nothing of it now; one sent since then does.
        if sent_ms >= self.fell_ill_ms {
            self.requests.clear();
            self.credential.clear();
        } else {
            self.requests.succeeded(now_ms);
            self.credential.succeeded(now_ms);
        }
    }

    /// An answer has been sent whole.
    pub fn completed(&mut self, now_ms: u64, source: Source) {
        self.ended.answered(now_ms, source);
        self.streams.clear();
    }

    /// It answered a canary, rightly or not.
    pub fn canary_answered(&mut self, now_ms: u64) {
        self.requests.succeeded(now_ms);
    }

    /// It answered a probe.
    pub fn probe_answered(&mut self, now_ms: u64) {
        self.probes.succeeded(now_ms);
    }

    /// It serves others: it has answered lately, and has failed nobody since.
    #[must_use]
    pub fn is_proven(&self, now_ms: u64) -> bool {
        self.begun.is_proven(now_ms)
    }

    /// It has become slower than it usually is.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.performance.is_suspect()
    }

    /// What its requests show of its speed.
    pub fn performance_mut(&mut self) -> &mut PerformanceStats {
        &mut self.performance
    }

    /// Its peers do far better: it is left alone for a while, and then judged anew.
    pub fn is_outlier(&mut self, now_ms: u64) {
        self.peers.condemn(now_ms);
        self.performance.forget();
    }

    /// Its canaries are answered, rightly or not. A wrong answer is believed until a right one comes: no time heals it.
    pub fn canary(&mut self, is_right: bool) {
        self.answers_wrong = !is_right;
    }

    /// By what it is unhealthy, if it is. A wrong answer comes first: nothing is sent there, however few are left.
    #[must_use]
    pub fn found(&self, now_ms: u64) -> Option<Found> {
        let ways = [
            (self.answers_wrong, Found::ByCanary),
            (self.credential.is_unhealthy(now_ms), Found::ByCredential),
            (self.requests.is_unhealthy(now_ms) || self.streams.is_unhealthy(now_ms), Found::ByRequests),
            (self.probes.is_unhealthy(now_ms), Found::ByProbes),
            (self.peers.is_unhealthy(now_ms), Found::ByPeers),
        ];
        ways.into_iter().find(|(is_unhealthy, _)| *is_unhealthy).map(|(_, found)| found)
    }

    /// Confirmed ill, one way or the other.
    #[must_use]
    pub fn is_unhealthy(&self, now_ms: u64) -> bool {
        self.found(now_ms).is_some()
    }

    /// For how long it has been unhealthy, ms, as far as has been looked.
    #[must_use]
    pub fn unhealthy_for_ms(&self, now_ms: u64) -> Option<u64> {
        self.ill_since_ms.filter(|_| self.is_unhealthy(now_ms)).map(|since| now_ms.saturating_sub(since))
    }

    /// Looks at it now, as is done before every view. When it is back since the last look: how long it was away, ms.
    pub fn look(&mut self, now_ms: u64) -> Option<u64> {
        if !self.is_unhealthy(now_ms) {
            if self.performance.is_judged() {
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
        Peer { performance: self.performance, is_out: self.is_unhealthy(now_ms), is_open }
    }
}

/// Models that an endpoint does not have although it should: it is left alone for each of them, and not for others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Models(BTreeMap<u32, (Evidence, Health)>);

impl Models {
    /// The endpoint refused a request for this model that another endpoint served. True when that confirms that it does
    /// not have it.
    pub fn refused(&mut self, model: u32, now_ms: u64, source: Source) -> bool {
        let (evidence, health) = self.0.entry(model).or_default();
        if health.is_unhealthy(now_ms) || !evidence.failed(now_ms, source) {
            return false;
        }
        health.condemn(now_ms);
        evidence.confirmed();
        true
    }

    /// It answered a request for this model.
    pub fn answered(&mut self, model: u32) {
        if !self.0.is_empty() {
            self.0.remove(&model);
        }
    }

    /// It has failed no request for this model since it answered one.
    #[must_use]
    pub fn is_proven(&self, model: u32) -> bool {
        !self.0.contains_key(&model)
    }

    /// The models that it is left alone for.
    pub fn missing(&self, now_ms: u64) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().filter(move |(_, (_, health))| health.is_unhealthy(now_ms)).map(|(model, _)| *model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(tenant: u32) -> Source {
        Source { tenant, request: 0 }
    }

    #[test]
    fn probes_heal_nothing_else_and_wrong_answers_stand_until_right_ones_come() {
        let mut c = EndpointHealth::default();
        assert!(!c.charged(0, by(1)) && !c.charged(0, by(1)));
        c.probe_answered(0);
        assert!(c.charged(0, by(1)));
        assert_eq!(c.found(0), Some(Found::ByRequests));
        c.canary(false);
        assert_eq!((c.found(0), c.found(1_000_000)), (Some(Found::ByCanary), Some(Found::ByCanary)));
        c.canary(true);
        assert_eq!(c.found(1_000_000), None);
    }

    #[test]
    fn a5_probes_alone_do_not_take_out_what_answers_and_an_answer_heals_them() {
        let mut c = EndpointHealth::default();
        c.answered(0, 0, by(1));
        assert!((1..5_000).all(|ms| !c.probe_failed(ms)));
        assert!(
            !c.probe_failed(5_000) && !c.probe_failed(5_001) && c.probe_failed(5_002),
            "nobody is answered any more"
        );
        c.answered(5_003, 0, by(1));
        assert_eq!(c.found(5_003), None);
    }

    #[test]
    fn an_answer_to_what_was_sent_since_heals_and_one_from_before_does_not() {
        let mut c = EndpointHealth::default();
        (0..3).for_each(|_| {
            c.charged(1_000, by(1));
        });
        c.answered(1_001, 999, by(2));
        assert_eq!(c.found(1_001), Some(Found::ByRequests));
        c.answered(1_100, 1_050, by(2));
        assert_eq!(c.found(1_100), None);
    }

    #[test]
    fn c2_a_credential_that_is_refused_again_and_again_is_left_alone_and_tried_again() {
        let mut c = EndpointHealth::default();
        assert!(!c.credential_refused(0) && !c.credential_refused(1) && c.credential_refused(2));
        assert_eq!((c.found(500), c.found(1_002)), (Some(Found::ByCredential), None));
        assert!(c.credential_refused(1_002), "once is enough then");
    }

    #[test]
    fn a_stream_that_breaks_counts_against_whole_answers() {
        let mut c = EndpointHealth::default();
        for ms in 0..50 {
            c.answered(ms, ms, by(1));
            assert_eq!(c.broke_off(ms, by(1)), ms == 2, "{ms}");
        }
        let mut c = EndpointHealth::default();
        c.completed(0, by(2));
        assert!((0..1_000).all(|ms| !c.broke_off(ms, by(1))), "the others end whole");
    }

    #[test]
    fn it_is_back_once_and_says_how_long_it_was_away() {
        let mut c = EndpointHealth::default();
        assert_eq!(c.look(0), None);
        (0..3).for_each(|_| {
            c.probe_failed(100);
        });
        assert_eq!((c.look(100), c.look(600), c.look(1_200), c.look(1_300)), (None, None, Some(1_100), None));
    }

    #[test]
    fn an_outlier_rests_longer_each_time_until_it_has_shown_that_it_keeps_up() {
        let mut c = EndpointHealth::new(true);
        c.is_outlier(0);
        assert_eq!((c.found(999), c.found(1_000)), (Some(Found::ByPeers), None));
        c.look(1_000);
        c.is_outlier(1_000);
        assert!(c.is_unhealthy(2_999) && !c.is_unhealthy(3_000));
        (0..8).for_each(|_| c.performance_mut().token(20.0, 20.0));
        c.look(3_000);
        c.is_outlier(4_000);
        assert!(c.is_unhealthy(4_999) && !c.is_unhealthy(5_000));
    }

    #[test]
    fn c1_a_model_that_is_missing_is_missing_alone_and_for_a_while() {
        let mut m = Models::default();
        assert!(m.is_proven(7));
        assert!(!m.refused(7, 0, by(1)) && !m.refused(7, 1, by(1)) && m.refused(7, 2, by(1)));
        assert!(!m.is_proven(7) && m.is_proven(8));
        assert_eq!((m.missing(2).collect::<alloc::vec::Vec<_>>(), m.missing(1_002).count()), (alloc::vec![7], 0));
        assert!(m.refused(7, 1_002, by(1)), "once is enough then");
        m.answered(7);
        assert_eq!((m.missing(1_003).count(), m.is_proven(7)), (0, true));
    }
}
