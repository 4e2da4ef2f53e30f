//! Locks of the gateway.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock whose holder died holds what it held: every update here leaves the value whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
