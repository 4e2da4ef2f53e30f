//! Bodies of answers, and the reading of requests' bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use rhumb_openai::error::ApiError;

use crate::guard::Held;
use crate::relay::Relay;
use crate::socket::Standing;
use crate::turn;
use crate::waiting::{Coming, Waiting};

/// An answer's body.
pub(crate) enum Answer {
    /// All at once.
    Whole(Bytes),
    /// As it comes from an endpoint.
    Stream(Box<Relay>),
    /// A stream whose content is still waited for.
    Waiting(Box<Waiting>),
    /// One that has ended with an error event; the next look leaves time to send it.
    Ending {
        /// It has been looked at since.
        looked: bool,
    },
}

/// A stream that ends without being complete: the connection is closed, so that nothing takes it for a whole one.
#[derive(Debug, thiserror::Error)]
#[error("the stream broke off")]
pub(crate) struct BrokenOff;

impl From<Infallible> for BrokenOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let answer_of = self.get_mut();
        match answer_of {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(relay) => relay.poll_bytes(cx).map(|next| next.map(|r| r.map(Frame::data))),
            Self::Waiting(waiting) => match ready!(waiting.poll(cx)) {
                Coming::Comment(comment) => Poll::Ready(Some(Ok(Frame::data(comment)))),
                Coming::Answer(answer) => {
                    *answer_of = answer;
                    Pin::new(answer_of).poll_frame(cx)
                }
                Coming::Error(event) => {
                    *answer_of = Self::Ending { looked: false };
                    Poll::Ready(Some(Ok(Frame::data(event))))
                }
            },
            Self::Ending { looked: false } => {
                // The server flushes what it was given only when a body has nothing more for the moment.
                *answer_of = Self::Ending { looked: true };
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Ending { looked: true } => Poll::Ready(Some(Err(BrokenOff))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) | Self::Waiting(_) | Self::Ending { .. } => SizeHint::default(),
        }
    }
}

/// An answer that counts as a request in progress until it has been sent.
pub(crate) struct Counted {
    answer: Answer,
    standing: Arc<Standing>,
}

impl Counted {
    pub(crate) fn new(answer: Answer, standing: Arc<Standing>) -> Self {
        Self { answer, standing }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Answer::Stream(relay) = &mut self.answer {
            relay.stalled = self.standing.is_stalled() || turn::is_over();
        }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let next = Pin::new(&mut self.answer).poll_frame(cx);
        turn::asked(next.is_ready());
        next
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

/// Reads a request's body, refusing it as soon as it is too long or too slow, or there is no room to hold it.
pub(crate) async fn read(
    mut body: Incoming,
    limit: u64,
    within: Duration,
    held: &mut Held<'_>,
) -> Result<Bytes, ApiError> {
    let declared = body.size_hint();
    if declared.lower() > limit {
        return Err(ApiError::too_large(limit));
    }
    held.expect(declared.lower())?;
    let expected = declared.exact().unwrap_or(0) as usize;
    let collect = async {
        let Some(first) = next(&mut body).await? else { return Ok::<_, ApiError>(Bytes::new()) };
        held.grow(first.len())?;
        if body.is_end_stream() || first.len() as u64 > limit {
            return Ok(first);
        }
        // Room is made for what was declared only as far as it has begun to come.
        let mut all = BytesMut::with_capacity(expected.clamp(first.len(), (first.len() * 16).max(64 << 10)));
        all.extend_from_slice(&first);
        while let Some(piece) = next(&mut body).await? {
            held.grow(piece.len())?;
            all.extend_from_slice(&piece);
            if all.len() as u64 > limit {
                break;
            }
        }
        Ok(all.freeze())
    };
    let all = tokio::time::timeout(within, collect).await.map_err(|_| ApiError::request_timeout())??;
    if all.len() as u64 > limit { Err(ApiError::too_large(limit)) } else { Ok(all) }
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, ApiError> {
    loop {
        match std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(ApiError::invalid("The request body was cut short.")),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
}
