//! How large a prompt is, as far as its text tells, and what a model must be able to read to take it.

use std::ops::Range;

use memchr::memmem;

use super::{MESSAGES_MAX, Refusal, Scan, inside};
use crate::json::{Kind, UNITS, Walker, unescape};

/// The size of a prompt. A list of inputs is several prompts: each must fit a model by itself, and all are paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Inputs; a conversation is one.
    pub inputs: u64,
    /// Tokens of text, all inputs together: a first estimate by script.
    pub text: u64,
    /// The same of the input with the most.
    pub longest_text: u64,
    /// Token ids, all inputs together: they are counted, not estimated.
    pub ids: u64,
    /// The same of the input with the most.
    pub longest_ids: u64,
    /// Images, recordings, videos and files.
    pub media: u64,
    /// Images, videos or files are among them.
    pub images: bool,
    /// Recordings are among them.
    pub audio: bool,
    /// The engine is asked to cut what is too long, so that no count says that it does not fit.
    pub truncated: bool,
}

/// Tokens that an engine's template writes around a message.
const MESSAGE_TOKENS: u64 = 4;

/// An estimate of text is at most this many times too large, whatever the vocabulary: the longest entries of those in use
/// are runs of 128 spaces, which count 32 tokens here.
const TOO_LARGE_MAX: u64 = 32;

impl Prompt {
    /// Takes one more input: text, in units, or token ids.
    fn add(&mut self, units: u64, ids: u64) {
        let text = units.div_ceil(UNITS);
        self.inputs += 1;
        self.text += text;
        self.longest_text = self.longest_text.max(text);
        self.ids += ids;
        self.longest_ids = self.longest_ids.max(ids);
    }

    /// Text that stands before the prompt: the tools of a conversation.
    pub(super) fn preamble(&mut self, units: u64) {
        self.text += units.div_ceil(UNITS);
        self.longest_text += units.div_ceil(UNITS);
    }

    /// Tokens that the longest input has at least, whatever the engine's vocabulary. One that reads words and not bytes, as
    /// those of embedding models do, may take any text for a single token.
    #[must_use]
    pub fn certain_tokens(&self, reads_words: bool) -> u64 {
        if self.truncated {
            return 1;
        }
        let text = if reads_words { 0 } else { self.longest_text / TOO_LARGE_MAX };
        self.longest_ids.max(text).max(1)
    }
}

/// Walks a text, a list of texts, a list of token ids or a list of such lists.
pub(super) fn inputs(w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<(), Refusal> {
    let is_list = w.next_is(b'[');
    let is_ids = || body[w.at() + 1..].trim_ascii_start().first().is_some_and(|b| b.is_ascii_digit() || *b == b']');
    if !is_list || is_ids() {
        let before = w.tally;
        s.prompt_span = w.value()?.1;
        s.prompt.add(w.tally.text - before.text, w.tally.numbers - before.numbers);
        return Ok(());
    }
    s.prompt_span = w.elements::<Refusal>(|w, _| {
        let before = w.tally;
        part_or_other(w, body, &mut s.prompt)?;
        s.prompt.add(w.tally.text - before.text, w.tally.numbers - before.numbers);
        Ok(())
    })?;
    Ok(())
}

/// Walks a conversation.
pub(super) fn messages(w: &mut Walker<'_>, body: &[u8], s: &mut Scan) -> Result<(), Refusal> {
    if !w.next_is(b'[') {
        return Err(Refusal::Field("messages", "must be an array of messages"));
    }
    let before = w.tally.text;
    let mut first = 0..0;
    let span = w.elements::<Refusal>(|w, i| {
        if i == MESSAGES_MAX {
            return Err(Refusal::Field("messages", "holds too many messages"));
        }
        if !w.next_is(b'{') {
            return Err(Refusal::Field("messages", "must hold objects with `role` and `content`"));
        }
        s.messages = i + 1;
        let span = w.members::<Refusal>(|w, _, name| match name {
            "content" => content(w, body, &mut s.prompt),
            _ => other(w),
        })?;
        if i == 0 {
            first = span;
        }
        Ok(())
    })?;
    if s.messages == 0 {
        return Err(Refusal::Field("messages", "must hold at least one message"));
    }
    s.prompt.add(w.tally.text - before + s.messages as u64 * MESSAGE_TOKENS * UNITS, 0);
    s.prompt_span = span;
    s.left_out = billing_text(body, first);
    Ok(())
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
