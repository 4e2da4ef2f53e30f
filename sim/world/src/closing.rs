//! What a world comes to: its end, what is left of it, and the energy that is billed by the hour.

use rhumb_core::memory::Memory;
use rhumb_grid::position::SiteIndex;

use crate::outcome::{LeftOver, Ran};
use crate::queue::Event;
use crate::world::{WARM_UP_US, World};

const HOUR_US: u64 = 3_600_000_000;

impl<M: Memory> World<'_, M> {
    pub(crate) fn end(mut self) -> Ran {
        let now_us = self.queue.now_us;
        self.bill_energy();
        let mut prefix_tokens = (0, 0);
        let mut preemptions = 0;
        for server in &self.servers {
            let counted = server.counted();
            prefix_tokens.0 += counted.looked_up;
            prefix_tokens.1 += counted.found;
            preemptions += counted.preemptions;
        }
        let left_over = self.left_over();
        Ran {
            outcomes: self.outcomes,
            sent: self.sent,
            attempts: self.attempts,
            was_preempted: self.was_preempted,
            hedges: self.hedges,
            wrong_answers: self.wrong_answers,
            left_over,
            elapsed_s: now_us.saturating_sub(WARM_UP_US) as f64 / 1e6,
            events: self.queue.happened,
            decisions: self.decisions,
            steps: self.steps,
            sites: self.sites.iter().map(|s| s.totals).collect(),
            prefix_tokens,
            preemptions,
        }
    }

    /// What is left once the last cancellations have arrived.
    fn left_over(&mut self) -> LeftOver {
        for event in self.queue.left() {
            if let Event::Cancel { endpoint, id } = event {
                self.servers[endpoint].engine.cancel(id);
            }
        }
        let mut left = LeftOver::default();
        for gateway in &self.gateways {
            let (in_flight, backlog_tokens, waiting) = gateway.holds();
            left.in_flight += in_flight;
            left.backlog_tokens += backlog_tokens;
            left.waiting += waiting;
        }
        left.in_engines = self.servers.iter().map(|s| s.engine.running() + s.engine.waiting()).sum();
        left
    }

    /// Bills the energy of every site up to now.
    pub(crate) fn bill_energy(&mut self) {
        let joules = self.joules_by_site();
        for (site, joules) in self.sites.iter_mut().zip(joules) {
            site.bill(joules);
        }
    }

    /// Energy that the GPUs of each site have drawn, joules.
    pub(crate) fn joules_by_site(&self) -> Vec<f64> {
        let mut joules = vec![0.0; self.sites.len()];
        for server in &self.servers {
            joules[server.site] += server.joules_at(self.queue.now_us);
        }
        joules
    }

    pub(crate) fn hour(&mut self) {
        if self.queue.now_us == WARM_UP_US {
            for (site, joules) in SiteIndex::all().zip(self.joules_by_site()) {
                self.sites[site].begin(joules);
            }
        }
        self.bill_energy();
        let hour = self.queue.now_us.saturating_sub(WARM_UP_US) / HOUR_US;
        for (site, series) in SiteIndex::all().zip(&self.setup.energy) {
            let Some(energy) = series.get(hour as usize % series.len().max(1)) else { continue };
            self.sites[site].set_energy(*energy);
            for gateway in &mut self.gateways {
                gateway.set_energy(site, energy.usd_per_kwh, energy.carbon_g_per_kwh);
            }
        }
        if !self.setup.energy.is_empty() {
            self.queue.at(self.queue.now_us + HOUR_US, Event::Hour);
        }
    }
}
