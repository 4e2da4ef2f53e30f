//! One pass over a request body: what routing needs of it, and the edits made to it before it is forwarded.

use std::ops::Range;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use rhumb_api::{ApiError, Request, Tier};
use rhumb_grid::config::Dialect;
use rhumb_json::{JsonError, Kind, Limits, UNITS, Walker, unescape};

pub use self::api::Api;
pub use self::form::{Upload, boundary, scan_form, upload};
pub use self::forward::{Edits, forward};

mod api;
mod form;
mod forward;
mod parameters;
mod prompt;

/// Most messages of one conversation.
pub const MESSAGES_MAX: usize = 16_384;

/// What a body says, by offsets into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// What routing needs of it.
    pub request: Request,
    /// Where the model's name stands, quotes included.
    pub model_span: Range<usize>,
    /// The client wants the usage chunk.
    pub include_usage: bool,
    /// Where the value of `stream_options` stands.
    pub stream_options_span: Option<Range<usize>>,
    /// Where the prompt stands.
    pub prompt_span: Range<usize>,
    /// Where the value of `max_tokens` stands, if it is `null`.
    pub max_tokens_null: Option<Range<usize>>,
    /// Hash of whatever else the engine puts before the prompt (tools).
    pub preamble_hash: u64,
    /// Members that clients may not set everywhere, by where they stand.
    pub cut: Vec<Cut>,
    /// Text in the prompt that differs with every request of a client and means nothing to the model.
    pub left_out: Range<usize>,
    /// Offset after the opening brace.
    pub body_start: usize,
    /// The body is a form, in which the model's name stands without quotes, and no JSON.
    pub is_form: bool,
}

/// A member that is cut out of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its place in the list of parameters that steer an engine; `None` for one that clients may set nowhere.
    pub param: Option<usize>,
    /// `"key":value`.
    pub span: Range<usize>,
}

/// Why a body was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The text is not the JSON it should be.
    Json(JsonError),
    /// A field is not what it should be.
    Field(&'static str, &'static str),
}

impl From<JsonError> for Refusal {
    fn from(e: JsonError) -> Self {
        Self::Json(e)
    }
}

impl From<Refusal> for ApiError {
    fn from(r: Refusal) -> Self {
        match r {
            Refusal::Json(e) => ApiError::not_json(e),
            Refusal::Field(field, what) => ApiError::invalid(format!("`{field}` {what}.")).with_param(field),
        }
    }
}

/// Scans a body once. `steering` names the parameters, at most 64, that steer an engine and that not every endpoint lets
/// clients set.
///
/// # Errors
/// The body is malformed, hostile, or lacks what the API requires.
pub fn scan(api: Api, body: &[u8], limits: Limits, steering: &[&str]) -> Result<Scan, Refusal> {
    let mut w = Walker::new(body, limits)?;
    let mut s = Scan { request: Request { n: 1, ..Request::default() }, ..Scan::default() };
    let mut asked = Asked::default();
    if !w.next_is(b'{') {
        return Err(JsonError { what: "an object was expected", at: w.at() }.into());
    }
    s.body_start = w.at() + 1;
    w.members::<Refusal>(|w, key, name| match name {
        "model" => {
            let span = string(w, "model", "must be a string with the name of a model")?;
            s.request.model = unescape(inside(body, &span)).into_owned();
            s.model_span = span;
            Ok(())
        }
        "stream" => {
            s.request.stream = flag(w, "stream")?;
            Ok(())
        }
        "stream_options" => stream_options(w, &mut s),
        "messages" if matches!(api, Api::Chat | Api::Messages) => prompt::messages(w, body, &mut s),
        "input" if api == Api::Responses => prompt::inputs(w, body, &mut s),
        "prompt" if api == Api::Completions => prompt::inputs(w, body, &mut s),
        name if !api.generates() && api.prompt_fields().contains(&name) => prompt::more_inputs(w, body, &mut s),
        name if name == api.length_field() => max_tokens(w, body, api.length_field(), &mut s),
        "max_completion_tokens" if api.dialect() == Dialect::Chat => {
            asked.max_completion = count(w, body, "max_completion_tokens")?;
            parameters::length(&mut s, "max_completion_tokens", asked.max_completion);
            Ok(())
        }
        "n" => choices(w, body, "n", &mut s),
        "best_of" => choices(w, body, "best_of", &mut s),
        // Anthropic's tiers are those of its own servers.
        "service_tier" if api != Api::Messages => {
            s.request.tier = tier(w, body)?;
            Ok(())
        }
        "tools" | "functions" => asked.tools(w, body, &mut s),
        "system" if api == Api::Messages => asked.ahead(w, body, &mut s).map(|_| ()),
        "instructions" if api == Api::Responses => asked.ahead(w, body, &mut s).map(|_| ()),
        "response_format" => asked.format(w, body, &mut s),
        "tool_choice" | "function_call" => {
            let (_, span) = w.value()?;
            asked.no_calls |= is_text(body, span, "none");
            Ok(())
        }
        "prompt_cache_key" => {
            s.request.cache_key_hash = text_hash(w, body)?;
            Ok(())
        }
        "conversation" | "previous_response_id" => {
            s.request.conversation_hash = text_hash(w, body)?.or(s.request.conversation_hash);
            Ok(())
        }
        _ => parameters::other(w, body, &mut s, steering, (&key, name)),
    })?;
    w.end()?;
    // What is no text is passed on when it is whole.
    s.request.stream &= api.generates();
    complete(api, s, &asked)
}

/// What is put together once the whole body has been seen.
#[derive(Default)]
struct Asked {
    max_completion: Option<u64>,
    tools: bool,
    no_calls: bool,
    format: bool,
    /// Text of the tools, which the engine puts before the prompt.
    preamble_units: u64,
}

impl Asked {
    /// Tools or functions. An empty list is the default written out.
    fn tools(&mut self, w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<(), Refusal> {
        self.tools |= self.ahead(w, body, s)?;
        Ok(())
    }

    /// What the engine puts before the prompt; false where it is nothing.
    fn ahead(&mut self, w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<bool, Refusal> {
        let before = w.tally;
        let (kind, span) = w.value()?;
        let is_empty = kind == Kind::Array && inside(body, &span).trim_ascii().is_empty();
        let is_something = kind != Kind::Null && !is_empty;
        if is_something {
            self.preamble_units += w.tally.text - before.text + w.tally.keys - before.keys;
            s.preamble_hash = xxh3_64_with_seed(&body[span], s.preamble_hash);
        }
        Ok(is_something)
    }

    /// `response_format`. The type `text` is the default written out.
    fn format(&mut self, w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<(), Refusal> {
        let mut is_text_format = false;
        let span = if w.next_is(b'{') {
            w.members::<Refusal>(|w, _, name| {
                let (_, span) = w.value()?;
                is_text_format |= name == "type" && is_text(body, span, "text");
                Ok(())
            })?
        } else {
            let (kind, span) = w.value()?;
            is_text_format = kind == Kind::Null;
            span
        };
        if !is_text_format {
            self.format = true;
            s.preamble_hash = xxh3_64_with_seed(&body[span], s.preamble_hash);
        }
        Ok(())
    }
}

/// A value is the string with this text. It was walked over.
fn is_text(body: &[u8], span: Range<usize>, text: &str) -> bool {
    body[span.start] == b'"' && unescape(inside(body, &span)) == text
}

fn complete(api: Api, mut s: Scan, asked: &Asked) -> Result<Scan, Refusal> {
    if s.model_span.is_empty() {
        return Err(Refusal::Field("model", "is missing: name a model, as listed by GET /v1/models"));
    }
    if s.prompt_span.is_empty() {
        return Err(Refusal::Field(api.prompt_fields()[0], "is missing"));
    }
    s.request.max_tokens = asked.max_completion.or(s.request.max_tokens);
    s.request.tools = (asked.tools && !asked.no_calls) || asked.format;
    s.request.prompt.preamble(asked.preamble_units.div_ceil(UNITS));
    s.request.prompt_bytes = s.prompt_span.len();
    Ok(s)
}

fn inside<'a>(body: &'a [u8], span: &Range<usize>) -> &'a [u8] {
    &body[span.start + 1..span.end - 1]
}

fn string(w: &mut Walker<'_>, field: &'static str, what: &'static str) -> Result<Range<usize>, Refusal> {
    match w.value()? {
        (Kind::String { .. }, span) => Ok(span),
        _ => Err(Refusal::Field(field, what)),
    }
}

fn flag(w: &mut Walker<'_>, field: &'static str) -> Result<bool, Refusal> {
    match w.value()?.0 {
        Kind::Bool(b) => Ok(b),
        Kind::Null => Ok(false),
        _ => Err(Refusal::Field(field, "must be true or false")),
    }
}

fn count(w: &mut Walker<'_>, body: &[u8], field: &'static str) -> Result<Option<u64>, Refusal> {
    match w.value()? {
        (Kind::Null, _) => Ok(None),
        (_, span) => {
            let number = whole_number(&body[span]);
            number.map(Some).ok_or(Refusal::Field(field, "must be a whole number, 0 or more"))
        }
    }
}

/// A value that is a whole number, 0 or more.
fn whole_number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn max_tokens(w: &mut Walker<'_>, body: &[u8], field: &'static str, s: &mut Scan) -> Result<(), Refusal> {
    w.next_is(b'n');
    let start = w.at();
    s.request.max_tokens = count(w, body, field)?;
    s.max_tokens_null = s.request.max_tokens.is_none().then(|| start..w.at());
    parameters::length(s, field, s.request.max_tokens);
    Ok(())
}

fn choices(w: &mut Walker<'_>, body: &[u8], field: &'static str, s: &mut Scan) -> Result<(), Refusal> {
    match count(w, body, field)? {
        Some(0) => Err(Refusal::Field(field, "must be at least 1")),
        asked => {
            s.request.n = s.request.n.max(asked.unwrap_or(1));
            Ok(())
        }
    }
}

fn tier(w: &mut Walker<'_>, body: &[u8]) -> Result<Option<Tier>, Refusal> {
    let what = "must be `auto`, `default`, `flex`, `scale`, `priority` or `fast`";
    match w.value()? {
        (Kind::Null, _) => Ok(None),
        (Kind::String { .. }, span) => match &*unescape(inside(body, &span)) {
            "auto" | "default" | "scale" => Ok(None),
            "flex" => Ok(Some(Tier::Flex)),
            "priority" | "fast" => Ok(Some(Tier::Priority)),
            _ => Err(Refusal::Field("service_tier", what)),
        },
        _ => Err(Refusal::Field("service_tier", what)),
    }
}

/// The hash of an identifier; objects such as `{"id":"conv_1"}` are hashed as they stand.
fn text_hash(w: &mut Walker<'_>, body: &[u8]) -> Result<Option<u64>, Refusal> {
    let (kind, span) = w.value()?;
    Ok((kind != Kind::Null).then(|| xxh3_64(&body[span])))
}

fn stream_options(w: &mut Walker<'_>, s: &mut Scan) -> Result<(), Refusal> {
    if !w.next_is(b'{') {
        let (kind, span) = w.value()?;
        s.stream_options_span = Some(span);
        return if kind == Kind::Null { Ok(()) } else { Err(Refusal::Field("stream_options", "must be an object")) };
    }
    let span = w.members::<Refusal>(|w, _, name| {
        if name == "include_usage" {
            s.include_usage = flag(w, "stream_options.include_usage")?;
            Ok(())
        } else {
            w.value().map(|_| ()).map_err(Into::into)
        }
    })?;
    s.stream_options_span = Some(span);
    Ok(())
}

/// Bytes of one block of the prefix index, about 256 tokens of English.
pub const BLOCK_BYTES: usize = 1024;

/// Chained hashes of the prompt's whole blocks: two prompts share the first `k` hashes exactly when they share their
/// first `k` blocks (and tools, and `seed`). The last bracket of a conversation is left out, so that a conversation
/// and its continuation agree, and so is [`Scan::left_out`]. At most `max` blocks are hashed.
pub fn block_hashes(body: &[u8], s: &Scan, seed: u64, max: usize, out: &mut Vec<u64>) {
    out.clear();
    let end = s.prompt_span.end.saturating_sub(1).max(s.prompt_span.start);
    let cut = if s.left_out.is_empty() { end..end } else { s.left_out.clone() };
    let (before, after) = (&body[s.prompt_span.start..cut.start], &body[cut.end..end]);
    let (blocks, begun) = before.split_at(before.len() / BLOCK_BYTES * BLOCK_BYTES);
    let (joined, rest) = after.split_at(after.len().min(BLOCK_BYTES - begun.len()));
    let across = if joined.is_empty() { Vec::new() } else { [begun, joined].concat() };
    let mut chain = xxh3_64_with_seed(&s.preamble_hash.to_le_bytes(), seed);
    for part in [blocks, &across, rest] {
        for block in part.chunks_exact(BLOCK_BYTES).take(max - out.len()) {
            chain = xxh3_64_with_seed(block, chain);
            out.push(chain);
        }
    }
}

#[cfg(test)]
mod tests;
