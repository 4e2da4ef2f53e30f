//! What the configuration says of the log.

use std::time::Duration;

use rhumb_grid::config;
use rhumb_store::Retention;

/// How long the log keeps its rows, as the configuration says.
pub(crate) fn retention(gateway: &config::Gateway) -> Retention {
    let some = |n: u64| Some(n).filter(|n| *n > 0);
    Retention {
        age: some(gateway.log_max_age_days.into()).map(|days| Duration::from_secs(days * 24 * 3_600)),
        bytes: some(gateway.log_max_mb).map(|mb| mb << 20),
    }
}
