//! What an engine says when it does not serve, in every form seen in the field: OpenAI's error object, those of vLLM,
//! SGLang, llama.cpp, TGI, FastAPI and Anthropic, in a body of their own or inside an event.

use serde_json::Value;

/// An engine's error, as far as it says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineError {
    /// The HTTP status that it names itself, or that follows from its type.
    pub status: Option<u16>,
    /// Its code, if that is a word.
    pub code: Option<String>,
    /// The field of the request at fault.
    pub param: Option<String>,
    /// Its words. They may name files, addresses and secrets: see [`scrub`].
    pub message: String,
    /// It says that the request does not fit the context, and what fits, in tokens, as far as it says so.
    pub context: Option<ContextLimit>,
}

/// What an engine says of a request that does not fit its context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContextLimit {
    /// Tokens that fit.
    pub limit: Option<u64>,
    /// Tokens that the request has.
    pub requested: Option<u64>,
}

impl EngineError {
    /// Reads the error in a body or in the data of an event; `None` when it holds none.
    pub fn read(text: &[u8]) -> Option<Self> {
        Self::of(&serde_json::from_slice(text).ok()?)
    }

    /// The same of a value that has been parsed.
    pub fn of(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let error = object.get("error").filter(|e| is_said(e));
        let is_kind = |key: &str| object.get(key).and_then(Value::as_str) == Some("error");
        let has_choices = object.get("choices").is_some_and(|c| !c.is_null());
        let is_bare = !has_choices
            && (object.get("detail").is_some_and(is_said)
                || object.get("errors").is_some_and(is_said)
                || object.get("message").is_some_and(is_said)
                    && (object.contains_key("code") || object.contains_key("status")));
        if error.is_none() && !is_kind("object") && !is_kind("type") && !is_bare {
            return None;
        }
        Some(Self::from_parts(value, error.unwrap_or(value)))
    }

    fn from_parts(outer: &Value, inner: &Value) -> Self {
        let of = |key: &str| inner.get(key).or_else(|| outer.get(key)).filter(|v| is_said(v) || v.is_number());
        let message = match inner {
            Value::String(text) => text.clone(),
            _ => of("message").or_else(|| of("detail")).or_else(|| of("errors")).map(words).unwrap_or_default(),
        };
        let kind = of("type").or_else(|| of("error_type")).and_then(Value::as_str).unwrap_or_default();
        let code = of("code").and_then(Value::as_str).filter(|c| c.parse::<u16>().is_err());
        let status =
            [of("code"), of("status"), of("status_code"), of("http_status")].into_iter().flatten().find_map(number);
        let is_context = code == Some("context_length_exceeded") || kind == "exceed_context_size_error";
        let context = context_limit(&message).or(is_context.then(ContextLimit::default));
        let field = |key: &str| of(key).and_then(Value::as_u64);
        let context = context.map(|c| ContextLimit {
            limit: field("n_ctx").or(c.limit),
            requested: field("n_prompt_tokens").or(c.requested),
        });
        Self {
            status: status.or_else(|| status_of(kind)),
            code: code.map(str::to_owned),
            param: of("param").and_then(Value::as_str).map(str::to_owned),
            message,
            context,
        }
    }
}

/// A value that says something: not `null`, `false`, empty, or a number.
fn is_said(value: &Value) -> bool {
    match value {
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        Value::Bool(said) => *said,
        Value::Null | Value::Number(_) => false,
    }
}

/// The words of a message that may be a list of problems, as FastAPI writes it.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(words).filter(|w| !w.is_empty()).collect::<Vec<_>>().join("; "),
        Value::Object(one) => one.get("msg").or_else(|| one.get("message")).map(words).unwrap_or_default(),
        _ => String::new(),
    }
}

fn number(value: &Value) -> Option<u16> {
    let status = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(status).ok().filter(|s| (400..=599).contains(s))
}

/// The status that an error's type stands for.
fn status_of(kind: &str) -> Option<u16> {
    let kind = kind.to_ascii_lowercase();
    let has = |word: &str| kind.contains(word);
    if has("badrequest") || has("invalid_request") || has("validation") || has("exceed_context") || has("unprocessable")
    {
        Some(400)
    } else if has("notfound") || has("not_found") {
        Some(404)
    } else if has("authentication") {
        Some(401)
    } else if has("permission") {
        Some(403)
    } else if has("ratelimit") || has("rate_limit") {
        Some(429)
    } else if has("overload") || has("unavailable") {
        Some(503)
    } else {
        None
    }
}

/// Words by which engines say that a request does not fit, each followed by the limit where one stands there.
const CONTEXT_WORDS: [&str; 14] = [
    "maximum context length is",
    "maximum context length of",
    "maximum context length",
    "max context length",
    "model's context length",
    "model context length",
    "context length of only",
    "available context size",
    "maximum model length",
    "max_model_len",
    "context window",
    "`inputs` tokens + `max_new_tokens` must be <=",
    "prompt is too long",
    "maximum allowed input length",
];

/// The limit in a message that says that a request does not fit the context.
fn context_limit(message: &str) -> Option<ContextLimit> {
    let text = message.to_ascii_lowercase();
    let (at, word) = CONTEXT_WORDS.iter().find_map(|word| text.find(word).map(|at| (at, word)))?;
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit())
            .filter(|d| d.len() > 1 && d.len() < 12)
            .filter_map(|d| d.parse().ok())
            .collect()
    };
    let limit = numbers(&text[at + word.len()..]).first().copied();
    let requested = numbers(&text).into_iter().filter(|n| limit.is_some_and(|l| *n > l)).max();
    Some(ContextLimit { limit, requested })
}

/// Longest message that is passed on, in characters.
const MESSAGE_MAX: usize = 500;

/// An engine's words without what is nobody else's business: addresses, files, credentials. What stays is at most 500
/// characters of the first paragraph, and nothing of a stack trace.
pub fn scrub(message: &str) -> String {
    let first = message.split("Traceback (most recent call last)").next().unwrap_or_default();
    let first = first.split("\n\n").next().unwrap_or_default().trim();
    let mut out = String::with_capacity(first.len().min(4 * MESSAGE_MAX));
    let is_border = |c: char| c.is_whitespace() || c.is_control() || "'\"`()[]{}<>,;=|".contains(c);
    let mut after_bearer = false;
    for piece in first.split_inclusive(is_border) {
        let border = piece.chars().next_back().filter(|c| is_border(*c));
        let word = &piece[..piece.len() - border.map_or(0, char::len_utf8)];
        out.push_str(if after_bearer && !word.is_empty() { "[secret]" } else { scrubbed(word) });
        if !word.is_empty() {
            after_bearer = word.eq_ignore_ascii_case("bearer");
        }
        out.extend(border.map(|c| if c.is_control() { ' ' } else { c }));
        if out.len() > 4 * MESSAGE_MAX {
            break;
        }
    }
    match out.char_indices().nth(MESSAGE_MAX) {
        Some((at, _)) => format!("{}…", &out[..at]),
        None => out,
    }
}

fn scrubbed(word: &str) -> &str {
    let bare = word.trim_end_matches(['.', ':', '!', '?']);
    if bare.contains("://") || is_address(bare) || bare.contains('@') && bare.contains('.') {
        "[address]"
    } else if is_path(bare) {
        "[path]"
    } else if is_secret(bare) {
        "[secret]"
    } else {
        word
    }
}

/// An IP address, or a host name with a port or several labels, none of which begins with a digit as a version does.
fn is_address(word: &str) -> bool {
    let (host, port) = word.rsplit_once(':').map_or((word, None), |(h, p)| (h, Some(p)));
    let has_port = port.is_some_and(|p| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    let host = if has_port { host } else { word };
    if word.parse::<std::net::IpAddr>().is_ok() || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let is_name = |l: &&str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let all_names = labels.iter().all(is_name);
    let internal =
        ["local", "internal", "lan", "corp", "svc", "cluster", "intra", "home", "com", "net", "org", "io", "ai", "dev"];
    all_names
        && (has_port
            && host.parse::<f64>().is_err()
            && labels.iter().all(|l| l.bytes().any(|b| b.is_ascii_alphabetic()))
            || labels.len() > 1 && labels.last().is_some_and(|l| internal.contains(l)))
}

/// A file of the engine's machine.
fn is_path(word: &str) -> bool {
    let separators = word.bytes().filter(|b| *b == b'/').count();
    let rooted = word.starts_with('/') && (separators > 1 || word.contains('.'));
    let relative = word.starts_with("./") || word.starts_with("../") || word.starts_with("~/");
    let windows = word.get(1..3) == Some(":\\") || word.starts_with("\\\\");
    let script = [".py", ".rs", ".cpp", ".cu", ".so", ".safetensors", ".gguf"].iter().any(|end| word.ends_with(end));
    rooted || relative || windows || script && separators > 0
}

/// A credential, or what looks like one: a known beginning, or a long run of letters and digits that is no word.
fn is_secret(word: &str) -> bool {
    let known = ["sk-", "hf_", "ghp_", "gsk_", "xoxb-", "AKIA", "eyJ", "nvapi-"].iter().any(|p| word.starts_with(p));
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.+/".contains(&b);
    let mixed = word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
    known && word.len() > 8 || word.len() >= 32 && mixed && word.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> EngineError {
        EngineError::read(text.as_bytes()).unwrap_or_else(|| panic!("no error in {text}"))
    }

    #[test]
    fn c6_errors_are_read_by_structure_in_every_form() {
        for (text, status, message) in [
            (r#"{"error":{"message":"m","type":"BadRequestError","param":"p","code":400}}"#, Some(400), "m"),
            (r#"{"object":"error","message":"m","type":"NotFoundError","param":null,"code":404}"#, Some(404), "m"),
            (r#"{"error":"m","error_type":"validation"}"#, Some(400), "m"),
            (r#"{"error":"m"}"#, None, "m"),
            (r#"{"detail":"m"}"#, None, "m"),
            (r#"{"detail":[{"loc":["body"],"msg":"a"},{"msg":"b"}]}"#, None, "a; b"),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, Some(503), "m"),
            (r#"{"choices":[],"error":{"message":"m","code":"422"}}"#, Some(422), "m"),
            (r#"{"code":500,"message":"m"}"#, Some(500), "m"),
            (r#"{"error":{"code":503,"message":"m","type":"unavailable_error"}}"#, Some(503), "m"),
        ] {
            let error = read(text);
            assert_eq!((error.status, error.message.as_str()), (status, message), "{text}");
        }
        for fine in [
            r#"{"choices":[],"error":null}"#,
            r#"{"error":{}}"#,
            r#"{"error":""}"#,
            r#"{"error":false}"#,
            "[]",
            "1",
            "{}",
            "x",
            r#"{"choices":[],"message":"m","code":1}"#,
        ] {
            assert_eq!(EngineError::read(fine.as_bytes()), None, "{fine}");
        }
    }

    #[test]
    fn b5_a_context_that_is_too_short_is_told_with_both_numbers() {
        let of = |message: &str| read(&serde_json::json!({"error": {"message": message}}).to_string()).context;
        let both = |limit, requested| Some(ContextLimit { limit: Some(limit), requested: Some(requested) });
        for (message, want) in [
            (
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the messages, 100 in the completion).",
                both(4096, 5000),
            ),
            ("The input (9001 tokens) is longer than the model's context length (8192 tokens).", both(8192, 9001)),
            (
                "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 9000 tokens: 8800 tokens from the input messages and 200 tokens for the completion.",
                both(8192, 9000),
            ),
            (
                "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 10 `max_new_tokens`",
                both(4096, 5000),
            ),
            ("the request exceeds the available context size, try increasing it", Some(ContextLimit::default())),
            ("The temperature must be below 2", None),
        ] {
            assert_eq!(of(message), want, "{message}");
        }
        let llama = r#"{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (8192 tokens)","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}"#;
        assert_eq!(read(llama).context, both(8192, 9000));
        assert_eq!(
            read(r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#).context,
            Some(ContextLimit::default())
        );
    }

    #[test]
    fn c5_what_is_passed_on_names_no_address_no_file_and_no_secret() {
        for (words, want) in [
            ("Unsupported value: 'logit_bias' is 3.5", "Unsupported value: 'logit_bias' is 3.5"),
            ("cannot reach http://10.0.0.7:8000/v1 now", "cannot reach [address] now"),
            ("worker 10.1.2.3:29500 and node-3.gpu.internal failed", "worker [address] and [address] failed"),
            ("connect to gpu-7:29500", "connect to [address]"),
            ("File \"/opt/vllm/engine.py\", line 3", "File \"[path]\", line 3"),
            ("loading ./models/x and vllm/worker/model.py", "loading [path] and [path]"),
            ("key sk-abcdefgh1234 is bad", "key [secret] is bad"),
            ("Authorization: Bearer abc", "Authorization: Bearer [secret]"),
            ("mail ops@example.com", "mail [address]"),
            ("token 0123456789abcdef0123456789abcdef", "token [secret]"),
            ("model meta-llama/Llama-3.1-8B has no tools; 1/2", "model meta-llama/Llama-3.1-8B has no tools; 1/2"),
            ("bad\nTraceback (most recent call last):\n  File \"/x/y.py\"", "bad"),
        ] {
            assert_eq!(scrub(words), want);
        }
        assert_eq!(scrub(&"word ".repeat(1_000)).chars().count(), MESSAGE_MAX + 1);
    }
}
