//! `rhumb-lab`: research on the router and on the engine model. Operators need `rhumb` alone.

// Printing to a reader who has left panics: `out` prints instead.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod compare;
mod decisions;
mod fidelity;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rhumb_cli::{exit, out};

/// Compares and tunes routers in simulation, and fits the engine model to measurements.
#[derive(Parser)]
#[command(name = "rhumb-lab", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every router on every benchmark and print the table (some minutes; --quick: less than one)
    #[command(alias = "league")]
    Compare(compare::Compare),
    /// Search the routers' parameters on the first half of each benchmark's traffic and print what is best
    Tune(compare::Tune),
    /// Say how far the engine model is from measurements that its fit did not see (some minutes)
    #[command(alias = "b9")]
    Fidelity(fidelity::Fidelity),
    /// Fit the engine model to a data folder and print its table of coefficients
    Fit(fidelity::Fit),
    /// Time the decisions of every router over 10 to 1,000 endpoints on this machine
    #[command(alias = "b10")]
    Decisions(decisions::Args),
}

/// The commit that this program was built from.
pub(crate) fn commit() -> String {
    option_env!("RHUMB_COMMIT").unwrap_or("unknown").to_owned()
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(args) => compare::compare(&args),
        Command::Tune(args) => compare::tune(&args),
        Command::Fidelity(args) => fidelity::fidelity(&args),
        Command::Fit(args) => fidelity::fit(&args),
        Command::Decisions(args) => decisions::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            out::note(format_args!("error: {}", failure.text));
            ExitCode::from(failure.code)
        }
    }
}
