//! What a run is asked for, beside its scenario.

use std::path::PathBuf;

use crate::scenario::RouterName;

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Router; empty means those of the scenario.
    pub routers: Vec<RouterName>,
    /// The first seed.
    pub seed: u64,
    /// Runs of each router, on successive seeds.
    pub seeds: u64,
    /// The folder of traces, prices and the like.
    pub data: Option<PathBuf>,
    /// Check every invariant after every event.
    pub check: bool,
    /// Runs at the same time.
    pub threads: usize,
    /// The commit that runs it.
    pub commit: String,
}
