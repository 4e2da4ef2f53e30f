//! What a gateway that keeps responses reads and writes beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Members, invalid, members, parse, string};
use rhumb_openai::request::MESSAGES_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::response::{Reply, State};

/// What a request wants to be kept, and what of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its response is to be kept.
    pub store: bool,
    /// It is to be worked on whether or not its client waits.
    pub background: bool,
    /// Its answer is to come as events.
    pub stream: bool,
    /// The response that it goes on with.
    pub previous: Option<String>,
    /// The conversation that it goes on with.
    pub conversation: Option<String>,
    /// The items of its own input as they are kept: a JSON array; empty where the response is not.
    pub input: Arc<str>,
}

/// Reads what a body wants, for the request with this number. What else it says is not looked at.
///
/// # Errors
/// It cannot be read, or wants what excludes each other.
pub fn wanted(body: &[u8], number: &str) -> Result<Wanted, ApiError> {
    let members = members(body)?;
    let flag = |key: &str, default: bool| match members.get(key) {
        Some(raw) => parse(raw, key, "must be true or false"),
        None => Ok(default),
    };
    let id = |key: &str| members.get(key).map(|raw| string(raw, key).map(|id| id.into_owned())).transpose();
    let mut wanted = Wanted {
        store: flag("store", true)?,
        background: flag("background", false)?,
        stream: flag("stream", false)?,
        previous: id("previous_response_id")?,
        conversation: members.get("conversation").map(|raw| conversation(raw)).transpose()?,
        input: Arc::default(),
    };
    if wanted.background && !wanted.store {
        return Err(invalid("background", "must be false where `store` is: nobody could ask for the response later"));
    }
    if wanted.previous.is_some() && wanted.conversation.is_some() {
        let what = "must not stand beside `conversation`: both say what came before";
        return Err(invalid("previous_response_id", what));
    }
    if wanted.store {
        wanted.input = input_of(&members, number)?;
    }
    Ok(wanted)
}

/// The items of the input of a body as they are kept, whether or not it wants them to be.
///
/// # Errors
/// They are none.
pub fn input(body: &[u8], number: &str) -> Result<Arc<str>, ApiError> {
    input_of(&members(body)?, number)
}

fn input_of(members: &Members<'_>, number: &str) -> Result<Arc<str>, ApiError> {
    let Some(raw) = members.get("input") else { return Ok(Arc::default()) };
    Ok(Value::Array(items(raw, "input", number, MESSAGES_MAX)?).to_string().into())
}

/// The output of a response, as JSON, to go on with: a JSON array; `None` where it has ended as nothing to go on with.
pub fn output(object: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Ended<'a> {
        status: &'a str,
        #[serde(borrow)]
        output: &'a RawValue,
    }
    let ended: Ended<'_> = serde_json::from_str(object).ok()?;
    matches!(ended.status, "completed" | "incomplete").then(|| ended.output.get().to_owned())
}

/// A conversation: its identifier, or an object that has it.
fn conversation(raw: &RawValue) -> Result<String, ApiError> {
    let what = "must be the identifier of a conversation, or an object with its `id`";
    if raw.get().starts_with('"') {
        return parse(raw, "conversation", what);
    }
    let object: Members<'_> = parse(raw, "conversation", what)?;
    let id = object.get("id").ok_or_else(|| invalid("conversation.id", "is missing"))?;
    parse(id, "conversation.id", "must be a string")
}

/// Items as they are kept, so many at most: each has a type and an identifier, made of this number where its client gave it none.
///
/// # Errors
/// They are no items, or too many.
fn items(raw: &RawValue, field: &str, number: &str, most: usize) -> Result<Vec<Value>, ApiError> {
    let what = "must be a string or an array of items";
    if raw.get().starts_with('"') {
        let text: String = parse(raw, field, what)?;
        let item = json!({"role": "user", "content": text});
        return Ok(vec![whole(item, number, 0)]);
    }
    // Each is made larger: how many there are is known before any is.
    let items: Vec<&RawValue> = parse(raw, field, what)?;
    if items.len() > most {
        return Err(invalid(field, &format!("must hold at most {most} items")));
    }
    let read = |(n, raw): (usize, &&RawValue)| match serde_json::from_str(raw.get()) {
        Ok(item @ Value::Object(_)) => Ok(item),
        _ => Err(invalid(&format!("{field}[{n}]"), "must be an object")),
    };
    let items: Vec<Value> = items.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(items.into_iter().enumerate().map(|(n, item)| whole(item, number, n)).collect())
}

/// An item with all that lists of items show.
fn whole(mut item: Value, number: &str, n: usize) -> Value {
    let Some(members) = item.as_object_mut() else { return item };
    let kind = members.entry("type").or_insert_with(|| "message".into()).as_str().unwrap_or_default().to_owned();
    let prefix = match kind.as_str() {
        "message" => "msg",
        "reasoning" => "rs",
        "function_call" => "fc",
        "custom_tool_call" => "ctc",
        _ => "item",
    };
    if !members.get("id").is_some_and(Value::is_string) {
        members.insert("id".into(), format!("{prefix}_{number}_in{n}").into());
    }
    members.entry("status").or_insert_with(|| "completed".into());
    let is_assistant = members.get("role").is_some_and(|role| role == "assistant");
    let part = if is_assistant { "output_text" } else { "input_text" };
    if let Some(content @ Value::String(_)) = members.get_mut("content") {
        let text = content.take();
        *content = json!([{"type": part, "text": text}]);
    }
    item
}

/// A response on which work has not begun.
pub fn queued(reply: &Reply) -> String {
    reply.object(&State { status: "queued", ..State::default() }).to_string()
}

/// A response, as JSON, that is being made.
pub fn in_progress(object: &str) -> String {
    changed(object, |members| {
        members.insert("status".into(), "in_progress".into());
    })
}

/// A response, as JSON, whose client has called it off, with the items that were whole by then.
pub fn cancelled(object: &str, output: Vec<Value>) -> String {
    changed(object, |members| {
        members.insert("status".into(), "cancelled".into());
        members.insert("output".into(), output.into());
    })
}

/// A response, as JSON, that has failed.
pub fn failed(object: &str, error: &ApiError) -> String {
    changed(object, |members| {
        members.insert("status".into(), "failed".into());
        members.insert("error".into(), json!({"code": "server_error", "message": error.message}));
    })
}

/// A response, as JSON, that could not be kept, as its client is told.
pub fn unkept(object: &str) -> String {
    changed(object, |members| {
        members.insert("store".into(), false.into());
    })
}

fn changed(object: &str, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> String {
    let Ok(Value::Object(mut members)) = serde_json::from_str(object) else { return object.to_owned() };
    change(&mut members);
    Value::Object(members).to_string()
}

/// A response, as JSON, was made in the background.
pub fn is_background(object: &str) -> bool {
    #[derive(Deserialize)]
    struct Background {
        background: bool,
    }
    serde_json::from_str(object).is_ok_and(|b: Background| b.background)
}

/// The status of a response, as JSON.
pub fn status(object: &str) -> String {
    #[derive(Deserialize)]
    struct Status {
        status: String,
    }
    serde_json::from_str(object).map_or_else(|_| "failed".into(), |s: Status| s.status)
}

/// What the data of an event of a response's stream says that matters to whoever keeps it.
#[derive(Debug, PartialEq, Eq)]
pub enum Noted<'a> {
    /// The response has ended so.
    Ended(&'a str),
    /// An item is whole.
    Item(&'a str),
}

/// Looks at the data of an event that this crate has written.
pub fn note(data: &[u8]) -> Option<Noted<'_>> {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(borrow, default)]
        response: Option<&'a RawValue>,
        #[serde(borrow, default)]
        item: Option<&'a RawValue>,
    }
    let data: Data<'_> = serde_json::from_slice(data).ok()?;
    match data.kind {
        "response.completed" | "response.incomplete" | "response.failed" => {
            data.response.map(|raw| Noted::Ended(raw.get()))
        }
        "response.output_item.done" => data.item.map(|raw| Noted::Item(raw.get())),
        _ => None,
    }
}

/// The event that says that a response has failed which never began.
pub fn failed_event(object: &str) -> String {
    format!(
        "event: response.failed\ndata: {{\"response\":{object},\"sequence_number\":0,\"type\":\"response.failed\"}}\n\n"
    )
}

/// An event of the end of a response, written anew with what the response has become.
pub fn end_event(kind_of: &[u8], object: &str) -> String {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        sequence_number: u64,
    }
    let Ok(Data { kind, sequence_number }) = serde_json::from_slice(kind_of) else { return String::new() };
    format!(
        "event: {kind}\ndata: {{\"response\":{object},\"sequence_number\":{sequence_number},\"type\":\"{kind}\"}}\n\n"
    )
}

/// The answer to `DELETE /v1/responses/ID`.
pub fn deleted(id: &str) -> String {
    json!({"id": id, "object": "response", "deleted": true}).to_string()
}

/// A conversation as clients get it; `metadata` is a JSON object.
pub fn conversation_object(id: &str, created_s: u64, metadata: &str) -> String {
    let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
    json!({"id": id, "object": "conversation", "created_at": created_s, "metadata": metadata}).to_string()
}

/// The answer to `DELETE /v1/conversations/ID`.
pub fn conversation_deleted(id: &str) -> String {
    json!({"id": id, "object": "conversation.deleted", "deleted": true}).to_string()
}

/// What a client says of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Metadata: a JSON object.
    pub metadata: Option<String>,
    /// Items to add.
    pub items: Vec<Value>,
}

/// Items that one request may add to a conversation.
const ITEMS_MAX: usize = 20;

/// Reads the body of a request to begin or change a conversation, or to add items to it.
///
/// # Errors
/// It cannot be read.
pub fn said(body: &[u8], number: &str) -> Result<Said, ApiError> {
    let mut said = Said::default();
    if body.trim_ascii().is_empty() {
        return Ok(said);
    }
    for (key, raw) in members(body)? {
        match &*key {
            "metadata" => {
                check_metadata(raw)?;
                said.metadata = Some(raw.get().to_owned());
            }
            "items" if raw.get().starts_with('[') => said.items = items(raw, "items", number, ITEMS_MAX)?,
            "items" => return Err(invalid("items", "must be an array of items")),
            other => return Err(invalid(other, "is not a member here: there are `metadata` and `items`")),
        }
    }
    // What no response could go on with is refused here, where it is said, and not with the response.
    let text = Value::Array(said.items.clone()).to_string();
    crate::request::check_items(&text)?;
    Ok(said)
}

/// Pairs of metadata, and characters of a key and of a value.
const METADATA_MAX: (usize, usize, usize) = (16, 64, 512);

/// Metadata comes back with every answer that has it.
///
/// # Errors
/// It is none, or too much.
pub(crate) fn check_metadata(raw: &RawValue) -> Result<(), ApiError> {
    let what = "must be an object of at most 16 pairs: names of up to 64 characters, texts of up to 512";
    let pairs: BTreeMap<String, String> = parse(raw, "metadata", what)?;
    let (most, name_max, text_max) = METADATA_MAX;
    let is_short =
        |(name, text): (&String, &String)| name.chars().count() <= name_max && text.chars().count() <= text_max;
    if pairs.len() > most || !pairs.iter().all(is_short) {
        return Err(invalid("metadata", what));
    }
    Ok(())
}

/// Which part of a list a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Most items.
    pub limit: usize,
    /// Oldest first.
    pub ascending: bool,
    /// Those after the item with this identifier.
    pub after: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 20, ascending: false, after: None }
    }
}

impl Page {
    /// Takes one parameter of the query.
    ///
    /// # Errors
    /// Its value is none that it can have.
    pub fn parameter(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=100).contains(n));
                self.limit = limit.ok_or_else(|| invalid("limit", "must be a whole number from 1 to 100"))?;
            }
            "order" => match value {
                "asc" | "desc" => self.ascending = value == "asc",
                _ => return Err(invalid("order", "must be `asc` or `desc`")),
            },
            "after" => self.after = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// This page of items, which come oldest first.
    ///
    /// # Errors
    /// None of them has the identifier that it is to begin after.
    pub fn of(&self, mut items: Vec<Value>) -> Result<String, ApiError> {
        if !self.ascending {
            items.reverse();
        }
        if let Some(after) = &self.after {
            let at = items.iter().position(|item| item["id"] == **after);
            let at = at.ok_or_else(|| invalid("after", "must be the identifier of an item of the list"))?;
            items.drain(..=at);
        }
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
        let (first, last) = (id(items.first()), id(items.last()));
        let list = json!({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": has_more});
        Ok(list.to_string())
    }
}

#[cfg(test)]
mod tests;
