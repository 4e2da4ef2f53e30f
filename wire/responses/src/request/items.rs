//! The items of an input.

use std::borrow::Cow;

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Str, invalid, parse, shortened};
use rhumb_conversation::{Conversation, Dropped, Item, Media, MediaKind, Role, Source, Text, Turn};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An item of any type. Clients leave the type of messages out, and identifiers of what they send back.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Str<'a>>,
    #[serde(borrow, default)]
    role: Option<Str<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    call_id: Option<Str<'a>>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Str<'a>>,
    #[serde(borrow, default)]
    input: Option<Str<'a>>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
}

/// A part of a message's content, or of a call's output.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Str<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Str<'a>>,
    #[serde(borrow, default)]
    image_url: Option<Str<'a>>,
    #[serde(borrow, default)]
    file_data: Option<Str<'a>>,
    #[serde(borrow, default)]
    file_url: Option<Str<'a>>,
    #[serde(borrow, default)]
    filename: Option<Str<'a>>,
}

/// The input: a text of the user, or items.
pub(super) fn input<'a>(
    conversation: &mut Conversation<'a>,
    raw: &'a RawValue,
    dropped: &mut Dropped,
) -> Result<(), ApiError> {
    if raw.get().starts_with('"') {
        let text = parse::<Str<'a>>(raw, "input", "must be a string")?.0;
        conversation.turns.push(Turn { role: Role::User, items: vec![Item::Text(text)] });
        return Ok(());
    }
    let items: Vec<&RawValue> = parse(raw, "input", "must be a string or an array of items")?;
    for (n, raw) in items.into_iter().enumerate() {
        item(conversation, raw, &format!("input[{n}]"), dropped)?;
    }
    Ok(())
}

/// Items that were said before: what of them is not carried on was dropped when they were said.
pub(super) fn before<'a>(conversation: &mut Conversation<'a>, items: &'a str) -> Result<(), ApiError> {
    let unreadable = |_| ApiError::invalid("What was said before cannot be read.").with_param("previous_response_id");
    let items: Vec<&'a RawValue> = serde_json::from_str(items).map_err(unreadable)?;
    for (n, raw) in items.into_iter().enumerate() {
        item(conversation, raw, &format!("items[{n}]"), &mut Dropped::default())?;
    }
    Ok(())
}

fn item<'a>(
    conversation: &mut Conversation<'a>,
    raw: &'a RawValue,
    path: &str,
    dropped: &mut Dropped,
) -> Result<(), ApiError> {
    let item: Wire<'a> = parse(raw, path, "must be an object with `type` and what belongs to that type")?;
    let missing = |member: &str| invalid(&format!("{path}.{member}"), "is missing");
    let text = |text: Option<Str<'a>>, member: &str| text.map(|t| t.0).ok_or_else(|| missing(member));
    let kind = item.kind.as_ref().map_or("message", |kind| &*kind.0);
    let (role, items) = match kind {
        "message" => {
            let role = text(item.role, "role")?;
            let items = content(item.content.ok_or_else(|| missing("content"))?, &format!("{path}.content"))?;
            match &*role {
                "user" => (Role::User, items),
                "assistant" => (Role::Assistant, items),
                // What the developer says before anybody has spoken is the system prompt. Later it stays where it is: every
                // engine's cache of the prompt ends where its beginning changes.
                "system" | "developer" if conversation.turns.is_empty() => {
                    conversation.system.extend(items.into_iter().filter_map(text_of));
                    return Ok(());
                }
                "system" | "developer" => (Role::User, items),
                _ => {
                    return Err(invalid(
                        &format!("{path}.role"),
                        "must be `user`, `assistant`, `system` or `developer`",
                    ));
                }
            }
        }
        "function_call" => {
            let (id, name) = (text(item.call_id, "call_id")?, text(item.name, "name")?);
            let arguments = text(item.arguments, "arguments")?;
            (Role::Assistant, vec![Item::Call { id, name, arguments }])
        }
        "custom_tool_call" => {
            let (id, name) = (text(item.call_id, "call_id")?, text(item.name, "name")?);
            let input = text(item.input, "input")?;
            let arguments = serde_json::json!({ "input": input }).to_string().into();
            (Role::Assistant, vec![Item::Call { id, name, arguments }])
        }
        "function_call_output" | "custom_tool_call_output" => {
            let id = text(item.call_id, "call_id")?;
            let items = content(item.output.ok_or_else(|| missing("output"))?, &format!("{path}.output"))?;
            (Role::User, vec![Item::Result { id, items, is_error: false }])
        }
        // What a model thought is its maker's own.
        "reasoning" => {
            dropped.add("reasoning");
            return Ok(());
        }
        other => {
            let what = format!("is an item of type `{}`, which only OpenAI's own servers understand", shortened(other));
            return Err(invalid(path, &what));
        }
    };
    conversation.turns.push(Turn { role, items });
    Ok(())
}

fn text_of(item: Item<'_>) -> Option<Text<'_>> {
    match item {
        Item::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Content: a string, or a list of parts.
fn content<'a>(raw: &'a RawValue, path: &str) -> Result<Vec<Item<'a>>, ApiError> {
    if raw.get().starts_with('"') {
        return Ok(vec![Item::Text(parse::<Str<'a>>(raw, path, "must be a string")?.0)]);
    }
    let parts: Vec<&RawValue> = parse(raw, path, "must be a string or an array of content parts")?;
    parts.into_iter().enumerate().map(|(n, raw)| part(raw, &format!("{path}[{n}]"))).collect()
}

fn part<'a>(raw: &'a RawValue, path: &str) -> Result<Item<'a>, ApiError> {
    let part: Part<'a> =
        parse(raw, path, "must be a content part: an object with `type` and what belongs to that type")?;
    let media = |kind, address: Str<'a>| Item::Media(Media { kind, source: Source::Url(address.0) });
    let missing = |member: &str| invalid(&format!("{path}.{member}"), "is missing");
    match &*part.kind {
        "input_text" | "output_text" | "text" => Ok(Item::Text(part.text.ok_or_else(|| missing("text"))?.0)),
        "refusal" => Ok(Item::Text(part.refusal.ok_or_else(|| missing("refusal"))?.0)),
        "input_image" => match part.image_url {
            Some(url) => Ok(media(MediaKind::Image, url)),
            None => Err(invalid(path, "must have `image_url`: uploaded files are not kept here")),
        },
        "input_file" => match part.file_data.or(part.file_url) {
            Some(address) => {
                let name = part.filename.map_or(Cow::Borrowed("document.pdf"), |name| name.0);
                Ok(media(MediaKind::File(name), address))
            }
            None => Err(invalid(path, "must have `file_data`: uploaded files are not kept here")),
        },
        other => {
            let what = format!("is a part of type `{}`, which is not understood here", shortened(other));
            Err(invalid(path, &what))
        }
    }
}
