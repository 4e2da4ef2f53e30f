//! What a router reads of an answer that passes as it came, in the dialect that its engine speaks. Each dialect says in its own crate
//! what its events and bodies mean.

mod scanner;

use bytes::Bytes;
use rhumb_api::Usage;
use rhumb_api::event::{Piece, UsageEvent};
use rhumb_api::fault::EngineError;
use rhumb_grid::config::Dialect;
use rhumb_sse::{Event, events};
use serde_json::Value;

pub use self::scanner::Scanner;

/// Classifies one event of a stream.
fn piece(dialect: Dialect, event: &Event<'_>) -> Piece {
    match (dialect, event.data.as_deref()) {
        (Dialect::Chat, _) => rhumb_openai::response::piece(event),
        _ if event.is_error => Piece::Error,
        (_, None) => Piece::Lifecycle,
        (_, Some(data)) if data.trim_ascii().is_empty() => Piece::Lifecycle,
        (Dialect::Messages, Some(data)) => rhumb_anthropic::passing::piece(data),
        (Dialect::Responses, Some(data)) => rhumb_responses::passing::piece(data),
    }
}

/// The error in an event that is one, as far as it says anything.
fn error_in(dialect: Dialect, event: &Event<'_>) -> EngineError {
    let own = event.data.as_deref().filter(|_| dialect == Dialect::Responses);
    own.and_then(rhumb_responses::passing::error_in).unwrap_or_else(|| rhumb_openai::response::error_in(event))
}

/// The usage in an event's data. In chat completions alone an event may carry nothing else.
fn usage_event(dialect: Dialect, data: &[u8]) -> Option<UsageEvent> {
    let usage = match dialect {
        Dialect::Chat => return rhumb_openai::response::usage_event(data),
        Dialect::Messages => rhumb_anthropic::passing::usage(data)?,
        Dialect::Responses => rhumb_responses::passing::usage(data)?,
    };
    Some(UsageEvent { usage, alone: false, has_choices: true })
}

/// The usage of a plain answer.
pub fn usage(dialect: Dialect, body: &[u8]) -> Option<Usage> {
    match dialect {
        Dialect::Chat => rhumb_openai::response::usage(body),
        Dialect::Messages => rhumb_anthropic::passing::usage(body),
        Dialect::Responses => rhumb_responses::passing::usage(body),
    }
}

/// A plain answer is whole and none of an error.
pub fn is_answer(dialect: Dialect, body: &[u8]) -> bool {
    match dialect {
        Dialect::Chat => rhumb_openai::response::is_answer(body),
        Dialect::Messages => rhumb_anthropic::passing::is_answer(body),
        Dialect::Responses => rhumb_responses::passing::is_answer(body),
    }
}

/// A body refers to what its engine keeps: an item, a file, a store, a container. An engine keeps it under the gateway's key, for every
/// tenant alike, so such a body is passed on to none.
pub fn refers_to_kept(body: &[u8]) -> bool {
    fn refers(value: &Value) -> bool {
        match value {
            Value::Array(all) => all.iter().any(refers),
            Value::Object(members) => members.iter().any(|(key, value)| {
                let is_name = matches!(key.as_str(), "file_id" | "vector_store_ids" | "container") && !value.is_null();
                is_name || key == "type" && value == "item_reference" || refers(value)
            }),
            _ => false,
        }
    }
    serde_json::from_slice(body).is_ok_and(|value: Value| refers(&value) || !value["prompt"].is_null())
}

/// How a stream ends whose connection has ended: with the last event, which may lack its empty line when it is the very last thing,
/// or with an event of ours where everything has been said. `None` where it broke off.
pub fn ending(scanner: &Scanner, rest: &[u8]) -> Option<Bytes> {
    let rest = rest.trim_ascii_end();
    if rest.is_empty() {
        return match scanner.dialect() {
            Dialect::Chat if scanner.is_whole() => Some(Bytes::from_static(rhumb_openai::stream::END)),
            Dialect::Messages if scanner.is_whole() => Some(Bytes::from_static(rhumb_anthropic::passing::END)),
            _ => None,
        };
    }
    let last = [rest, b"\n\n"].concat();
    let is_end = events(&last).last().is_some_and(|event| piece(scanner.dialect(), &event) == Piece::Done);
    is_end.then(|| last.into())
}
