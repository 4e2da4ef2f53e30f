//! The life of the process: background tasks that are started again when they panic, log lines that never block whoever
//! writes them, and the clocks.

pub mod clock;
mod lines;
mod tasks;

pub use lines::{Lines, lines_lost};
pub use tasks::Tasks;
