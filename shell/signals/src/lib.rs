//! Readings from outside: engine metrics, round-trip probes, lists of models, and answers to canaries.
//!
//! Whoever receives a reading stamps it with its own clock; no clock of another machine is ever compared. A reading
//! that makes no sense is refused, and a missing one stays missing: it never looks like an idle endpoint.

mod adapter;
mod canary;
mod look;
mod models;
mod poll;

pub use adapter::{Reading, read};
pub use canary::{Answered, Question};
pub use look::{LookError, Looked, look};
pub use models::Listed;
pub use poll::{ProbeConfig, Sink, Target, watch};
