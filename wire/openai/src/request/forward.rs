//! The body as an endpoint gets it: the client's bytes but for a few edits.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::Scan;
use crate::error::quote;

/// What is changed in a body before it goes to an endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edits<'a> {
    /// The model's name as the endpoint knows it.
    pub model: &'a str,
    /// Ask for the usage chunk of a stream: the usage record needs it whether or not the client does.
    pub ask_usage: bool,
    /// The member that sets the longest answer, and how long it may be where the client sets none.
    pub most_tokens: Option<(&'static str, u64)>,
    /// Parameters of the engine's own that clients may set there: bits by their place in the list given to
    /// [`super::scan`].
    pub allowed: u64,
    /// Keeps the engine's cache of this tenant apart from the others'.
    pub cache_salt: Option<&'a str>,
}

/// The edited body, in pieces; the same bytes where nothing changes. No key is written that stands in it already.
pub fn forward(body: &Bytes, s: &Scan, with: &Edits<'_>) -> Vec<Bytes> {
    let mut edits: Vec<(Range<usize>, Cow<'static, str>)> = Vec::new();
    let front = s.body_start..s.body_start;
    if let Some((field, most)) = with.most_tokens.filter(|_| s.request.max_tokens.is_none()) {
        edits.push(match &s.max_tokens_null {
            Some(span) => (span.clone(), most.to_string().into()),
            None => (front.clone(), format!("\"{field}\":{most},").into()),
        });
    }
    if let Some(salt) = with.cache_salt {
        edits.push((front.clone(), format!("\"cache_salt\":{},", quote(salt)).into()));
    }
    if with.model != s.request.model {
        let name = if s.is_form { with.model.to_owned() } else { quote(with.model) };
        edits.push((s.model_span.clone(), name.into()));
    }
    if !s.cut.is_empty() {
        edits.extend(cuts(body, s, with.allowed).into_iter().map(|span| (span, Cow::Borrowed(""))));
    }
    if with.ask_usage && s.request.stream && !s.include_usage {
        match &s.stream_options_span {
            Some(span) => edits.push((span.clone(), with_usage(&body[span.clone()]).into())),
            None => edits.push((front, Cow::Borrowed("\"stream_options\":{\"include_usage\":true},"))),
        }
    }
    splice(body, edits)
}

fn splice(body: &Bytes, mut edits: Vec<(Range<usize>, Cow<'static, str>)>) -> Vec<Bytes> {
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

/// What is cut out, so that what is left is JSON: neighbours together, with one of the commas around them.
fn cuts(body: &[u8], s: &Scan, allowed: u64) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for cut in s.cut.iter().filter(|c| c.param.is_none_or(|p| allowed & (1 << p) == 0)) {
        match out.last_mut() {
            Some(last) if body[last.end..cut.span.start].iter().all(|b| *b == b',' || b.is_ascii_whitespace()) => {
                last.end = cut.span.end;
            }
            _ => out.push(cut.span.clone()),
        }
    }
    out.into_iter().map(|cut| widen(body, &cut)).collect()
}

/// Members' span with one of the commas around them.
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
