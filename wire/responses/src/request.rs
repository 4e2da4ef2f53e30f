//! A request of `POST /v1/responses` as a conversation.

mod items;
mod tools;

use std::collections::BTreeSet;

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Members, invalid, members, parse, shortened, string};
use rhumb_conversation::{Conversation, Dropped, Effort};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// A request that was understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read<'a> {
    /// What it says. Its turns alternate and its calls have results.
    pub conversation: Conversation<'a>,
    /// Tools whose argument is a text and no object.
    pub custom: BTreeSet<String>,
    /// Members that its response repeats, as the client wrote them.
    pub echo: Map<String, Value>,
    /// What it says that cannot be carried on.
    pub dropped: Dropped,
}

/// What a gateway that keeps responses knows of a request before it reads it.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// JSON arrays of the items that were said before, oldest first. They are a client's words like the body.
    pub before: &'a [String],
    /// The response is kept.
    pub store: bool,
    /// It is made as a stream, whatever its client wants.
    pub background: bool,
    /// The conversation that it belongs to.
    pub conversation: Option<&'a str>,
}

/// Members that a response repeats, and what stands there where the request does not say.
fn echo() -> Map<String, Value> {
    let Value::Object(map) = json!({
        "background": false, "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "metadata": {},
        "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null, "reasoning": null,
        "safety_identifier": null, "service_tier": "default", "store": false, "temperature": null,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": null, "truncation": "disabled",
        "user": null,
    }) else {
        return Map::new();
    };
    map
}

/// Reads a body. Where responses are not kept at all, `kept` is `None`.
///
/// # Errors
/// It is malformed or hostile, lacks what the API requires, or asks for what is not kept or not run here.
pub fn read<'a>(body: &'a [u8], kept: Option<Kept<'a>>) -> Result<Read<'a>, ApiError> {
    let members = members(body)?;
    let mut read = Read { echo: echo(), ..Read::default() };
    if let Some(kept) = kept {
        read.echo.insert("store".into(), kept.store.into());
        if let Some(id) = kept.conversation {
            read.echo.insert("conversation".into(), json!({ "id": id }));
        }
        for before in kept.before {
            items::before(&mut read.conversation, before)?;
        }
    }
    // What the developer says stands before what the input says, whatever the order in the body.
    for key in ["instructions", "input"] {
        if let Some(raw) = members.get(key) {
            member(&mut read, key, raw)?;
        }
    }
    for (key, raw) in members.iter().filter(|(key, _)| !matches!(&***key, "instructions" | "input")) {
        match &**key {
            "store" | "background" | "previous_response_id" | "conversation" => {
                if kept.is_none() {
                    unkept(&mut read, key, raw)?;
                }
            }
            _ => member(&mut read, key, raw)?,
        }
    }
    for required in ["model", "input"] {
        if !members.contains_key(required) {
            return Err(invalid(required, "is missing"));
        }
    }
    read.conversation.stream |= kept.is_some_and(|kept| kept.background);
    finish(read, &members)
}

fn member<'a>(read: &mut Read<'a>, key: &str, raw: &'a RawValue) -> Result<(), ApiError> {
    let c = &mut read.conversation;
    match key {
        "model" => c.model = string(raw, key)?,
        "stream" => c.stream = parse(raw, key, "must be true or false")?,
        "max_output_tokens" => c.max_tokens = Some(parse(raw, key, "must be a whole number, 0 or more")?),
        "temperature" => c.temperature = Some(parse(raw, key, "must be a number")?),
        "top_p" => c.top_p = Some(parse(raw, key, "must be a number")?),
        "parallel_tool_calls" => c.one_call = !parse::<bool>(raw, key, "must be true or false")?,
        "instructions" => c.system.insert(0, string(raw, key)?),
        "input" => items::input(c, raw, &mut read.dropped)?,
        "tools" => (c.tools, read.custom) = tools::tools(raw, &mut read.dropped)?,
        "tool_choice" => c.tool_choice = tools::choice(raw)?,
        "text" => c.format = text(raw, &mut read.dropped)?,
        "reasoning" => reasoning(read, raw)?,
        "prompt" => return Err(invalid(key, "names a template, which are not kept here: send its text in `input`")),
        "metadata" => crate::kept::check_metadata(raw)?,
        "user" | "safety_identifier" | "service_tier" | "truncation" | "client_metadata" | "stream_options" => {}
        "prompt_cache_key" => {
            string(raw, key)?;
        }
        "include" => include(raw, &mut read.dropped)?,
        _ => read.dropped.add_unknown(key),
    }
    Ok(())
}

/// A member that only has a meaning where responses are kept.
fn unkept(read: &mut Read<'_>, key: &str, raw: &RawValue) -> Result<(), ApiError> {
    if matches!(key, "previous_response_id" | "conversation") {
        return Err(ApiError::previous_not_found(key));
    }
    match (key, parse::<bool>(raw, key, "must be true or false")?) {
        ("background", true) => {
            let what = "must be false: responses are not kept here, so that nobody could ask for one later";
            Err(invalid(key, what))
        }
        ("store", true) => {
            read.dropped.add("store");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How much thinking the answer is worth. What is to be shown of it is shown.
fn reasoning<'a>(read: &mut Read<'a>, raw: &'a RawValue) -> Result<(), ApiError> {
    let members: Members<'a> = parse(raw, "reasoning", "must be an object")?;
    if let Some(raw) = members.get("effort").filter(|raw| raw.get() != "null") {
        read.conversation.effort = Effort::named(&string(raw, "reasoning.effort")?);
        if read.conversation.effort.is_none() {
            read.dropped.add("reasoning.effort");
        }
    }
    Ok(())
}

/// What is to be included in the answer: nothing of it is there.
fn include(raw: &RawValue, dropped: &mut Dropped) -> Result<(), ApiError> {
    for name in parse::<Vec<String>>(raw, "include", "must be an array of strings")? {
        dropped.add_unknown(&format!("include.{name}"));
    }
    Ok(())
}

/// `text`: the form of the answer.
fn text<'a>(raw: &'a RawValue, dropped: &mut Dropped) -> Result<Option<&'a str>, ApiError> {
    let mut schema = None;
    for (key, raw) in parse::<Members<'a>>(raw, "text", "must be an object")? {
        if key != "format" {
            dropped.add_unknown(&format!("text.{key}"));
            continue;
        }
        let what = "must be an object with `type`: `text`, or `json_schema` and `schema`";
        let format: Members<'a> = parse(raw, "text.format", what)?;
        let kind = format.get("type").map(|raw| string(raw, "text.format.type")).transpose()?;
        schema = match (kind.as_deref(), format.get("schema")) {
            (Some("text"), _) => None,
            (Some("json_object"), _) => Some(r#"{"type":"object"}"#),
            (Some("json_schema"), Some(schema)) if schema.get().starts_with('{') => Some(schema.get()),
            _ => return Err(invalid("text.format", what)),
        };
    }
    Ok(schema)
}

/// Whether a response could go on with items, a JSON array.
///
/// # Errors
/// It could not: one of them cannot be read.
pub(crate) fn check_items(array: &str) -> Result<(), ApiError> {
    items::before(&mut Conversation::default(), array)
}

/// What only shows once the whole body was read.
fn finish<'a>(mut read: Read<'a>, members: &Members<'a>) -> Result<Read<'a>, ApiError> {
    let c = &mut read.conversation;
    c.alternate();
    if c.turns.is_empty() && c.system.is_empty() {
        return Err(invalid("input", "must hold at least one item"));
    }
    if c.answer_calls().map_err(|id| {
        let id = shortened(&id);
        invalid("input", &format!("holds an output for `{id}`, which no call of the turn before it has as `call_id`"))
    })? {
        read.dropped.add("call-without-output");
    }
    for (key, value) in &mut read.echo {
        if let Some(raw) = members.get(key.as_str())
            && !matches!(key.as_str(), "store" | "conversation")
        {
            // It was walked over, so that it is JSON.
            *value = serde_json::from_str(raw.get()).unwrap_or_default();
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
