//! What the fault tests are made of: scripted engines, the built gateway as a child process, and clients that see raw
//! bytes. Nothing here shares code with the gateway's own data path, so that a mistake there is not repeated here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod agreement;
pub mod client;
pub mod config;
pub mod connection;
pub mod dns;
pub mod frames;
pub mod gateway;
pub mod h2c;
pub mod mock;
pub mod rows;
pub mod script;
pub mod speech;
pub mod sse;
pub mod tag;
pub mod temp;
pub mod tls;
pub mod wait;

/// Stands in everything that must stay inside: engines' error pages, engines' headers, keys. Every gateway is held,
/// when it stops, to have put it nowhere.
pub const CANARY: &str = "canary-7f3a-must-not-leak";

/// The model that the mocks serve.
pub const MODEL: &str = "tiny";
