//! The data plane: a request in, a decision, and the answer streamed back as it comes.
//!
//! Each worker thread runs its own executor, its own connections to endpoints and its own working memory; what workers
//! share is read through an atomic pointer or short locks. A thread apart (`control`) takes readings, publishes views
//! and serves the admin API, so that nothing slow runs where requests do.

mod admin;
mod attempt;
mod auth;
mod blame;
mod body;
mod breaking;
mod chain;
mod connection;
mod control;
mod cors;
mod drain;
mod endpoints;
mod exposition;
mod foreign;
mod guard;
mod head;
mod hedge;
mod hold;
mod ids;
mod in_flight;
mod inflate;
mod lasting;
mod ledger;
mod listing;
mod live;
mod means;
mod metrics;
mod names;
mod numbers;
mod pace;
#[cfg(test)]
mod parity;
mod parts;
mod patience;
mod place;
mod pool;
mod preempt;
mod quarantine;
mod relay;
mod reload;
mod request;
mod request_metrics;
mod routes;
mod salt;
mod serve;
mod shared;
mod shed;
mod socket;
mod tls;
mod tries;
mod troubles;
mod turn;
mod version;
mod waiting;

pub use admin::dry_run;
pub use endpoints::EndpointNow;
pub use metrics::Totals;
pub use reload::Reloader;
pub use serve::{Running, StartError, start};
pub use shared::SiteReading;
pub use troubles::LastError;
pub use version::Digest;
