//! The decision and usage log, one row for each accepted request, and the responses that are kept for clients.
//!
//! The data plane hands over what it knows twice, at the decision and at the end, and goes on. One thread of the log's own
//! takes it and makes rows of it, another writes them to a `Store`, so that a disk that is slow, full or locked is waited for
//! by that one alone. Rows are committed together, at least once a second, and so are the decisions of requests that still
//! run: a clean stop loses nothing, a kill at most the last second. What cannot be written waits within bounds; beyond them
//! rows are lost and counted.

#[cfg(test)]
mod conformance;
mod entry;
mod error;
mod inbox;
mod keeper;
mod log;
mod message;
mod recent;
pub mod responses;
mod rows;
mod spool;
mod sqlite;
mod state;
mod store;
mod writer;

pub use entry::{Ended, Intent};
pub use error::{Cause, CauseKind, StoreError};
pub use log::Log;
pub use sqlite::{Reader, prunable, prune};
pub use store::{Pruned, ReadStore, Retention, Row, Status};
