//! The decision: which endpoint and model serve a request, and why.
//!
//! `RequestFacts + Affinity + GridView + Policy + seed -> Decision`. Nothing here reads a clock, a socket or a random
//! source, so the gateway, the simulator and a replay of the log get the same bits from the same arguments.
#![no_std]

extern crate alloc;

pub mod account;
pub mod bill;
pub mod decide;
pub mod explain;
pub mod facts;
pub mod floor;
pub mod glance;
pub mod habits;
pub mod learn;
pub mod pins;
pub mod predict;
pub mod prefix;
pub mod record;
pub mod row;
pub mod unanswered;
pub mod view;
