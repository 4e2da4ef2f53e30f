//! A simulated grid around the router's own code: [`run`] lets users in real places ask gateways, gateways decide with
//! `rhumb_route`, engines batch with `rhumb_engine`, and a virtual clock, a wide-area network, power caps and faults do
//! the rest. The same [`Setup`], [`Source`] and seed give the same bytes.
//!
//! Where things are: `world` moves requests, `clockwork` does what happens by the clock, `gateway` is what a router may
//! know, `telemetry` the only way in which an engine's state reaches it, `server` an engine and its power, `network` the
//! links, `clients` what users' programs do about errors, `checks` the invariants.

mod attempt;
mod baseline;
mod checks;
mod clients;
mod clockwork;
mod closing;
mod gateway;
mod hedging;
mod holding;
mod network;
mod outcome;
mod queue;
mod request;
mod server;
mod setup;
mod site;
mod source;
mod start;
mod telemetry;
mod watch;
mod world;

pub use baseline::shown;
pub use checks::Checks;
pub use outcome::{End, LeftOver, Outcome, Ran, SiteTotals};
pub use queue::{Event, Ticket};
pub use setup::{
    Choosing, Clients, Energy, EngineSpec, Fault, FaultKind, GatewayAt, Jitter, Place, Poison, Setup, Telemetry, Tenant,
};
pub use source::{Arrival, Source};
pub use watch::{Breach, Broken, Decided, Moment, Watch};
pub use world::{WARM_UP_US, run, run_on};
