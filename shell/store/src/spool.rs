//! What waits to be written, within bounds.

use std::collections::VecDeque;

use crate::rows::{Batch, RequestRow, ViewRow};

/// Rows of requests that wait at most, those on their way to the disk included.
pub(crate) const ROWS_MAX: usize = 100_000;

/// Memory that all of them may take.
const BYTES_MAX: usize = 64 << 20;

/// Rows of requests in one transaction.
const BATCH_MAX: usize = 10_000;

/// Rows of requests that have ended and of views that they need, in the order they came.
#[derive(Default)]
pub(crate) struct Spool {
    views: Vec<ViewRow>,
    ended: VecDeque<RequestRow>,
    /// Of what waits here, and of what is on its way.
    bytes: usize,
    on_its_way: usize,
    bytes_on_their_way: usize,
}

impl Spool {
    /// There is room for one more row.
    pub(crate) fn has_room(&self) -> bool {
        self.rows() < ROWS_MAX && self.bytes() < BYTES_MAX
    }

    pub(crate) fn push(&mut self, row: RequestRow) {
        self.bytes += row.bytes();
        self.ended.push_back(row);
    }

    pub(crate) fn push_view(&mut self, row: ViewRow) {
        self.bytes += row.bytes();
        self.views.push(row);
    }

    /// The next rows to write, the oldest first.
    pub(crate) fn take(&mut self) -> Batch {
        let views = std::mem::take(&mut self.views);
        let ended: Vec<RequestRow> = self.ended.drain(..self.ended.len().min(BATCH_MAX)).collect();
        let bytes =
            views.iter().map(ViewRow::bytes).sum::<usize>() + ended.iter().map(RequestRow::bytes).sum::<usize>();
        self.bytes -= bytes;
        (self.on_its_way, self.bytes_on_their_way) = (ended.len(), bytes);
        Batch { views, running: Vec::new(), ended }
    }

    /// What was on its way has arrived.
    pub(crate) fn arrived(&mut self) {
        (self.on_its_way, self.bytes_on_their_way) = (0, 0);
    }

    /// Nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.views.is_empty()
    }

    /// Rows of requests that wait.
    pub(crate) fn rows(&self) -> usize {
        self.ended.len() + self.on_its_way
    }

    /// Memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.bytes_on_their_way
    }
}
