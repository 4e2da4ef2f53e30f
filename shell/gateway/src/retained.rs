//! Views kept for explanations.

use std::collections::VecDeque;
use std::sync::Arc;

use rhumb_route::row::Row;
use rhumb_route::view::View;

/// Views are kept this long, unless they take too much memory before.
const KEEP_MS: u64 = 15 * 60 * 1_000;
const KEEP_BYTES: usize = 64 << 20;

/// The last views, oldest first.
#[derive(Default)]
pub(crate) struct Retained {
    views: VecDeque<(u64, Arc<View>)>,
    bytes: usize,
}

fn size(view: &View) -> usize {
    view.rows.len() * std::mem::size_of::<Row>() + 256
}

impl Retained {
    pub(crate) fn push(&mut self, now_ms: u64, view: Arc<View>) {
        self.bytes += size(&view);
        self.views.push_back((now_ms, view));
        while self.views.len() > 1
            && (self.bytes > KEEP_BYTES || self.views.front().is_some_and(|(at, _)| at + KEEP_MS < now_ms))
        {
            if let Some((_, old)) = self.views.pop_front() {
                self.bytes -= size(&old);
            }
        }
    }

    pub(crate) fn get(&self, version: u64) -> Option<Arc<View>> {
        let i = self.views.binary_search_by_key(&version, |(_, v)| v.version).ok()?;
        self.views.get(i).map(|(_, v)| Arc::clone(v))
    }
}
