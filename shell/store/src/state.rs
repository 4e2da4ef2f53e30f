//! What the threads of the log have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::spool::Spool;
use crate::store::Retention;

/// What the threads of a log and its readers have in common.
#[derive(Debug, Default)]
pub(crate) struct State {
    retention: Mutex<Retention>,
    /// Nobody waits for what is not written yet.
    pub(crate) gives_up: AtomicBool,
    /// Rows that were lost.
    pub(crate) dropped: AtomicU64,
    pub(crate) rows: AtomicUsize,
    pub(crate) bytes: AtomicUsize,
}

impl State {
    /// Changes how long rows are kept.
    pub(crate) fn keep(&self, retention: Retention) {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    pub(crate) fn retention(&self) -> Retention {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waits(&self, spool: &Spool) {
        self.rows.store(spool.rows(), Ordering::Relaxed);
        self.bytes.store(spool.bytes(), Ordering::Relaxed);
    }
}
