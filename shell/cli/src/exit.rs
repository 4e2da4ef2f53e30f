//! Published exit codes.

/// Done.
pub const DONE: u8 = 0;
/// The arguments or a file are not what they should be.
pub const USAGE: u8 = 2;
/// The check found something.
pub const FOUND: u8 = 3;
/// What was asked for does not exist.
pub const MISSING: u8 = 4;
/// Requests of a demo failed.
pub const FAILED: u8 = 5;
/// A server did not answer.
pub const UNREACHABLE: u8 = 6;
/// An invariant of a simulation does not hold.
pub const BROKEN: u8 = 10;

/// Shown below `--help`.
pub const HELP: &str = "Exit codes: 0 done, 1 bug, 2 usage, 3 the check found something, 4 not found, \
5 requests of a demo failed, 6 unreachable, 10 simulation invariant broken.";

/// What a command ends with when it cannot do what was asked.
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What was wrong, and what would be right.
    pub text: String,
}

impl Failure {
    /// A command ends with this exit code, for this reason.
    pub fn new(code: u8, why: impl std::fmt::Display) -> Self {
        Self { code, text: why.to_string() }
    }
}

/// How a command ends.
pub type Outcome = Result<u8, Failure>;
