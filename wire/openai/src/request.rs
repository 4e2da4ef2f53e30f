//! One pass over a request body: what routing needs of it, and the edits made to it before it is forwarded.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::error::ApiError;
use crate::json::{JsonError, Kind, Limits, Seen, Walker, unescape};

/// Which API a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
}

impl Api {
    /// The path, which is also the one forwarded to an endpoint.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// The field that holds the prompt.
    pub fn prompt_field(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completions => "prompt",
            Self::Embeddings => "input",
        }
    }
}

/// Most messages of one conversation.
pub const MESSAGES_MAX: usize = 16_384;

/// What a body says, by offsets into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The model asked for.
    pub model: String,
    /// Where its value stands, quotes included.
    pub model_span: Range<usize>,
    /// An event stream is wanted.
    pub stream: bool,
    /// The client wants the usage chunk.
    pub include_usage: bool,
    /// Where the value of `stream_options` stands.
    pub stream_options_span: Option<Range<usize>>,
    /// Where the prompt stands.
    pub prompt_span: Range<usize>,
    /// Messages of a chat.
    pub messages: usize,
    /// `max_completion_tokens`, else `max_tokens`.
    pub max_tokens: Option<u64>,
    /// Choices generated: the larger of `n` and `best_of`, at least 1.
    pub n: u64,
    /// `service_tier`, where it asks for more or less than the usual.
    pub tier: Option<Tier>,
    /// Tools or a response format are present.
    pub tools: bool,
    /// Images or audio are present, and how large.
    pub seen: Seen,
    /// Hash of whatever else the engine puts before the prompt (tools).
    pub preamble_hash: u64,
    /// Hash of `prompt_cache_key`.
    pub cache_key_hash: Option<u64>,
    /// Hash of the conversation: `conversation` or `previous_response_id`.
    pub conversation_hash: Option<u64>,
    /// Members that clients may not set, to be cut out: offsets of `"key":value`.
    pub cut: Vec<Range<usize>>,
    /// Offset after the opening brace.
    pub body_start: usize,
}

/// What `service_tier` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// `priority` or `fast`: sooner than others.
    Priority,
    /// `flex`: whenever there is room.
    Flex,
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
            Refusal::Json(e) => ApiError::invalid(format!("The request body is not acceptable JSON: {e}.")),
            Refusal::Field(field, what) => ApiError::invalid(format!("`{field}` {what}.")).with_param(field),
        }
    }
}

/// Scans a body once.
///
/// # Errors
/// The body is malformed, hostile, or lacks what the API requires.
pub fn scan(api: Api, body: &[u8], limits: Limits) -> Result<Scan, Refusal> {
    let mut w = Walker::new(body, limits)?;
    let mut s = Scan { n: 1, ..Scan::default() };
    let mut max_completion = None;
    if !w.next_is(b'{') {
        return Err(JsonError { what: "an object was expected", at: w.at() }.into());
    }
    s.body_start = w.at() + 1;
    w.members::<Refusal>(|w, key, name| match name {
        "model" => {
            let span = string(w, "model", "must be a string with the name of a model")?;
            s.model = unescape(inside(body, &span)).into_owned();
            s.model_span = span;
            Ok(())
        }
        "stream" => {
            s.stream = flag(w, "stream")?;
            Ok(())
        }
        "stream_options" => stream_options(w, &mut s),
        "messages" if api == Api::Chat => messages(w, &mut s),
        "prompt" if api == Api::Completions => {
            s.prompt_span = w.value()?.1;
            Ok(())
        }
        "input" if api == Api::Embeddings => {
            s.prompt_span = w.value()?.1;
            Ok(())
        }
        "max_tokens" => {
            s.max_tokens = count(w, body, "max_tokens")?;
            Ok(())
        }
        "max_completion_tokens" => {
            max_completion = count(w, body, "max_completion_tokens")?;
            Ok(())
        }
        "n" => choices(w, body, "n", &mut s),
        "best_of" => choices(w, body, "best_of", &mut s),
        "service_tier" => {
            s.tier = tier(w, body)?;
            Ok(())
        }
        "tools" | "functions" | "response_format" => {
            let (kind, span) = w.value()?;
            s.tools |= kind != Kind::Null;
            s.preamble_hash = xxh3_64_with_seed(&body[span], s.preamble_hash);
            Ok(())
        }
        "prompt_cache_key" => {
            s.cache_key_hash = text_hash(w, body)?;
            Ok(())
        }
        "conversation" | "previous_response_id" => {
            s.conversation_hash = text_hash(w, body)?.or(s.conversation_hash);
            Ok(())
        }
        // An engine would key its cache by it: the gateway alone may set it.
        "cache_salt" => {
            let (_, span) = w.value()?;
            s.cut.push(key.start..span.end);
            Ok(())
        }
        _ => w.value().map(|_| ()).map_err(Into::into),
    })?;
    w.end()?;
    s.seen = w.seen;
    s.max_tokens = max_completion.or(s.max_tokens);
    complete(api, s)
}

fn complete(api: Api, s: Scan) -> Result<Scan, Refusal> {
    if s.model_span.is_empty() {
        return Err(Refusal::Field("model", "is missing: name a model, as listed by GET /v1/models"));
    }
    if s.prompt_span.is_empty() {
        return Err(Refusal::Field(api.prompt_field(), "is missing"));
    }
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
        (Kind::Number, span) => {
            let text = std::str::from_utf8(&body[span]).unwrap_or_default();
            text.parse().map(Some).map_err(|_| Refusal::Field(field, "must be a whole number, 0 or more"))
        }
        _ => Err(Refusal::Field(field, "must be a whole number, 0 or more")),
    }
}

fn choices(w: &mut Walker<'_>, body: &[u8], field: &'static str, s: &mut Scan) -> Result<(), Refusal> {
    match count(w, body, field)? {
        Some(0) => Err(Refusal::Field(field, "must be at least 1")),
        asked => {
            s.n = s.n.max(asked.unwrap_or(1));
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

fn messages(w: &mut Walker<'_>, s: &mut Scan) -> Result<(), Refusal> {
    if !w.next_is(b'[') {
        return Err(Refusal::Field("messages", "must be an array of messages"));
    }
    let span = w.elements::<Refusal>(|w, i| {
        if i == MESSAGES_MAX {
            return Err(Refusal::Field("messages", "holds too many messages"));
        }
        if !w.next_is(b'{') {
            return Err(Refusal::Field("messages", "must hold objects with `role` and `content`"));
        }
        s.messages = i + 1;
        w.value().map(|_| ()).map_err(Into::into)
    })?;
    if s.messages == 0 {
        return Err(Refusal::Field("messages", "must hold at least one message"));
    }
    s.prompt_span = span;
    Ok(())
}

/// The body to forward: the model name as the endpoint knows it, forbidden members cut out, and the usage chunk asked
/// for when `ask_usage`, because the usage record needs it whether or not the client does. An answer that the client sets
/// no length is limited to `most_tokens`.
///
/// Returns the same bytes where nothing changes.
pub fn forward(body: &Bytes, s: &Scan, model: &str, ask_usage: bool, most_tokens: Option<u64>) -> Vec<Bytes> {
    let mut edits: Vec<(Range<usize>, Cow<'static, str>)> = Vec::new();
    if let Some(most) = most_tokens.filter(|_| s.max_tokens.is_none()) {
        edits.push((s.body_start..s.body_start, format!("\"max_tokens\":{most},").into()));
    }
    if model != s.model {
        edits.push((s.model_span.clone(), crate::error::quote(model).into()));
    }
    for cut in &s.cut {
        edits.push((widen(body, cut), Cow::Borrowed("")));
    }
    if ask_usage && s.stream && !s.include_usage {
        match &s.stream_options_span {
            Some(span) => edits.push((span.clone(), with_usage(&body[span.clone()]).into())),
            None => {
                edits.push((s.body_start..s.body_start, Cow::Borrowed("\"stream_options\":{\"include_usage\":true},")))
            }
        }
    }
    if edits.is_empty() {
        return vec![body.clone()];
    }
    edits.sort_by_key(|(span, _)| span.start);
    let mut parts = Vec::with_capacity(edits.len() * 2 + 1);
    let mut at = 0;
    for (span, text) in edits {
        if span.start > at {
            parts.push(body.slice(at..span.start));
        }
        if !text.is_empty() {
            parts.push(match text {
                Cow::Borrowed(t) => Bytes::from_static(t.as_bytes()),
                Cow::Owned(t) => Bytes::from(t),
            });
        }
        at = span.end.max(at);
    }
    parts.push(body.slice(at..));
    parts
}

/// A member's span with one of the commas around it, so that what is left is JSON.
fn widen(body: &[u8], cut: &Range<usize>) -> Range<usize> {
    let space = |b: &u8| b.is_ascii_whitespace();
    let after = body[cut.end..].iter().take_while(|b| space(b)).count() + cut.end;
    if body.get(after) == Some(&b',') {
        return cut.start..after + 1;
    }
    let before = cut.start - body[..cut.start].iter().rev().take_while(|b| space(b)).count();
    if before > 0 && body[before - 1] == b',' { before - 1..cut.end } else { cut.clone() }
}

/// The client's `stream_options` with `include_usage` set. The span was walked over, so it is an object or `null`.
fn with_usage(span: &[u8]) -> String {
    let mut options: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(span).unwrap_or_default();
    options.insert("include_usage".into(), true.into());
    serde_json::Value::Object(options).to_string()
}

/// Bytes of one block of the prefix index, about 256 tokens of English.
pub const BLOCK_BYTES: usize = 1024;

/// Chained hashes of the prompt's whole blocks: two prompts share the first `k` hashes exactly when they share their
/// first `k` blocks (and tools, and `seed`). The last bracket of a conversation is left out, so that a conversation
/// and its continuation agree. At most `max` blocks are hashed.
pub fn block_hashes(body: &[u8], s: &Scan, seed: u64, max: usize, out: &mut Vec<u64>) {
    out.clear();
    let end = s.prompt_span.end.saturating_sub(1).max(s.prompt_span.start);
    let mut chain = xxh3_64_with_seed(&s.preamble_hash.to_le_bytes(), seed);
    for block in body[s.prompt_span.start..end].chunks_exact(BLOCK_BYTES).take(max) {
        chain = xxh3_64_with_seed(block, chain);
        out.push(chain);
    }
}

#[cfg(test)]
mod tests;
