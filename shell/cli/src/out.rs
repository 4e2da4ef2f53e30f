//! What commands print.

use std::fmt::Display;
use std::io::Write as _;

use crate::exit::{Failure, USAGE};

/// Prints a text on standard output.
///
/// # Errors
/// It cannot be written, the disk being full, say. A reader who has left (`| head`) is no error.
pub fn print(text: impl Display) -> Result<(), Failure> {
    rhumb_screen::print(text).map_err(|why| Failure::new(USAGE, format!("cannot write to standard output: {why}")))
}

/// Prints a line on standard output.
///
/// # Errors
/// As [`print`].
pub fn line(text: impl Display) -> Result<(), Failure> {
    print(format_args!("{text}\n"))
}

/// Says a line on standard error. Where that is closed there is nobody to tell.
pub fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
