//! What a run is made of, before anything starts: the grid, its traffic, and what fails when.

use std::sync::Arc;

use rhumb_grid::config::Location;

use crate::atlas::Atlas;
use crate::economics::MeanRequest;
use crate::plan::{self, FAILING_SITE, Rates};
use crate::region::single_region;
use crate::trace::{TraceRow, mean_tokens};
use crate::traffic::Traffic;

/// A run to be.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The grid and its users.
    pub atlas: Atlas,
    /// Index of the site whose region the single-region world stands in.
    pub single: usize,
    /// The mean request of the trace.
    pub mean: MeanRequest,
    /// How many come.
    pub rates: Rates,
    /// What fails when.
    pub failure: Failure,
    /// What all draws come from.
    pub seed: u64,
    rows: Arc<[TraceRow]>,
}

/// A site that fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Failure {
    /// Its index.
    pub site: usize,
    /// When, since the start.
    pub at_s: f64,
}

/// Seed of a run that names none.
const SEED: u64 = 1;

/// What a run may be told.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The trace to replay.
    pub rows: Vec<TraceRow>,
    /// Mean rate of requests; default: half of what all engines can serve.
    pub rps: Option<f64>,
    /// Demand of the bursting region at its peak, over what its own site can serve.
    pub burst: f64,
    /// The site that fails and when, as `SITE@SECONDS`.
    pub fail: Option<&'a str>,
    /// Decides arrivals, users and prompts; default: 1.
    pub seed: Option<u64>,
    /// The time in which everything happens once, seconds.
    pub period_s: f64,
}

/// Why a scene cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SceneError {
    /// `--fail` is not of the form it should have.
    #[error("--fail is `{given}`: write SITE@SECONDS, for example tokyo@30; the sites are {sites}")]
    FailForm {
        /// What was given.
        given: String,
        /// The sites that can fail.
        sites: String,
    },
    /// `--fail` names no site.
    #[error("--fail names the unknown site `{given}`: the sites are {sites}")]
    UnknownSite {
        /// What was given.
        given: String,
        /// The sites that can fail.
        sites: String,
    },
    /// `--fail` names the site where the single-region baseline stands.
    #[error(
        "--fail names `{given}`, where the single-region baseline stands, and the comparison would be unfair to it: \
         choose one of {sites}"
    )]
    SingleRegionFails {
        /// What was given.
        given: String,
        /// The sites that can fail.
        sites: String,
    },
}

impl Scene {
    /// Sets the scene.
    ///
    /// # Errors
    /// The failing site is not one that can fail.
    pub fn new(options: Options<'_>) -> Result<Self, SceneError> {
        let atlas = Atlas::embedded();
        let single = single_region(&atlas);
        let rows: Arc<[TraceRow]> = options.rows.into();
        let (input_tokens, output_tokens) = mean_tokens(&rows);
        let mean = MeanRequest { input_tokens, output_tokens };
        let rates = plan::rates(&atlas, mean, options.rps, options.burst, options.period_s * 1e3);
        let failure = failure(options.fail, &atlas, single, options.period_s / 2.0)?;
        Ok(Self { single, mean, rates, failure, seed: options.seed.unwrap_or(SEED), rows, atlas })
    }

    /// The traffic: the same each time it is asked for.
    pub fn traffic(&self) -> Traffic {
        let entries: Vec<Location> = self.atlas.entries().iter().map(|s| s.location).collect();
        let Rates { base_rps, burst } = self.rates;
        Traffic::new(&self.rows, &self.atlas.cities, &entries, base_rps, burst, self.seed)
    }

    /// Requests a second that all engines together can serve.
    pub fn capacity_rps(&self) -> f64 {
        plan::total_capacity_rps(&self.atlas.sites, self.mean)
    }

    /// Requests a second, averaged over a period.
    pub fn mean_rps(&self) -> f64 {
        let share = crate::traffic::BURST_TO - crate::traffic::BURST_FROM;
        self.rates.base_rps + share * self.rates.burst.extra_rps
    }

    /// What all GPUs cost in an hour.
    pub fn gpus_usd_per_hour(&self) -> f64 {
        self.atlas.sites.iter().map(|s| f64::from(s.engines) * s.gpu_hour_usd).sum()
    }

    /// Names of the sites, in their order.
    pub fn site_names(&self) -> Vec<&str> {
        self.atlas.sites.iter().map(|s| s.name.as_str()).collect()
    }
}

/// Reads `SITE@SECONDS`.
fn failure(text: Option<&str>, atlas: &Atlas, single: usize, half_s: f64) -> Result<Failure, SceneError> {
    let known = || {
        let others = atlas.sites.iter().enumerate().filter(|(i, _)| *i != single);
        others.map(|(_, s)| s.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (name, at_s) = match text {
        None => (FAILING_SITE, half_s),
        Some(text) => {
            let wrong = || SceneError::FailForm { given: text.to_owned(), sites: known() };
            let (name, seconds) = text.split_once('@').ok_or_else(wrong)?;
            let at_s = seconds.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0).ok_or_else(wrong)?;
            (name, at_s)
        }
    };
    match atlas.sites.iter().position(|s| s.name == name) {
        None => Err(SceneError::UnknownSite { given: name.to_owned(), sites: known() }),
        Some(site) if site == single => Err(SceneError::SingleRegionFails { given: name.to_owned(), sites: known() }),
        Some(site) => Ok(Failure { site, at_s }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_site_is_the_one_named_or_the_usual_one() {
        let atlas = Atlas::embedded();
        let at = |name: &str| atlas.sites.iter().position(|s| s.name == name).unwrap();
        let fail = |text| failure(text, &atlas, at("mumbai"), 30.0);
        assert_eq!(fail(None).unwrap(), Failure { site: at(FAILING_SITE), at_s: 30.0 });
        assert_eq!(fail(Some("tokyo@12.5")).unwrap(), Failure { site: at("tokyo"), at_s: 12.5 });
        let error = |text| fail(Some(text)).unwrap_err().to_string();
        assert!(error("atlantis@3").starts_with("--fail names the unknown site `atlantis`: the sites are ashburn, "));
        for wrong in ["tokyo", "tokyo@soon", "tokyo@-1", "tokyo@inf"] {
            assert!(error(wrong).contains("write SITE@SECONDS, for example "), "{wrong}");
        }
        assert!(error("mumbai@3").contains("single-region"));
    }
}
