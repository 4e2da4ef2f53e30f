//! The dialect of OpenAI's Responses, as far as it needs no memory: requests read into a conversation, responses and their event
//! streams written from what was said. What asks for a response that was kept is refused: nothing is kept here.
//!
//! Sources: OpenAI's specification (openai/openai-openapi, 2.3.0), and what the official SDKs and Codex send.

mod output;
pub mod request;
pub mod response;
pub mod stream;

pub use self::request::{Read, read};
pub use self::response::Reply;
pub use self::stream::Stream;

/// The answer of `POST /v1/responses/input_tokens`.
pub fn token_count(tokens: u64) -> String {
    format!("{{\"object\":\"response.input_tokens\",\"input_tokens\":{tokens}}}")
}
