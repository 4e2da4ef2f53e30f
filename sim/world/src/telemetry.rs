//! What engines say of their load, when it was said, and when a gateway can have heard it.
//!
//! This is the only way in which the state of an engine reaches a router.

use std::collections::VecDeque;

use rhumb_grid::position::EndpointIndex;

use crate::server::Server;

/// What one engine said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub(crate) running: f64,
    pub(crate) waiting: f64,
    pub(crate) kv_use: f64,
    pub(crate) watts: f64,
}

/// How a site's readings are falsified.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Falsified {
    No,
    /// They stay what they were.
    Stale,
    /// They show this many requests.
    Lying(f64),
}

/// What all engines said at one time.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) taken_us: u64,
    /// By endpoint.
    pub(crate) readings: Vec<Reading>,
}

/// Readings kept: as many as a reading can be under way for, at any period and delay in use.
const KEPT: usize = 16;

/// The latest readings.
#[derive(Debug, Default)]
pub(crate) struct Board {
    snapshots: VecDeque<Snapshot>,
}

impl Board {
    /// Reads every engine.
    pub(crate) fn take(&mut self, now_us: u64, servers: &[Server], falsified: &[Falsified]) {
        let mut readings = match self.snapshots.len() {
            KEPT => self.snapshots.pop_front().map(|s| s.readings).unwrap_or_default(),
            _ => Vec::with_capacity(servers.len()),
        };
        readings.clear();
        for (endpoint, server) in EndpointIndex::all().zip(servers) {
            let truth = Reading {
                running: server.engine.running() as f64,
                waiting: server.engine.waiting() as f64,
                kv_use: server.engine.kv_use(),
                watts: server.watts,
            };
            readings.push(match falsified[server.site] {
                Falsified::No => truth,
                Falsified::Stale => self.snapshots.back().map_or(truth, |s| s.readings[endpoint]),
                Falsified::Lying(requests) => Reading { running: requests, waiting: 0.0, ..truth },
            });
        }
        self.snapshots.push_back(Snapshot { taken_us: now_us, readings });
    }

    /// The newest reading of an endpoint that is newer than `after_us` and has arrived, with the time it arrived at.
    /// `arrives_us` gives the arrival of what was taken at a time, or nothing where it was lost.
    pub(crate) fn newest(
        &self,
        endpoint: EndpointIndex,
        after_us: Option<u64>,
        now_us: u64,
        arrives_us: impl Fn(u64) -> Option<u64>,
    ) -> Option<(u64, u64, Reading)> {
        self.snapshots
            .iter()
            .rev()
            .take_while(|s| after_us.is_none_or(|after| s.taken_us > after))
            .filter_map(|s| Some((s, arrives_us(s.taken_us)?)))
            .find(|(_, arrived_us)| *arrived_us <= now_us)
            .map(|(s, arrived_us)| (s.taken_us, arrived_us, s.readings[endpoint]))
    }
}
