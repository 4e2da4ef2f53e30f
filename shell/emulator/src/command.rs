//! What connections ask of the driver.

use std::sync::Arc;

use rhumb_engine::Request;

use crate::answer::Answer;

/// One thing asked of it.
#[derive(Debug)]
pub(crate) enum Command {
    /// Queue a request whose answer leaves over `link`.
    Submit { request: Request, link: usize, answer: Arc<Answer> },
    /// The client has left.
    Cancel(u64),
}
