//! State machines of the data plane, without I/O: time comes as an argument.
#![no_std]

pub mod failover;
pub mod health;
