//! The numbers of a run: how much can be served, how much comes, and what fails when.

use rhumb_grid::config::Location;

use crate::atlas::{Atlas, City, SitePlan};
use crate::economics::{MeanRequest, capacity_rps, perf};
use crate::traffic::{BURST_FROM, BURST_TO, Burst, demand_shares};

/// Share of what all engines can serve that comes, averaged over the run.
pub(crate) const MEAN_UTILISATION: f64 = 0.5;

/// The entry whose users burst. The single-region baseline stands there too, so that the burst is at its door.
pub(crate) const BURST_SITE: &str = "mumbai";

/// The site that fails unless another is named: not the single region, and with a neighbour that `nearest` can turn to.
pub(crate) const FAILING_SITE: &str = "frankfurt";

/// Rates of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Requests a second from everywhere, at all times.
    pub base_rps: f64,
    /// The burst on top.
    pub burst: Burst,
}

/// What all engines together can serve.
pub(crate) fn total_capacity_rps(sites: &[SitePlan], mean: MeanRequest) -> f64 {
    sites.iter().map(|s| site_capacity_rps(s, mean)).sum()
}

fn site_capacity_rps(site: &SitePlan, mean: MeanRequest) -> f64 {
    f64::from(site.engines) * capacity_rps(&perf(site), mean)
}

/// Splits a mean rate into what always comes and a burst that brings one entry to `factor` times what its nearest site
/// can serve. The factor holds at the default rate and scales with the rate asked for.
pub(crate) fn rates(atlas: &Atlas, mean: MeanRequest, mean_rps: Option<f64>, factor: f64, period_ms: f64) -> Rates {
    let default_rps = total_capacity_rps(&atlas.sites, mean) * MEAN_UTILISATION;
    let mean_rps = mean_rps.unwrap_or(default_rps);
    let entries = atlas.entries();
    let entry = entries.iter().position(|s| s.name == BURST_SITE).unwrap_or(0);
    let share = entry_shares(&atlas.cities, &entries)[entry];
    let peak_rps = factor * site_capacity_rps(entries[entry], mean) * mean_rps / default_rps;
    let time = BURST_TO - BURST_FROM;
    // mean = base + time × extra, and peak = share × base + extra.
    let base_rps = ((mean_rps - time * peak_rps) / (1.0 - time * share)).clamp(0.0, mean_rps);
    let extra_rps = ((mean_rps - base_rps) / time).max(0.0);
    Rates { base_rps, burst: Burst { entry, extra_rps, period_ms } }
}

fn entry_shares(cities: &[City], entries: &[&SitePlan]) -> Vec<f64> {
    let places: Vec<Location> = entries.iter().map(|s| s.location).collect();
    demand_shares(cities, &places)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: MeanRequest = MeanRequest { input_tokens: 1_300.0, output_tokens: 190.0 };

    #[test]
    fn the_mean_rate_is_half_of_what_can_be_served_and_the_burst_is_as_asked() {
        let atlas = Atlas::embedded();
        let r = rates(&atlas, MEAN, None, 1.2, 60_000.0);
        let mean = r.base_rps + 0.25 * r.burst.extra_rps;
        assert!((mean / total_capacity_rps(&atlas.sites, MEAN) - 0.5).abs() < 1e-9);
        let entries = atlas.entries();
        let share = entry_shares(&atlas.cities, &entries)[r.burst.entry];
        let peak = share * r.base_rps + r.burst.extra_rps;
        assert!((peak / site_capacity_rps(entries[r.burst.entry], MEAN) - 1.2).abs() < 1e-9);
    }

    #[test]
    fn a_rate_asked_for_keeps_the_shape() {
        let atlas = Atlas::embedded();
        let (a, b) = (rates(&atlas, MEAN, Some(10.0), 1.2, 1.0), rates(&atlas, MEAN, Some(20.0), 1.2, 1.0));
        assert!((b.base_rps / a.base_rps - 2.0).abs() < 1e-9);
        assert!((a.base_rps + 0.25 * a.burst.extra_rps - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_burst_below_the_base_is_none() {
        let r = rates(&Atlas::embedded(), MEAN, Some(10.0), 0.0, 1.0);
        assert_eq!((r.base_rps, r.burst.extra_rps), (10.0, 0.0));
    }
}
