//! Sessions of the Realtime API, as far as a router looks at them: its messages pass as they are.

use rhumb_api::{ApiError, Prompt, Request, Usage};
use serde::Deserialize;

use crate::request::Scan;

/// A session with a model. It begins with nothing said.
pub fn session(model: &str) -> Scan {
    let prompt = Prompt { inputs: 1, ..Prompt::default() };
    let request =
        Request { model: model.to_owned(), stream: true, n: 1, prompt, prompt_bytes: 1, ..Request::default() };
    Scan { request, ..Scan::default() }
}

/// The model that a session is wanted with, by the query of its address.
///
/// # Errors
/// None is named.
pub fn model(query: &str) -> Result<String, ApiError> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("model="));
    let name = value.map(decoded).filter(|name| !name.is_empty());
    name.ok_or_else(|| {
        ApiError::invalid("`model` is missing: name a model in the address, `/v1/realtime?model=NAME`.")
            .with_param("model")
    })
}

/// A value of a query without its percent signs. What is no UTF-8 is no name of a model either.
fn decoded(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let byte = match (first, behind) {
            (b'%', [high, low, ..]) => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low)
            }
            _ => None,
        };
        out.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A value as it stands in a query.
pub fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What a message of the engine says was used: that of one response.
pub fn usage(message: &str) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Details {
        #[serde(default)]
        cached_tokens: u64,
    }
    #[derive(Deserialize)]
    struct Counters {
        #[serde(default)]
        input_tokens: u64,
        #[serde(default)]
        output_tokens: u64,
        #[serde(default)]
        input_token_details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Response {
        #[serde(default)]
        usage: Option<Counters>,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        response: Option<Response>,
    }
    // Nearly every message is a piece of sound.
    if !message.contains("\"usage\"") {
        return None;
    }
    let message: Message = serde_json::from_str(message).ok()?;
    let used = message.response.filter(|_| message.kind == "response.done")?.usage?;
    let cached = used.input_token_details.map_or(0, |details| details.cached_tokens);
    Some(Usage {
        prompt_tokens: used.input_tokens,
        cached_tokens: cached.min(used.input_tokens),
        output_tokens: used.output_tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_named_by_the_address() {
        assert_eq!(model("a=b&model=org%2Fm%201+x&c").unwrap(), "org/m 1 x");
        for bad in ["", "model=", "models=m"] {
            assert!(model(bad).is_err(), "{bad}");
        }
        for odd in ["model=%", "model=%4", "model=%zz", "model=%ff"] {
            assert!(model(odd).is_ok(), "{odd}");
        }
        let name = "org/m 1+x%\u{e9}";
        assert_eq!(model(&format!("model={}", encoded(name))).unwrap(), name);
    }

    #[test]
    fn a_response_states_what_it_used() {
        let used = Usage { prompt_tokens: 9, cached_tokens: 4, output_tokens: 3 };
        let done = r#"{"type":"response.done","response":{"usage":{"input_tokens":9,"output_tokens":3,
            "input_token_details":{"cached_tokens":4}}}}"#;
        assert_eq!(usage(done), Some(used));
        for other in
            [r#"{"type":"x","usage":1}"#, r#"{"type":"response.done","response":{"usage":null}}"#, "usage", "\"usage\""]
        {
            assert_eq!(usage(other), None, "{other}");
        }
    }
}
