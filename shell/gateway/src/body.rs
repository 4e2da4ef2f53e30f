//! Bodies of answers, and the reading of requests' bodies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use rhumb_api::ApiError;
use rhumb_kept::{Following, Keep, Keeping};

use crate::relay::{BrokenOff, PIECE_BYTES_MAX, Relay};
use crate::resource_limits::Held;
use crate::waiting::{Coming, Waiting};
use rhumb_server::breaking::Breaking;
use rhumb_server::h2_stall;
use rhumb_server::socket::Standing;

/// An answer's body.
pub(crate) enum Answer {
    /// All at once.
    Whole(Bytes),
    /// As it comes from an endpoint.
    Stream(Box<Relay>),
    /// A stream whose content is still waited for.
    Waiting(Box<Waiting>),
    /// A response that is kept at its end.
    Kept(Box<(Answer, Keeping)>),
    /// The events of a response that is made in the background.
    Following(Box<Following>),
    /// The end of a stream that is not complete.
    Breaking(Box<Breaking>),
}

impl Answer {
    /// What brings it from its endpoint.
    pub(crate) fn relay(&mut self) -> Option<&mut Relay> {
        match self {
            Self::Stream(relay) => Some(relay),
            Self::Kept(kept) => kept.0.relay(),
            _ => None,
        }
    }

    /// The next bytes for the client.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(bytes.split_to(bytes.len().min(PIECE_BYTES_MAX))))),
            Self::Stream(relay) => relay.poll_bytes(cx),
            Self::Waiting(waiting) => match ready!(waiting.poll(cx)) {
                Coming::Comment(comment) => Poll::Ready(Some(Ok(comment))),
                Coming::Answer(answer) => {
                    *self = answer;
                    self.poll_bytes(cx)
                }
                Coming::Error(event) => Poll::Ready(Some(Err(BrokenOff(event)))),
            },
            Self::Kept(kept) => {
                let (inner, keeping) = &mut **kept;
                let next = |cx: &mut Context<'_>| {
                    inner.poll_bytes(cx).map(|next| next.map(|next| next.map_err(|BrokenOff(event)| event)))
                };
                keeping.poll(cx, next).map(|next| next.map(|next| next.map_err(BrokenOff)))
            }
            Self::Following(following) => following.poll_bytes(cx).map(|next| next.map(Ok)),
            Self::Breaking(breaking) => breaking.poll(cx).map(|()| Some(Err(BrokenOff(Bytes::new())))),
        }
    }
}

/// A response whose answer is kept: a whole one before it is sent at all, a stream before its end is.
pub(crate) async fn kept_as(response: Response<Answer>, keep: Keep) -> Response<Answer> {
    let (head, body) = response.into_parts();
    let body = match body {
        Answer::Whole(bytes) => {
            let unkept = keep.end(str::from_utf8(&bytes).unwrap_or_default()).await;
            Answer::Whole(unkept.map_or(bytes, Bytes::from))
        }
        inner => Answer::Kept(Box::new((inner, Keeping::new(keep)))),
    };
    Response::from_parts(head, body)
}

/// An answer that counts as a request in progress until it has been sent.
pub(crate) struct Counted {
    answer: Answer,
    standing: Arc<Standing>,
    /// On HTTP/2: how long its client may take nothing.
    stall: Option<Duration>,
}

impl Counted {
    pub(crate) fn new(answer: Answer, standing: Arc<Standing>, stall: Option<Duration>) -> Self {
        Self { answer, standing, stall }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let next = self.answer.poll_bytes(cx);
        let Poll::Ready(Some(Err(BrokenOff(event)))) = next else { return next };
        if matches!(self.answer, Answer::Breaking(_)) {
            self.standing.breaks_off();
            return Poll::Ready(Some(Err(BrokenOff(event))));
        }
        // The account of the request is settled here; what is left is between the gateway and the client.
        let (event, breaking) = Breaking::new(event, self.stall);
        self.answer = Answer::Breaking(Box::new(breaking));
        Poll::Ready(Some(Ok(event)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(relay) = self.answer.relay() {
            relay.stalled = self.standing.is_stalled() || h2_stall::is_over();
        }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let next = self.poll_bytes(cx);
        h2_stall::asked(next.is_ready());
        next.map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.answer, Answer::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
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
