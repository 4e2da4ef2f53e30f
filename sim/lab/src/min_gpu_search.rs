//! The fewest GPUs that are enough: the same traffic on ever other numbers of engines.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::figure::figure;
use crate::lab::{Job, Lab};
use crate::measure::{MinGpus, report};
use crate::problem::LabError;
use crate::scenario::LeastPlan;

impl Lab<'_> {
    /// Halves the range of engines at each site until one number is left. It takes for granted that what is enough stays
    /// enough with more.
    pub(crate) fn least(&self, plan: &LeastPlan, job: Job, came: &Arc<AtomicU64>) -> Result<MinGpus, LabError> {
        let [mut from, mut to] = plan.engines_per_site;
        if !self.is_enough(plan, to, job, came)? {
            return Ok(MinGpus::TooFew);
        }
        while from < to {
            let middle = from + (to - from) / 2;
            if self.is_enough(plan, middle, job, came)? {
                to = middle;
            } else {
                from = middle + 1;
            }
        }
        Ok(MinGpus::Gpus(self.gpus_with(to)))
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
