//! What the command lines share: exit codes, printing, tables, progress, and the arguments of simulations.

// Printing to a reader who has left panics: `out` prints instead.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bar;
pub mod exit;
pub mod lab;
pub mod out;
mod table;

pub use bar::Bar;
pub use exit::{Failure, Outcome};
pub use table::{table, table_within};
