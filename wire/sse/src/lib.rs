//! Server-sent events, split without being rewritten.
//!
//! The rules are the HTML standard's (section 9.2.6, interpreting an event stream): lines end with LF, CR or CRLF, an
//! empty line ends an event, one space after the colon is dropped, a leading byte order mark is ignored.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

/// One event with the bytes it came as, its empty line included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The bytes as they came.
    pub raw: &'a [u8],
    /// The `data` lines joined by LF; `None` when there is none (a comment, a heartbeat).
    pub data: Option<Cow<'a, [u8]>>,
    /// It calls itself an error: by its name (`event: error`), or in a field of that name, as TGI writes it.
    pub is_error: bool,
}

/// An event grew beyond [`EVENT_BYTES_MAX`] before its empty line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than the limit")]
pub struct TooLong;

/// Cuts a byte stream into runs of whole events.
#[derive(Debug, Default)]
pub struct Splitter {
    rest: BytesMut,
    /// How far `rest` has been looked at.
    lines: Lines,
    started: bool,
    after_cr: bool,
}

/// Longest event, in bytes: an image that a model made, or the log-probabilities of a whole answer, come as one. Whoever
/// holds many streams bounds what they hold together.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

impl Splitter {
    /// Takes the next bytes and returns those that end whole events, without copying where no event is cut by the
    /// border between two calls.
    ///
    /// # Errors
    /// An event is longer than [`EVENT_BYTES_MAX`].
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, TooLong> {
        if chunk.is_empty() {
            return Ok(chunk);
        }
        let whole = if self.rest.is_empty() {
            self.push_to_nothing(chunk)
        } else {
            self.rest.extend_from_slice(&chunk);
            if self.started {
                // A long event comes in thousands of pieces: none is looked at twice.
                let end = self.lines.last_event_end(&self.rest);
                self.rest.split_to(end).freeze()
            } else {
                let all = self.rest.split().freeze();
                self.push_to_nothing(all)
            }
        };
        self.after_cr = self.rest.is_empty() && whole.last() == Some(&b'\r');
        if self.rest.len() > EVENT_BYTES_MAX { Err(TooLong) } else { Ok(whole) }
    }

    /// The same while nothing is held.
    fn push_to_nothing(&mut self, mut chunk: Bytes) -> Bytes {
        // The LF of a CRLF whose CR ended the last event belongs to that event.
        if self.after_cr && chunk.first() == Some(&b'\n') {
            let _ = chunk.split_to(1);
        }
        if !self.start(&mut chunk) {
            return Bytes::new();
        }
        self.lines = Lines::default();
        let end = self.lines.last_event_end(&chunk);
        let whole = chunk.split_to(end);
        self.rest.extend_from_slice(&chunk);
        whole
    }

    /// Steps over a byte order mark; false while it may still be incomplete.
    fn start(&mut self, chunk: &mut Bytes) -> bool {
        const BOM: &[u8] = b"\xef\xbb\xbf";
        if self.started || chunk.is_empty() {
            return true;
        }
        if chunk.len() < BOM.len() && BOM.starts_with(chunk) {
            self.rest.extend_from_slice(chunk);
            return false;
        }
        if chunk.starts_with(BOM) {
            let _ = chunk.split_to(BOM.len());
        }
        self.started = true;
        true
    }

    /// Bytes held that end no event yet.
    pub fn held(&self) -> usize {
        self.rest.len()
    }

    /// What came after the last whole event. The standard discards it; a gateway must not take it for an event either.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }
}

/// How far a text that grows has been looked at for the ends of its lines.
#[derive(Debug, Clone, Copy, Default)]
struct Lines {
    /// Where the line begins that has not ended yet.
    start: usize,
    /// Up to where no line ends after that.
    seen: usize,
}

impl Lines {
    /// Where the last whole event ends; 0 when none does. From then on offsets count from there.
    fn last_event_end(&mut self, text: &[u8]) -> usize {
        let mut end = 0;
        let lf_only = memchr(b'\r', &text[self.seen..]).is_none();
        loop {
            let rest = &text[self.seen..];
            let next = if lf_only { memchr(b'\n', rest) } else { memchr2(b'\n', b'\r', rest) };
            let Some(n) = next else {
                self.seen = text.len();
                break;
            };
            let eol = self.seen + n;
            let mut at = eol + 1;
            if text[eol] == b'\r' {
                if text.get(at) == Some(&b'\n') {
                    at += 1;
                } else if at == text.len() && eol != self.start {
                    // Its LF may come with the next bytes.
                    self.seen = eol;
                    break;
                }
            }
            if eol == self.start {
                end = at;
            }
            (self.start, self.seen) = (at, at);
        }
        (self.start, self.seen) = (self.start - end, self.seen - end);
        end
    }
}

/// The events of a run that [`Splitter::push`] returned.
pub fn events(run: &[u8]) -> Events<'_> {
    Events { rest: run }
}

/// Iterator over whole events.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (run, mut at) = (self.rest, 0);
        let (mut data, mut is_error): (Option<Cow<'a, [u8]>>, bool) = (None, false);
        loop {
            let Some(n) = memchr2(b'\n', b'\r', &run[at..]) else {
                at = run.len();
                break;
            };
            let line = &run[at..at + n];
            at += n + 1;
            if run[at - 1] == b'\r' && run.get(at) == Some(&b'\n') {
                at += 1;
            }
            if line.is_empty() {
                break;
            }
            if let Some(text) = data_line(line) {
                data = Some(match data {
                    None => Cow::Borrowed(text),
                    Some(before) => {
                        let mut all = before.into_owned();
                        all.push(b'\n');
                        all.extend_from_slice(text);
                        Cow::Owned(all)
                    }
                });
            } else if line[0] == b'e' {
                is_error |= is_error_line(line);
            }
        }
        self.rest = &run[at..];
        Some(Event { raw: &run[..at], data, is_error })
    }
}

/// `event: error`, or a line whose field is `error`.
fn is_error_line(line: &[u8]) -> bool {
    let named = line.strip_prefix(b"event:").is_some_and(|name| name.trim_ascii() == b"error");
    named || line.strip_prefix(b"error").is_some_and(|rest| rest.first() == Some(&b':'))
}

fn data_line(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let rest = rest.strip_prefix(b":")?;
    Some(rest.strip_prefix(b" ").unwrap_or(rest))
}

#[cfg(test)]
mod tests;
