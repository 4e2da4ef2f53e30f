//! A stream whose content is still waited for, towards a client that is told so now and then.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use rhumb_api::ApiError;
use rhumb_grid::config::Dialect;
use rhumb_process::clock;
use tokio::time::{Sleep, sleep_until};

use crate::body::Answer;
use crate::dialect;

/// A request that is served. What comes of it is an answer, or why there is none.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Response<Answer>, Refused>> + Send>>;

/// Why a request has no answer.
pub(crate) struct Refused {
    pub(crate) error: ApiError,
    /// Its id, if it was accepted.
    pub(crate) id: Option<u64>,
    /// Where it was tried last.
    pub(crate) at: Option<[HeaderValue; 3]>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, id: None, at: None }
    }
}

/// The header that lists what a translation had to leave out.
pub(crate) const DROPPED: &str = "x-rhumb-dropped";

/// A client that is to be told now and then that its request is still at work.
pub(crate) struct Waits {
    pub(crate) id: u64,
    pub(crate) keep_alive: Duration,
    /// What of it is not carried on.
    pub(crate) dropped: Option<HeaderValue>,
}

/// A comment, which readers of event streams step over (HTML standard, section 9.2.6).
const COMMENT: &[u8] = b": keep-alive\n\n";

/// The request under way, and when its client is told next.
pub(crate) struct Waiting {
    work: Work,
    every: Duration,
    timer: Pin<Box<Sleep>>,
    /// The client's dialect, and the request's id.
    of: (Dialect, u64),
}

/// What comes next.
pub(crate) enum Coming {
    /// A comment.
    Comment(Bytes),
    /// The answer itself from here on.
    Answer(Answer),
    /// The event that says why there is none.
    Error(Bytes),
}

impl Waiting {
    /// Its client has waited for so long already, and is told at once.
    pub(crate) fn new(work: Work, every: Duration, of: (Dialect, u64)) -> Self {
        Self { work, every, timer: Box::pin(sleep_until(clock::timer_now())), of }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Coming> {
        match self.work.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => return Poll::Ready(Coming::Answer(response.into_body())),
            Poll::Ready(Err(refused)) => {
                let (dialect, id) = self.of;
                return Poll::Ready(Coming::Error(dialect::error_event(dialect, &refused.error, id)));
            }
            Poll::Pending => {}
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer.as_mut().reset(clock::timer_now() + self.every);
        Poll::Ready(Coming::Comment(Bytes::from_static(COMMENT)))
    }
}
