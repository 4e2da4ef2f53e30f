//! How a world begins: sites, gateways with their first view, and the clocks that tick from then on.

use rhumb_core::memory::Memory;
use rhumb_core::plain::PlainMemory;
use rhumb_flow::admission::QueueClasses;
use rhumb_grid::config::{Location, Router};
use rhumb_route::view::{Viewer, perf_of};

use crate::gateway::{Cache, Gateway};
use crate::queue::Event;
use crate::setup::{Choosing, Energy, Setup};
use crate::site::Site;
use crate::world::{WARM_UP_US, World};

/// Prefix blocks of an engine whose requests carry none are not remembered: a small index is enough.
const NO_BLOCKS: usize = 64;

pub(crate) fn sites(setup: &Setup) -> Vec<Site> {
    let mut boards_watts = vec![0.0; setup.grid.config.sites.len()];
    for (spec, site) in setup.engines.iter().zip(&setup.grid.endpoint_site) {
        boards_watts[*site] += spec.perf.max_watts();
    }
    let site = |(s, boards_watts): (&rhumb_grid::config::Site, f64)| {
        let energy = Energy { usd_per_kwh: s.energy_usd_per_kwh, carbon_g_per_kwh: s.carbon_g_per_kwh };
        Site::new(s.power_kw.map_or(f64::INFINITY, |kw| kw * 1e3), boards_watts, s.pue, energy)
    };
    setup.grid.config.sites.iter().zip(boards_watts).map(site).collect()
}

/// A gateway knows the configuration, where it stands, and the speed model of each GPU and model: its prior.
pub(crate) fn memories(setup: &Setup) -> Vec<PlainMemory> {
    // One copy and one prior for all gateways: that of thousands of endpoints costs more than a short run.
    let (mut grid, perf) = (setup.grid.clone(), perf_of(&setup.grid));
    let queue_classes = QueueClasses::of(&setup.grid);
    let mut memory = |location: Location| {
        grid.config.gateway.location = Some(location);
        let mut viewer = Viewer::new(&grid, &perf);
        viewer.set_best_first(setup.choosing == Choosing::Router(Router::Rhumb));
        PlainMemory::new(&setup.grid, viewer, &queue_classes, setup.tenants.len())
    };
    setup.gateways.iter().map(|g| memory(g.location)).collect()
}

/// Gateways with these memories.
pub(crate) fn gateways<M: Memory>(setup: &Setup, mut memory: impl FnMut(usize) -> M) -> Vec<Gateway<M>> {
    let cache = cache(setup);
    let gateway = |g| Gateway::new(memory(g), &setup.grid, &setup.choosing, QueueClasses::of(&setup.grid), cache);
    (0..setup.gateways.len()).map(gateway).collect()
}

fn cache(setup: &Setup) -> Cache {
    let block_tokens = setup.engines.first().map_or(16, |e| e.limits.block_tokens);
    let blocks: u64 =
        setup.engines.iter().map(|e| e.perf.kv_capacity_tokens() / u64::from(e.limits.block_tokens.max(1))).sum();
    Cache { blocks: (blocks as usize).max(NO_BLOCKS), block_tokens: f64::from(block_tokens) }
}

impl<M: Memory> World<'_, M> {
    /// Sets every clock going. Gateways tick in turn, not all at once.
    pub(crate) fn start_clocks(&mut self) {
        let gateways = self.gateways.len() as u64;
        let publish_us = self.setup.telemetry.publish_us;
        self.queue.at(0, Event::Sample);
        for gateway in 0..gateways {
            self.queue.at(gateway * publish_us / gateways, Event::Tick { gateway: gateway as u32 });
        }
        self.queue.at(WARM_UP_US, Event::Hour);
        for (index, fault) in (0..).zip(&self.setup.faults) {
            self.queue.at(WARM_UP_US + fault.from_us, Event::Fault { index, begins: true });
            self.queue.at(WARM_UP_US + fault.until_us, Event::Fault { index, begins: false });
        }
    }
}
