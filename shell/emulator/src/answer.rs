//! One answer between the driver, which says how many tokens are due, and the connection that sends them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Shared;
use crate::command::Command;
use crate::fault::Cut;

/// How far an answer has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Tokens that may be sent, in all.
    pub(crate) due_tokens: u32,
    /// Whether those are all there will be.
    pub(crate) finished: bool,
    /// Prompt tokens found in the prefix cache.
    pub(crate) cached_tokens: u32,
}

/// The meeting point of driver and connection.
#[derive(Debug, Default)]
pub(crate) struct Answer(Mutex<(Progress, Option<Waker>)>);

impl Answer {
    fn lock(&self) -> MutexGuard<'_, (Progress, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more token is due.
    pub(crate) fn token_due(&self, finished: bool, cached_tokens: u32) {
        let mut guard = self.lock();
        guard.0.due_tokens += 1;
        guard.0.finished = finished;
        guard.0.cached_tokens = cached_tokens;
        let waker = guard.1.take();
        drop(guard);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Where it stands; the task is woken at the next token.
    pub(crate) fn progress(&self, cx: &mut Context<'_>) -> Progress {
        let mut guard = self.lock();
        match &mut guard.1 {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        guard.0
    }
}

/// A place in the engine; dropping it before the answer is complete cancels the request.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: u64,
    pub(crate) answer: Arc<Answer>,
    pub(crate) shared: Arc<Shared>,
    complete: bool,
}

impl Ticket {
    pub(crate) fn new(id: u64, answer: Arc<Answer>, shared: Arc<Shared>) -> Self {
        Self { id, answer, shared, complete: false }
    }

    /// Nothing is left to cancel.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// What the engine's fault leaves of the answer: progress capped at the cut, and how it is cut if it is reached.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> (Progress, Option<Cut>) {
        let mut progress = self.answer.progress(cx);
        match self.shared.fault.get().cut() {
            Some((after_tokens, cut)) if progress.due_tokens >= after_tokens => {
                progress.due_tokens = after_tokens;
                progress.finished = false;
                (progress, Some(cut))
            }
            _ => (progress, None),
        }
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// When a fault cuts it.
    pub(crate) async fn whole(mut self) -> Result<Progress, Cut> {
        let progress = std::future::poll_fn(|cx| match self.poll(cx) {
            (_, Some(Cut::Stall)) => Poll::Pending,
            (_, Some(cut)) => Poll::Ready(Err(cut)),
            (progress, None) if progress.finished => Poll::Ready(Ok(progress)),
            _ => Poll::Pending,
        })
        .await?;
        self.complete();
        Ok(progress)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.complete {
            // A driver that is gone has nothing to cancel.
            let _ = self.shared.inbox.send(Command::Cancel(self.id));
        }
    }
}
