//! Failures of a connection.

/// What went wrong on a connection. Nothing of it is shown to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("connecting failed")]
    Connect,
    /// No connection can be made from here: descriptors or ports have run out. It says nothing of the other side.
    #[error("no descriptor or port is left")]
    Exhausted,
    /// The connection was lost before the first byte of a response.
    #[error("the connection closed before an answer")]
    NoAnswer,
    /// The connection was lost inside a response.
    #[error("the answer was cut short")]
    Truncated,
    /// The response is not HTTP as it should be.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
}
