//! An attempt under way at an endpoint, as a simulated gateway keeps it.

use rhumb_core::attempt::Attempt;

/// An attempt under way.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) attempt: Attempt,
    /// Its number among those that may be preempted.
    pub(crate) preemptible: Option<u64>,
    /// What a second is worth to whoever waits for it, USD.
    pub(crate) second_usd: f64,
}
