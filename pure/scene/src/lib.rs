//! The demo's grid and its users, the same for the live demo (`rhumb demo`) and for the simulator (`rhumb sim demo`).
//!
//! `atlas` is the embedded data; `economics`, `region`, `plan` and `scene` derive a run from it; `traffic` says who
//! asks what and when; `fleet` configures the gateways of a world.

pub mod atlas;
pub mod economics;
pub mod fleet;
mod plan;
mod region;
pub mod scene;
pub mod trace;
pub mod traffic;

pub use plan::Rates;
