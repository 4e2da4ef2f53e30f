//! Seeded draws. One seed gives one run, on every machine: the bits come from integer arithmetic and the distributions
//! from `libm`.
//!
//! A run derives one generator per purpose from its seed and a label ([`Rng::labelled`]), so that a draw added for one
//! purpose shifts no other. What is drawn per item rather than in sequence (the jitter of message 17, say) comes from
//! [`hash`], which has no state to shift.

#![no_std]

mod draw;

pub use draw::{Rng, weibull_shape};

/// A hash of two words (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
#[must_use]
pub fn hash(a: u64, b: u64) -> u64 {
    mix(a ^ mix(b.wrapping_add(GOLDEN)))
}

/// A hash as a number in 0..1.
#[must_use]
pub fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A word for a label: FNV-1a over its bytes.
#[must_use]
pub fn label(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
