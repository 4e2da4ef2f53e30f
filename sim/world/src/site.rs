//! A site: its power envelope, what its energy costs, and what went through it.

use crate::outcome::SiteTotals;
use crate::setup::Energy;

const JOULES_PER_KWH: f64 = 3.6e6;

/// One site.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Power its GPUs draw now, watts.
    pub(crate) watts: f64,
    /// Power they must not exceed, watts.
    cap_watts: f64,
    /// The share of it that is left to it.
    pub(crate) cap_share: f64,
    /// What its boards could draw together, watts.
    boards_watts: f64,
    pue: f64,
    energy: Energy,
    /// Energy that has been billed, joules.
    billed_joules: f64,
    pub(crate) totals: SiteTotals,
}

impl Site {
    pub(crate) fn new(cap_watts: f64, boards_watts: f64, pue: f64, energy: Energy) -> Self {
        Self {
            watts: 0.0,
            cap_watts,
            cap_share: 1.0,
            boards_watts,
            pue,
            energy,
            billed_joules: 0.0,
            totals: SiteTotals::default(),
        }
    }

    /// How many times as long a step takes that would draw `watts` at an engine whose boards may draw `max_watts`. The
    /// envelope is shared out over the boards as limits, as one sets them on real ones, and clocks fall in proportion as
    /// a board would exceed its own. A first-order law: real clocks fall less than power does.
    pub(crate) fn throttle(&self, watts: f64, max_watts: f64) -> f64 {
        (watts / (self.cap_watts * self.cap_share * max_watts / self.boards_watts)).max(1.0)
    }

    /// Its GPUs draw so much more, or less.
    pub(crate) fn add(&mut self, watts: f64) {
        self.watts += watts;
        self.totals.watts_max = self.totals.watts_max.max(self.watts);
    }

    /// Bills the energy drawn so far at what it has cost until now.
    pub(crate) fn bill(&mut self, joules: f64) {
        let kwh = (joules - self.billed_joules) * self.pue / JOULES_PER_KWH;
        self.totals.energy_usd += kwh * self.energy.usd_per_kwh;
        self.totals.carbon_g += kwh * self.energy.carbon_g_per_kwh;
        self.totals.joules += joules - self.billed_joules;
        self.billed_joules = joules;
    }

    /// What has been drawn so far is not billed: traffic begins here.
    pub(crate) fn begin(&mut self, joules: f64) {
        self.billed_joules = joules;
        self.totals = SiteTotals { watts_max: self.watts, ..SiteTotals::default() };
    }

    pub(crate) fn set_energy(&mut self, energy: Energy) {
        self.energy = energy;
    }
}
