//! The decision: which endpoint and model serve a request, and why.
//!
//! `RequestFacts + Affinity + GridView + Policy + seed -> Decision`. Nothing here reads a clock, a socket or a random
//! source, so the gateway, the simulator and a replay of the log get the same bits from the same arguments.
#![no_std]

extern crate alloc;

pub mod account;
pub mod bill;
pub mod compact_row;
pub mod decide;
pub mod explain;
pub mod facts;
pub mod learn;
pub mod lower_bound;
pub mod pending;
pub mod pins;
pub mod predict;
pub mod prefix;
pub mod record;
pub mod row;
pub mod view;
pub mod workload;
