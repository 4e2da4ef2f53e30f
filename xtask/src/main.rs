//! Checks of the project itself.
//!
//! `cargo xtask tidy` holds the sizes of crates, files and functions, the number of arguments and the cycles of modules against
//! `xtask/ratchet.txt`, and the links of the documents against the files. It prints what it found, the largest by name.

mod cycles;
mod links;
mod ratchet;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ratchet::Ratchet;
use crate::source::Source;

const USAGE: &str = "usage: cargo xtask tidy [--all]   (--all: name all that is beyond what the house wants)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => {}
        ["tidy", "--all"] => return end(list(&root())),
        ["--help" | "-h" | "help"] => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            complain(USAGE);
            return ExitCode::from(2);
        }
    }
    end(tidy(&root()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn end(result: Result<Vec<String>, String>) -> ExitCode {
    match result {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            broken.iter().for_each(|b| complain(b));
            ExitCode::FAILURE
        }
        Err(e) => {
            complain(&e);
            ExitCode::from(2)
        }
    }
}

/// Names all that is beyond what the house wants.
fn list(root: &std::path::Path) -> Result<Vec<String>, String> {
    Source::read(root)?.beyond().iter().for_each(|line| say(line));
    Ok(Vec::new())
}

/// What is not as it should be.
fn tidy(root: &std::path::Path) -> Result<Vec<String>, String> {
    let source = Source::read(root)?;
    let ratchet = Ratchet::read(&root.join("xtask/ratchet.txt"))?;
    let mut broken = Vec::new();
    for (name, figure, largest) in source.figures() {
        let most = ratchet.of(name)?;
        say(&format!("{name}: {figure} (at most {most}); {largest}"));
        if figure > most {
            broken.push(format!("{name} is {figure}, and at most {most} is allowed: {largest}"));
        } else if figure < most {
            say(&format!("  {name} may be lowered to {figure} in xtask/ratchet.txt"));
        }
    }
    broken.extend(links::broken(root)?);
    Ok(broken)
}

#[expect(clippy::print_stdout, reason = "it is a command")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "it is a command")]
fn complain(line: &str) {
    eprintln!("{line}");
}
