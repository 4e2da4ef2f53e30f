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

/// Most prompts or inputs of one request.
const PROMPTS_MAX: usize = 2_048;

/// Checks a chat or text completion: one generation, or one for each prompt of a list, in its order. `true_output_tokens` is the length the answer would have without a limit, where
/// the caller fixes it; else the first message that says so does (see [`marked_tokens`]).
pub(crate) fn generation(
    shared: &Shared,
    kind: Kind,
    body: &[u8],
    true_output_tokens: Option<u32>,
) -> Result<Vec<Generation>, ApiError> {
    let wire = parse(shared, body)?;
    if wire.n.is_some_and(|n| n != 1) {
        return Err(ApiError::invalid("n", "this engine makes one answer per request: set n to 1"));
    }
    let texts = match kind {
        Kind::Chat => vec![chat_text(&wire)?],
        Kind::Completion => {
            let texts = plain_texts("prompt", wire.prompt.as_ref())?;
            let whole = |text: Vec<u8>| (text.len(), marked_tokens(&text), text);
            texts.into_iter().map(whole).map(|(end, marked, text)| (text, end, marked)).collect()
        }
    };
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
    let one = |(text, answer_from, marked): (Vec<u8>, usize, Option<u32>)| {
        let prompt = Prompt::new(&text, answer_from, shared.config.limits.block_tokens);
        let room = room_tokens(shared, &prompt, limit)?;
        let whole_tokens = true_output_tokens.or(marked).unwrap_or_else(|| drawn_tokens(shared, prompt.text_seed));
        let true_tokens = whole_tokens.saturating_sub(prompt.begun_words).max(1);
        Ok(Generation {
            kind,
            output_tokens: true_tokens.min(room),
            finish_reason: if true_tokens > room { "length" } else { "stop" },
            stream: wire.stream.unwrap_or(false),
            include_usage: wire.stream_options.as_ref().is_some_and(|options| options.include_usage),
            prompt,
        })
    };
    texts.into_iter().map(one).collect()
}

/// Checks an embeddings request: its inputs, in their order.
pub(crate) fn embedding(shared: &Shared, body: &[u8]) -> Result<Vec<Prompt>, ApiError> {
    let wire = parse(shared, body)?;
    let one = |text: Vec<u8>| {
        let prompt = Prompt::new(&text, text.len(), shared.config.limits.block_tokens);
        room_tokens(shared, &prompt, None).map(|_| prompt)
    };
    plain_texts("input", wire.input.as_ref())?.into_iter().map(one).collect()
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

/// The texts of a string, a list of strings, a list of token numbers, or a list of such lists. A token number becomes
/// four bytes, so that it counts as one token.
fn plain_texts(param: &'static str, value: Option<&Value>) -> Result<Vec<Vec<u8>>, ApiError> {
    let wrong = || {
        let message = format!("{param} must be a string, a list of strings, a list of tokens, or a list of such lists");
        ApiError::invalid(param, message)
    };
    let tokens = |value: &Value| -> Option<Vec<u8>> {
        let items = value.as_array().filter(|items| !items.is_empty())?;
        let token = |item: &Value| item.as_u64().and_then(|token| u32::try_from(token).ok()).map(u32::to_le_bytes);
        items.iter().map(token).collect::<Option<Vec<_>>>().map(|tokens| tokens.concat())
    };
    let text = |value: &Value| value.as_str().map(|text| text.as_bytes().to_vec());
    match value {
        Some(Value::Array(items)) if items.len() > PROMPTS_MAX && !items.iter().all(Value::is_u64) => {
            Err(ApiError::invalid(param, format!("{param} holds {} items: at most {PROMPTS_MAX}", items.len())))
        }
        Some(Value::Array(items)) if items.first().is_some_and(|item| item.is_string()) => {
            items.iter().map(text).collect::<Option<_>>().ok_or_else(wrong)
        }
        Some(Value::Array(items)) if items.first().is_some_and(|item| item.is_array()) => {
            items.iter().map(tokens).collect::<Option<_>>().ok_or_else(wrong)
        }
        Some(value) => Ok(vec![text(value).or_else(|| tokens(value)).ok_or_else(wrong)?]),
        None => Err(wrong()),
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

/// A whole answer, not streamed: a choice for each generation.
pub(crate) fn whole_answer(id: &str, created: u64, model: &str, generations: &[Generation], cached: u32) -> Value {
    let object = match generations.first().map(|generation| generation.kind) {
        Some(Kind::Completion) => "text_completion",
        Some(Kind::Chat) | None => "chat.completion",
    };
    let choices: Vec<Value> = generations.iter().enumerate().map(choice).collect();
    let prompt_tokens = generations.iter().map(|generation| generation.prompt.tokens).sum();
    let usage = usage(prompt_tokens, generations.iter().map(|generation| generation.output_tokens).sum(), cached);
    json!({"id": id, "object": object, "created": created, "model": model, "choices": choices, "usage": usage})
}

fn choice((index, generation): (usize, &Generation)) -> Value {
    let mut text = Vec::with_capacity(generation.output_tokens as usize * 4);
    let begun = generation.prompt.begun_words;
    for index in 0..generation.output_tokens {
        push_word(generation.prompt.text_seed, begun + index, &mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let finish_reason = generation.finish_reason;
    match generation.kind {
        Kind::Chat => {
            let message = json!({"role": "assistant", "content": text});
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish_reason})
        }
        Kind::Completion => json!({"index": index, "text": text, "logprobs": null, "finish_reason": finish_reason}),
    }
}
