//! How large a prompt is, as far as its text tells, and what a model must be able to read to take it.

use std::ops::Range;

use memchr::memmem;

use super::{MESSAGES_MAX, Refusal, Scan, inside, is_text};
use rhumb_api::Prompt;
use rhumb_json::{Kind, UNITS, Walker, unescape};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Tokens that an engine's template writes around a message.
const MESSAGE_TOKENS: u64 = 4;

/// Walks a text, a list of texts, a list of token ids or a list of such lists.
pub(super) fn inputs(w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<(), Refusal> {
    let is_list = w.next_is(b'[');
    let is_ids = || body[w.at() + 1..].trim_ascii_start().first().is_some_and(|b| b.is_ascii_digit() || *b == b']');
    if !is_list || is_ids() {
        let before = w.tally;
        s.prompt_span = w.value()?.1;
        s.request.prompt.add((w.tally.text - before.text).div_ceil(UNITS), w.tally.numbers - before.numbers);
        return Ok(());
    }
    s.prompt_span = w.elements::<Refusal>(|w, _| {
        let before = w.tally;
        part_or_other(w, body, &mut s.request.prompt)?;
        s.request.prompt.add((w.tally.text - before.text).div_ceil(UNITS), w.tally.numbers - before.numbers);
        Ok(())
    })?;
    Ok(())
}

/// Walks one of several members that hold what a model reads.
pub(super) fn more_inputs(w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<(), Refusal> {
    let before = s.prompt_span.clone();
    inputs(w, body, s)?;
    if !before.is_empty() {
        s.prompt_span = before.start.min(s.prompt_span.start)..before.end.max(s.prompt_span.end);
    }
    Ok(())
}

/// Walks a conversation.
pub(super) fn messages(w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<(), Refusal> {
    if !w.next_is(b'[') {
        return Err(Refusal::Field("messages", "must be an array of messages"));
    }
    let before = w.tally.text;
    let (mut first, mut messages, mut last_calls) = (0..0, 0_u64, 0);
    let span = w.elements::<Refusal>(|w, i| {
        if i == MESSAGES_MAX {
            return Err(Refusal::Field("messages", "holds too many messages"));
        }
        if !w.next_is(b'{') {
            return Err(Refusal::Field("messages", "must hold objects with `role` and `content`"));
        }
        messages += 1;
        let (mut calls, mut is_user) = (None, false);
        let span = w.members::<Refusal>(|w, _, name| match name {
            "content" => content(w, body, &mut s.request.prompt),
            "role" => {
                is_user = is_text(body, w.value()?.1, "user");
                Ok(())
            }
            "tool_calls" => {
                calls = tool_calls(w, body)?;
                Ok(())
            }
            _ => other(w),
        })?;
        if let Some(calls) = calls {
            let is_same = s.request.repeats > 0 && calls == last_calls;
            s.request.repeats = if is_same { s.request.repeats + 1 } else { 1 };
            last_calls = calls;
        } else if is_user {
            s.request.repeats = 0;
        }
        if i == 0 {
            first = span;
        }
        Ok(())
    })?;
    if messages == 0 {
        return Err(Refusal::Field("messages", "must hold at least one message"));
    }
    s.request.prompt.add((w.tally.text - before).div_ceil(UNITS) + messages * MESSAGE_TOKENS, 0);
    s.prompt_span = span;
    s.left_out = billing_text(body, first);
    Ok(())
}

/// Walks the calls of a message. The hash of what they call, without their identifiers; `None` where they are none.
fn tool_calls(w: &mut Walker<'_>, body: &[u8]) -> Result<Option<u64>, Refusal> {
    if !w.next_is(b'[') {
        other(w)?;
        return Ok(None);
    }
    let mut calls = None;
    w.elements::<Refusal>(|w, _| {
        if !w.next_is(b'{') {
            return other(w);
        }
        w.members::<Refusal>(|w, _, name| {
            let (_, span) = w.value()?;
            if name == "function" {
                calls = Some(xxh3_64_with_seed(&body[span], calls.unwrap_or(0)));
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(calls)
}

/// Walks the content of a message: a text, or a list of parts. A part may hold content itself, as a tool's result does.
fn content(w: &mut Walker<'_>, body: &[u8], prompt: &mut Prompt) -> Result<(), Refusal> {
    if !w.next_is(b'[') {
        return part_or_other(w, body, prompt);
    }
    w.elements::<Refusal>(|w, _| part_or_other(w, body, prompt))?;
    Ok(())
}

/// Walks a content part, or a value that is none.
fn part_or_other(w: &mut Walker<'_>, body: &[u8], prompt: &mut Prompt) -> Result<(), Refusal> {
    if w.next_is(b'{') { part(w, body, prompt) } else { other(w) }
}

/// Walks a value of which nothing is wanted but its text.
fn other(w: &mut Walker<'_>) -> Result<(), Refusal> {
    w.value()?;
    Ok(())
}

/// What a content part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    /// An image, a video, or a file, of which models see the pages.
    Image,
    Audio,
}

impl Part {
    /// By its `type`, or by the member that holds it.
    fn named(name: &str) -> Option<Self> {
        match name {
            "text" | "input_text" | "output_text" => Some(Self::Text),
            "image" | "image_url" | "input_image" | "image_embeds" | "image_pil" | "video" | "video_url"
            | "input_video" | "file" | "file_url" | "input_file" | "document" => Some(Self::Image),
            "audio" | "audio_url" | "input_audio" | "audio_embeds" => Some(Self::Audio),
            _ => None,
        }
    }
}

/// Walks a content part. What it is says its `type`; where that is absent, engines go by the names of its members. What
/// stands in an image or a recording is no text, in whatever form it is written.
fn part(w: &mut Walker<'_>, body: &[u8], prompt: &mut Prompt) -> Result<(), Refusal> {
    let before = w.tally.text;
    let (mut typed, mut by_member) = (None, None);
    w.members::<Refusal>(|w, _, name| {
        if name == "content" {
            return content(w, body, prompt);
        }
        if by_member.is_none_or(|m| m == Part::Text) {
            by_member = Part::named(name).or(by_member);
        }
        let (kind, span) = w.value()?;
        if name == "type" && matches!(kind, Kind::String { .. }) {
            typed = Some(Part::named(&unescape(inside(body, &span))).unwrap_or(Part::Text));
        }
        Ok(())
    })?;
    let what = typed.or(by_member).unwrap_or(Part::Text);
    if what != Part::Text {
        w.tally.text = before;
        prompt.media += 1;
        prompt.images |= what == Part::Image;
        prompt.audio |= what == Part::Audio;
    }
    Ok(())
}

/// How a text begins that Claude Code puts before its system prompt, and in which a number changes with every request.
const BILLING: &[u8] = b"\"x-anthropic-billing-header:";

/// Where that text may begin in the first message, in bytes: behind the role and the part's type.
const BILLING_WITHIN: usize = 1_024;

/// Where that text stands in the first message, if it does: up to the end of its line or of its string.
fn billing_text(body: &[u8], first: Range<usize>) -> Range<usize> {
    let near = &body[first.start..first.end.min(first.start + BILLING_WITHIN)];
    let Some(at) = memmem::find(near, BILLING) else { return 0..0 };
    let start = first.start + at + 1;
    let mut end = start;
    while let Some(n) = memchr::memchr2(b'"', b'\\', &body[end..first.end]) {
        end += n;
        if body[end] == b'"' || body[end + 1] == b'n' {
            return start..end;
        }
        end += 2;
    }
    0..0
}
