//! What comes of an attempt: a target that serves, or why it does not.

use bytes::Bytes;
use http::HeaderValue;
use rhumb_api::ApiError;
use rhumb_api::fault::EngineError;
use rhumb_flow::blame::Failure;
use rhumb_grid::config::Dialect;
use rhumb_passing::Scanner;
use rhumb_sse::Splitter;
use rhumb_upstream::{Error, Response, Upgraded};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes that a stream may hold back before they count as held by the gateway.
pub(crate) const HELD_UNCOUNTED: usize = 256 << 10;

/// Why a target did not serve.
pub(crate) enum Fail {
    /// What it came to.
    Failed(Box<Failed>),
    /// It did not begin within the client's deadline. How short that is says nothing of the target.
    Deadline,
    /// This gateway cannot go on with any target now, because it is short of memory, descriptors or connections.
    LoadShed(ApiError),
}

/// A failed attempt, with what was said.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// The status that says so; 0 where none came.
    pub(crate) status: u16,
    /// What the engine said.
    pub(crate) said: EngineError,
    /// When to come back, ms.
    pub(crate) after_ms: Option<u64>,
}

impl From<Failure> for Fail {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(Failed { failure, status: 0, said: EngineError::default(), after_ms: None }))
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        match error {
            Error::NoAnswer | Error::Truncated => Failure::Died.into(),
            Error::Connect | Error::Exhausted => Failure::Unreachable.into(),
            Error::Malformed(_) => Failure::Unreadable.into(),
        }
    }
}

impl Failed {
    /// An answer that says that it is none, in its status or in words.
    pub(crate) fn said(status: u16, after_ms: Option<u64>, said: EngineError) -> Self {
        let failure = match said.context {
            Some(_) => Failure::ContextLength,
            None => Failure::of_status(status, after_ms.is_some()),
        };
        Self { failure, status, said, after_ms }
    }

    /// An error in place of an answer, inside one whose status was a success.
    pub(crate) fn inside(said: EngineError) -> Self {
        Self::said(said.status.unwrap_or(500), None, said)
    }
}

/// A target that serves.
pub(crate) enum Opened {
    /// With its content type and the dialect that it is in.
    Plain(Bytes, HeaderValue, Dialect),
    Stream(Box<Opening>),
    /// A session, which goes on in another protocol; with what was read ahead.
    Session(Box<(Upgraded, Bytes)>),
}

/// A stream whose first content has come.
pub(crate) struct Opening {
    pub(crate) response: Response,
    pub(crate) splitter: Splitter,
    pub(crate) scanner: Scanner,
    /// Everything up to and with the first content.
    pub(crate) held: Bytes,
    /// What is held counts so much.
    pub(crate) account: Option<OwnedSemaphorePermit>,
}
