//! A place at an endpoint.

use std::sync::Arc;

use rhumb_grid::position::EndpointIndex;
use rhumb_route::decide::Target;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;

/// It is taken. Dropping it frees the place and calls whoever is next.
pub(crate) struct ConcurrencyPermit {
    epoch: Arc<ConfigEpoch>,
    endpoint: EndpointIndex,
    /// The endpoint has answered: its place is freed by work done, and not by a failure.
    pub(crate) served: bool,
}

impl ConcurrencyPermit {
    /// Takes a place for a second try at the target that `choose` finds of those that have one to spare: there is room
    /// now, and nobody waits for it.
    pub(crate) fn spare(
        epoch: &Arc<ConfigEpoch>,
        targets: &[Target],
        now_ms: u64,
        choose: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Option<(usize, Self)> {
        let queue = lock(&epoch.state.queue);
        let to_spare = |e: EndpointIndex| {
            let number = epoch.numbers.endpoint(e);
            !queue.admission().is_wanted(number.0) && queue.has_room(now_ms, number)
        };
        let chosen = choose(&|i| to_spare(targets[i].endpoint))?;
        Some((chosen, Self::take(epoch, targets[chosen].endpoint)))
    }

    /// Takes a place whether or not there is room: a request that has been admitted once goes on.
    pub(crate) fn take(epoch: &Arc<ConfigEpoch>, endpoint: EndpointIndex) -> Self {
        epoch.live[endpoint].depart();
        Self { epoch: Arc::clone(epoch), endpoint, served: false }
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let epoch = &self.epoch;
        let (number, now_ms) = (epoch.numbers.endpoint(self.endpoint), epoch.now_ms());
        let mut queue = lock(&epoch.state.queue);
        epoch.live[self.endpoint].depart_end();
        if self.served {
            queue.window_mut(number).completed(now_ms);
        }
        queue.call(now_ms, number);
    }
}
