//! A strict walk over JSON text that builds nothing.
//!
//! The walk accepts a subset of RFC 8259: duplicate keys and lone surrogates, which RFC 8259 leaves to the reader, are
//! refused, because two readers that disagree about them (a guardrail and an engine, say) can be played against each
//! other. Depth, keys and number length are capped before any of it costs memory.

use std::ops::Range;

use memchr::memchr2;
use xxhash_rust::xxh3::xxh3_64;

pub use self::units::UNITS;
use self::units::{ASCII, first_byte, text_units, units};

mod units;

/// What is refused before an engine sees it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nesting of arrays and objects.
    pub depth: usize,
    /// Object keys in the whole text.
    pub keys: usize,
    /// Array elements in the whole text.
    pub elements: usize,
    /// Bytes of one number.
    pub number_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, keys: 65_536, elements: 1 << 20, number_bytes: 64 }
    }
}

/// Why a text was refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct JsonError {
    /// What is wrong, in words for the client.
    pub what: &'static str,
    /// Offset of the first byte that is wrong.
    pub at: usize,
}

/// The kind of a value just walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number.
    Number,
    /// A string; `escaped` when its text differs from its bytes.
    String {
        /// Holds a backslash.
        escaped: bool,
    },
    /// `[…]`.
    Array,
    /// `{…}`.
    Object,
}

/// What was walked over so far, added up: the difference of two readings measures what lies between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Text of string values, in [`UNITS`] of a token.
    pub text: u64,
    /// Keys with their quotes, colon and comma, in the same unit.
    pub keys: u64,
    /// Numbers.
    pub numbers: u64,
}

struct Frame {
    object: bool,
    first_key: usize,
}

/// A position in a JSON text and what was met on the way.
pub struct Walker<'a> {
    text: &'a [u8],
    at: usize,
    limits: Limits,
    frames: Vec<Frame>,
    keys: Vec<u64>,
    key_count: usize,
    element_count: usize,
    /// What was walked over so far.
    pub tally: Tally,
}

/// Objects up to this size are searched for a repeated key as they grow; larger ones are sorted when they close.
const LINEAR_KEYS: usize = 16;

impl<'a> Walker<'a> {
    /// Starts before the first byte.
    ///
    /// # Errors
    /// The text is not UTF-8.
    pub fn new(text: &'a [u8], limits: Limits) -> Result<Self, JsonError> {
        if let Err(e) = std::str::from_utf8(text) {
            return Err(JsonError { what: "the text is not UTF-8", at: e.valid_up_to() });
        }
        Ok(Self {
            text,
            at: 0,
            limits,
            frames: Vec::new(),
            keys: Vec::new(),
            key_count: 0,
            element_count: 0,
            tally: Tally::default(),
        })
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Walks over one whole value, nested ones included, and says where it stands.
    ///
    /// # Errors
    /// The value is malformed or beyond a limit.
    pub fn value(&mut self) -> Result<(Kind, Range<usize>), JsonError> {
        self.space();
        let start = self.at;
        let base = self.frames.len();
        let mut kind = self.open_value()?;
        let outer = kind;
        loop {
            // A container that just opened and is not empty wants its first value.
            if matches!(kind, Kind::Array | Kind::Object) && self.frames.len() > base && self.fresh(kind)? {
                kind = self.open_value()?;
                continue;
            }
            loop {
                if self.frames.len() == base {
                    return Ok((outer, start..self.at));
                }
                if self.after_value()? {
                    break;
                }
            }
            kind = self.open_value()?;
        }
    }

    /// Enters an object and hands each member's key span and key text to `visit`, which must walk the value.
    ///
    /// # Errors
    /// Not an object, malformed, beyond a limit, or what `visit` returns.
    pub fn members<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, Range<usize>, &str) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        self.space();
        let start = self.at;
        if self.peek() != Some(b'{') {
            return Err(self.fail("an object was expected").into());
        }
        self.at += 1;
        self.push(true)?;
        self.space();
        if self.peek() == Some(b'}') {
            self.pop()?;
            return Ok(start..self.at);
        }
        loop {
            let (key, escaped) = self.key()?;
            let raw = &self.text[key.start + 1..key.end - 1];
            let plain = if escaped { None } else { std::str::from_utf8(raw).ok() };
            let name = plain.map_or_else(|| unescape(raw), std::borrow::Cow::Borrowed);
            visit(self, key, &name)?;
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.space();
                }
                Some(b'}') => {
                    self.pop()?;
                    return Ok(start..self.at);
                }
                _ => return Err(self.fail("`,` or `}` was expected").into()),
            }
        }
    }

    /// Enters an array and lets `visit` walk each element.
    ///
    /// # Errors
    /// Not an array, malformed, beyond a limit, or what `visit` returns.
    pub fn elements<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<Range<usize>, E> {
        self.space();
        let start = self.at;
        if self.peek() != Some(b'[') {
            return Err(self.fail("an array was expected").into());
        }
        self.at += 1;
        self.push(false)?;
        self.space();
        if self.peek() == Some(b']') {
            self.pop()?;
            return Ok(start..self.at);
        }
        let mut index = 0;
        loop {
            self.count_element()?;
            visit(self, index)?;
            index += 1;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.pop()?;
                    return Ok(start..self.at);
                }
                _ => return Err(self.fail("`,` or `]` was expected").into()),
            }
        }
    }

    /// The kind of the next value, without walking it.
    pub fn next_is(&mut self, first: u8) -> bool {
        self.space();
        self.peek() == Some(first)
    }

    /// Holds the text to end here but for white space.
    ///
    /// # Errors
    /// Something follows.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.fail("nothing may follow the value")) }
    }

    fn open_value(&mut self) -> Result<Kind, JsonError> {
        self.space();
        match self.peek() {
            Some(b'"') => self.string().map(|(_, escaped)| Kind::String { escaped }),
            Some(b'{') => {
                self.at += 1;
                self.push(true)?;
                Ok(Kind::Object)
            }
            Some(b'[') => {
                self.at += 1;
                self.push(false)?;
                Ok(Kind::Array)
            }
            Some(b't') => self.literal(b"true", Kind::Bool(true)),
            Some(b'f') => self.literal(b"false", Kind::Bool(false)),
            Some(b'n') => self.literal(b"null", Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.fail("a value was expected")),
            None => Err(self.fail("the text ends inside a value")),
        }
    }

    /// True when the container that just opened has a first value to walk; closes it otherwise.
    fn fresh(&mut self, kind: Kind) -> Result<bool, JsonError> {
        self.space();
        let close = if kind == Kind::Object { b'}' } else { b']' };
        if self.peek() == Some(close) {
            self.pop()?;
            return Ok(false);
        }
        if kind == Kind::Object {
            self.key()?;
        } else {
            self.count_element()?;
        }
        Ok(true)
    }

    /// After a value inside a container: true when another value follows, false when the container closed.
    fn after_value(&mut self) -> Result<bool, JsonError> {
        self.space();
        let object = self.frames.last().is_some_and(|f| f.object);
        match (self.peek(), object) {
            (Some(b','), true) => {
                self.at += 1;
                self.space();
                self.key()?;
                Ok(true)
            }
            (Some(b','), false) => {
                self.at += 1;
                self.count_element()?;
                Ok(true)
            }
            (Some(b'}'), true) | (Some(b']'), false) => {
                self.pop()?;
                Ok(false)
            }
            (None, _) => Err(self.fail("the text ends inside a value")),
            (_, true) => Err(self.fail("`,` or `}` was expected")),
            (_, false) => Err(self.fail("`,` or `]` was expected")),
        }
    }

    fn push(&mut self, object: bool) -> Result<(), JsonError> {
        if self.frames.len() >= self.limits.depth {
            return Err(self.fail("the nesting is too deep"));
        }
        self.frames.push(Frame { object, first_key: self.keys.len() });
        Ok(())
    }

    /// Steps over the closing bracket of the innermost container.
    fn pop(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        let Some(frame) = self.frames.pop() else { return Err(self.fail("a bracket closes nothing")) };
        let own = &mut self.keys[frame.first_key..];
        if own.len() > LINEAR_KEYS {
            own.sort_unstable();
            if own.windows(2).any(|w| w[0] == w[1]) {
                return Err(self.fail("a key stands twice in one object"));
            }
        }
        self.keys.truncate(frame.first_key);
        Ok(())
    }

    /// Walks over `"key" :` and remembers the key. Says where it stands and whether it holds escapes.
    fn key(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.fail("a key in quotes was expected"));
        }
        self.key_count += 1;
        if self.key_count > self.limits.keys {
            return Err(self.fail("there are too many keys"));
        }
        let before = self.tally.text;
        let (span, escaped) = self.string()?;
        self.tally.keys += self.tally.text - before + UNITS;
        self.tally.text = before;
        let raw = &self.text[span.start + 1..span.end - 1];
        let hash = if escaped { xxh3_64(unescape(raw).as_bytes()) } else { xxh3_64(raw) };
        let first = self.frames.last().map_or(0, |f| f.first_key);
        if self.keys.len() - first < LINEAR_KEYS && self.keys[first..].contains(&hash) {
            return Err(JsonError { what: "a key stands twice in one object", at: span.start });
        }
        self.keys.push(hash);
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.fail("`:` was expected"));
        }
        self.at += 1;
        Ok((span, escaped))
    }

    fn count_element(&mut self) -> Result<(), JsonError> {
        self.element_count += 1;
        if self.element_count > self.limits.elements {
            return Err(self.fail("there are too many array elements"));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(n) = memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return Err(self.fail("a string does not end"));
            };
            let run = &rest[..n];
            let (control, any) = run.iter().fold((false, 0), |(control, any), &b| (control | (b < 0x20), any | b));
            if control {
                let off = run.iter().position(|&b| b < 0x20).unwrap_or(0);
                return Err(JsonError { what: "a control character stands unescaped in a string", at: self.at + off });
            }
            self.tally.text += if any < 0x80 { ASCII * n as u64 } else { text_units(run) };
            self.at += n;
            if self.text[self.at] == b'"' {
                self.at += 1;
                break;
            }
            escaped = true;
            self.escape()?;
        }
        Ok((start..self.at, escaped))
    }

    /// Steps over one escape, a surrogate pair counting as one.
    fn escape(&mut self) -> Result<(), JsonError> {
        let at = self.at;
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                self.tally.text += ASCII;
                Ok(())
            }
            Some(b'u') => {
                let bad = JsonError { what: "a surrogate stands alone", at };
                match self.hex(at + 2)? {
                    0xD800..=0xDBFF => {
                        if self.text.get(at + 6..at + 8) != Some(b"\\u".as_slice()) {
                            return Err(bad);
                        }
                        if !(0xDC00..=0xDFFF).contains(&self.hex(at + 8)?) {
                            return Err(bad);
                        }
                        self.at += 12;
                        self.tally.text += u64::from(units(0xF0));
                        Ok(())
                    }
                    0xDC00..=0xDFFF => Err(bad),
                    code => {
                        self.at += 6;
                        self.tally.text += u64::from(units(first_byte(code)));
                        Ok(())
                    }
                }
            }
            _ => Err(self.fail("an escape is not one of JSON's")),
        }
    }

    fn hex(&self, at: usize) -> Result<u16, JsonError> {
        let bad = JsonError { what: "`\\u` wants four hexadecimal digits", at };
        let digits = self.text.get(at..at + 4).ok_or(bad)?;
        let mut v = 0u16;
        for &d in digits {
            let d = (d as char).to_digit(16).ok_or(bad)?;
            v = (v << 4) | d as u16;
        }
        Ok(v)
    }

    /// A number beyond a double's range is legal JSON (RFC 8259, section 6, lets a reader set its
    /// range) that engines refuse or read as infinity: it is refused here, where the byte is known.
    fn number(&mut self) -> Result<Kind, JsonError> {
        let start = self.at;
        let mut exponent = false;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.fail("a digit was expected")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
            exponent = true;
        }
        if self.at - start > self.limits.number_bytes {
            return Err(JsonError { what: "a number is too long", at: start });
        }
        if (exponent || self.at - start > 308) && !self.is_finite(start..self.at) {
            return Err(JsonError { what: "a number is too large", at: start });
        }
        self.tally.numbers += 1;
        Ok(Kind::Number)
    }

    fn is_finite(&self, span: Range<usize>) -> bool {
        std::str::from_utf8(&self.text[span])
            .ok()
            .and_then(|digits| digits.parse::<f64>().ok())
            .is_some_and(f64::is_finite)
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(self.fail("a digit was expected")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<Kind, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fail("a value was expected"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fail(&self, what: &'static str) -> JsonError {
        JsonError { what, at: self.at }
    }
}

/// The text of a string's inside. The inside must have been walked over; what is no escape is kept as it stands.
pub fn unescape(raw: &[u8]) -> std::borrow::Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    match serde_json::from_slice::<String>(&quoted) {
        Ok(s) => s.into(),
        Err(_) => String::from_utf8_lossy(raw),
    }
}

#[cfg(test)]
mod tests;
