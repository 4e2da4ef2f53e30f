//! Chat completions as a translation between dialects needs them: a conversation written as a request, and answers read.

mod read;
mod write;

pub use self::read::{answer, events};
pub use self::write::{Written, write};
