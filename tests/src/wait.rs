//! Waiting for a condition. Tests never sleep for a time that is hoped to be enough.

use std::time::{Duration, Instant};

/// Longest wait for anything. It is only ever reached by a failure, so it may be far too long.
pub const LONGEST: Duration = Duration::from_secs(30);

/// Looks until there is something to see.
///
/// # Panics
/// There is nothing after [`LONGEST`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONGEST;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Looks until it holds.
///
/// # Panics
/// It does not after [`LONGEST`].
pub fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}
