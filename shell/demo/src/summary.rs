//! Measured samples as the figures of a report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::{Answered, Sample};

/// Quantiles of a time, milliseconds; `None` without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// The value that a share of the sorted values does not exceed (nearest rank).
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// The quantiles of values in any order.
pub(crate) fn quantiles(mut values: Vec<f64>) -> Quantiles {
    values.sort_by(f64::total_cmp);
    let at = |share| quantile(&values, share).map(round);
    Quantiles { p50: at(0.50), p95: at(0.95), p99: at(0.99) }
}

/// To a tenth of a millisecond, a watt, and so on: what lies below is noise.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Dollars per million tokens, to a hundredth of a cent.
fn per_mtok(usd: f64, tokens: u64) -> Option<f64> {
    (tokens > 0).then(|| (usd / tokens as f64 * 1e6 * 1e4).round() / 1e4)
}

/// What the users of one site saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SiteReport {
    pub(crate) answers: usize,
    pub(crate) ttft_ms: Quantiles,
    pub(crate) network_ms: Quantiles,
}

/// What a router cost, prompt and answer tokens together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct UsdPerMtok {
    /// At list prices, for what was used.
    pub(crate) metered: Option<f64>,
    /// All GPU-hours of the run, used or not.
    pub(crate) provisioned: Option<f64>,
}

/// The report of one router.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RouterReport {
    pub(crate) requests: usize,
    pub(crate) errors: usize,
    pub(crate) ttft_ms: Quantiles,
    pub(crate) network_ms: Quantiles,
    pub(crate) usd_per_mtok: UsdPerMtok,
    /// Mean power of all GPUs.
    pub(crate) watts: f64,
    /// By the site that answered.
    pub(crate) by_site: BTreeMap<String, SiteReport>,
}

/// What a run cost in money and energy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spent {
    pub(crate) metered_usd: f64,
    pub(crate) provisioned_usd: f64,
    pub(crate) tokens: u64,
    pub(crate) joules: f64,
    pub(crate) elapsed_s: f64,
}

/// The report of one router from what its users saw and its gateways counted.
pub(crate) fn report(samples: &[Sample], sent: usize, spent: &Spent, site_names: &[&str]) -> RouterReport {
    let answers: Vec<&Answered> = samples.iter().filter_map(|s| s.answer.as_ref()).collect();
    let by_site = (0..site_names.len()).filter_map(|site| {
        let here: Vec<&Answered> = answers.iter().filter(|a| a.site == site).copied().collect();
        (!here.is_empty()).then(|| (site_names[site].to_owned(), site_report(&here)))
    });
    let by_site = by_site.collect();
    RouterReport {
        requests: sent,
        // What never came back is an error too.
        errors: sent - answers.len(),
        ttft_ms: quantiles(answers.iter().map(|a| a.ttft_ms).collect()),
        network_ms: quantiles(answers.iter().map(|a| a.network_ms).collect()),
        usd_per_mtok: UsdPerMtok {
            metered: per_mtok(spent.metered_usd, spent.tokens),
            provisioned: per_mtok(spent.provisioned_usd, spent.tokens),
        },
        watts: round(spent.joules / spent.elapsed_s.max(1e-9)),
        by_site,
    }
}

fn site_report(here: &[&Answered]) -> SiteReport {
    SiteReport {
        answers: here.len(),
        ttft_ms: quantiles(here.iter().map(|a| a.ttft_ms).collect()),
        network_ms: quantiles(here.iter().map(|a| a.network_ms).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantiles(values), Quantiles { p50: Some(50.0), p95: Some(95.0), p99: Some(99.0) });
        assert_eq!(quantiles(vec![7.0]), Quantiles { p50: Some(7.0), p95: Some(7.0), p99: Some(7.0) });
        assert_eq!(quantiles(Vec::new()), Quantiles { p50: None, p95: None, p99: None });
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), Some(2.0));
    }

    #[test]
    fn what_did_not_come_back_is_an_error() {
        let answered = |site, ttft_ms| Some(Answered { site, ttft_ms, network_ms: 10.0, prefill_ms: 5.0, tokens: 100 });
        let samples = [
            Sample { at_ms: 0.0, answer: answered(1, 20.0) },
            Sample { at_ms: 1.0, answer: answered(1, 30.0) },
            Sample { at_ms: 2.0, answer: answered(0, 40.0) },
            Sample { at_ms: 3.0, answer: None },
        ];
        let spent = Spent { metered_usd: 0.5, provisioned_usd: 1.0, tokens: 2_000_000, joules: 500.0, elapsed_s: 10.0 };
        let r = report(&samples, 5, &spent, &["a", "b"]);
        assert_eq!((r.requests, r.errors, r.watts), (5, 2, 50.0));
        assert_eq!(r.usd_per_mtok, UsdPerMtok { metered: Some(0.25), provisioned: Some(0.5) });
        let by_site: Vec<(&str, usize)> = r.by_site.iter().map(|(name, s)| (name.as_str(), s.answers)).collect();
        assert_eq!(by_site, [("a", 1), ("b", 2)]);
        assert_eq!((r.ttft_ms.p50, r.ttft_ms.p99, r.network_ms.p50), (Some(30.0), Some(40.0), Some(10.0)));
    }

    #[test]
    fn the_shares_of_a_wait_add_up() {
        let a = Answered { site: 0, ttft_ms: 100.0, network_ms: 40.0, prefill_ms: 50.0, tokens: 1 };
        assert_eq!(a.queue_ms(), 10.0);
        assert_eq!(Answered { prefill_ms: 70.0, ..a }.queue_ms(), 0.0);
    }
}
