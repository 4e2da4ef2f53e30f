//! The thread that writes to the disk. Whatever the disk or another process does, only this thread waits for it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use rhumb_process::clock;

use crate::error::StoreError;
use crate::inbox::Inbox;
use crate::message::Message;
use crate::rows::{Batch, ViewNote};
use crate::state::State;
use crate::store::{Pruned, Store};

/// Between two attempts to write the same rows.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Between two looks at what is to be left out.
const PRUNE_EVERY: Duration = Duration::from_secs(5);

/// Between two notes of the view that decisions are made on.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// One cause of failures is said at most this often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The thread that writes rows, to a store that may be slow, full or locked.
pub(crate) struct Writer<S> {
    store: S,
    run: u64,
    /// The store knows of this run.
    has_begun: bool,
    /// What is being written: it stays here until it is.
    batch: Option<Batch>,
    /// When it is to be noted next on which view decisions are made.
    next_note: Instant,
    next_prune: Instant,
    /// Causes of failures, and when each was last said.
    said: BTreeMap<String, Instant>,
    is_failing: bool,
    inbox: Arc<Inbox<Message>>,
    state: Arc<State>,
}

impl<S: Store> Writer<S> {
    /// Opens a store.
    ///
    /// # Errors
    /// It cannot be used, and that will not pass by itself.
    pub(crate) fn open(store: S, run: u64, inbox: Arc<Inbox<Message>>, state: Arc<State>) -> Result<Self, StoreError> {
        let mut writer = Self {
            store,
            run,
            has_begun: false,
            batch: None,
            next_note: clock::now(),
            next_prune: clock::now(),
            said: BTreeMap::new(),
            is_failing: false,
            inbox,
            state,
        };
        match writer.ready() {
            Ok(_) => {}
            Err(why) if why.may_pass() => writer.has_failed(&why),
            Err(why) => return Err(why),
        }
        Ok(writer)
    }

    /// Writes what comes until there will be no more, or it is given up.
    pub(crate) fn run(&mut self, batches: &Receiver<Batch>) {
        while !self.state.gives_up.load(Ordering::Relaxed) {
            if self.batch.is_some() {
                self.write();
                continue;
            }
            match batches.recv_timeout(self.next_prune.saturating_duration_since(clock::now())) {
                Ok(batch) => self.batch = Some(batch),
                Err(RecvTimeoutError::Timeout) => self.prune(batches),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Closes the store.
    pub(crate) fn close(&mut self) {
        self.store.close();
    }

    /// Has the store ready, and knowing of this run. Whether what was written before has to be written again.
    fn ready(&mut self) -> Result<bool, StoreError> {
        let is_new = self.store.ready()?;
        if !self.has_begun {
            let lost = self.store.begin_run(self.run)?;
            self.has_begun = true;
            if lost > 0 {
                tracing::warn!(
                    "{lost} requests were running when the gateway before this one ended: they are logged as `lost`"
                );
            }
        }
        Ok(is_new)
    }

    /// Tries to write the batch; if it cannot be, waits a moment.
    fn write(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        let run = self.run;
        let newest = batch.ended.iter().chain(&batch.running).map(|row| row.view).max();
        let note = newest.filter(|_| self.next_note <= clock::now());
        let note = note.map(|view| ViewNote { at_unix_ms: clock::unix_ms(), view });
        let written = self.ready().and_then(|is_new| Ok((is_new, self.store.write(run, &batch, note)?)));
        match written {
            Ok((is_new, true)) => {
                if note.is_some() {
                    self.next_note = clock::now() + NOTE_EVERY;
                }
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the decision log is written again");
                    self.said.clear();
                }
                self.inbox.push(Message::Written { is_new }, true);
            }
            Ok((_, false)) => self.batch = Some(batch),
            Err(why) => {
                self.batch = Some(batch);
                self.has_failed(&why);
                std::thread::park_timeout(RETRY_EVERY);
            }
        }
    }

    /// Says why, unless that was said just now, and does what may help.
    fn has_failed(&mut self, why: &StoreError) {
        self.is_failing = true;
        let now = clock::now();
        self.said.retain(|_, at| now.duration_since(*at) < SAY_EVERY);
        if let Entry::Vacant(unsaid) = self.said.entry(why.to_string()) {
            tracing::error!("the decision log cannot be written, its rows wait in memory: {why}");
            unsaid.insert(now);
        }
        self.store.recover(why);
    }

    /// Leaves out old rows, step by step until there are no more or something is to be written.
    fn prune(&mut self, batches: &Receiver<Batch>) {
        self.next_prune = clock::now() + PRUNE_EVERY;
        let keep = self.state.retention();
        loop {
            match self.store.prune(clock::unix_ms(), &keep) {
                Ok(some) if some == Pruned::default() => return,
                Ok(_) => {}
                Err(why) => return self.has_failed(&why),
            }
            match batches.try_recv() {
                Ok(batch) => {
                    self.batch = Some(batch);
                    self.next_prune = clock::now();
                    return;
                }
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
        }
    }
}
