//! What may go wrong with the log.

use std::path::PathBuf;

use rhumb_record::Damaged;
use rusqlite::ErrorCode;

/// What may go wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no log.
    #[error("there is no decision log at `{}`", .0.display())]
    Missing(PathBuf),
    /// The folder cannot be used.
    #[error("the data folder `{}` cannot be used: {why}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// Another process writes there.
    #[error(
        "the data folder `{}` is in use by another gateway{}: stop that one, or give this one a folder of its own \
         (`gateway.data_dir`, `--data-dir`)",
        .path.display(),
        if .holder.is_empty() { String::new() } else { format!(", process {}", .holder) }
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process's number; empty when it is not known.
        holder: String,
    },
    /// The file cannot be used.
    #[error("the decision log `{}` cannot be used: {why}{}", .path.display(), why.kind.hint())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        why: Cause,
    },
    /// The file of responses cannot be used.
    #[error("the responses kept in `{}` cannot be used: {why}", .path.display())]
    Responses {
        /// The file.
        path: PathBuf,
        /// Why.
        why: Cause,
    },
    /// The store refused.
    #[error("the decision log: {0}")]
    Refused(Cause),
    /// A record is of another version, or damaged.
    #[error(transparent)]
    Record(#[from] Damaged),
    /// No thread can be had.
    #[error("cannot start a thread of the decision log: {0}")]
    Thread(std::io::Error),
}

/// Why a store refuses, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    /// What kind of failure it is.
    pub kind: CauseKind,
    /// The store's words.
    pub text: String,
}

/// Failures as a writer tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseKind {
    /// Somebody else holds it.
    Busy,
    /// There is no room.
    Full,
    /// Reading or writing failed.
    Io,
    /// What is there is no store, or a damaged one.
    Damaged,
    /// Anything else.
    Other,
}

impl CauseKind {
    fn hint(self) -> &'static str {
        if self == Self::Damaged { "; move the file away to begin a new log" } else { "" }
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(why: rusqlite::Error) -> Self {
        let kind = match why.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CauseKind::Busy,
            Some(ErrorCode::DiskFull) => CauseKind::Full,
            Some(ErrorCode::SystemIoFailure) => CauseKind::Io,
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => CauseKind::Damaged,
            _ => CauseKind::Other,
        };
        Self { kind, text: why.to_string() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(why: rusqlite::Error) -> Self {
        Self::Refused(why.into())
    }
}

impl StoreError {
    fn kind(&self) -> Option<CauseKind> {
        match self {
            Self::Refused(why) | Self::Database { why, .. } => Some(why.kind),
            _ => None,
        }
    }

    /// It may pass by itself: another process holds the store, or the disk is full. A gateway starts in spite of it.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.kind(), Some(CauseKind::Busy | CauseKind::Full | CauseKind::Io))
    }

    /// What is open is as good as before: it is written to again without being opened anew.
    pub(crate) fn leaves_it_open(&self) -> bool {
        matches!(self.kind(), Some(CauseKind::Busy | CauseKind::Full))
    }
}
