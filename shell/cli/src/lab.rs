//! Arguments and errors of the commands that simulate.

use std::path::PathBuf;

use rhumb_lab::{LabError, RouterName};

use crate::exit::{BROKEN, Failure, USAGE};

/// Where traces, prices and measurements are read from.
#[derive(clap::Args)]
pub struct Data {
    /// Folder of traces, prices and measurements; default: RHUMB_DATA_DIR
    #[arg(long = "data", value_name = "DIR")]
    pub given: Option<PathBuf>,
}

impl Data {
    /// The folder, if one is given here or in the environment.
    pub fn dir(&self) -> Option<PathBuf> {
        self.given.clone().or_else(default_dir)
    }

    /// The folder.
    ///
    /// # Errors
    /// None is given.
    pub fn required(&self) -> Result<PathBuf, Failure> {
        self.dir().ok_or_else(no_data)
    }
}

/// The data folder that the environment names.
pub fn default_dir() -> Option<PathBuf> {
    std::env::var_os("RHUMB_DATA_DIR").map(PathBuf::from)
}

/// No data folder is given, and one is needed.
pub fn no_data() -> Failure {
    let text = "no data folder is given: set RHUMB_DATA_DIR or pass `--data DIR`; `rhumb sim data` says what is needed \
                and from where";
    Failure::new(USAGE, text)
}

/// Reads the name of a router.
///
/// # Errors
/// There is no router of this name: the text lists all.
pub fn router(text: &str) -> Result<RouterName, String> {
    let known = || RouterName::ALL.map(RouterName::name).join(", ");
    RouterName::ALL.into_iter().find(|r| r.name() == text).ok_or_else(|| format!("the routers are {}", known()))
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let code = if matches!(error, LabError::Broken { .. }) { BROKEN } else { USAGE };
        Self::new(code, error)
    }
}

/// Runs at the same time where nothing else is said: one for each core.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
