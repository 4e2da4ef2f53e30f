//! Scenario files: those that are built in, and those of one's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rhumb_grid::document::{self, Places};

use crate::problem::LabError;
use crate::report::is_figure;
use crate::scenario::{ParameterPlan, RouterName, Scenario, SitesFrom};

/// A scenario with its text, so that what is wrong with it can be shown there.
#[derive(Debug)]
pub struct Loaded {
    /// Its name: the file's, without its ending.
    pub name: String,
    /// What it says.
    pub scenario: Scenario,
    /// The name or the path that it was asked for by.
    pub(crate) given: String,
    pub(crate) folder: PathBuf,
    /// Nothing is run beside it.
    pub(crate) is_alone: bool,
    text: String,
    places: Places,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../scenarios/", $name, ".yaml")))),*]
    };
}

/// The scenarios that come with the program.
const BUILT_IN: [(&str, &str); 18] = built_in![
    "demo",
    "edge-43",
    "edge-burst",
    "grid-4400",
    "site-loss",
    "power",
    "conversations",
    "agents",
    "b1",
    "b1-six",
    "b1-large",
    "b2",
    "b2-gorgo",
    "b3",
    "b4",
    "b5",
    "b6",
    "b8"
];

/// The figure that a search for the fewest GPUs gives.
const LEAST_GPUS: &str = "least_gpus";

const EXAMPLE: &str = "at least `about`, `grid` and `traffic`; `rhumb sim list` names whole ones to begin with";

/// Names and one line about each scenario that is built in.
///
/// # Errors
/// Never: they are tested to be right.
pub fn list() -> Result<Vec<(&'static str, String)>, LabError> {
    BUILT_IN.iter().map(|(name, _)| Ok((*name, load(name)?.scenario.about))).collect()
}

/// The scenario of a name, or of a file.
///
/// # Errors
/// There is no such scenario, or it is wrong.
pub fn load(given: &str) -> Result<Loaded, LabError> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == given) {
        let mut loaded = parse(name, given, text, PathBuf::from("."))?;
        // What differs from a benchmark in its places or its trace alone has that one's parameters.
        let tuned_as = match *name {
            "b1-six" | "b1-large" => "b1",
            "b2-gorgo" => "b2",
            name => name,
        };
        tuned(tuned_as).into_iter().for_each(|(router, values)| {
            values.into_iter().for_each(|(parameter, value)| {
                loaded.scenario.parameters.push(ParameterPlan { router, parameter, value });
            });
        });
        loaded.check()?;
        return Ok(loaded);
    }
    let path = Path::new(given);
    let looks_like_a_file = path.extension().is_some() || given.contains('/');
    if !looks_like_a_file {
        let known = BUILT_IN.map(|(name, _)| name).join(", ");
        return Err(LabError::UnknownScenario { given: given.to_owned(), known });
    }
    let text = std::fs::read_to_string(path).map_err(|why| LabError::Read { path: path.to_owned(), why })?;
    let name = path.file_stem().map_or_else(|| given.to_owned(), |s| s.to_string_lossy().into_owned());
    parse(&name, given, &text, folder_of(path))
}

/// What `rhumb-lab tune` has found for a scenario that is built in.
fn tuned(name: &str) -> BTreeMap<RouterName, BTreeMap<String, f64>> {
    let mut all: BTreeMap<String, BTreeMap<RouterName, BTreeMap<String, f64>>> =
        serde_json::from_str(include_str!("../data/tuned.json")).expect("the table is tested to be right");
    all.remove(name).unwrap_or_default()
}

fn parse(name: &str, file: &str, text: &str, folder: PathBuf) -> Result<Loaded, LabError> {
    let (scenario, places) = document::read::<Scenario>(text, EXAMPLE).map_err(|problems| LabError::Scenario {
        file: file.to_owned(),
        text: text.to_owned(),
        problems,
    })?;
    let (name, given) = (name.to_owned(), file.to_owned());
    let loaded = Loaded { name, scenario, given, folder, is_alone: false, text: text.to_owned(), places };
    loaded.check()?;
    Ok(loaded)
}

impl Loaded {
    /// The error that a value of the scenario is wrong.
    pub(crate) fn wrong(&self, path: &str, what: String, right: String) -> LabError {
        let problems = vec![self.places.problem(path, what, right)];
        LabError::Scenario { file: self.given.clone(), text: self.text.clone(), problems }
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), LabError> {
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
        crate::parameters::check(self)?;
        if let Some(plan) = &s.least_gpus {
            let [from, to] = plan.engines_per_site;
            if matches!(s.grid.sites, SitesFrom::Demo | SitesFrom::File) {
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
            self.check_figure("least_gpus", &plan.metric, plan.at_least, plan.at_most)?;
        }
        for (i, pass) in s.pass.iter().enumerate() {
            self.check_figure(&format!("pass[{i}]"), &pass.metric, pass.at_least, pass.at_most)?;
        }
        Ok(())
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

    /// Leaves out what is run beside the scenario itself: further loads, and the search for the fewest GPUs with what is
    /// wanted of it.
    pub fn alone(&mut self) {
        self.is_alone = true;
        self.scenario.traffic.loads.clear();
        self.scenario.least_gpus = None;
        self.scenario.pass.retain(|plan| plan.metric != LEAST_GPUS);
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
        if !is_figure(&crate::measure::empty(&self.scenario), metric) {
            let what = format!("there is no figure `{metric}`");
            let right = "a path into a router's report, such as `ttft_ms.p95`, `lost`, `slo_attainment`, \
                         `goodput_rps`, `usd_per_mtok.metered`, `joules_per_token` or `prefix_hit`";
            return Err(self.wrong(&format!("{path}.metric"), what, right.to_owned()));
        }
        Ok(())
    }
}

/// A scenario's file is at a path; what it names is beside it.
fn folder_of(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
