//! Ids of requests: unique in a gateway, growing with time, and unlikely to meet those of another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use rhumb_process::clock;

/// 41 bits of milliseconds since 1970, 10 bits of the gateway, 12 bits of a count: 63, so that SQLite holds it.
pub(crate) struct Ids {
    last: AtomicU64,
    gateway: u64,
}

const COUNT_BITS: u32 = 12;
const GATEWAY_BITS: u32 = 10;

impl Ids {
    pub(crate) fn new() -> Self {
        let now = clock::wall().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
        let salt = xxhash_rust::xxh3::xxh3_64_with_seed(&now.to_le_bytes(), u64::from(std::process::id()));
        Self { last: AtomicU64::new(0), gateway: salt & ((1 << GATEWAY_BITS) - 1) }
    }

    /// The next id, and the wall clock it was made at.
    pub(crate) fn next(&self) -> (u64, u64) {
        let ms = clock::unix_ms();
        let floor = (ms & ((1 << 41) - 1)) << (COUNT_BITS + GATEWAY_BITS) | self.gateway << COUNT_BITS;
        // A clock that steps back, or a full count, borrows from the milliseconds: ids only grow.
        let next = |last: u64| floor.max(last + 1);
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |l| Some(next(l))).unwrap_or(0);
        (next(last), ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_only_grow_and_fit_sqlite() {
        let ids = Ids::new();
        let mut last = 0;
        for _ in 0..10_000 {
            let (id, _) = ids.next();
            assert!(id > last && id < 1 << 63);
            last = id;
        }
    }
}
