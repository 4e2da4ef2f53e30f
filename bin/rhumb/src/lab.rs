//! `rhumb sim` and what belongs to `rhumb-lab`: its commands are handed over to it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use rhumb_cli::exit::{self, Failure, Outcome};

/// Benchmarks that `rhumb-lab` runs, and what they say.
pub(crate) const BENCHMARKS: [(&str, &str); 2] = [
    ("b9", "is the engine model true (`rhumb-lab fidelity`)"),
    ("b10", "what a decision takes: every router over 10 to 1,000 endpoints, timed here (`rhumb-lab decisions`)"),
];

/// Its commands. None of them is the name of a scenario.
const COMMANDS: [&str; 8] = ["b9", "b10", "compare", "decisions", "fidelity", "fit", "league", "tune"];

/// Whether a first argument of `rhumb sim` is a command of `rhumb-lab`.
pub(crate) fn is_lab(word: &OsStr) -> bool {
    COMMANDS.iter().any(|command| word == *command)
}

/// The program, which is installed beside this one.
fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name("rhumb-lab");
    beside.is_file().then_some(beside)
}

/// What `rhumb-lab` is to be run with, where these arguments of `rhumb` ask for one of its commands.
fn asked(args: &[OsString]) -> Option<&[OsString]> {
    match args {
        [_, sim, command, ..] if sim == "sim" && is_lab(command) => Some(&args[2..]),
        _ => None,
    }
}

/// Runs `rhumb-lab` in the place of this program where it is asked for one of its commands.
pub(crate) fn hand_over() -> Option<Outcome> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let args = asked(&args)?;
    Some(match program() {
        Some(program) => run(&program, args),
        None => Err(Failure::new(
            exit::USAGE,
            format!(
                "`{}` is a command of `rhumb-lab`, which does not stand beside this program: `make build` makes both",
                args[0].display()
            ),
        )),
    })
}

/// Ends as the program ends that is run.
fn run(program: &Path, args: &[OsString]) -> Outcome {
    let status = Command::new(program).args(args).status();
    let status =
        status.map_err(|why| Failure::new(exit::USAGE, format!("cannot run `{}`: {why}", program.display())))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
