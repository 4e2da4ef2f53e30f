//! The queue between the data plane and the log's thread.
//!
//! A channel wakes its reader for every message, which on a busy core costs two context switches a request. Here the
//! reader wakes for the first message after a pause, lets others gather for a moment, and takes them all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long messages gather.
const LINGER: Duration = Duration::from_millis(20);

/// So many messages are taken without waiting for more.
const FULL: usize = 4_096;

#[derive(Debug)]
struct Queue<T> {
    messages: Vec<T>,
    urgent: bool,
}

/// Many writers, one reader.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    wake: Condvar,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::new(Queue { messages: Vec::new(), urgent: false }), wake: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message over; an urgent one is not left to gather others.
    pub(crate) fn push(&self, message: T, urgent: bool) {
        let mut queue = self.lock();
        queue.messages.push(message);
        queue.urgent |= urgent;
        let n = queue.messages.len();
        drop(queue);
        if n == 1 || n == FULL || urgent {
            self.wake.notify_one();
        }
    }

    /// Takes everything into `out`, waiting for something at most so long.
    pub(crate) fn take(&self, out: &mut impl Extend<T>, wait: Duration) {
        let queue = self.lock();
        let waited = self.wake.wait_timeout_while(queue, wait, |q| q.messages.is_empty());
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.messages.is_empty() {
            return;
        }
        let gather = |q: &mut Queue<T>| !q.urgent && q.messages.len() < FULL;
        let gathered = self.wake.wait_timeout_while(queue, LINGER, gather);
        let (mut queue, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        queue.urgent = false;
        out.extend(queue.messages.drain(..));
    }

    /// Messages waiting.
    pub(crate) fn len(&self) -> usize {
        self.lock().messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_order_and_all_of_them() {
        let inbox = std::sync::Arc::new(Inbox::new());
        let writer = std::sync::Arc::clone(&inbox);
        let thread = std::thread::spawn(move || (0..20_000).for_each(|i| writer.push(i, i == 19_999)));
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        while all.len() < 20_000 {
            inbox.take(&mut batch, Duration::from_secs(10));
            all.append(&mut batch);
        }
        thread.join().unwrap();
        assert!(all.iter().copied().eq(0..20_000));
        assert_eq!(inbox.len(), 0);
        inbox.take(&mut batch, Duration::ZERO);
        assert!(batch.is_empty());
    }
}
