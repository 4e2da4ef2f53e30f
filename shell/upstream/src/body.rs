//! Unframing of a response body: whatever has arrived comes out as one piece.

use bytes::{Bytes, BytesMut};

use crate::error::Error;
use crate::head::{Framing, Head};

/// Longest line between two chunks.
const CHUNK_LINE_MAX: usize = 256;

/// Most bytes of trailers, which nothing here reads.
const TRAILER_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Inside a body of known length.
    Length(u64),
    /// Before a chunk's size line.
    Size,
    /// Inside a chunk.
    Data(u64),
    /// After a chunk's data.
    DataEnd,
    /// In the trailers, of which so many bytes have come.
    Trailer(usize),
    /// Until the connection closes.
    Close,
    /// After the last byte.
    End,
}

/// Where a body stands.
#[derive(Debug)]
pub struct Body {
    state: State,
    /// A line that is not complete yet.
    line: Vec<u8>,
    /// What is wrong after the content handed on last.
    failed: Option<Error>,
    /// More came than the body: nothing was asked for that it could be an answer to.
    excess: bool,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::End,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size,
            Framing::Close => State::Close,
        };
        Self { state, line: Vec::new(), failed: None, excess: false }
    }

    /// The body that follows a head.
    pub fn of(head: &Head) -> Self {
        Self::new(head.framing)
    }

    /// The whole body has come.
    pub fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// The whole body has come, and nothing else.
    pub(crate) fn is_clean_end(&self) -> bool {
        self.is_end() && !self.excess
    }

    /// The error that stopped the last [`Self::unframe`] after some content.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// The connection ended: is the body whole?
    pub(crate) fn eof(&mut self) -> Result<(), Error> {
        match self.state {
            State::Close | State::End => {
                self.state = State::End;
                Ok(())
            }
            _ => Err(Error::Truncated),
        }
    }

    /// Takes what arrived and returns its content; what follows the body is dropped. Content before an error is returned
    /// first: what an engine said counts, however the bytes were read.
    ///
    /// # Errors
    /// It is not framed as its head says.
    pub fn unframe(&mut self, mut input: &[u8]) -> Result<Bytes, Error> {
        // The usual case needs one copy and no further look: all of it is content.
        match self.state {
            State::Length(n) if (input.len() as u64) < n => {
                self.state = State::Length(n - input.len() as u64);
                return Ok(Bytes::copy_from_slice(input));
            }
            State::Close => return Ok(Bytes::copy_from_slice(input)),
            _ => {}
        }
        let mut out = BytesMut::with_capacity(input.len());
        while !input.is_empty() {
            match self.step(input, &mut out) {
                Ok(rest) => input = rest,
                Err(e) if out.is_empty() => return Err(e),
                Err(e) => {
                    self.failed = Some(e);
                    break;
                }
            }
        }
        Ok(out.freeze())
    }

    fn step<'a>(&mut self, input: &'a [u8], out: &mut BytesMut) -> Result<&'a [u8], Error> {
        match self.state {
            State::Length(n) | State::Data(n) => {
                let take = usize::try_from(n).unwrap_or(usize::MAX).min(input.len());
                let (content, rest) = input.split_at(take);
                out.extend_from_slice(content);
                let left = n - take as u64;
                self.state = match (self.state, left) {
                    (State::Length(_), 0) => State::End,
                    (State::Length(_), left) => State::Length(left),
                    (_, 0) => State::DataEnd,
                    (_, left) => State::Data(left),
                };
                Ok(rest)
            }
            State::Close => {
                out.extend_from_slice(input);
                Ok(&[])
            }
            State::End => {
                self.excess = true;
                Ok(&[])
            }
            State::Size | State::DataEnd | State::Trailer(_) => self.line(input),
        }
    }

    fn line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Error> {
        let Some(n) = memchr::memchr(b'\n', input) else {
            if self.line.len() + input.len() > self.line_max() {
                return Err(Error::Malformed("chunk line too long"));
            }
            self.line.extend_from_slice(input);
            return Ok(&[]);
        };
        let rest = &input[n + 1..];
        let next = if self.line.is_empty() {
            self.end_line(&input[..n])
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&input[..n]);
            self.end_line(&line)
        };
        self.state = next?;
        Ok(rest)
    }

    fn line_max(&self) -> usize {
        match self.state {
            State::Trailer(seen) => TRAILER_BYTES_MAX.saturating_sub(seen),
            _ => CHUNK_LINE_MAX,
        }
    }

    fn end_line(&self, line: &[u8]) -> Result<State, Error> {
        let line = line.strip_suffix(b"\r").ok_or(Error::Malformed("a bare line feed in chunked framing"))?;
        if line.len() > self.line_max() {
            return Err(Error::Malformed("chunk line too long"));
        }
        match self.state {
            State::DataEnd if line.is_empty() => Ok(State::Size),
            State::DataEnd => Err(Error::Malformed("a chunk is longer than its size")),
            State::Trailer(_) if line.is_empty() => Ok(State::End),
            State::Trailer(seen) => Ok(State::Trailer(seen + line.len() + 2)),
            _ => {
                let digits = line.split(|b| matches!(b, b';' | b' ' | b'\t')).next().unwrap_or_default();
                let text = std::str::from_utf8(digits).unwrap_or_default();
                let zeros = digits.iter().take_while(|b| **b == b'0').count();
                if digits.is_empty() || digits.len() - zeros > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Error::Malformed("chunk size"));
                }
                match u64::from_str_radix(text, 16) {
                    Ok(0) => Ok(State::Trailer(0)),
                    Ok(n) => Ok(State::Data(n)),
                    Err(_) => Err(Error::Malformed("chunk size")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), Error> {
        let mut body = Body::new(framing);
        let mut out = Vec::new();
        for p in pieces {
            out.extend_from_slice(&body.unframe(p)?);
            if let Some(e) = body.take_failure() {
                return Err(e);
            }
        }
        Ok((out, body.is_end()))
    }

    #[test]
    fn f16_chunked_content_is_the_same_however_it_is_cut() {
        let text = b"5\r\nhello\r\n1;ext=1\r\n,\r\nA\r\n0123456789\r\n0\r\nx-trailer: y\r\n\r\n";
        let want = (b"hello,0123456789".to_vec(), true);
        assert_eq!(run(Framing::Chunked, &[text]), Ok(want.clone()));
        for cut in 0..=text.len() {
            assert_eq!(run(Framing::Chunked, &[&text[..cut], &text[cut..]]), Ok(want.clone()), "{cut}");
        }
        let each: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(run(Framing::Chunked, &each), Ok(want));
    }

    #[test]
    fn a_known_length_ends_where_it_says() {
        assert_eq!(run(Framing::Length(5), &[b"he", b"llo"]), Ok((b"hello".to_vec(), true)));
        assert_eq!(run(Framing::Length(5), &[b"he"]), Ok((b"he".to_vec(), false)));
        assert_eq!(run(Framing::Length(0), &[]), Ok((Vec::new(), true)));
        assert_eq!(run(Framing::Close, &[b"a", b"b"]), Ok((b"ab".to_vec(), false)));
    }

    #[test]
    fn what_follows_a_body_is_dropped_and_ends_the_connection() {
        for (framing, text) in
            [(Framing::Length(2), &b"hi\r\n"[..]), (Framing::Chunked, b"2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200")]
        {
            let mut body = Body::new(framing);
            assert_eq!(body.unframe(text).as_deref(), Ok(&b"hi"[..]));
            assert!(body.is_end() && !body.is_clean_end() && body.take_failure().is_none());
        }
    }

    #[test]
    fn content_before_an_error_is_not_lost() {
        let mut body = Body::new(Framing::Chunked);
        assert_eq!(body.unframe(b"2\r\nhi\r\nzz\r\n").as_deref(), Ok(&b"hi"[..]));
        assert_eq!(body.take_failure(), Some(Error::Malformed("chunk size")));
        assert_eq!(body.take_failure(), None);
    }

    #[test]
    fn an_end_is_whole_only_where_the_framing_says_so() {
        let after = |framing, text: &[u8]| {
            let mut body = Body::new(framing);
            body.unframe(text).unwrap();
            body.eof()
        };
        assert_eq!(after(Framing::Close, b"x"), Ok(()));
        assert_eq!(after(Framing::Length(2), b"x"), Err(Error::Truncated));
        assert_eq!(after(Framing::Chunked, b"1\r\nx\r\n"), Err(Error::Truncated));
        assert_eq!(after(Framing::Chunked, b"0\r\n\r\n"), Ok(()));
    }

    #[test]
    fn odd_chunks_are_read() {
        for text in [
            &b"00000000000000000000002\r\nhi\r\n000\r\n\r\n"[..],
            b"2 ; x=\"y\"\r\nhi\r\n0;end\r\nx-checksum: 1\r\ny: 2\r\n\r\n",
        ] {
            assert_eq!(run(Framing::Chunked, &[text]), Ok((b"hi".to_vec(), true)));
        }
        let endless = format!("0\r\n{}", "x: yyyyyyyyyyyyyyyy\r\n".repeat(1_000));
        assert!(run(Framing::Chunked, &[endless.as_bytes()]).is_err());
    }

    #[test]
    fn f17_malformed_chunks_are_refused() {
        for bad in [&b"x\r\n"[..], b"+1\r\n", b"\r\n", b"1\nx", b"1\r\nxy\r\n", b"1111111111111111\r\n", &[b'1'; 300]] {
            assert!(run(Framing::Chunked, &[bad]).is_err(), "{bad:?}");
        }
    }
}
