//! `rhumb demo`: a grid in one process. Emulated engines at real cities, measured distances, real GPU types and
//! prices, real gateways in front, and users who replay a real trace.
//!
//! `atlas` is the embedded data; `economics`, `region`, `plan` and `scene` derive a run from it; `traffic` says who
//! asks what and when; `fleet` and `world` configure and start engines and gateways; `client` and `load` are the
//! users; `summary` turns what they saw into figures. `fight` compares four routers;
//! `live`, `scoreboard` and `view` show one.

mod args;
mod cli;
mod client;
mod fight;
mod live;
mod load;
mod scoreboard;
mod scratch;
mod summary;
mod trace_file;
mod view;
mod world;

pub use args::{DemoArgs, DemoError};
pub use cli::run;
pub use trace_file::TraceFileError;
pub use world::WorldError;
