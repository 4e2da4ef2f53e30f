//! Why a simulation does not run. Every text names what was wrong and what would be right.

use std::path::PathBuf;

use rhumb_config::Problem;
use rhumb_world::Broken;

/// Why a simulation does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// There is no scenario of that name.
    #[error("there is no scenario `{given}`: give a file, or one of {known}")]
    UnknownScenario {
        /// What was given.
        given: String,
        /// The names there are.
        known: String,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The scenario is wrong.
    #[error("{}", rhumb_config::render(file, text, problems).trim_end())]
    Scenario {
        /// Its name.
        file: String,
        /// Its text.
        text: String,
        /// Everything wrong with it.
        problems: Vec<Problem>,
    },
    /// A trace is wrong.
    #[error(transparent)]
    Trace(#[from] rhumb_trace::TraceError),
    /// The demo's scene cannot be set.
    #[error(transparent)]
    Scene(#[from] rhumb_scene::scene::SceneError),
    /// No request would come.
    #[error("the traffic of `{scenario}` brings no request: give it more `seconds`, `requests` or a higher rate")]
    NoTraffic {
        /// The scenario.
        scenario: String,
    },
    /// An invariant does not hold.
    #[error("sim: {broken}\nreplay: {replay}")]
    Broken {
        /// What, where.
        broken: Broken,
        /// The command that shows it again.
        replay: String,
    },
}
