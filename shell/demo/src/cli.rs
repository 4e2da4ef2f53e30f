//! The command line of the demo.

use crate::args::{DemoArgs, DemoError};
use crate::{fight, live};

/// Runs the demo; the number of Rhumb's failed requests.
///
/// # Errors
/// The arguments do not make a run, or the machine refuses what it needs.
pub fn run(args: DemoArgs) -> Result<usize, DemoError> {
    args.check()?;
    match args.seconds {
        Some(seconds) if args.json => fight::run(&args, seconds),
        _ => live::run(&args),
    }
}
