//! A trace of the user's own.

use std::path::Path;

use rhumb_scene::trace::{self, TraceError, TraceRow};

/// Why a trace cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceFileError {
    /// It cannot be read.
    #[error("cannot read the trace `{path}`: {why}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        why: std::io::Error,
    },
    /// It is wrong.
    #[error(transparent)]
    Wrong(#[from] TraceError),
}

/// Reads a trace from a file.
pub(crate) fn read(path: &Path) -> Result<Vec<TraceRow>, TraceFileError> {
    let file =
        std::fs::File::open(path).map_err(|why| TraceFileError::Read { path: path.display().to_string(), why })?;
    Ok(trace::read(file)?)
}
