//! Readings from outside: engine metrics and round-trip probes.
//!
//! Whoever receives a reading stamps it with its own clock; no clock of another machine is ever compared. A reading
//! that makes no sense is refused, and a missing one stays missing: it never looks like an idle endpoint.

mod adapter;
mod poll;

pub use adapter::{Reading, read};
pub use poll::{Sink, Target, watch};
