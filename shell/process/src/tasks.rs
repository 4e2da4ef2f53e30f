//! Background tasks that are started again when they panic.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

/// Between the end of a task and its next start. A task that panics at once again takes next to no CPU.
const PAUSE: Duration = Duration::from_secs(1);

/// The background tasks of a gateway, by kind.
#[derive(Debug, Clone)]
pub struct Tasks {
    kinds: Arc<Mutex<BTreeMap<&'static str, Kind>>>,
    pause: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    restarts: u64,
    /// Tasks of this kind that have ended and not been started again yet.
    down: usize,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { kinds: Arc::default(), pause: PAUSE }
    }
}

/// A task is down for as long as this is held, also when whoever waits to start it again is dropped.
struct Down<'a> {
    tasks: &'a Tasks,
    kind: &'static str,
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.tasks.lock().entry(self.kind).or_default().down -= 1;
    }
}

impl Tasks {
    /// Tasks that are started again after so long.
    #[must_use]
    pub fn with_pause(pause: Duration) -> Self {
        Self { pause, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task on the current runtime until it ends by itself. One that panics is started again after a pause.
    /// Dropping the future ends the task.
    pub async fn keep<F>(&self, kind: &'static str, begin: impl Fn() -> F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.lock().entry(kind).or_default();
        loop {
            let mut task = JoinSet::new();
            task.spawn(begin());
            if let Some(Ok(done)) = task.join_next().await {
                return done;
            }
            let down = self.has_panicked(kind);
            tokio::time::sleep(self.pause).await;
            drop(down);
        }
    }

    /// Runs work on this thread until it returns. When it panics, it is called again after a pause.
    pub fn keep_here<T>(&self, kind: &'static str, mut work: impl FnMut() -> T) -> T {
        self.lock().entry(kind).or_default();
        loop {
            // What the work changes stays as the panic left it: the caller keeps it so that the work can go on from there.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(&mut work)) {
                return done;
            }
            let down = self.has_panicked(kind);
            std::thread::park_timeout(self.pause);
            drop(down);
        }
    }

    fn has_panicked(&self, kind: &'static str) -> Down<'_> {
        let mut kinds = self.lock();
        let state = kinds.entry(kind).or_default();
        state.restarts += 1;
        state.down += 1;
        drop(kinds);
        let seconds = self.pause.as_secs_f64();
        tracing::error!("the background task `{kind}` has panicked; it is started again in {seconds} s");
        Down { tasks: self, kind }
    }

    /// Kinds of which a task is down now.
    pub fn down(&self) -> Vec<&'static str> {
        self.lock().iter().filter(|(_, k)| k.down > 0).map(|(kind, _)| *kind).collect()
    }

    /// How often tasks of each kind were started again.
    pub fn restarts(&self) -> Vec<(&'static str, u64)> {
        self.lock().iter().map(|(kind, k)| (*kind, k.restarts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn tasks() -> Tasks {
        Tasks::with_pause(Duration::from_millis(1))
    }

    #[test]
    fn h1_a_task_that_panics_is_started_again_and_counted_and_seen_to_be_down() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (tasks, begun) = (tasks(), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let begin = || {
            let (begun, seen, tasks) = (Arc::clone(&begun), Arc::clone(&seen), tasks.clone());
            async move {
                seen.lock().unwrap().push(tasks.down());
                assert!(begun.fetch_add(1, Ordering::SeqCst) >= 2, "the first two panic");
                7
            }
        };
        assert_eq!(runtime.block_on(tasks.keep("probe", begin)), 7);
        assert_eq!(tasks.restarts(), [("probe", 2)]);
        assert!(seen.lock().unwrap().iter().all(Vec::is_empty), "a task that runs is not down");
        let down = tasks.has_panicked("control");
        assert_eq!(tasks.down(), ["control"]);
        drop(down);
        assert!(tasks.down().is_empty());
    }

    #[test]
    fn h1_work_of_a_thread_goes_on_from_where_the_panic_left_it() {
        let (tasks, mut done) = (tasks(), Vec::new());
        let all = tasks.keep_here("log", || {
            while done.len() < 3 {
                done.push(done.len());
                assert!(done.len() != 2, "once");
            }
            done.clone()
        });
        assert_eq!((all, tasks.restarts()), (vec![0, 1, 2], vec![("log", 1)]));
    }
}
