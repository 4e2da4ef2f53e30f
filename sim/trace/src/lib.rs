//! Workloads for the simulated grid: who calls when, how long the prompt and the answer are, and which prefix the
//! prompt shares with others.
//!
//! [`open`] reads a published trace, a production client mix, agents' sessions or one's own file, shapes it by
//! [`Options`], and hands out [`Call`]s through [`Workload`]. The same seed, files and options give the same calls.
//! The formats and the shaping are described in `docs/reference/traces.md`.

mod agentic;
mod azure;
mod burst;
mod call;
mod error;
mod file;
mod fleet;
mod hours;
mod jsonl;
mod kind;
mod lengths;
mod mix;
mod mooncake;
#[cfg(test)]
mod never_panics;
mod open;
mod options;
mod own;
mod replay;
mod rows;
mod servegen;
mod stats;
mod table;
mod thin;

pub use call::{Call, Workload};
pub use error::TraceError;
pub use hours::hours;
pub use kind::Kind;
pub use open::open;
pub use options::Options;
pub use stats::{Stats, stats};
