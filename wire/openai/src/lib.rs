//! The OpenAI dialect, as far as a router needs it: the request body scanned once, the event stream split without
//! re-encoding, and the error shapes that the official SDKs act on.
//!
//! Nothing here does I/O. Everything here reads bytes from outside, so nothing here panics on them.

pub mod batch;
pub mod conversation;
pub mod error;
pub mod models;
pub mod question;
pub mod realtime;
pub mod request;
pub mod response;
pub mod stream;
