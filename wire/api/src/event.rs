//! What one event of a stream is to the gateway.

use crate::usage::Usage;

/// What one event of a stream is to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Content, or the end of a choice: from here on the answer is the client's.
    Content {
        /// Choices that end with it.
        ends: u32,
    },
    /// A frame that another target could send as well: a role, an empty delta, a heartbeat.
    Lifecycle,
    /// The end marker.
    Done,
    /// An error in place of an answer, or something that is no piece of one.
    Error,
}

/// What an event says of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageEvent {
    /// The usage.
    pub usage: Usage,
    /// It carries nothing else.
    pub alone: bool,
    /// It has a list of choices, as clients expect of every chunk.
    pub has_choices: bool,
}
