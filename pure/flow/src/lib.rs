//! State machines of the data plane, without I/O: time comes as an argument.
#![no_std]

extern crate alloc;

pub mod admission;
pub mod blame;
pub mod budget;
mod demand;
pub mod endpoint_health;
pub mod evidence;
pub mod fair;
pub mod health;
pub mod hedge;
pub mod overload;
pub mod patience;
pub mod peers;
pub mod quarantine;
mod rate;
pub mod session;
pub mod shares;
pub mod slow_start;
pub mod target_order;
pub mod window;
