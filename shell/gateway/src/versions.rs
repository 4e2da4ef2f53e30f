//! The configurations that requests are served under.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rhumb_flow::admission::QueueClass;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;

/// Those of one gateway: requests that began under an older one end under it.
#[derive(Default)]
pub(crate) struct Versions {
    /// The newest last.
    all: Mutex<Vec<Weak<ConfigEpoch>>>,
    newest: AtomicU64,
}

impl Versions {
    /// All of them, the newest last.
    pub(crate) fn all(&self) -> Vec<Arc<ConfigEpoch>> {
        lock(&self.all).iter().filter_map(Weak::upgrade).collect()
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<Arc<ConfigEpoch>> {
        lock(&self.all).last().and_then(Weak::upgrade)
    }

    /// No newer configuration than this is in force.
    pub(crate) fn is_newest(&self, epoch: &ConfigEpoch) -> bool {
        self.newest.load(Ordering::Relaxed) <= epoch.version.ordinal
    }

    /// A configuration is about to be in force: admission knows of it before the first request does.
    pub(crate) fn enter(&self, epoch: &Arc<ConfigEpoch>) {
        let mut all = lock(&self.all);
        all.retain(|old| old.strong_count() > 0);
        all.push(Arc::downgrade(epoch));
        self.newest.store(epoch.version.ordinal, Ordering::Relaxed);
        let versions: Vec<Arc<ConfigEpoch>> = all.iter().filter_map(Weak::upgrade).collect();
        drop(all);
        let (serves, known) = (serves(&versions), lock(&epoch.state.known));
        lock(&epoch.state.queue).reconfigure(&known, (&epoch.grid, &epoch.numbers), serves);
    }
}

/// For each endpoint, by number, the queue classes it serves under any of these configurations: whoever waits under an older one
/// waits in that one's.
fn serves(versions: &[Arc<ConfigEpoch>]) -> Vec<Vec<QueueClass>> {
    let mut serves: Vec<Vec<QueueClass>> = Vec::new();
    for version in versions {
        for (queue_classes, number) in
            version.queue_classes.served(&version.grid).iter().zip(&version.numbers.endpoints)
        {
            serves.resize(serves.len().max(number.at() + 1), Vec::new());
            serves[number.at()]
                .extend(queue_classes.iter().map(|queue_class| version.numbers.queue_class(*queue_class)));
        }
    }
    for queue_classes in &mut serves {
        queue_classes.sort_unstable();
        queue_classes.dedup();
    }
    serves
}
