//! The data plane: a request in, a decision, and the answer streamed back as it comes.
//!
//! Each worker thread runs its own executor, its own connections to endpoints and its own working memory; what workers
//! share is read through an atomic pointer or short locks. The control thread (`control`) takes readings, publishes views
//! and serves the admin API, so that nothing slow runs where requests do.

mod admin;
mod admission;
mod admission_queue;
mod answer;
mod attempt;
mod auth;
mod background;
mod batch_line;
mod blame;
mod body;
mod connection;
mod control;
mod cors;
mod dialect;
mod drain;
mod endpoints;
mod epoch;
mod exposition;
mod failover;
mod foreign;
mod forms;
mod gauges;
mod head;
mod health;
mod hedge;
mod hop_headers;
mod ids;
mod in_flight;
mod inflate;
mod listing;
mod live;
mod load_shedding;
mod lock;
mod metrics;
mod names;
mod numbers;
mod opening;
mod operation;
mod pace;
#[cfg(test)]
mod parity;
mod parts;
mod patience;
mod permit;
mod pipeline;
mod pool;
mod preempt;
mod publish;
mod quarantine;
mod readings;
mod realtime;
mod refused;
mod relay;
mod reload;
mod request_headers;
mod request_metrics;
mod request_record;
mod resource_limits;
mod resource_usage;
mod responses_socket;
mod retention;
mod routes;
mod routing;
mod salt;
mod serve;
mod session;
mod state;
mod translation;
mod troubles;
mod upgrade;
mod version;
mod versions;
mod waiting;

pub use admin::dry_run;
pub use endpoints::EndpointNow;
pub use epoch::SiteReading;
pub use metrics::Totals;
pub use reload::Reloader;
pub use serve::{Running, StartError, start};
pub use troubles::LastError;
pub use version::Digest;
