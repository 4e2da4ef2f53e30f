//! The end of a stream that broke off: what was said before is delivered first, then the error event, then the end that
//! nothing takes for a clean one.
//!
//! Ending a body with an error drops what the server still holds of it, on HTTP/1.1 and on HTTP/2. So the body stays open
//! until the event has left, which is seen by its memory being given back. Clients drop what they have not read yet, too,
//! when the end reaches them, so that one that reads slowly would lose most of it: those that know the event close by
//! themselves, the others are given a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rhumb_process::clock;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// Longest time that a client has to read what it has been sent before a broken stream ends, unless it closes sooner.
pub const STAYS: Duration = Duration::from_secs(5);

/// What keeps a broken stream open.
pub struct Breaking {
    /// Closed when the event has left the server.
    left: Option<oneshot::Receiver<()>>,
    /// On HTTP/2: how long its client may take nothing. On HTTP/1.1 the socket knows, and what comes after is the
    /// connection's.
    stall: Option<(Duration, Pin<Box<Sleep>>)>,
}

/// An event that tells when its memory is given back.
struct Told {
    event: Bytes,
    _left: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        &self.event
    }
}

impl Breaking {
    /// The event as it is to be handed over, and what follows it.
    pub fn new(event: Bytes, stall: Option<Duration>) -> (Bytes, Self) {
        let (tell, left) = oneshot::channel();
        let event = Bytes::from_owner(Told { event, _left: tell });
        (event, Self { left: Some(left), stall: stall.map(|stall| (stall, Box::pin(sleep(stall)))) })
    }

    /// Ready when the stream is to end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(left) = &mut self.left {
            let has_left = Pin::new(left).poll(cx).is_ready();
            let Some((stall, timer)) = &mut self.stall else {
                return if has_left { Poll::Ready(()) } else { Poll::Pending };
            };
            if !has_left {
                return timer.as_mut().poll(cx);
            }
            self.left = None;
            timer.as_mut().reset(clock::timer_now() + STAYS.min(*stall));
        }
        self.stall.as_mut().map_or(Poll::Ready(()), |(_, timer)| timer.as_mut().poll(cx))
    }
}
