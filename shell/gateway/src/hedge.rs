//! A second attempt beside a first one that is late.

use std::time::Duration;

use rhumb_core::failover::Failover;

use crate::attempt::{Journey, Try};
use crate::in_flight::InFlight;
use crate::ledger::Ledger;
use crate::parts::LiveParts;
use crate::quarantine;

impl Journey<'_> {
    /// How long the first target has before a second may be asked. A plain answer does not show when it begins.
    pub(crate) fn hedge_after(&self, ledger: &Ledger, failover: &Failover, first: &InFlight) -> Option<Duration> {
        if !self.policy.service.hedge || !self.scan.stream {
            return None;
        }
        let request = self.request(ledger.source);
        let ms = failover.hedge_after_ms(&mut LiveParts(self.shared), &request, &first.attempt)?;
        Duration::try_from_secs_f64(ms / 1e3).ok()
    }

    /// A second attempt, if its budget allows one and another target has room.
    pub(crate) fn hedge(&self, ledger: &mut Ledger, failover: &mut Failover) -> Option<Try<'_>> {
        let (request, tenant, now_ms) = (self.request(ledger.source), ledger.tenant, self.shared.now_ms());
        let fingerprint = || quarantine::fingerprint(self.shared, self.body, tenant);
        let (place, permit) = failover.hedge(&mut LiveParts(self.shared), &request, fingerprint, now_ms)?;
        Some(self.depart(ledger, failover, place, permit, true))
    }
}
