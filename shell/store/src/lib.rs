//! The decision and usage log: one append-only row for each accepted request.
//!
//! The data plane hands over what it knows twice, at the decision and at the end, and goes on; a thread of the log's
//! own writes. Rows are committed together, at least once a second: a clean stop loses nothing, a kill at most the
//! last second.

mod entry;
mod inbox;
mod reader;
mod recent;
mod writer;

pub use entry::{Ended, Intent, Logged, Named, Outcome, Row};
pub use reader::{Reader, format_id, parse_id};
pub use writer::{Log, StoreError};
