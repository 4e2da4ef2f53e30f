//! A whole response.

use std::collections::BTreeSet;

use rhumb_conversation::{Answer, Item, Renamed, Stop, Usage};
use serde_json::{Map, Value, json};

use crate::output::Output;

/// What a response needs to know of its request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// The identifier of the response.
    pub id: String,
    /// When it was made, seconds since 1970.
    pub created_at: u64,
    /// The model that was asked for.
    pub model: String,
    /// Tokens of the prompt as the gateway counts them, where no engine does.
    pub prompt_tokens: u64,
    /// Members of the request that it repeats.
    pub echo: Map<String, Value>,
    /// Tools whose argument is a text.
    pub custom: BTreeSet<String>,
    /// Tools that have another name at the engine.
    pub renamed: Renamed,
}

impl Reply {
    /// A tool, by its name at the engine, takes a text.
    pub(crate) fn is_custom(&self, name: &str) -> bool {
        self.custom.contains(self.renamed.back(name))
    }

    /// The identifier without its kind.
    pub(crate) fn number(&self) -> &str {
        self.id.split_once('_').map_or(&self.id, |(_, number)| number)
    }

    /// The object in a state, with its output so far.
    pub(crate) fn object(&self, state: &State<'_>) -> Value {
        let mut object = self.echo.clone();
        let Value::Object(own) = json!({
            "id": self.id, "object": "response", "created_at": self.created_at, "status": state.status,
            "error": state.error, "incomplete_details": state.incomplete.map(|reason| json!({"reason": reason})),
            "model": state.model.unwrap_or(&self.model), "output": state.output, "usage": state.usage.map(counters),
        }) else {
            return Value::Null;
        };
        object.extend(own);
        Value::Object(object)
    }
}

/// What of a response changes while it is made.
#[derive(Debug, Default)]
pub(crate) struct State<'a> {
    pub(crate) status: &'a str,
    pub(crate) error: Option<Value>,
    pub(crate) incomplete: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) output: Vec<Value>,
    pub(crate) usage: Option<Usage>,
}

/// Status and reason of an end.
pub(crate) fn ended(stop: &Stop<'_>) -> (&'static str, Option<&'static str>) {
    match stop {
        Stop::MaxTokens => ("incomplete", Some("max_output_tokens")),
        Stop::Refusal => ("incomplete", Some("content_filter")),
        Stop::End | Stop::Sequence(_) | Stop::Calls | Stop::Other => ("completed", None),
    }
}

fn counters(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt(),
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output(), "output_tokens_details": {"reasoning_tokens": usage.thought},
        "total_tokens": usage.prompt().saturating_add(usage.output()),
    })
}

/// The response.
pub fn response(reply: &Reply, answer: &Answer<'_>) -> String {
    let output: Vec<Value> = answer
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Text(text) => Some(Output::Message(text.to_string())),
            Item::Thinking { text, .. } => Some(Output::Reasoning(text.to_string())),
            Item::Call { id, name, arguments } => {
                Some(Output::Call { id: id.to_string(), name: name.to_string(), arguments: arguments.to_string() })
            }
            Item::Media(_) | Item::Result { .. } => None,
        })
        .enumerate()
        .map(|(index, output)| output.item(reply, index, "completed"))
        .collect();
    let (status, incomplete) = ended(&answer.stop);
    let usage = answer.usage.or(Some(Usage { fresh: reply.prompt_tokens, ..Usage::default() }));
    let state = State { status, incomplete, model: answer.model.as_deref(), output, usage, error: None };
    reply.object(&state).to_string()
}
