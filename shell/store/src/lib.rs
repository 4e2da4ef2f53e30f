//! The decision and usage log: one row for each accepted request.
//!
//! The data plane hands over what it knows twice, at the decision and at the end, and goes on. One thread of the log's own
//! takes it, another writes to the disk, so that a disk that is slow, full or locked is waited for by that one alone. Rows
//! are committed together, at least once a second, and so are the decisions of requests that still run: a clean stop loses
//! nothing, a kill at most the last second. What cannot be written waits within bounds; beyond them rows are lost and
//! counted.

mod database;
mod disk;
mod entry;
mod error;
mod inbox;
mod keeper;
mod lock;
mod log;
mod prune;
mod reader;
mod recent;
mod request;
mod spool;

pub use entry::{Ended, Intent, Logged, Named, Outcome, Row};
pub use error::StoreError;
pub use log::Log;
pub use prune::{Pruned, Retention, prunable, prune};
pub use reader::{Reader, Status, format_id, parse_id};
