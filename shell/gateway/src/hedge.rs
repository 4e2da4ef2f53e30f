//! A second try beside a first one that is late.

use std::time::Duration;

use rhumb_flow::failover::Failover;

use crate::attempt::{Journey, Try};
use crate::hold::Permit;
use crate::ledger::{Flight, Ledger};
use crate::live::lock;
use crate::quarantine;

impl Journey<'_> {
    /// How long the first target has before a second may be asked. A plain answer does not show when it begins.
    pub(crate) fn hedge_after(&self, failover: &Failover, first: &Flight) -> Option<Duration> {
        if !self.policy.service.hedge || !self.scan.stream || !failover.is_open() || self.targets().len() < 2 {
            return None;
        }
        let ms = lock(&self.shared.hedging[first.target.model as usize]).first(first.predicted_ms());
        Duration::try_from_secs_f64(ms / 1e3).ok()
    }

    /// A second try, if its budget allows one and another target has room.
    pub(crate) fn hedge(&self, ledger: &mut Ledger, failover: &mut Failover, model: u32) -> Option<Try<'_>> {
        let targets = &self.targets()[..self.placed.decision.fitting];
        let hedging = &self.shared.hedging[model as usize];
        // What engines die of is not to take two at a time.
        if quarantine::suspects(self.shared, self.body, ledger.tenant) || !lock(hedging).take() {
            return None;
        }
        let spare = Permit::spare(self.shared, targets, |has_room| {
            failover.next_of(targets.len(), |i| targets[i].site, has_room)
        });
        let Some((place, permit)) = spare else {
            lock(hedging).put_back();
            return None;
        };
        Some(self.depart(ledger, failover, place, permit, true))
    }
}
