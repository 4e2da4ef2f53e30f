//! A request of `POST /v1/messages` as a conversation.

mod content;
mod tools;

use std::borrow::Cow;

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Members, Str, invalid, members, parse, shortened, string};
use rhumb_conversation::{Conversation, Dropped, Effort, Item, Role, Turn};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::content::content;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// An answer.
    Answer,
    /// The number of its tokens: how long the answer may be is not asked then.
    Count,
}

/// A request that was understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read<'a> {
    /// What it says. Its turns alternate and its calls have results.
    pub conversation: Conversation<'a>,
    /// The client wants to see what the model thinks.
    pub shows_thinking: bool,
    /// The session of an agent that it belongs to.
    pub session: Option<String>,
    /// What it says that cannot be carried on.
    pub dropped: Dropped,
}

/// Reads a body.
///
/// # Errors
/// It is malformed or hostile, lacks what the API requires, or asks for what only Anthropic's own servers do.
pub fn read(body: &[u8], purpose: For) -> Result<Read<'_>, ApiError> {
    let members = members(body)?;
    let mut read = Read::default();
    for (key, raw) in &members {
        member(&mut read, key, raw)?;
    }
    for required in ["model", "messages", "max_tokens"] {
        let is_needed = required != "max_tokens" || purpose == For::Answer;
        if is_needed && !members.contains_key(required) {
            return Err(invalid(required, "is missing"));
        }
    }
    finish(read, purpose)
}

fn member<'a>(read: &mut Read<'a>, key: &str, raw: &'a RawValue) -> Result<(), ApiError> {
    let c = &mut read.conversation;
    match key {
        "model" => c.model = string(raw, key)?,
        "stream" => c.stream = parse(raw, key, "must be true or false")?,
        "max_tokens" => {
            let tokens = parse(raw, key, "must be a whole number, 1 or more")?;
            c.max_tokens = Some(tokens);
            if tokens == 0 {
                return Err(invalid(key, "must be at least 1"));
            }
        }
        "temperature" => c.temperature = Some(parse(raw, key, "must be a number")?),
        "top_p" => c.top_p = Some(parse(raw, key, "must be a number")?),
        "top_k" => c.top_k = Some(parse(raw, key, "must be a whole number, 0 or more")?),
        "stop_sequences" => {
            c.stop = parse::<Vec<Str<'a>>>(raw, key, "must be an array of strings")?.into_iter().map(|s| s.0).collect();
        }
        "system" => system(read, raw)?,
        "messages" => c.turns = turns(raw, &mut read.dropped)?,
        "tools" => c.tools = tools::tools(raw, &mut read.dropped)?,
        "tool_choice" => (c.tool_choice, c.one_call) = tools::choice(raw)?,
        "metadata" => read.session = session(raw),
        "thinking" => thinking(read, raw)?,
        "output_config" => output(read, raw)?,
        "output_format" => c.format = format(raw, key)?,
        // It asks for the service that everybody gets here.
        "service_tier" => {}
        "mcp_servers" | "container" => {
            return Err(invalid(key, "asks for what only Anthropic's own servers run: leave it out"));
        }
        _ => read.dropped.add_unknown(key),
    }
    Ok(())
}

/// What only shows once the whole body was read.
fn finish(mut read: Read<'_>, purpose: For) -> Result<Read<'_>, ApiError> {
    let c = &mut read.conversation;
    c.alternate();
    if c.answer_calls().map_err(|id| {
        let id = shortened(&id);
        invalid(
            "messages",
            &format!("holds a `tool_result` for `{id}`, which no `tool_use` of the turn before it has as `id`"),
        )
    })? {
        read.dropped.add("tool_use-without-result");
    }
    let ends_with_assistant = c.turns.last().is_some_and(|turn| turn.role == Role::Assistant);
    if ends_with_assistant && purpose == For::Answer {
        let what = "must end with a message of the user: an answer whose beginning is given (prefill) is not supported";
        return Err(invalid("messages", what));
    }
    Ok(read)
}

/// How a text begins that Claude Code puts before its system prompt. A number in it changes with every request, which no cache of
/// prompts survives.
const BILLING: &str = "x-anthropic-billing-header:";

fn system<'a>(read: &mut Read<'a>, raw: &'a RawValue) -> Result<(), ApiError> {
    for item in content(raw, "system", &mut read.dropped)? {
        match item {
            Item::Text(text) if text.starts_with(BILLING) => {
                read.dropped.add("billing-header");
                let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
                if !rest.is_empty() {
                    read.conversation.system.push(Cow::Owned(rest.to_owned()));
                }
            }
            Item::Text(text) if text.is_empty() => {}
            Item::Text(text) => read.conversation.system.push(text),
            _ => return Err(invalid("system", "must be a string or an array of text blocks")),
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

fn turns<'a>(raw: &'a RawValue, dropped: &mut Dropped) -> Result<Vec<Turn<'a>>, ApiError> {
    let messages: Vec<&RawValue> = parse(raw, "messages", "must be an array of messages")?;
    if messages.is_empty() {
        return Err(invalid("messages", "must hold at least one message"));
    }
    let turn = |(n, raw): (usize, &'a RawValue)| {
        let path = format!("messages[{n}]");
        let message: Message<'a> = parse(raw, &path, "must be an object with `role` and `content`")?;
        let items = content(message.content, &format!("{path}.content"), dropped)?;
        let role = match &*message.role {
            // Where it stands, and not at the top: every engine's cache of the prompt ends where that changes.
            "user" | "system" => Role::User,
            "assistant" => Role::Assistant,
            _ => return Err(invalid(&format!("{path}.role"), "must be `user` or `assistant`")),
        };
        content::belongs(role, &items, &path)?;
        Ok(Turn { role, items })
    };
    messages.into_iter().enumerate().map(turn).collect()
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    budget_tokens: Option<u64>,
}

fn thinking(read: &mut Read<'_>, raw: &RawValue) -> Result<(), ApiError> {
    let thinking: Thinking<'_> = parse(raw, "thinking", "must be an object with `type`")?;
    read.shows_thinking = match &*thinking.kind {
        "enabled" | "adaptive" => true,
        "disabled" => false,
        _ => return Err(invalid("thinking.type", "must be `enabled`, `adaptive` or `disabled`")),
    };
    if thinking.budget_tokens.is_some() {
        read.dropped.add("thinking.budget_tokens");
    }
    Ok(())
}

/// `output_config`: the form of the answer, and how much effort it is worth.
fn output<'a>(read: &mut Read<'a>, raw: &'a RawValue) -> Result<(), ApiError> {
    let members: Members<'a> = parse(raw, "output_config", "must be an object")?;
    for (key, raw) in members {
        match &*key {
            _ if raw.get() == "null" => {}
            "format" => read.conversation.format = format(raw, "output_config.format")?,
            "effort" => {
                read.conversation.effort = Effort::named(&string(raw, "output_config.effort")?);
                if read.conversation.effort.is_none() {
                    read.dropped.add("output_config.effort");
                }
            }
            _ => read.dropped.add_unknown(&format!("output_config.{key}")),
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    schema: &'a RawValue,
}

fn format<'a>(raw: &'a RawValue, field: &str) -> Result<Option<&'a str>, ApiError> {
    let what = "must be an object with `type`: `json_schema` and `schema`";
    let format: Format<'a> = parse(raw, field, what)?;
    if format.kind != "json_schema" || !format.schema.get().starts_with('{') {
        return Err(invalid(field, what));
    }
    Ok(Some(format.schema.get()))
}

/// The session in `metadata.user_id`, as Claude Code writes it: at the end of a text, or in JSON.
fn session(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        user_id: Option<Cow<'a, str>>,
    }
    #[derive(Deserialize)]
    struct UserId {
        session_id: String,
    }
    let user = serde_json::from_str::<Metadata<'_>>(raw.get()).ok()?.user_id?;
    let session = match serde_json::from_str::<UserId>(&user) {
        Ok(user) => user.session_id,
        Err(_) => user.rsplit_once("session_")?.1.to_owned(),
    };
    (!session.is_empty()).then_some(session)
}

#[cfg(test)]
mod tests;
