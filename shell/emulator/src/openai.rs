//! The OpenAI dialect: what a request asks for, checked, and the shapes of answers and errors.

use crate::Shared;
use crate::prompt::{Prompt, marked_tokens};
use crate::words::{mix, push_word};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which of the two text endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Completion,
}

impl Kind {
    pub(crate) fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Completion => "cmpl-",
        }
    }
}

/// A request as it stands on the wire; fields this engine does not act on are ignored.
#[derive(Debug, Deserialize)]
struct Wire {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    prompt: Option<Value>,
    input: Option<Value>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    n: Option<i64>,
    #[serde(default)]
    continue_final_message: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A request that passed every check.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) kind: Kind,
    pub(crate) prompt: Prompt,
    pub(crate) output_tokens: u32,
    pub(crate) finish_reason: &'static str,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

/// An answer in OpenAI's error shape.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) param: Option<&'static str>,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, kind: "invalid_request_error", code: None, param: Some(param), message: message.into() }
    }

    pub(crate) fn body(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }
}

/// Checks a chat or text completion. `true_output_tokens` is the length the answer would have without a limit, where
/// the caller fixes it; else the first message that says so does (see [`marked_tokens`]).
pub(crate) fn generation(
    shared: &Shared,
    kind: Kind,
    body: &[u8],
    true_output_tokens: Option<u32>,
) -> Result<Generation, ApiError> {
    let wire = parse(shared, body)?;
    if wire.n.is_some_and(|n| n != 1) {
        return Err(ApiError::invalid("n", "this engine makes one answer per request: set n to 1"));
    }
    let (text, answer_from, marked) = match kind {
        Kind::Chat => chat_text(&wire)?,
        Kind::Completion => {
            let text = plain_text("prompt", wire.prompt.as_ref())?;
            let (end, marked) = (text.len(), marked_tokens(&text));
            (text, end, marked)
        }
    };
    let prompt = Prompt::new(&text, answer_from, shared.config.limits.block_tokens);
    let (param, asked) = match (wire.max_completion_tokens, wire.max_tokens) {
        (Some(tokens), _) => ("max_completion_tokens", Some(tokens)),
        (None, tokens) => ("max_tokens", tokens),
    };
    let limit = match asked {
        None => None,
        Some(tokens) => match u32::try_from(tokens) {
            Ok(tokens) if tokens > 0 => Some(tokens),
            _ => return Err(ApiError::invalid(param, format!("{param} is {tokens}: ask for at least 1"))),
        },
    };
    let room = room_tokens(shared, &prompt, limit)?;
    let whole_tokens = true_output_tokens.or(marked).unwrap_or_else(|| drawn_tokens(shared, prompt.text_seed));
    let true_tokens = whole_tokens.saturating_sub(prompt.begun_words).max(1);
    Ok(Generation {
        kind,
        output_tokens: true_tokens.min(room),
        finish_reason: if true_tokens > room { "length" } else { "stop" },
        stream: wire.stream.unwrap_or(false),
        include_usage: wire.stream_options.is_some_and(|options| options.include_usage),
        prompt,
    })
}

/// Checks an embeddings request: the prompt of all inputs together, and a seed for each input's vector.
pub(crate) fn embedding(shared: &Shared, body: &[u8]) -> Result<(Prompt, Vec<u64>), ApiError> {
    let wire = parse(shared, body)?;
    let block_tokens = shared.config.limits.block_tokens;
    let texts = match &wire.input {
        Some(Value::Array(items)) if items.iter().all(Value::is_string) && !items.is_empty() => {
            items.iter().map(|item| plain_text("input", Some(item))).collect::<Result<Vec<_>, _>>()?
        }
        input => vec![plain_text("input", input.as_ref())?],
    };
    let seeds = texts.iter().map(|text| Prompt::new(text, text.len(), block_tokens).text_seed).collect();
    let prompt = Prompt::new(&texts.concat(), usize::MAX, block_tokens);
    room_tokens(shared, &prompt, None)?;
    Ok((prompt, seeds))
}

fn parse(shared: &Shared, body: &[u8]) -> Result<Wire, ApiError> {
    let wire: Wire = serde_json::from_slice(body).map_err(|error| ApiError {
        param: None,
        ..ApiError::invalid("", format!("the body does not parse: {error}"))
    })?;
    let served = &shared.config.model;
    match &wire.model {
        None => Err(ApiError::invalid("model", format!("name a model: this engine serves {served:?}"))),
        Some(model) if model != served => Err(ApiError {
            status: 404,
            code: Some("model_not_found"),
            ..ApiError::invalid("model", format!("the model {model:?} does not exist: this engine serves {served:?}"))
        }),
        Some(_) => Ok(wire),
    }
}

/// The text of all messages; where the answer it is to continue begins: at its end, unless the request asks to
/// continue a last message of the assistant; and the length of that answer, if a message fixes it.
fn chat_text(wire: &Wire) -> Result<(Vec<u8>, usize, Option<u32>), ApiError> {
    let messages = wire.messages.as_deref().unwrap_or_default();
    let Some(last) = messages.last() else {
        return Err(ApiError::invalid("messages", "messages must hold at least one message"));
    };
    let mut text = Vec::new();
    let (mut last_from, mut marked) = (0, None);
    for message in messages {
        last_from = text.len();
        match &message.content {
            Value::String(content) => text.extend_from_slice(content.as_bytes()),
            Value::Array(parts) => {
                // Images and audio have no text and count nothing.
                let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
                texts.for_each(|part| text.extend_from_slice(part.as_bytes()));
            }
            // A message of tool calls alone has none.
            _ => {}
        }
        marked = marked.or_else(|| marked_tokens(&text[last_from..]));
    }
    let continues = wire.continue_final_message && last.role == "assistant";
    let answer_from = if continues { last_from } else { text.len() };
    Ok((text, answer_from, marked))
}

/// A prompt that is a string, a list of one string, or a list of token numbers (four bytes each, so that they count
/// as one token each).
fn plain_text(param: &'static str, value: Option<&Value>) -> Result<Vec<u8>, ApiError> {
    let wrong = || ApiError::invalid(param, format!("{param} must be a string, a list of one string, or tokens"));
    match value {
        Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Array(items)) => match items.as_slice() {
            [Value::String(text)] => Ok(text.as_bytes().to_vec()),
            [] => Err(wrong()),
            tokens => {
                let mut bytes = Vec::with_capacity(tokens.len() * 4);
                for token in tokens {
                    let token = token.as_u64().and_then(|token| u32::try_from(token).ok()).ok_or_else(wrong)?;
                    bytes.extend_from_slice(&token.to_le_bytes());
                }
                Ok(bytes)
            }
        },
        _ => Err(wrong()),
    }
}

/// Tokens the answer may have: what the client allows, else what the context and KV memory leave.
fn room_tokens(shared: &Shared, prompt: &Prompt, limit: Option<u32>) -> Result<u32, ApiError> {
    // The last token of an answer needs no KV.
    let kv_tokens = u32::try_from(shared.kv_capacity_tokens).unwrap_or(u32::MAX).saturating_add(1);
    let context = shared.config.context_tokens.min(kv_tokens);
    let asked = limit.unwrap_or(1);
    if u64::from(prompt.tokens) + u64::from(asked) > u64::from(context) {
        let message = format!(
            "this model's maximum context length is {context} tokens, but the request has {} in the prompt and asks \
             for at least {asked} more: shorten the prompt or the answer",
            prompt.tokens
        );
        let error = ApiError::invalid("messages", message);
        return Err(ApiError { code: Some("context_length_exceeded"), ..error });
    }
    Ok(limit.unwrap_or(context - prompt.tokens))
}

/// Length of an answer nobody fixed: the configured mean, give or take half, by seed and prompt.
fn drawn_tokens(shared: &Shared, text_seed: u64) -> u32 {
    let mean = u64::from(shared.config.default_output_tokens.max(1));
    let drawn = mean / 2 + mix(text_seed ^ mix(shared.config.seed)) % (mean + 1);
    u32::try_from(drawn.max(1)).unwrap_or(u32::MAX)
}

/// The `usage` object.
pub(crate) fn usage(prompt_tokens: u32, output_tokens: u32, cached_tokens: u32) -> Value {
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": u64::from(prompt_tokens) + u64::from(output_tokens),
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    })
}

/// A whole answer, not streamed.
pub(crate) fn whole_answer(id: &str, created: u64, model: &str, generation: &Generation, cached_tokens: u32) -> Value {
    let mut text = Vec::with_capacity(generation.output_tokens as usize * 4);
    let begun = generation.prompt.begun_words;
    for index in 0..generation.output_tokens {
        push_word(generation.prompt.text_seed, begun + index, &mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let finish_reason = generation.finish_reason;
    let (object, choice) = match generation.kind {
        Kind::Chat => {
            let message = json!({"role": "assistant", "content": text});
            let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason});
            ("chat.completion", choice)
        }
        Kind::Completion => {
            ("text_completion", json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason}))
        }
    };
    let usage = usage(generation.prompt.tokens, generation.output_tokens, cached_tokens);
    json!({"id": id, "object": object, "created": created, "model": model, "choices": [choice], "usage": usage})
}
