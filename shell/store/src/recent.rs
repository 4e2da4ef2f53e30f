//! Decisions kept in memory, so that they can be explained in full: every candidate, not only the best.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rhumb_process::clock;
use rhumb_route::row::Row;

use crate::entry::Intent;

/// Decisions are kept this long, unless one of the bounds below comes first.
const KEEP: Duration = Duration::from_secs(15 * 60);
const DECISIONS_MAX: usize = 8_192;
const VIEW_BYTES_MAX: usize = 64 << 20;

/// Decisions whose request has ended, oldest first.
#[derive(Default)]
pub(crate) struct Recent {
    decisions: VecDeque<(Instant, Box<Intent>)>,
    /// Decisions that hold a view, by its version.
    holders: BTreeMap<u64, usize>,
    view_bytes: usize,
}

fn size(i: &Intent) -> usize {
    i.view.rows.len() * std::mem::size_of::<Row>()
}

impl Recent {
    pub(crate) fn push(&mut self, intent: Box<Intent>) {
        let now = clock::now();
        let holders = self.holders.entry(intent.view.version).or_default();
        *holders += 1;
        if *holders == 1 {
            self.view_bytes += size(&intent);
        }
        self.decisions.push_back((now, intent));
        let stale = |at: &Instant| now.duration_since(*at) > KEEP;
        while self.decisions.len() > DECISIONS_MAX
            || self.view_bytes > VIEW_BYTES_MAX && self.decisions.len() > 1
            || self.decisions.front().is_some_and(|(at, _)| stale(at))
        {
            let Some((_, old)) = self.decisions.pop_front() else { return };
            let Some(holders) = self.holders.get_mut(&old.view.version) else { continue };
            *holders -= 1;
            if *holders == 0 {
                self.holders.remove(&old.view.version);
                self.view_bytes -= size(&old);
            }
        }
    }

    pub(crate) fn find(&self, id: u64) -> Option<&Intent> {
        self.decisions.iter().rev().map(|(_, i)| &**i).find(|i| i.id == id)
    }
}
