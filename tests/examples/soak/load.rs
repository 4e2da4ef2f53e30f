//! What the parts have in common: runtimes, and what the gateway takes of the machine.

use std::time::Instant;

use rhumb_tests::gateway::Gateway;
use tokio::runtime::Runtime;

/// A runtime for clients: one thread, so that they leave the machine to the gateway.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Does something, and says how many seconds of a processor the gateway took meanwhile, and how many seconds it was.
pub(crate) fn timed(gateway: &Gateway, act: impl FnOnce()) -> (f64, f64) {
    let (before, since) = (gateway.processor_s(), Instant::now());
    act();
    (gateway.processor_s() - before, since.elapsed().as_secs_f64())
}
