//! What the mocks say: OpenAI's shapes with tokens that can be counted and told apart.

use serde_json::{Value, json};

use crate::MODEL;

/// Prompt tokens that every answer states.
pub const PROMPT_TOKENS: u64 = 11;

/// A token's text; token 1 is the first.
pub fn token(n: usize) -> String {
    format!("t{n} ")
}

/// The text of the first `n` tokens.
pub fn text(n: usize) -> String {
    (1..=n).map(token).collect()
}

/// One event of a stream, as bytes.
pub fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn chunk(speaker: &str, choices: &Value) -> Value {
    json!({"id": format!("chatcmpl-{speaker}"), "object": "chat.completion.chunk", "created": 1_700_000_000u64,
        "model": MODEL, "choices": choices})
}

/// The frame that opens a stream: a role and no content.
pub fn role(speaker: &str) -> String {
    let delta = json!({"role": "assistant", "content": ""});
    event(&chunk(speaker, &json!([{"index": 0, "delta": delta, "finish_reason": null}])).to_string())
}

/// A token of a stream.
pub fn said(speaker: &str, text: &str) -> String {
    let delta = json!({"content": text});
    event(&chunk(speaker, &json!([{"index": 0, "delta": delta, "finish_reason": null}])).to_string())
}

/// The frame that ends the text.
pub fn finish(speaker: &str) -> String {
    event(&chunk(speaker, &json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])).to_string())
}

/// Tokens of an answer of `n` tokens.
pub fn usage(n: usize) -> Value {
    json!({"prompt_tokens": PROMPT_TOKENS, "completion_tokens": n, "total_tokens": PROMPT_TOKENS + n as u64})
}

/// The frame that states the usage.
pub fn usage_frame(speaker: &str, n: usize) -> String {
    let mut frame = chunk(speaker, &json!([]));
    frame["usage"] = usage(n);
    event(&frame.to_string())
}

/// The end marker.
pub fn done() -> String {
    event("[DONE]")
}

/// A whole stream of `n` tokens.
pub fn stream(speaker: &str, n: usize, with_usage: bool) -> String {
    let mut out = role(speaker);
    (1..=n).for_each(|i| out.push_str(&said(speaker, &token(i))));
    out.push_str(&finish(speaker));
    if with_usage {
        out.push_str(&usage_frame(speaker, n));
    }
    out + &done()
}

/// A plain answer of `n` tokens, in the shape of the path it was asked on.
pub fn plain(speaker: &str, path: &str, n: usize) -> String {
    let id = format!("chatcmpl-{speaker}");
    let answer = match path {
        "/v1/embeddings" => json!({"object": "list", "model": MODEL, "usage": usage(0),
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}]}),
        "/v1/messages" => json!({"id": "msg_own", "type": "message", "role": "assistant", "model": MODEL,
            "content": [{"type": "text", "text": text(n)}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": n}}),
        "/v1/responses" => json!({"id": "resp_own", "object": "response", "status": "completed", "model": MODEL,
            "error": null, "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": n}, "output": [{"type": "message",
            "role": "assistant", "content": [{"type": "output_text", "text": text(n), "annotations": []}]}]}),
        "/v1/completions" => json!({"id": id, "object": "text_completion", "model": MODEL, "usage": usage(n),
            "choices": [{"index": 0, "text": text(n), "finish_reason": "stop"}]}),
        _ => return plain_saying(speaker, &text(n), n),
    };
    answer.to_string()
}

/// A plain chat answer with this text, which is said to have `n` tokens.
pub fn plain_saying(speaker: &str, text: &str, n: usize) -> String {
    json!({"id": format!("chatcmpl-{speaker}"), "object": "chat.completion", "model": MODEL, "usage": usage(n),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
    .to_string()
}

/// The text that the events of a stream say together.
pub fn text_of(events: &[String]) -> String {
    let said = |data: &String| {
        let v: Value = serde_json::from_str(data).unwrap_or_default();
        v["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
    };
    events.iter().filter_map(said).collect()
}

/// A chat request.
pub fn ask(stream: bool) -> Value {
    json!({"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "How do sailors hold a course?"}]})
}
