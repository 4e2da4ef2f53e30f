//! Which endpoints do far worse than their peers.
//!
//! An engine can be slow and seem well: it answers probes, takes requests, and sends tokens, only late. How late is too
//! late depends on the model, the GPU and the hour, so it is measured against the other endpoints of the same model.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use rhumb_grid::index::Grid;
use rhumb_grid::position::EndpointIndex;

/// So many times as long, against what was expected of each, is far worse than the peers.
const FAR_WORSE: f64 = 5.0;

/// So many times as long as this endpoint itself usually takes, against what was expected, is a change. A small machine
/// among large ones is slow and not unhealthy: its bill says so.
const CHANGED: f64 = 2.0;

/// Comparisons need so many samples.
const SAMPLES_MIN: u32 = 8;

/// Share of the last sample in what is measured lately: eight samples of twenty times as long are found far worse.
const LATELY: f64 = 0.1;

/// Share of the last sample in what is usual.
const USUALLY: f64 = 0.005;

/// Most that may be out of use at once, as a share of the peers. Where most are slow, slowness is no illness of one.
const OUT_MAX: f64 = 0.5;

/// A first token that is late by less than this, and a token by less than that, is nothing that anybody notices, ms.
const UNNOTICED_MS: (f64, f64) = (500.0, 50.0);

/// What is measured, as the logarithm of observed over expected.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trend {
    lately: f64,
    usually: f64,
    /// Since lately was forgotten.
    samples: u32,
    /// Ever, up to what it takes to know what is usual.
    seen: u32,
}

/// More than so many times as long counts as this.
const RATIO_MAX: f64 = 100.0;

/// Samples after which what is usual is known.
const SEEN_MAX: u32 = 200;

impl Trend {
    /// Of an endpoint whose speed is known beforehand, or is to be found.
    fn new(is_known: bool) -> Self {
        Self { lately: 0.0, usually: 0.0, samples: 0, seen: if is_known { SEEN_MAX } else { 0 } }
    }

    fn add(&mut self, observed_ms: f64, expected_ms: f64, unnoticed_ms: f64) {
        if !(observed_ms >= 0.0 && expected_ms > 0.0 && observed_ms.is_finite() && expected_ms.is_finite()) {
            return;
        }
        // Whoever is faster than expected is no measure for the others.
        let mut ratio = (observed_ms / expected_ms).clamp(1.0, RATIO_MAX);
        if observed_ms - expected_ms < unnoticed_ms {
            ratio = ratio.min(CHANGED);
        }
        let sample = libm::log(ratio);
        if self.seen == 0 {
            self.lately = sample;
        }
        self.samples = self.samples.saturating_add(1);
        self.seen = (self.seen + 1).min(SEEN_MAX);
        self.lately += LATELY * (sample - self.lately);
        // What has just changed is not usual yet.
        if !self.has_changed() || self.seen < SAMPLES_MIN {
            self.usually += USUALLY.max(1.0 / f64::from(self.seen)) * (sample - self.usually);
        }
    }

    fn has_changed(&self) -> bool {
        self.lately - self.usually > libm::log(CHANGED)
    }

    fn lately(&self) -> Option<f64> {
        (self.samples >= SAMPLES_MIN).then_some(self.lately)
    }
}

/// How an endpoint does against what was expected of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerformanceStats {
    ttft: Trend,
    pace: Trend,
}

impl Default for PerformanceStats {
    fn default() -> Self {
        Self::new(false)
    }
}

impl PerformanceStats {
    /// Of an endpoint whose speed is modelled, or is not known before it is seen.
    #[must_use]
    pub fn new(is_modelled: bool) -> Self {
        Self { ttft: Trend::new(is_modelled), pace: Trend::new(is_modelled) }
    }

    /// Its speed is modelled: what is usual is known before it is seen.
    pub fn expect_modelled(&mut self) {
        for trend in [&mut self.ttft, &mut self.pace] {
            if trend.seen == 0 {
                trend.seen = SEEN_MAX;
            }
        }
    }

    /// A first token took `observed_ms`, network aside, where `expected_ms` were expected of a healthy one.
    pub fn first_token(&mut self, observed_ms: f64, expected_ms: f64) {
        self.ttft.add(observed_ms, expected_ms, UNNOTICED_MS.0);
    }

    /// A token took `observed_ms` where `expected_ms` were expected of a healthy one.
    pub fn token(&mut self, observed_ms: f64, expected_ms: f64) {
        self.pace.add(observed_ms, expected_ms, UNNOTICED_MS.1);
    }

    /// It is judged anew: what was seen lately counts no more.
    pub fn forget(&mut self) {
        for trend in [&mut self.ttft, &mut self.pace] {
            (trend.lately, trend.samples) = (trend.usually, 0);
        }
    }

    /// It has become slower than it usually is, which is reason to look at its peers.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        [&self.ttft, &self.pace].iter().any(|t| t.lately().is_some() && t.has_changed())
    }

    /// Enough has been seen lately to judge it.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.ttft.samples >= SAMPLES_MIN || self.pace.samples >= SAMPLES_MIN
    }
}

/// One of a group of peers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peer {
    /// How it does.
    pub performance: PerformanceStats,
    /// It is out of use for an illness.
    pub is_out: bool,
    /// It is in use otherwise: one that is drained neither counts among those that are left nor is compared with, since
    /// what it showed last it showed under another load.
    pub is_open: bool,
}

/// The endpoints of a grid that are compared with each other: those whose first model is the same.
#[must_use]
pub fn groups(grid: &Grid) -> Vec<Vec<EndpointIndex>> {
    let mut groups: BTreeMap<&str, Vec<EndpointIndex>> = BTreeMap::new();
    for (i, e) in EndpointIndex::all().zip(&grid.config.endpoints) {
        if let Some(served) = e.models.first() {
            groups.entry(&served.model).or_default().push(i);
        }
    }
    groups.into_values().collect()
}

/// The peers that are to be put out of use, by their place among `peers`: those that do far worse than the others and
/// than they used to, the worst first, and never so many that more than half of the peers are out.
#[must_use]
pub fn outliers(peers: &[Peer]) -> Vec<usize> {
    let mut found: Vec<(f64, usize)> = Vec::new();
    for (i, peer) in peers.iter().enumerate().filter(|(_, p)| p.is_open && !p.is_out) {
        let trends: [fn(&PerformanceStats) -> &Trend; 2] = [|s| &s.ttft, |s| &s.pace];
        for trend in trends {
            let own = trend(&peer.performance);
            if let Some(lately) = own.lately().filter(|_| own.has_changed())
                && let Some(median) = median_of_others(peers, i, trend)
                && lately - median > libm::log(FAR_WORSE)
            {
                found.push((lately - median, i));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let open = || peers.iter().filter(|p| p.is_open);
    let out = open().filter(|p| p.is_out).count();
    let most = ((open().count() as f64 * OUT_MAX) as usize).saturating_sub(out);
    let mut places: Vec<usize> = Vec::new();
    for (_, i) in found {
        if places.len() < most && !places.contains(&i) {
            places.push(i);
        }
    }
    places
}

/// The median of what the others show; of an even number the worse of the middle two, so that doubt acquits.
fn median_of_others(peers: &[Peer], own: usize, trend: fn(&PerformanceStats) -> &Trend) -> Option<f64> {
    let others = peers.iter().enumerate().filter(|(i, p)| *i != own && p.is_open && !p.is_out);
    let mut lately: Vec<f64> = others.filter_map(|(_, p)| trend(&p.performance).lately()).collect();
    let middle = lately.len() / 2;
    if lately.is_empty() {
        return None;
    }
    let (_, median, _) = lately.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(paces_ms: &[f64]) -> Vec<Peer> {
        let performance = |ms: &f64| {
            let mut s = PerformanceStats::new(true);
            (0..20).for_each(|_| s.token(*ms, 20.0));
            Peer { performance: s, is_out: false, is_open: true }
        };
        paces_ms.iter().map(performance).collect()
    }

    #[test]
    fn one_that_is_twenty_times_slower_is_found_and_one_of_three_times_is_not() {
        assert_eq!(outliers(&peers(&[20.0, 25.0, 400.0, 18.0])), [2]);
        assert_eq!(outliers(&peers(&[20.0, 400.0])), [1]);
        assert_eq!(outliers(&peers(&[20.0, 60.0, 20.0])), [] as [usize; 0]);
    }

    #[test]
    fn where_all_are_slow_none_is_ill_and_never_more_than_half_are_out() {
        assert_eq!(outliers(&peers(&[400.0; 4])), [] as [usize; 0]);
        assert_eq!(outliers(&peers(&[400.0])), [] as [usize; 0]);
        let mut group = peers(&[20.0, 20.0, 20.0, 20.0, 400.0, 300.0]);
        assert_eq!(outliers(&group), [4, 5]);
        group[0].is_out = true;
        group[1].is_out = true;
        assert_eq!(outliers(&group), [4]);
        group[2].is_out = true;
        assert_eq!(outliers(&group), [] as [usize; 0]);
        let mut drained = peers(&[20.0, 20.0, 20.0, 400.0]);
        (drained[0].is_open, drained[1].is_open) = (false, false);
        assert_eq!(outliers(&drained), [3], "one of the two that are left");
        drained[2].is_open = false;
        assert_eq!(outliers(&drained), [] as [usize; 0]);
    }

    #[test]
    fn a_few_samples_or_what_nobody_notices_say_nothing() {
        let mut group = peers(&[20.0, 20.0, 20.0]);
        group[0].performance.forget();
        (0..7).for_each(|_| group[0].performance.token(2_000.0, 20.0));
        assert_eq!(outliers(&group), [] as [usize; 0]);
        group[0].performance.token(2_000.0, 20.0);
        assert_eq!(outliers(&group), [0]);
        let mut quick = peers(&[20.0; 3]);
        (0..50).for_each(|_| quick[0].performance.token(40.0, 1.0));
        assert_eq!(outliers(&quick), [] as [usize; 0]);
    }

    #[test]
    fn a_machine_that_was_always_slow_is_slow_and_not_ill_until_it_changes() {
        let mut group = peers(&[20.0, 20.0, 20.0]);
        group[1].performance = PerformanceStats::new(false);
        (0..100).for_each(|_| group[1].performance.token(300.0, 20.0));
        assert_eq!(outliers(&group), [] as [usize; 0]);
        (0..30).for_each(|_| group[1].performance.token(2_000.0, 20.0));
        assert_eq!(outliers(&group), [1]);
    }

    #[test]
    fn late_first_tokens_count_alike_and_nonsense_does_not() {
        let mut group = peers(&[20.0, 20.0, 20.0]);
        for (i, peer) in group.iter_mut().enumerate() {
            (0..20).for_each(|_| peer.performance.first_token(if i == 2 { 5_000.0 } else { 120.0 }, 100.0));
        }
        assert_eq!(outliers(&group), [2]);
        let before = group[0];
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            group[0].performance.first_token(bad, 100.0);
            group[0].performance.token(20.0, bad);
            group[0].performance.token(20.0, 0.0);
        }
        assert_eq!(group[0], before);
    }
}
