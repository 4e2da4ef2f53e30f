//! `rhumb.yaml`: read and checked.
//!
//! [`load`] turns its text into a [`Config`] with its warnings, or into every [`Problem`] that stands between the two;
//! [`render`] writes those for people. Nothing here reads a file or the environment: both are arguments.

mod check;
pub mod schema;
#[cfg(test)]
mod structure_tests;

pub use check::Catalogue;
pub use rhumb_document::{Problem, Severity, listed, render, without_secret};

use rhumb_document::path::Path;
use rhumb_document::span::Span;
use rhumb_document::{secrets, structure, yaml};
use rhumb_grid::config::Config;

/// What an empty `rhumb.yaml` should hold.
const EXAMPLE: &str = "at least `sites`, `models` and `endpoints`; examples/rhumb.yaml is a whole one to begin with";

/// What a configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve with it. An environment variable that is not set is an error.
    Serve,
    /// To look at it, perhaps on another machine. An environment variable that is not set is a warning, and the value
    /// stays as written.
    Inspect,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What it says without effect.
    pub warnings: Vec<Problem>,
}

/// Reads and checks a `rhumb.yaml`.
///
/// `env` looks up the environment variables that `${NAME}` in the text stands for; `catalogue` holds the names that
/// `gpu` and `shape` may have. All problems come at once, in the order of the text, warnings included.
///
/// ```
/// let text = "sites: []\nmodels: []\nendpoints: []\ntenant: []\n";
/// let catalogue = rhumb_config::Catalogue { gpus: &[], shapes: &[] };
/// let problems = rhumb_config::load(text, &|_| None, &catalogue, rhumb_config::Purpose::Serve).unwrap_err();
/// let shown = rhumb_config::render("rhumb.yaml", text, &problems);
/// assert!(shown.contains("error: rhumb.yaml:4:1: unknown key `tenant`"));
/// assert!(shown.ends_with("4 problems in rhumb.yaml\n"));
/// ```
pub fn load(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    catalogue: &Catalogue<'_>,
    purpose: Purpose,
) -> Result<Loaded, Vec<Problem>> {
    let mut tree = yaml::parse(text).map_err(|problem| vec![problem])?;
    let mut problems = secrets::fill(&mut tree, env);
    if purpose == Purpose::Serve {
        problems = problems.into_iter().map(Problem::into_error).collect();
    }
    let outcome = structure::check(&mut tree, &schema::json_schema(), EXAMPLE);
    problems.extend(outcome.problems);
    let mut config = None;
    if outcome.whole {
        match serde_json::from_value::<Config>(tree.to_json()) {
            Ok(read) => {
                problems.extend(check::check(&read, &tree, catalogue));
                config = Some(read);
            }
            // The schema comes from the types, so this is a slip in one of them; the file is refused either way.
            // The message of the types is not passed on: it may quote a secret.
            Err(_) => {
                let what = "this file fits the schema and yet cannot be read".to_owned();
                let right = "a report of this file, without its secrets: it shows a fault in rhumb".to_owned();
                problems.push(Problem::at(Span::point(1, 1), &Path::root(), what, right));
            }
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    let is_usable = problems.iter().all(|problem| problem.severity == Severity::Warning);
    match config.filter(|_| is_usable) {
        Some(config) => Ok(Loaded { config, warnings: problems }),
        None => Err(problems),
    }
}
