//! Log lines for the standard error stream, written by a thread of their own.
//!
//! A pipe that nobody reads blocks whoever writes to it, and a stream that is closed or on a full disk refuses what is
//! written. Neither may stop the gateway: a line that cannot be written is counted and left out.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines and bytes that wait to be written.
const LINES_MAX: usize = 4_096;
const BYTES_MAX: usize = 1 << 20;

/// The process has one standard error stream, so it has one count.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines that could not be written since the process started.
pub fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line has been taken and is being written.
    is_writing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// A writer that takes each write as one line and never waits.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Shared>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for as long as the process runs, and says what is lost beyond `lost_before`.
    fn run(&self, mut out: impl Write, mut lost_before: u64) {
        let mut unsaid = 0;
        loop {
            let queue = self.lock();
            let waited = self.changed.wait_while(queue, |q| q.lines.is_empty());
            let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
            let Some(line) = queue.lines.pop_front() else { continue };
            queue.bytes -= line.len();
            queue.is_writing = true;
            drop(queue);
            if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                LOST.fetch_add(1, Ordering::Relaxed);
            } else {
                let lost = lines_lost();
                unsaid += lost - std::mem::replace(&mut lost_before, lost);
                let said = format!("{unsaid} log lines before this one were lost: they could not be written\n");
                if unsaid > 0 && out.write_all(said.as_bytes()).is_ok() {
                    unsaid = 0;
                }
            }
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }
}

impl Lines {
    /// Lines for the standard error stream.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn stderr() -> io::Result<Self> {
        Self::to(io::stderr())
    }

    fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        // Read here: lines may be lost before the thread begins.
        let (writer, lost_before) = (Arc::clone(&shared), lines_lost());
        std::thread::Builder::new().name("rhumb-lines".into()).spawn(move || writer.run(out, lost_before))?;
        Ok(Self(shared))
    }

    /// Waits until every line has been written, at most so long.
    pub fn finish(&self, within: Duration) {
        let queue = self.0.lock();
        let unwritten = |q: &mut Queue| q.is_writing || !q.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(queue, within, unwritten));
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queue = self.0.lock();
        if queue.lines.len() >= LINES_MAX || queue.bytes + line.len() > BYTES_MAX {
            LOST.fetch_add(1, Ordering::Relaxed);
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line.to_vec());
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A stream that takes what comes once it is let.
    struct Gated(Receiver<bool>, Sender<Vec<u8>>);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.recv() == Ok(false) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn h1_a_stream_that_blocks_or_refuses_loses_lines_and_says_so_when_it_goes_on() {
        let ((gate, gated), (written, seen)) = (channel(), channel());
        let mut lines = Lines::to(Gated(gated, written)).unwrap();
        let before = lines_lost();
        // Nothing is let through: what does not fit is lost, and nobody waits.
        (0..LINES_MAX + 100).for_each(|i| lines.write_all(format!("{i}\n").as_bytes()).unwrap());
        let lost = lines_lost() - before;
        assert!((99..=100).contains(&lost), "one may have been taken already: {lost}");
        lines.finish(Duration::ZERO);
        gate.send(false).unwrap();
        gate.send(true).unwrap();
        assert_eq!(seen.recv().unwrap(), b"1\n", "the first was refused");
        drop(gate);
        let said = String::from_utf8(seen.recv().unwrap()).unwrap();
        assert!(said.starts_with(&(lost + 1).to_string()), "{said}");
        lines.finish(Duration::from_secs(30));
        assert_eq!(lines_lost() - before, lost + 1);
    }
}
