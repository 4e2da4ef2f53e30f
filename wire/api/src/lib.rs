//! Requests, usage and errors as the gateway knows them. Dialects are translated to these and from these; none of their words
//! stands here.

pub mod error;
pub mod event;
pub mod fault;
pub mod request;
pub mod usage;

pub use error::{ApiError, Cause};
pub use request::{Prompt, Request, Tier};
pub use usage::Usage;
