//! What a store of the log is: a place for rows that knows neither views nor decisions.
//!
//! Every implementation passes the suite in `conformance`.

use std::collections::BTreeMap;
use std::time::Duration;

use rhumb_record::Logged;

use crate::error::StoreError;
use crate::rows::{Batch, ViewNote};

/// Where rows are written. One thread has it.
pub(crate) trait Store: Send {
    /// Makes ready to be written to, anew where it was lost or closed. True: what was written before is gone from where
    /// readers look, and has to be written again.
    ///
    /// # Errors
    /// It cannot be used (now).
    fn ready(&mut self) -> Result<bool, StoreError>;

    /// Begins a run: closes the rows of requests that an earlier gateway did not see the end of. How many there were.
    ///
    /// # Errors
    /// They cannot be written; nothing has changed.
    fn begin_run(&mut self, run: u64) -> Result<usize, StoreError>;

    /// Writes rows, all of them or none. The same rows may be written again. False: what was written is not where readers
    /// look, and has to be written again.
    ///
    /// # Errors
    /// They cannot be written; nothing has changed.
    fn write(&mut self, run: u64, batch: &Batch, note: Option<ViewNote>) -> Result<bool, StoreError>;

    /// Leaves out some of the oldest rows that have ended, if there are any too many, and the rows of views that nothing
    /// needs any more. Nothing is left out: all is as it should be, or the store is not ready.
    ///
    /// # Errors
    /// It cannot be written.
    fn prune(&mut self, now_unix_ms: u64, keep: &Retention) -> Result<Pruned, StoreError>;

    /// Writing has failed: does what may help the next attempt.
    fn recover(&mut self, why: &StoreError);

    /// Closes it; [`Self::ready`] opens it again.
    fn close(&mut self);
}

/// Where rows are read back, beside a gateway that may be writing them.
pub trait ReadStore {
    /// The row of a decision.
    ///
    /// # Errors
    /// The store cannot be read, or the record is damaged.
    fn row(&self, id: u64) -> Result<Option<Row>, StoreError>;

    /// What the store holds.
    ///
    /// # Errors
    /// It cannot be read.
    fn status(&self) -> Result<Status, StoreError>;
}

/// A row as read back.
#[derive(Debug, Clone)]
pub struct Row {
    /// The decision.
    pub logged: Logged,
    /// How it ended.
    pub outcome: String,
    /// The endpoint that served it; empty when none did.
    pub endpoint: String,
    /// Name of the policy.
    pub policy: String,
    /// Version of the configuration; empty in rows from before it was kept.
    pub config: String,
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Rows of requests, by how they ended.
    pub outcomes: BTreeMap<String, u64>,
    /// When the first and the last request of the log came; wall clock, ms since 1970.
    pub oldest_unix_ms: Option<u64>,
    /// As above.
    pub newest_unix_ms: Option<u64>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Those of them that hold nothing and are used again.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log beside it.
    pub wal_bytes: u64,
}

/// How long rows are kept, and how large the file may become. `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Age of the oldest row.
    pub age: Option<Duration>,
    /// Size of the file, in bytes.
    pub bytes: Option<u64>,
}

/// What was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows of requests.
    pub requests: u64,
    /// Rows of views that no request refers to any more.
    pub view_rows: u64,
}
