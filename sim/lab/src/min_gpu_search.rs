//! The fewest GPUs that are enough: the same traffic on ever other numbers of engines.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;

use crate::lab::{Job, Lab};
use crate::measure::report;
use crate::problem::LabError;
use crate::report::figure;
use crate::scenario::LeastPlan;

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum MinGpuSearch {
    /// So many GPUs, over all sites.
    Gpus(u32),
    /// The most that were tried are too few: `null` in a report.
    TooFew,
}

impl Lab<'_> {
    /// Halves the range of engines at each site until one number is left. It takes for granted that what is enough stays
    /// enough with more.
    pub(crate) fn least(&self, plan: &LeastPlan, job: Job, came: &Arc<AtomicU64>) -> Result<MinGpuSearch, LabError> {
        let [mut from, mut to] = plan.engines_per_site;
        if !self.is_enough(plan, to, job, came)? {
            return Ok(MinGpuSearch::TooFew);
        }
        while from < to {
            let middle = from + (to - from) / 2;
            if self.is_enough(plan, middle, job, came)? {
                to = middle;
            } else {
                from = middle + 1;
            }
        }
        Ok(MinGpuSearch::Gpus(self.gpus_with(to)))
    }

    /// With so many engines at each site and the traffic as it is.
    fn is_enough(&self, plan: &LeastPlan, engines: u32, job: Job, came: &Arc<AtomicU64>) -> Result<bool, LabError> {
        let mut scenario = self.scenario().clone();
        scenario.grid.engines_per_site = engines;
        let setup = self.setup_of(&scenario, job.router, job.seed)?;
        let ran = self.run_checked(&setup, job, came)?;
        let figures = serde_json::to_value(report(&setup, &ran, &scenario, self.usd_per_s(engines)))
            .expect("a report has string keys and finite numbers");
        Ok(figure(&figures, &plan.metric).is_some_and(|v| plan.holds(v)))
    }
}
