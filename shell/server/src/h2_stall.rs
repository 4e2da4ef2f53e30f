//! Whose turn it is in a stream of HTTP/2.
//!
//! A client that gives a stream no window keeps the socket writable and the body unasked, so neither can tell that
//! nothing moves. The task of the stream can: after each turn it knows whether the body was asked last, and gave, or
//! had nothing to give. A timer is set only in the first case, which a client that reads never gets into, so that a
//! flowing stream is neither registered nor looked for by anyone.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use rhumb_process::clock;
use tokio::time::{Sleep, sleep_until};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The client waits for more.
    Ours,
    /// The client's side has just been given something.
    Given,
    /// It has had it for a while.
    Client,
    /// It has had it for too long.
    Over,
}

tokio::task_local! {
    static TURN: Cell<Turn>;
}

/// The body of the stream has been asked, and gave something or had nothing yet.
pub fn asked(gave: bool) {
    set(if gave { Turn::Given } else { Turn::Ours });
}

/// The stream ends because its client takes nothing.
pub fn is_over() -> bool {
    TURN.try_with(|t| t.get() == Turn::Over).unwrap_or(false)
}

/// On HTTP/1.1 there is no such task: the socket tells.
fn set(turn: Turn) {
    let _ = TURN.try_with(|t| t.set(turn));
}

/// Runs the streams of a connection, each until its client takes nothing for so long. Dropping a stream resets it.
#[derive(Clone)]
pub struct Streams {
    /// How long a client may take nothing.
    pub patience: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        #[expect(clippy::disallowed_methods, reason = "a stream ends with its request")]
        tokio::spawn(TURN.scope(Cell::new(Turn::Ours), bounded(stream, self.patience)));
    }
}

async fn bounded(stream: impl Future<Output = ()>, patience: Duration) {
    let mut stream = pin!(stream);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let turn = TURN.with(Cell::get);
        if turn == Turn::Ours {
            return Poll::Pending;
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(clock::timer_now() + patience)));
        if turn == Turn::Given {
            set(Turn::Client);
            timer.as_mut().reset(clock::timer_now() + patience);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // The stream is dropped after this, and what it holds learns why.
        set(Turn::Over);
        Poll::Ready(())
    })
    .await;
}
