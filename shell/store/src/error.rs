//! What may go wrong with the log.

use std::path::PathBuf;

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
    #[error("the decision log `{}` cannot be used: {why}{}", .path.display(), hint(.why))]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        why: rusqlite::Error,
    },
    /// SQLite refused.
    #[error("the decision log: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A record is of another version, or damaged.
    #[error("a record of the decision log cannot be read by this version")]
    Layout,
    /// No thread can be had.
    #[error("cannot start a thread of the decision log: {0}")]
    Thread(std::io::Error),
}

fn hint(why: &rusqlite::Error) -> &'static str {
    match why.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => "; move the file away to begin a new log",
        _ => "",
    }
}

impl StoreError {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(why) | Self::Database { why, .. } => why.sqlite_error_code(),
            _ => None,
        }
    }

    /// It may pass by itself: another process holds the file, or the disk is full. A gateway starts in spite of it.
    pub(crate) fn may_pass(&self) -> bool {
        use ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
        matches!(self.code(), Some(DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure))
    }

    /// The open file is as good as before: it is written to again without being opened anew.
    pub(crate) fn leaves_the_file(&self) -> bool {
        use ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        matches!(self.code(), Some(DatabaseBusy | DatabaseLocked | DiskFull))
    }
}
