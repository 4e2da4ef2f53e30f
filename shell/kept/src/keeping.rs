//! A stream on its way to its client, which is kept before its end is told: whoever has heard of the end can go on with it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use rhumb_responses::kept::{Noted, end_event, note};
use rhumb_sse::{Splitter, events};

use crate::keep::Keep;

/// The next bytes of a stream; an error is its last event, where it breaks off.
type Next = Poll<Option<Result<Bytes, Bytes>>>;

/// A stream whose response is kept at its end.
pub struct Keeping {
    splitter: Splitter,
    keep: Keep,
    /// The end is being kept; then it is told so.
    ending: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
    breaks_off: bool,
}

impl Keeping {
    /// Keeps a response that comes as a stream.
    pub fn new(keep: Keep) -> Self {
        Self { splitter: Splitter::default(), keep, ending: None, breaks_off: false }
    }

    /// The next bytes for the client, of what comes by `next`.
    pub fn poll(&mut self, cx: &mut Context<'_>, mut next: impl FnMut(&mut Context<'_>) -> Next) -> Next {
        loop {
            if let Some(ending) = &mut self.ending {
                let told = ready!(ending.as_mut().poll(cx));
                self.ending = None;
                return Poll::Ready(Some(if self.breaks_off { Err(told) } else { Ok(told) }));
            }
            match ready!(next(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(piece)) => {
                    let Ok(run) = self.splitter.push(piece) else { return Poll::Ready(None) };
                    if ends(&run) {
                        self.ending = Some(Box::pin(end(self.keep.clone(), run)));
                    } else if !run.is_empty() {
                        return Poll::Ready(Some(Ok(run)));
                    }
                }
                Some(Err(event)) => {
                    self.breaks_off = true;
                    self.ending = Some(Box::pin(end(self.keep.clone(), event)));
                }
            }
        }
    }
}

fn ends(run: &[u8]) -> bool {
    events(run).any(|event| event.data.is_some_and(|data| matches!(note(&data), Some(Noted::Ended(_)))))
}

/// Keeps the response that a run of events ends. What its client gets of them.
async fn end(keep: Keep, run: Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(run.len());
    for event in events(&run) {
        let ended = event.data.as_deref().and_then(|data| match note(data) {
            Some(Noted::Ended(object)) => Some((data, object)),
            _ => None,
        });
        let unkept = match ended {
            Some((data, object)) => keep.end(object).await.map(|object| end_event(data, &object)),
            None => None,
        };
        out.extend_from_slice(unkept.as_deref().map_or(event.raw, str::as_bytes));
    }
    out.freeze()
}
