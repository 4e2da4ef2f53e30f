//! The one place where time enters the process. What decides gets times as arguments, so that the simulator can run it and
//! a record can be replayed; this layer reads the clocks, and only here.

#![expect(clippy::disallowed_methods, reason = "this is where clocks are read")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
#[inline]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The time since a reading of [`now`].
#[inline]
#[must_use]
pub fn since(at: Instant) -> Duration {
    at.elapsed()
}

/// The monotonic clock as tokio's timers have it, which a test may stop.
#[inline]
#[must_use]
pub fn timer_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The wall clock, which may be set: for what is shown and kept, never for an age.
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The wall clock, ms since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    wall().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
