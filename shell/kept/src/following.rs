//! The events of a response that is made in the background, as one follower gets them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rhumb_process::clock;
use tokio::time::{Sleep, sleep_until};

use crate::run::Run;

/// A follower hears that the connection stands at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A comment, which readers of event streams step over (HTML standard, section 9.2.6).
const COMMENT: &[u8] = b": keep-alive\n\n";

/// A follower of a response.
pub struct Following {
    run: Arc<Run>,
    follower: u64,
    next: usize,
    timer: Pin<Box<Sleep>>,
}

impl Following {
    /// From the event with this number on.
    pub fn new(run: Arc<Run>, next: usize) -> Self {
        let follower = run.follower();
        Self { run, follower, next, timer: Box::pin(sleep_until(clock::timer_now() + KEEP_ALIVE)) }
    }

    /// Its next bytes; `None` after the last event.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let next = self.run.poll_from(self.follower, &mut self.next, cx);
        if next.is_ready() {
            self.timer.as_mut().reset(clock::timer_now() + KEEP_ALIVE);
            return next;
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer.as_mut().reset(clock::timer_now() + KEEP_ALIVE);
        Poll::Ready(Some(Bytes::from_static(COMMENT)))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.run.leave(self.follower);
    }
}
