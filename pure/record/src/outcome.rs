//! How requests end.

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was sent whole.
    Complete,
    /// The client left first.
    ClientGone,
    /// The client stayed and read nothing for too long.
    ClientStalled,
    /// No target completed it; nothing of an answer was sent.
    Failed,
    /// The target failed after part of the answer was sent.
    Broken,
    /// The endpoint refused the request as invalid.
    Rejected,
    /// No candidate was eligible.
    NothingEligible,
    /// It would have waited too long, and was rejected with Retry-After.
    Shed,
    /// It broke the connection to too many endpoints, and is tried no more.
    Quarantined,
    /// Its session was beyond a limit; it was sent nowhere.
    Limited,
    /// It has not ended.
    Running,
    /// The gateway ended before it did: how it ended is not known.
    Lost,
}

impl Outcome {
    /// The outcome in the log and in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Rejected => "rejected",
            Self::NothingEligible => "nothing_eligible",
            Self::Shed => "shed",
            Self::Quarantined => "quarantined",
            Self::Limited => "limited",
            Self::Running => "running",
            Self::Lost => "lost",
        }
    }
}
