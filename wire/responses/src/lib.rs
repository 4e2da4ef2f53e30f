//! The dialect of OpenAI's Responses: requests read into a conversation, responses and their event streams written from what was
//! said. Nothing is kept here: what a gateway that keeps responses has to know of them is in [`kept`].
//!
//! Sources: OpenAI's specification (openai/openai-openapi, 2.3.0), and what the official SDKs and Codex send.

pub mod kept;
mod output;
pub mod passing;
pub mod request;
pub mod response;
pub mod socket;
pub mod stream;

pub use self::request::{Kept, Read, read};
pub use self::response::Reply;
pub use self::stream::Stream;

/// The answer of `POST /v1/responses/input_tokens`.
pub fn token_count(tokens: u64) -> String {
    format!("{{\"object\":\"response.input_tokens\",\"input_tokens\":{tokens}}}")
}
