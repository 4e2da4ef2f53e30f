//! A hasher for keys that are hashes already: one multiplication, the same in every run.

use core::hash::{BuildHasherDefault, Hasher};

/// Map from block hashes, iteration order never used.
pub(crate) type BlockMap<V> = hashbrown::HashMap<u64, V, BuildHasherDefault<BlockHasher>>;

/// Spreads a block hash over the table: callers may pass small counters as hashes, so the bits are mixed once.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct BlockHasher(u64);

impl Hasher for BlockHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing; the fold brings the well-mixed high half to the low bits that pick the bucket.
        let product = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }
}
