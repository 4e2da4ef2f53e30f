//! What a scenario's types cannot say.

use crate::figure::is_figure;
use crate::file::{LEAST_GPUS, Loaded};
use crate::measure::empty;
use crate::parameters::parameters;
use crate::problem::LabError;
use crate::scenario::{LeastPlan, ParameterPlan, SitesFrom};

impl Loaded {
    /// What the types cannot say.
    pub(crate) fn check(&self) -> Result<(), LabError> {
        let s = &self.scenario;
        if s.traffic.seconds.is_none() && s.traffic.requests.is_none() {
            let what = "the traffic has no end".to_owned();
            return Err(self.wrong("traffic", what, "add `seconds:` or `requests:`".to_owned()));
        }
        if (s.traffic.workload == "demo") && s.grid.sites != SitesFrom::Demo {
            let what = "the workload `demo` belongs to the demo's grid".to_owned();
            return Err(self.wrong(
                "traffic.workload",
                what,
                "`azure-sample`, or `sites: demo` for the grid".to_owned(),
            ));
        }
        if s.traffic.workload == "demo" && !s.tenants.is_empty() {
            let what = "the demo's users belong to no tenant".to_owned();
            return Err(self.wrong("tenants", what, "another workload, such as `azure-sample`".to_owned()));
        }
        if let Some(i) = (0..s.tenants.len()).find(|i| s.tenants[..*i].iter().any(|t| t.name == s.tenants[*i].name)) {
            let what = format!("there are two tenants `{}`", s.tenants[i].name);
            return Err(self.wrong(&format!("tenants[{i}].name"), what, "a name of its own for each".to_owned()));
        }
        if let Some(i) = s.traffic.loads.iter().position(|load| !(0.001..=10.0).contains(load)) {
            let what = format!("a load of {}", s.traffic.loads[i]);
            return Err(self.wrong(
                &format!("traffic.loads[{i}]"),
                what,
                "a share of capacity from 0.001 to 10".to_owned(),
            ));
        }
        self.check_round_trips()?;
        check_parameters(self)?;
        if let Some(plan) = &s.least_gpus {
            self.check_least_gpus(plan)?;
        }
        for (i, pass) in s.pass.iter().enumerate() {
            self.check_figure(&format!("pass[{i}]"), &pass.metric, pass.at_least, pass.at_most)?;
        }
        Ok(())
    }

    /// The search for the fewest GPUs is one that can be made.
    fn check_least_gpus(&self, plan: &LeastPlan) -> Result<(), LabError> {
        let [from, to] = plan.engines_per_site;
        if matches!(self.scenario.grid.sites, SitesFrom::Demo | SitesFrom::File) {
            let what = "this grid says itself how many engines it has".to_owned();
            return Err(self.wrong("least_gpus", what, "`sites: akamai`, `aws` or `cities`".to_owned()));
        }
        if from > to {
            let what = format!("from {from} to {to} engines");
            return Err(self.wrong("least_gpus.engines_per_site", what, "the fewest first".to_owned()));
        }
        if plan.metric == LEAST_GPUS {
            let what = "the fewest GPUs are what is searched for".to_owned();
            return Err(self.wrong("least_gpus.metric", what, "what says that they are enough".to_owned()));
        }
        self.check_figure("least_gpus", &plan.metric, plan.at_least, plan.at_most)
    }

    /// Round trips that are stated are those of a grid whose sites and gateways are counted.
    fn check_round_trips(&self) -> Result<(), LabError> {
        let (grid, stated) = (&self.scenario.grid, &self.scenario.network.rtt_ms);
        let counted = matches!(grid.sites, SitesFrom::Akamai | SitesFrom::Aws | SitesFrom::Cities);
        let fits = counted && grid.gateways == 1 && grid.count == Some(stated.len() as u32);
        if stated.is_empty() || fits {
            return Ok(());
        }
        let what = format!("{} round trips, each of one gateway and one site", stated.len());
        let right = format!("`gateways: 1` and `count: {}` in a `grid` of `akamai`, `aws` or `cities`", stated.len());
        Err(self.wrong("network.rtt_ms", what, right))
    }

    /// A metric that is to keep to limits exists, and has one.
    fn check_figure(
        &self,
        path: &str,
        metric: &str,
        at_least: Option<f64>,
        at_most: Option<f64>,
    ) -> Result<(), LabError> {
        if at_most.is_none() && at_least.is_none() {
            let what = "the line wants nothing".to_owned();
            return Err(self.wrong(path, what, "add `at_most:` or `at_least:`".to_owned()));
        }
        if metric == LEAST_GPUS && self.scenario.least_gpus.is_none() {
            let what = "the scenario has no fewest GPUs searched for".to_owned();
            return Err(self.wrong(&format!("{path}.metric"), what, "add `least_gpus:`".to_owned()));
        }
        if !is_figure(&empty(&self.scenario), metric) {
            let what = format!("there is no figure `{metric}`");
            let right = "a path into a router's report, such as `ttft_ms.p95`, `lost`, `slo_attainment`, \
                         `goodput_rps`, `usd_per_mtok.metered`, `joules_per_token` or `prefix_hit`";
            return Err(self.wrong(&format!("{path}.metric"), what, right.to_owned()));
        }
        Ok(())
    }
}

/// Every parameter that a scenario sets exists and is in its range.
fn check_parameters(loaded: &Loaded) -> Result<(), LabError> {
    for (i, ParameterPlan { router, parameter: name, value }) in loaded.scenario.parameters.iter().enumerate() {
        let known = parameters(*router);
        let Some(parameter) = known.iter().find(|k| k.name == name) else {
            let names: Vec<&str> = known.iter().map(|k| k.name).collect();
            let what = format!("`{}` has no parameter `{name}`", router.name());
            return Err(loaded.wrong(
                &format!("parameters[{i}].parameter"),
                what,
                format!("one of {}", names.join(", ")),
            ));
        };
        if !(parameter.low..=parameter.high).contains(value) {
            let right = format!("from {} to {}", parameter.low, parameter.high);
            return Err(loaded.wrong(&format!("parameters[{i}].value"), format!("`{name}` is {value}"), right));
        }
    }
    Ok(())
}
