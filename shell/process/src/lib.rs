//! The life of the process: background tasks that are started again when they panic, and log lines that never block
//! whoever writes them.

mod lines;
mod tasks;

pub use lines::{Lines, lines_lost};
pub use tasks::Tasks;
