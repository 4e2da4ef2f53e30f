//! What a run is made of, before anything starts: the grid, its traffic, and what fails when.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rhumb_grid::config::Location;

use crate::atlas::{self, Atlas};
use crate::cli::{DemoArgs, DemoError};
use crate::economics::MeanRequest;
use crate::plan::{self, FAILING_SITE, Rates};
use crate::region::single_region;
use crate::trace::{self, TraceRow, mean_tokens};
use crate::traffic::Traffic;

/// A run to be.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) atlas: Atlas,
    /// Index of the site whose region the single-region world stands in.
    pub(crate) single: usize,
    pub(crate) mean: MeanRequest,
    pub(crate) rates: Rates,
    pub(crate) failure: Failure,
    pub(crate) seed: u64,
    rows: Arc<[TraceRow]>,
}

/// A site that fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Failure {
    /// Its index.
    pub(crate) site: usize,
    /// When, since the start.
    pub(crate) at_s: f64,
}

/// Seed of a run that names none.
const SEED: u64 = 1;

impl Scene {
    /// Sets the scene from the arguments. `period_s` is the time in which everything happens once.
    pub(crate) fn new(args: &DemoArgs, period_s: f64) -> Result<Self, DemoError> {
        let atlas = Atlas::embedded();
        let single = single_region(&atlas);
        let rows: Arc<[TraceRow]> = match &args.trace {
            Some(path) => trace::read_file(path)?,
            None => atlas::trace(),
        }
        .into();
        let (input_tokens, output_tokens) = mean_tokens(&rows);
        let mean = MeanRequest { input_tokens, output_tokens };
        let rates = plan::rates(&atlas, mean, args.rps, args.burst, period_s * 1e3);
        let failure = failure(args.fail.as_deref(), &atlas, single, period_s / 2.0)?;
        Ok(Self { single, mean, rates, failure, seed: args.seed.unwrap_or(SEED), rows, atlas })
    }

    /// The traffic: the same each time it is asked for.
    pub(crate) fn traffic(&self) -> Traffic {
        let entries: Vec<Location> = self.atlas.entries().iter().map(|s| s.location).collect();
        let Rates { base_rps, burst } = self.rates;
        Traffic::new(&self.rows, &self.atlas.cities, &entries, base_rps, burst, self.seed)
    }

    /// Requests a second, averaged over a period.
    pub(crate) fn mean_rps(&self) -> f64 {
        let share = crate::traffic::BURST_TO - crate::traffic::BURST_FROM;
        self.rates.base_rps + share * self.rates.burst.extra_rps
    }

    /// What all GPUs cost in an hour.
    pub(crate) fn gpus_usd_per_hour(&self) -> f64 {
        self.atlas.sites.iter().map(|s| f64::from(s.engines) * s.gpu_hour_usd).sum()
    }

    /// Names of the sites, in their order.
    pub(crate) fn site_names(&self) -> Vec<&str> {
        self.atlas.sites.iter().map(|s| s.name.as_str()).collect()
    }
}

/// Reads `SITE@SECONDS`.
fn failure(text: Option<&str>, atlas: &Atlas, single: usize, half_s: f64) -> Result<Failure, DemoError> {
    let known = || {
        let others = atlas.sites.iter().enumerate().filter(|(i, _)| *i != single);
        others.map(|(_, s)| s.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (name, at_s) = match text {
        None => (FAILING_SITE, half_s),
        Some(text) => {
            let wrong = || DemoError::FailForm { given: text.to_owned(), sites: known() };
            let (name, seconds) = text.split_once('@').ok_or_else(wrong)?;
            let at_s = seconds.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0).ok_or_else(wrong)?;
            (name, at_s)
        }
    };
    match atlas.sites.iter().position(|s| s.name == name) {
        None => Err(DemoError::UnknownSite { given: name.to_owned(), sites: known() }),
        Some(site) if site == single => Err(DemoError::SingleRegionFails { given: name.to_owned(), sites: known() }),
        Some(site) => Ok(Failure { site, at_s }),
    }
}

/// A folder for the logs of the gateways, removed at the end.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// A new folder among the system's temporary ones.
    pub(crate) fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rhumb-demo-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now the system removes some day.
        let _ = std::fs::remove_dir_all(&self.0);
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
