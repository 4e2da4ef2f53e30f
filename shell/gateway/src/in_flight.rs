//! A request at an endpoint.

use std::sync::Arc;

use rhumb_core::attempt::Attempt;
use rhumb_flow::evidence::Source;
use rhumb_route::decide::Target;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::parts::LiveParts;
use crate::permit::ConcurrencyPermit;

/// A request at an endpoint. Dropping it frees its place there.
pub(crate) struct InFlight {
    epoch: Arc<ConfigEpoch>,
    permit: ConcurrencyPermit,
    pub(crate) attempt: Attempt,
}

impl InFlight {
    /// Departs for a target.
    pub(crate) fn new(epoch: &Arc<ConfigEpoch>, permit: ConcurrencyPermit, target: Target, streams: bool) -> Self {
        let attempt = Attempt::sent(&mut LiveParts(epoch), target, streams, epoch.now_us());
        Self { epoch: Arc::clone(epoch), permit, attempt }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.attempt.target
    }

    /// Content has begun. `second_usd` is the value of a second to the request.
    pub(crate) fn began(&mut self, second_usd: f64, source: Source) {
        self.permit.served = true;
        self.attempt.began(&mut LiveParts(&self.epoch), source, second_usd, self.epoch.now_us());
        let live = &self.epoch.live[self.target().endpoint];
        lock(&live.learnt).troubles.over();
        live.heard(self.epoch.now_ms());
    }

    /// Tokens come from the endpoint at this pace.
    pub(crate) fn paced(&self, token_ms: f64) {
        self.attempt.paced(&mut LiveParts(&self.epoch), token_ms);
    }

    /// Another target had content first. The endpoint is not at fault; where it is `late`, that is learnt as far as it went.
    /// What the request has cost there, USD.
    pub(crate) fn lost(&self, late: bool) -> f64 {
        if late {
            self.attempt.was_late(&mut LiveParts(&self.epoch), self.epoch.now_us());
        }
        self.attempt.lost_usd()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.attempt.over(&mut LiveParts(&self.epoch));
    }
}
