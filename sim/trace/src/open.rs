//! From a name and a data directory to a workload.

use std::path::Path;

use crate::agentic::Agentic;
use crate::call::Limited;
use crate::file::Source;
use crate::fleet::Fleet;
use crate::mix::Stream;
use crate::replay::Replay;
use crate::rows::Rows;
use crate::servegen::Mix;
use crate::{Kind, Options, TraceError, Workload, agentic, azure, mooncake, own, servegen};

/// A trace as it was read.
pub(crate) enum Loaded {
    Rows(Rows),
    Agentic(Agentic),
    Mix(Mix),
}

/// Reads the files of a workload; `data_dir` is where `traces/` lies.
pub(crate) fn load(kind: &Kind, data_dir: Option<&Path>, seed: u64) -> Result<Loaded, TraceError> {
    let files = kind.files();
    let data = |i: usize| Source::in_data(data_dir, files.get(i).map_or("", String::as_str));
    let mix = |model: &str| servegen::read(data(0)?, data(1)?, model).map(Loaded::Mix);
    match kind {
        Kind::AzureConv | Kind::AzureCode => azure::read(data(0)?).map(Loaded::Rows),
        Kind::Mooncake => mooncake::read(data(0)?, seed).map(Loaded::Rows),
        Kind::Agentic => agentic::read(data(0)?, data(1)?).map(Loaded::Agentic),
        Kind::ServegenMLarge => mix("m-large"),
        Kind::ServegenMSmall => mix("m-small"),
        Kind::ServegenMmImage => mix("mm-image"),
        Kind::Own(path) => own::open(path).map(Loaded::Rows),
    }
}

/// Opens a workload. `data_dir` is the directory that has `traces/`; a file of one's own needs none.
///
/// # Errors
/// An option out of its range; a file that is missing, cut short, or wrong, by line and field.
pub fn open(kind: &Kind, data_dir: Option<&Path>, options: &Options) -> Result<Box<dyn Workload>, TraceError> {
    options.check()?;
    Ok(match load(kind, data_dir, options.seed)? {
        Loaded::Rows(rows) => limited(Replay::new(rows, options)?, options.limit),
        Loaded::Agentic(trace) => limited(Fleet::new(trace, options), options.limit),
        Loaded::Mix(mix) => limited(Stream::new(mix, options)?, options.limit),
    })
}

fn limited(workload: impl Workload + 'static, limit: Option<u64>) -> Box<dyn Workload> {
    match limit {
        Some(left) => Box::new(Limited { inner: workload, left }),
        None => Box::new(workload),
    }
}
