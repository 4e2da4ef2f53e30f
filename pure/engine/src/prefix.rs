//! A prefix cache: which blocks of prompts are held, forgotten least recently used first.
//!
//! A block is named by a chained hash, so that equal hashes mean equal text *and* equal text before it; a prompt's
//! reusable part is then simply the leading run of its hashes that are present.

use crate::hash::BlockMap;
use alloc::vec::Vec;

/// End of the list.
const NIL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u64,
    older: u32,
    newer: u32,
}

/// A set of block hashes of bounded size that forgets the least recently used.
#[derive(Debug, Clone)]
pub struct PrefixCache {
    capacity_blocks: usize,
    slots: Vec<Slot>,
    unused: Vec<u32>,
    index: BlockMap<u32>,
    oldest: u32,
    newest: u32,
}

impl PrefixCache {
    /// An empty cache that will hold at most `capacity_blocks` blocks; memory is taken as it fills.
    #[must_use]
    pub fn new(capacity_blocks: usize) -> Self {
        Self {
            capacity_blocks: capacity_blocks.min(NIL as usize - 1),
            slots: Vec::new(),
            unused: Vec::new(),
            index: BlockMap::default(),
            oldest: NIL,
            newest: NIL,
        }
    }

    /// Blocks held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Most blocks it will hold.
    #[must_use]
    pub fn capacity_blocks(&self) -> usize {
        self.capacity_blocks
    }

    /// Whether the block is held; does not count as a use.
    #[must_use]
    pub fn contains(&self, hash: u64) -> bool {
        self.index.contains_key(&hash)
    }

    /// Length of the leading run of `blocks` that is held; does not count as a use.
    #[must_use]
    pub fn matched(&self, blocks: &[u64]) -> usize {
        blocks.iter().take_while(|hash| self.contains(**hash)).count()
    }

    /// Holds all of `blocks` as the most recently used, the first of them the most recent: the tail of a prompt is
    /// useless without its head, so it goes first.
    pub fn insert(&mut self, blocks: &[u64]) {
        for hash in blocks.iter().rev() {
            self.push(*hash);
        }
    }

    /// Holds one block as the most recently used; returns what had to go for it.
    pub fn push(&mut self, hash: u64) -> Option<u64> {
        if self.capacity_blocks == 0 {
            return Some(hash);
        }
        self.remove(hash);
        let evicted = if self.len() >= self.capacity_blocks { self.pop_oldest() } else { None };
        let slot = Slot { hash, older: self.newest, newer: NIL };
        let at = match self.unused.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        match self.newest {
            NIL => self.oldest = at,
            newest => self.slots[newest as usize].newer = at,
        }
        self.newest = at;
        self.index.insert(hash, at);
        evicted
    }

    /// Forgets one block; `false` when it was not held.
    pub fn remove(&mut self, hash: u64) -> bool {
        let Some(at) = self.index.remove(&hash) else { return false };
        let Slot { older, newer, .. } = self.slots[at as usize];
        match older {
            NIL => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NIL => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
        self.unused.push(at);
        true
    }

    /// Forgets and returns the least recently used block.
    pub fn pop_oldest(&mut self) -> Option<u64> {
        if self.oldest == NIL {
            return None;
        }
        let hash = self.slots[self.oldest as usize].hash;
        self.remove(hash);
        Some(hash)
    }

    /// Forgets everything, as after a restart of the engine.
    pub fn clear(&mut self) {
        *self = Self::new(self.capacity_blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    #[test]
    fn the_tail_of_a_prompt_is_forgotten_before_its_head() {
        let mut cache = PrefixCache::new(4);
        cache.insert(&[1, 2, 3]);
        cache.insert(&[10, 11]);
        assert_eq!(cache.matched(&[1, 2, 3]), 2);
        assert_eq!(cache.matched(&[10, 11, 12]), 2);
        assert_eq!(cache.len(), 4);
    }

    #[test]
    fn a_cache_of_nothing_holds_nothing() {
        let mut cache = PrefixCache::new(0);
        assert_eq!(cache.push(7), Some(7));
        assert!(cache.is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_queue(ops in prop::collection::vec((0u8..3, 0u64..12), 0..200), capacity in 0usize..8) {
            let mut cache = PrefixCache::new(capacity);
            let mut model: VecDeque<u64> = VecDeque::new();
            for (op, hash) in ops {
                match op {
                    0 => {
                        cache.push(hash);
                        model.retain(|held| *held != hash);
                        model.push_back(hash);
                        while model.len() > capacity {
                            model.pop_front();
                        }
                    }
                    1 => {
                        prop_assert_eq!(cache.remove(hash), model.contains(&hash));
                        model.retain(|held| *held != hash);
                    }
                    _ => prop_assert_eq!(cache.pop_oldest(), model.pop_front()),
                }
                prop_assert_eq!(cache.len(), model.len());
                for hash in 0..12 {
                    prop_assert_eq!(cache.contains(hash), model.contains(&hash));
                }
            }
        }
    }
}
