//! Published exit codes.

/// Done.
pub(crate) const DONE: u8 = 0;
/// The arguments or a file are not what they should be.
pub(crate) const USAGE: u8 = 2;
/// The check found something.
pub(crate) const FOUND: u8 = 3;
/// What was asked for does not exist.
pub(crate) const MISSING: u8 = 4;
/// Requests of a demo failed.
pub(crate) const FAILED: u8 = 5;
/// A server did not answer.
pub(crate) const UNREACHABLE: u8 = 6;
/// An invariant of a simulation does not hold.
pub(crate) const BROKEN: u8 = 10;

/// Shown below `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 bug, 2 usage, 3 the check found something, 4 not found, \
5 requests of a demo failed, 6 unreachable, 10 simulation invariant broken.";

/// What a command ends with when it cannot do what was asked.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(code: u8, why: impl std::fmt::Display) -> Self {
        Self { code, text: why.to_string() }
    }
}

/// How a command ends.
pub(crate) type Outcome = Result<u8, Failure>;
