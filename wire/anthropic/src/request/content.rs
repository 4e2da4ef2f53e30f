//! The blocks of a message.

use std::borrow::Cow;

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Str, invalid, parse, shortened};
use rhumb_conversation::{Dropped, Item, Media, MediaKind, Role, Source};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A block of any type.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Option<Str<'a>>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<Str<'a>>,
    #[serde(borrow, default)]
    context: Option<Str<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Str<'a>>,
    #[serde(borrow, default)]
    signature: Option<Str<'a>>,
    #[serde(borrow, default)]
    data: Option<Str<'a>>,
    #[serde(borrow, default)]
    id: Option<Str<'a>>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_use_id: Option<Str<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(default)]
    cache_control: Option<IgnoredAny>,
    #[serde(borrow, default)]
    citations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireSource<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    media_type: Option<Str<'a>>,
    #[serde(borrow, default)]
    data: Option<Str<'a>>,
    #[serde(borrow, default)]
    url: Option<Str<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// Content: a string, or a list of blocks.
pub(super) fn content<'a>(raw: &'a RawValue, path: &str, dropped: &mut Dropped) -> Result<Vec<Item<'a>>, ApiError> {
    if raw.get().starts_with('"') {
        return Ok(vec![Item::Text(parse::<Str<'a>>(raw, path, "must be a string")?.0)]);
    }
    let mut items = Vec::new();
    for (n, raw) in blocks(raw, path)?.into_iter().enumerate() {
        block(raw, &format!("{path}[{n}]"), dropped, &mut items)?;
    }
    Ok(items)
}

fn blocks<'a>(raw: &'a RawValue, path: &str) -> Result<Vec<&'a RawValue>, ApiError> {
    parse(raw, path, "must be a string or an array of content blocks")
}

fn block<'a>(raw: &'a RawValue, path: &str, dropped: &mut Dropped, out: &mut Vec<Item<'a>>) -> Result<(), ApiError> {
    let block: Block<'a> =
        parse(raw, path, "must be a content block: an object with `type` and what belongs to that type")?;
    if block.cache_control.is_some() {
        dropped.add("cache_control");
    }
    if block.citations.is_some_and(|citations| !matches!(citations.get(), "null" | "[]")) {
        dropped.add("citations");
    }
    let missing = |member: &str| invalid(&format!("{path}.{member}"), "is missing");
    let text = |text: Option<Str<'a>>, member| text.map(|t| t.0).ok_or_else(|| missing(member));
    match &*block.kind {
        "text" => out.push(Item::Text(text(block.text, "text")?)),
        "image" => {
            let source = block.source.ok_or_else(|| missing("source"))?;
            out.push(Item::Media(Media { kind: MediaKind::Image, source: media(source, path)? }));
        }
        "document" => document(block, path, dropped, out)?,
        "thinking" => {
            let signature = block.signature.map(|s| s.0);
            out.push(Item::Thinking { text: text(block.thinking, "thinking")?, signature });
        }
        "redacted_thinking" => {
            out.push(Item::Thinking { text: Cow::Borrowed(""), signature: Some(text(block.data, "data")?) });
        }
        "tool_use" => {
            let arguments = block.input.ok_or_else(|| missing("input"))?.get();
            if !arguments.starts_with('{') {
                return Err(invalid(&format!("{path}.input"), "must be an object"));
            }
            let (id, name) = (text(block.id, "id")?, text(block.name, "name")?);
            out.push(Item::Call { id, name, arguments: Cow::Borrowed(arguments) });
        }
        "tool_result" => {
            let id = text(block.tool_use_id, "tool_use_id")?;
            let items = match block.content.filter(|content| content.get() != "null") {
                Some(raw) => result(raw, &format!("{path}.content"), dropped)?,
                None => Vec::new(),
            };
            out.push(Item::Result { id, items, is_error: block.is_error == Some(true) });
        }
        "search_result" => out.push(Item::Text(Cow::Borrowed(raw.get()))),
        other => {
            let other = shortened(other);
            return Err(invalid(
                path,
                &format!("is a block of type `{other}`, which only Anthropic's own servers understand"),
            ));
        }
    }
    Ok(())
}

/// What came of a tool. Blocks that are neither text nor media are handed on as the JSON text that they are: a model reads it.
fn result<'a>(raw: &'a RawValue, path: &str, dropped: &mut Dropped) -> Result<Vec<Item<'a>>, ApiError> {
    if raw.get().starts_with('"') {
        return content(raw, path, dropped);
    }
    let mut items = Vec::new();
    for (n, raw) in blocks(raw, path)?.into_iter().enumerate() {
        let path = format!("{path}[{n}]");
        let kind = parse::<Block<'a>>(raw, &path, "must be an object with `type`")?.kind;
        if matches!(&*kind, "text" | "image" | "document") {
            block(raw, &path, dropped, &mut items)?;
        } else {
            items.push(Item::Text(Cow::Borrowed(raw.get())));
        }
    }
    Ok(items)
}

/// A document: pages as a file, text as text.
fn document<'a>(block: Block<'a>, path: &str, dropped: &mut Dropped, out: &mut Vec<Item<'a>>) -> Result<(), ApiError> {
    let raw = block.source.ok_or_else(|| invalid(&format!("{path}.source"), "is missing"))?;
    let path = format!("{path}.source");
    let title = block.title.map(|t| t.0);
    if let Some(context) = block.context {
        out.push(Item::Text(context.0));
    }
    let source: WireSource<'a> = parse(raw, &path, "must be an object with `type`")?;
    match (&*source.kind, source.data, source.content) {
        ("text", Some(data), _) => {
            out.extend(title.map(Item::Text));
            out.push(Item::Text(data.0));
        }
        ("content", _, Some(raw)) => {
            out.extend(title.map(Item::Text));
            out.extend(content(raw, &format!("{path}.content"), dropped)?);
        }
        _ => {
            let name = title.unwrap_or(Cow::Borrowed("document.pdf"));
            out.push(Item::Media(Media { kind: MediaKind::File(name), source: media(raw, &path)? }));
        }
    }
    Ok(())
}

fn media<'a>(raw: &'a RawValue, path: &str) -> Result<Source<'a>, ApiError> {
    let source: WireSource<'a> = parse(raw, path, "must be an object with `type`")?;
    match (&*source.kind, source.media_type, source.data, source.url) {
        ("base64", Some(media_type), Some(data), _) => Ok(Source::Base64 { media_type: media_type.0, data: data.0 }),
        ("url", _, _, Some(url)) => Ok(Source::Url(url.0)),
        _ => Err(invalid(
            path,
            "must be `{\"type\":\"base64\",\"media_type\":…,\"data\":…}` or `{\"type\":\"url\",\"url\":…}`: uploaded files are not \
             kept here",
        )),
    }
}

/// Refuses what one side cannot say.
pub(super) fn belongs(role: Role, items: &[Item<'_>], path: &str) -> Result<(), ApiError> {
    let is_wrong = |item: &&Item<'_>| match item {
        Item::Text(_) => false,
        Item::Call { .. } | Item::Thinking { .. } => role == Role::User,
        Item::Media(_) | Item::Result { .. } => role == Role::Assistant,
    };
    match items.iter().find(is_wrong) {
        None => Ok(()),
        Some(Item::Call { .. } | Item::Thinking { .. }) => {
            Err(invalid(path, "holds `tool_use` or `thinking` blocks, which only messages of the assistant may hold"))
        }
        Some(_) => Err(invalid(
            path,
            "holds `tool_result`, `image` or `document` blocks, which only messages of the user may hold",
        )),
    }
}
