//! Who holds which KV block: blocks private to a sequence, blocks of a prompt shared between sequences, and blocks
//! nobody holds but whose contents are kept in case a later prompt starts the same way.
//!
//! Blocks have no identity beyond their hash, so the pool counts instead of handing out numbers: a pool for a
//! hundred gigabytes costs memory only for the hashes it has seen.

use crate::hash::BlockMap;
use crate::prefix::PrefixCache;

/// The KV memory of one engine, in blocks.
#[derive(Debug, Clone)]
pub struct KvPool {
    capacity_blocks: u64,
    private_blocks: u64,
    /// Holders of each hashed block in use.
    shared: BlockMap<u32>,
    /// Hashed blocks nobody holds; the room they take is given up on demand.
    idle: PrefixCache,
}

impl KvPool {
    /// An empty pool of `capacity_blocks` blocks.
    #[must_use]
    pub fn new(capacity_blocks: u64) -> Self {
        let idle = PrefixCache::new(usize::try_from(capacity_blocks).unwrap_or(usize::MAX));
        Self { capacity_blocks, private_blocks: 0, shared: BlockMap::default(), idle }
    }

    /// Blocks in all.
    #[must_use]
    pub fn capacity_blocks(&self) -> u64 {
        self.capacity_blocks
    }

    /// Blocks some sequence holds.
    #[must_use]
    pub fn held_blocks(&self) -> u64 {
        self.private_blocks + self.shared.len() as u64
    }

    /// Blocks kept only in the hope of a later hit.
    #[must_use]
    pub fn idle_blocks(&self) -> u64 {
        self.idle.len() as u64
    }

    /// Blocks that could be given out now.
    #[must_use]
    pub fn available_blocks(&self) -> u64 {
        self.capacity_blocks - self.held_blocks()
    }

    /// Length of the leading run of `blocks` whose contents are in memory.
    #[must_use]
    pub fn matched(&self, blocks: &[u64]) -> usize {
        blocks.iter().take_while(|hash| self.shared.contains_key(*hash) || self.idle.contains(**hash)).count()
    }

    /// Makes the caller a holder of blocks that [`matched`](Self::matched) found.
    pub fn hold(&mut self, blocks: &[u64]) {
        for hash in blocks {
            self.idle.remove(*hash);
            *self.shared.entry(*hash).or_insert(0) += 1;
        }
    }

    /// Takes `blocks` private blocks, forgetting idle ones as needed; `false`, and nothing taken, when all are held.
    #[must_use]
    pub fn take(&mut self, blocks: u64) -> bool {
        if blocks > self.available_blocks() {
            return false;
        }
        self.private_blocks += blocks;
        while self.held_blocks() + self.idle_blocks() > self.capacity_blocks {
            self.idle.pop_oldest();
        }
        true
    }

    /// Turns one private block of the caller into the shared block `hash`, now that its contents are computed. Where
    /// another sequence computed the same block meanwhile, the caller joins it and its own block is free again.
    pub fn publish(&mut self, hash: u64) {
        self.private_blocks -= 1;
        self.hold(&[hash]);
    }

    /// Gives back a sequence's blocks: `blocks` it shares (head first) and `private_blocks` of its own.
    pub fn release(&mut self, blocks: &[u64], private_blocks: u64) {
        self.private_blocks -= private_blocks;
        // Tail first, so that the head of the prompt is the last to be forgotten.
        for hash in blocks.iter().rev() {
            let holders = self.shared.get_mut(hash).expect("a sequence releases only blocks it holds");
            *holders -= 1;
            if *holders == 0 {
                self.shared.remove(hash);
                self.idle.push(*hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_block_outlives_its_sequence_until_room_is_needed() {
        let mut pool = KvPool::new(4);
        assert!(pool.take(3));
        pool.publish(1);
        pool.publish(2);
        pool.release(&[1, 2], 1);
        assert_eq!((pool.held_blocks(), pool.idle_blocks()), (0, 2));
        assert_eq!(pool.matched(&[1, 2, 3]), 2);
        assert!(pool.take(3));
        assert_eq!(pool.matched(&[1, 2, 3]), 1, "the head stays, the tail went");
        assert!(!pool.take(2));
        assert_eq!(pool.held_blocks(), 3);
    }

    #[test]
    fn equal_blocks_are_held_once() {
        let mut pool = KvPool::new(4);
        assert!(pool.take(2));
        pool.publish(1);
        pool.publish(1);
        assert_eq!(pool.held_blocks(), 1);
        pool.release(&[1], 0);
        assert_eq!((pool.held_blocks(), pool.idle_blocks()), (1, 0));
        pool.release(&[1], 0);
        assert_eq!((pool.held_blocks(), pool.idle_blocks()), (0, 1));
    }
}
