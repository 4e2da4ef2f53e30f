//! The gateway between events, without I/O: what it learns of endpoints, how it judges them, and what it does next.
//!
//! The live gateway and the simulator drive the same code. Each hands in the parts of its memory through [`Parts`], the
//! time as an argument, and what has happened; they carry out what comes back.
#![no_std]

extern crate alloc;

pub mod attempt;
pub mod candidates;
pub mod endpoint;
pub mod facts;
pub mod failover;
pub mod judge;
pub mod memory;
pub mod parts;
pub mod plain;
pub mod refusal;
pub mod usage;

pub use parts::Parts;

#[cfg(test)]
mod tests;
