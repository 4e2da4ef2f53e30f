//! Which endpoint is believed to hold which prompt prefix in its KV cache.
//!
//! The index remembers where prompts were sent; it is a belief, not a report. Block hashes are chained and seeded by
//! tenant, so that one tenant's prompts never point at another's cache.

use alloc::vec::Vec;

use crate::pins::Recent;

/// Endpoints remembered for one block.
const HOLDERS: usize = 4;

/// Who holds a block, the latest first.
#[derive(Debug, Clone, Copy)]
struct Holders([u32; HOLDERS]);

const NOBODY: u32 = u32::MAX;

impl Holders {
    fn add(&mut self, endpoint: u32) {
        let end = self.0.iter().position(|&e| e == endpoint).unwrap_or(HOLDERS - 1);
        self.0[..=end].rotate_right(1);
        self.0[0] = endpoint;
    }

    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied().take_while(|&e| e != NOBODY)
    }
}

/// A cached prefix, by whatever number the index was given for the endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// Who holds it.
    pub endpoint: u32,
    /// How many prompt tokens it covers.
    pub tokens: f64,
}

/// Block hashes to endpoints, bounded by the cache sizes it mirrors.
#[derive(Debug)]
pub struct PrefixIndex {
    blocks: Recent<Holders>,
}

impl PrefixIndex {
    /// Remembers about as many blocks as the engines together can cache.
    pub fn new(capacity_blocks: usize) -> Self {
        Self { blocks: Recent::new(capacity_blocks) }
    }

    /// Remembers about so many from now on.
    pub fn resize(&mut self, capacity_blocks: usize) {
        self.blocks.resize(capacity_blocks);
    }

    /// Remembers that an endpoint computed these blocks.
    pub fn insert(&mut self, blocks: &[u64], endpoint: u32) {
        for &b in blocks {
            match self.blocks.get(b) {
                Some(h) => h.add(endpoint),
                None => {
                    let mut h = Holders([NOBODY; HOLDERS]);
                    h.add(endpoint);
                    self.blocks.insert(b, h);
                }
            }
        }
    }

    /// The endpoints that hold the longest prefixes. An endpoint that lost one block has lost those after it.
    pub fn lookup(&mut self, blocks: &[u64], tokens_per_block: f64, out: &mut Vec<Held>) {
        out.clear();
        for (i, &b) in blocks.iter().enumerate() {
            let Some(holders) = self.blocks.get(b).copied() else { return };
            let mut grew = false;
            for e in holders.iter() {
                let tokens = (i + 1) as f64 * tokens_per_block;
                match out.iter_mut().find(|h| h.endpoint == e) {
                    Some(h) if h.tokens == i as f64 * tokens_per_block => h.tokens = tokens,
                    None if i == 0 => out.push(Held { endpoint: e, tokens }),
                    _ => continue,
                }
                grew = true;
            }
            if !grew {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(index: &mut PrefixIndex, blocks: &[u64]) -> Vec<(u32, f64)> {
        let mut out = Vec::new();
        index.lookup(blocks, 10.0, &mut out);
        out.iter().map(|h| (h.endpoint, h.tokens)).collect()
    }

    #[test]
    fn the_longest_prefix_counts_from_the_start() {
        let mut x = PrefixIndex::new(100);
        x.insert(&[1, 2, 3], 7);
        x.insert(&[1, 2], 8);
        x.insert(&[3], 9);
        assert_eq!(hits(&mut x, &[1, 2, 3, 4]), [(8, 20.0), (7, 30.0)]);
        assert_eq!(hits(&mut x, &[2, 3]), [(8, 10.0), (7, 20.0)]);
        assert_eq!(hits(&mut x, &[5, 1]), []);
        assert_eq!(hits(&mut x, &[]), []);
        x.insert(&[1], 9);
        assert_eq!(hits(&mut x, &[1, 3]), [(9, 20.0), (8, 10.0), (7, 20.0)]);
    }

    #[test]
    fn a_gap_ends_a_prefix() {
        let mut x = PrefixIndex::new(100);
        x.insert(&[1], 7);
        x.insert(&[3], 7);
        x.insert(&[2], 8);
        assert_eq!(hits(&mut x, &[1, 2, 3]), [(7, 10.0)]);
        // Another endpoint's longer prefix does not carry it over the gap.
        x.insert(&[1, 2, 3], 9);
        assert_eq!(hits(&mut x, &[1, 2, 3]), [(9, 30.0), (7, 10.0)]);
    }

    #[test]
    fn only_the_latest_holders_are_kept() {
        let mut x = PrefixIndex::new(100);
        for e in 0..6 {
            x.insert(&[1], e);
        }
        x.insert(&[1], 3);
        assert_eq!(hits(&mut x, &[1]).iter().map(|h| h.0).collect::<Vec<_>>(), [3, 5, 4, 2]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut x = PrefixIndex::new(10);
        for b in 0..100 {
            x.insert(&[b], 1);
        }
        assert!(x.blocks.len() <= 10);
        assert_eq!(hits(&mut x, &[99]), [(1, 10.0)]);
        assert_eq!(hits(&mut x, &[1]), []);
    }
}
