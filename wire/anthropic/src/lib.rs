//! The dialect of Anthropic's Messages: requests read into a conversation, answers and event streams written from what was said,
//! errors and model lists in the shapes that the official SDKs and Claude Code act on.
//!
//! Sources: the types of anthropics/anthropic-sdk-python (August 2026), and what clients were seen to send. Nothing here does I/O, and
//! nothing here panics on bytes from outside.

pub mod answer;
pub mod error;
pub mod models;
pub mod passing;
pub mod request;
pub mod stream;

pub use self::answer::Reply;
pub use self::request::{For, Read, read};
pub use self::stream::Stream;

/// The answer of `POST /v1/messages/count_tokens`.
pub fn token_count(tokens: u64) -> String {
    format!("{{\"input_tokens\":{tokens}}}")
}
