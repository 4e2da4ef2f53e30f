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
}

impl Event<'_> {
    /// The end marker of OpenAI's streams.
    pub fn is_done(&self) -> bool {
        self.data.as_deref() == Some(b"[DONE]")
    }

    /// The event carries an error object instead of a piece of an answer.
    pub fn is_error(&self) -> bool {
        self.data.as_deref().is_some_and(|d| {
            let d = d.trim_ascii_start();
            d.strip_prefix(b"{").is_some_and(|d| d.trim_ascii_start().starts_with(b"\"error\""))
        })
    }
}

/// An event grew beyond the limit before its empty line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than the limit")]
pub struct TooLong;

/// Cuts a byte stream into runs of whole events.
#[derive(Debug, Default)]
pub struct Splitter {
    rest: BytesMut,
    started: bool,
    after_cr: bool,
}

/// Longest event, in bytes. A piece of an answer is far smaller; a tool call's arguments in one piece may not be.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

impl Splitter {
    /// Takes the next bytes and returns those that end whole events, without copying where no event is cut by the
    /// border between two calls.
    ///
    /// # Errors
    /// An event is longer than [`EVENT_BYTES_MAX`].
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, TooLong> {
        let mut chunk = chunk;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(&chunk);
            chunk = self.rest.split().freeze();
        }
        if !self.start(&mut chunk) {
            return Ok(Bytes::new());
        }
        // The LF of a CRLF whose CR ended the last event belongs to that event.
        if self.after_cr && chunk.first() == Some(&b'\n') {
            let _ = chunk.split_to(1);
        }
        if !chunk.is_empty() {
            self.after_cr = false;
        }
        let end = last_event_end(&chunk);
        let whole = chunk.split_to(end);
        if whole.last() == Some(&b'\r') {
            self.after_cr = true;
        }
        if chunk.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.rest.extend_from_slice(&chunk);
        Ok(whole)
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

    /// What came after the last whole event. The standard discards it; a gateway must not take it for an event either.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }
}

/// Where the last whole event ends; 0 when there is none.
fn last_event_end(text: &[u8]) -> usize {
    let (mut at, mut end, mut line_start) = (0, 0, 0);
    let lf_only = memchr(b'\r', text).is_none();
    loop {
        let next = if lf_only { memchr(b'\n', &text[at..]) } else { memchr2(b'\n', b'\r', &text[at..]) };
        let Some(n) = next else { return end };
        let eol = at + n;
        at = eol + 1;
        if text[eol] == b'\r' && text.get(at) == Some(&b'\n') {
            at += 1;
        }
        if eol == line_start {
            end = at;
        }
        line_start = at;
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
        let mut data: Option<Cow<'a, [u8]>> = None;
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
            }
        }
        self.rest = &run[at..];
        Some(Event { raw: &run[..at], data })
    }
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
