//! A request under way that is preempted by a more urgent one, as long as it has not begun.

use std::sync::Arc;
use std::task::{Context, Poll};

use rhumb_flow::admission::Expected;
use rhumb_route::decide::Target;
use tokio::sync::oneshot;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::numbers::EndpointNumber;

/// A batch request that may be taken back from an endpoint. Dropping it is the end of that.
pub(crate) struct Preemptible {
    epoch: Arc<ConfigEpoch>,
    endpoint: EndpointNumber,
    number: u64,
    call: oneshot::Receiver<()>,
}

impl Preemptible {
    /// It is sent to a target now. A plain answer is no part of the queue that others see there.
    pub(crate) fn sent(epoch: &Arc<ConfigEpoch>, target: &Target, plain: bool) -> Self {
        let p = &target.predicted;
        let delays_ms = if plain { 0.0 } else { p.delays_ms() };
        let expected = Expected { begins_ms: p.begins_ms(), prefill_ms: p.prefill_ms, delays_ms };
        let endpoint = epoch.numbers.endpoint(target.endpoint);
        let (number, call) = lock(&epoch.state.queue).preemptible(epoch.now_ms(), endpoint, &expected);
        Self { epoch: Arc::clone(epoch), endpoint, number, call }
    }

    /// Ready when it is to be taken back.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        std::pin::Pin::new(&mut self.call).poll(cx).map(|_| ())
    }
}

impl Drop for Preemptible {
    fn drop(&mut self) {
        lock(&self.epoch.state.queue).begun(self.endpoint, self.number);
    }
}
