//! Scenario files: those that are built in, and those of one's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rhumb_document::{Places, read};

use crate::problem::LabError;
use crate::scenario::{ParameterPlan, RouterName, Scenario};

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
pub(crate) const LEAST_GPUS: &str = "least_gpus";

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
    let (scenario, places) = read::<Scenario>(text, EXAMPLE).map_err(|problems| LabError::Scenario {
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

    /// Leaves out what is run beside the scenario itself: further loads, and the search for the fewest GPUs with what is
    /// wanted of it.
    pub fn alone(&mut self) {
        self.is_alone = true;
        self.scenario.traffic.loads.clear();
        self.scenario.least_gpus = None;
        self.scenario.pass.retain(|plan| plan.metric != LEAST_GPUS);
    }
}

/// A scenario's file is at a path; what it names is beside it.
fn folder_of(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
