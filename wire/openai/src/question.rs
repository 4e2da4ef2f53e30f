//! A question with a short plain answer, as a canary asks it.

use serde_json::{Value, json};

/// The path that it is sent to.
pub const PATH: &str = "/v1/chat/completions";

/// The body that asks a model this, to be answered in so many tokens at most, without chance.
pub fn body(model: &str, prompt: &str, max_tokens: u32) -> String {
    let message = json!([{"role": "user", "content": prompt}]);
    json!({"model": model, "messages": message, "max_tokens": max_tokens, "temperature": 0}).to_string()
}

/// The text of an answer; nothing where it has none.
pub fn text(answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}
