//! The data plane: a request in, a decision, and the answer streamed back as it comes.
//!
//! Each worker thread runs its own executor, its own connections to endpoints and its own working memory; what workers
//! share is read through an atomic pointer or short locks. A thread apart (`control`) takes readings, publishes views
//! and serves the admin API, so that nothing slow runs where requests do.

mod admin;
mod attempt;
mod auth;
mod body;
mod control;
mod guard;
mod hold;
mod ids;
mod ledger;
mod live;
mod means;
mod metrics;
mod names;
mod place;
mod pool;
mod relay;
mod request;
mod routes;
mod serve;
mod shared;
mod shed;
mod socket;
mod turn;

pub use admin::dry_run;
pub use metrics::Totals;
pub use names::NameTable;
pub use serve::{Running, StartError, start};
pub use shared::SiteReading;
