//! A second attempt beside a first one that is late.

use std::time::Duration;

use rhumb_core::failover::Failover;

use crate::failover::{FailoverDriver, Try};
use crate::in_flight::InFlight;
use crate::parts::LiveParts;
use crate::quarantine;
use crate::request_record::RequestRecord;

impl FailoverDriver<'_> {
    /// How long the first target has before a second may be asked. A plain answer does not show when it begins.
    pub(crate) fn hedge_after(
        &self,
        record: &RequestRecord,
        failover: &Failover,
        first: &InFlight,
    ) -> Option<Duration> {
        if !self.policy.service.hedge || !self.scan.request.stream {
            return None;
        }
        let request = self.request(record.source());
        let ms = failover.hedge_after_ms(&mut LiveParts(self.epoch), &request, &first.attempt)?;
        Duration::try_from_secs_f64(ms / 1e3).ok()
    }

    /// A second attempt, if its budget allows one and another target has room.
    pub(crate) fn hedge(&self, record: &mut RequestRecord, failover: &mut Failover) -> Option<Try<'_>> {
        let (request, tenant, now_ms) = (self.request(record.source()), record.tenant(), self.epoch.now_ms());
        let fingerprint = || quarantine::fingerprint(self.epoch, self.body, tenant);
        let (place, permit) = failover.hedge(&mut LiveParts(self.epoch), &request, fingerprint, now_ms)?;
        Some(self.depart(record, failover, place, permit, true))
    }
}
