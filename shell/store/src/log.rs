//! The handle of the log, and what its threads have in common.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use rhumb_process::{Tasks, clock};

use crate::entry::{Ended, Intent};
use crate::error::StoreError;
use crate::inbox::Inbox;
use crate::keeper::Keeper;
use crate::message::Message;
use crate::sqlite::SqliteStore;
use crate::state::State;
use crate::store::Retention;
use crate::writer::Writer;

/// A handle that the data plane writes through. It never waits.
#[derive(Clone)]
pub struct Log {
    inbox: Arc<Inbox<Message>>,
    state: Arc<State>,
}

impl Log {
    /// Opens or creates the log in a data folder and starts its threads. Where the disk is full or another process has
    /// locked the file, rows wait for that to pass.
    ///
    /// # Errors
    /// The folder or the file cannot be used, or another gateway uses them.
    pub fn open(data_dir: &Path, retention: Retention, tasks: &Tasks) -> Result<Self, StoreError> {
        let (inbox, state) = (Arc::new(Inbox::new()), Arc::new(State::default()));
        let log = Self { inbox: Arc::clone(&inbox), state: Arc::clone(&state) };
        log.keep(retention);
        let run = clock::unix_ms();
        let store = SqliteStore::new(data_dir);
        let mut writer = Writer::open(store, run, Arc::clone(&inbox), Arc::clone(&state))?;
        let (batches, next) = channel();
        let mut keeper = Keeper::new(run, batches, state);
        let (disk_tasks, keeper_tasks) = (tasks.clone(), tasks.clone());
        let end = Arc::clone(&inbox);
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let write = move || {
            disk_tasks.keep_here("log_disk", || writer.run(&next));
            writer.close();
            end.push(Message::Closed, true);
        };
        thread("rhumb-log-disk").spawn(write).map_err(StoreError::Thread)?;
        let take = move || keeper_tasks.keep_here("log", || keeper.run(&inbox));
        thread("rhumb-log").spawn(take).map_err(StoreError::Thread)?;
        Ok(log)
    }

    /// Changes how long rows are kept.
    pub fn keep(&self, retention: Retention) {
        self.state.keep(retention);
    }

    /// Records a decision.
    pub fn decided(&self, intent: Box<Intent>) {
        self.inbox.push(Message::Decided(intent), false);
    }

    /// Records the end of a request.
    pub fn ended(&self, ended: Ended) {
        self.inbox.push(Message::Ended(ended), false);
    }

    /// The decision of that id, if it is recent. Blocks for the log's thread: not for the data plane.
    pub fn find(&self, id: u64) -> Option<Intent> {
        let (reply, answer) = channel();
        self.inbox.push(Message::Find(id, reply), true);
        answer.recv_timeout(Duration::from_secs(5)).ok().flatten()
    }

    /// Writes everything and closes the log. What cannot be written in this time is counted as lost.
    pub fn stop(&self, within: Duration) {
        let (done, is_done) = channel();
        self.inbox.push(Message::Stop(clock::now() + within, done), true);
        // The thread answers by the deadline; it gets a moment more to do so.
        let _ = is_done.recv_timeout(within + Duration::from_secs(1));
    }

    /// Messages not yet taken by the thread.
    pub fn backlog(&self) -> usize {
        self.inbox.len()
    }

    /// Rows of requests that have ended and are not on the disk yet, and the bytes that they take in memory.
    pub fn spooled(&self) -> (usize, usize) {
        (self.state.rows.load(Ordering::Relaxed), self.state.bytes.load(Ordering::Relaxed))
    }

    /// Rows that were lost since the log was opened.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}
