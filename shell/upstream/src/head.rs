//! The head of a response: status, framing and the few headers that matter here.

use std::mem::MaybeUninit;

use crate::error::Error;
use crate::retry_after::RetryAfter;

/// Longest head accepted.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most header lines: gateways and CDNs before hosted APIs add many of their own.
const HEADERS_MAX: usize = 512;

/// How the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With a zero chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// What is kept of a response's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Media type, in lower case and without parameters.
    pub content_type: String,
    /// What follows the media type, with its semicolon, as it came.
    pub content_parameters: String,
    /// A `content-encoding` that is not read here.
    pub encoded: bool,
    /// When to ask again, in milliseconds, from whichever header states it.
    pub retry_after_ms: Option<u64>,
    /// A rate limit is used up, for so many milliseconds: what comes before would be refused.
    pub used_up_ms: Option<u64>,
    pub(crate) gzip: bool,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// Parses a head if it is complete, and says how long it is.
///
/// # Errors
/// It is none, or is too long.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Error> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    // What RFC 9112 lets a client tolerate of a server (5.1, 5.2): it means one thing only.
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true).allow_spaces_after_header_name_in_responses(true);
    let len = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => return Err(Error::Malformed("head too long")),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Error::Malformed("too many header lines")),
        Err(_) => return Err(Error::Malformed("head")),
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head {
        status,
        content_type: String::new(),
        content_parameters: String::new(),
        encoded: false,
        retry_after_ms: None,
        used_up_ms: None,
        gzip: false,
        framing: Framing::Close,
        keep_alive: response.version == Some(1),
    };
    let (mut length, mut chunked, mut retry) = (None, false, RetryAfter::default());
    for h in response.headers.iter() {
        header(&mut head, &mut length, &mut chunked, h.name, h.value)?;
        retry.header(h.name, h.value);
    }
    head.retry_after_ms = retry.ms();
    head.used_up_ms = retry.used_up_ms();
    // RFC 9112, section 6.3: with both, the transfer coding wins, and the message is suspect.
    head.framing = match (chunked, length) {
        (true, Some(_)) => return Err(Error::Malformed("both content-length and transfer-encoding")),
        // These have no body, whatever length they state.
        (false, _) if matches!(status, 100..=199 | 204 | 304) => Framing::Length(0),
        (true, None) => Framing::Chunked,
        (false, Some(n)) => Framing::Length(n),
        (false, None) => Framing::Close,
    };
    head.keep_alive &= head.framing != Framing::Close;
    Ok(Some((head, len)))
}

fn header(
    head: &mut Head,
    length: &mut Option<u64>,
    chunked: &mut bool,
    name: &str,
    value: &[u8],
) -> Result<(), Error> {
    let text = || std::str::from_utf8(value).map(str::trim).map_err(|_| Error::Malformed("header"));
    if name.eq_ignore_ascii_case("content-length") {
        // One value several times, in one line or in several, is that value (RFC 9110, section 8.6).
        for n in text()?.split(',').map(content_length) {
            let n = n.ok_or(Error::Malformed("content-length"))?;
            if length.replace(n).is_some_and(|before| before != n) {
                return Err(Error::Malformed("two content-lengths"));
            }
        }
    } else if name.eq_ignore_ascii_case("transfer-encoding") {
        if *chunked || !text()?.eq_ignore_ascii_case("chunked") {
            return Err(Error::Malformed("transfer-encoding"));
        }
        *chunked = true;
    } else if name.eq_ignore_ascii_case("content-type") {
        let text = String::from_utf8_lossy(value);
        let (kind, parameters) = text.split_at(text.find(';').unwrap_or(text.len()));
        head.content_type = kind.trim().to_ascii_lowercase();
        head.content_parameters = parameters.trim_end().to_owned();
    } else if name.eq_ignore_ascii_case("content-encoding") {
        let codings = String::from_utf8_lossy(value);
        for coding in codings.split(',').map(str::trim).filter(|c| !c.is_empty() && !c.eq_ignore_ascii_case("identity"))
        {
            let gzip = coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip");
            head.encoded |= head.gzip || !gzip;
            head.gzip |= gzip;
        }
    } else if name.eq_ignore_ascii_case("connection") {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        if text.contains("close") {
            head.keep_alive = false;
        }
    }
    Ok(())
}

/// Digits alone: a parser of numbers takes signs, too.
fn content_length(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<(Head, usize)>, Error> {
        parse(text.as_bytes())
    }

    #[test]
    fn reads_framing_and_headers() {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\nrest";
        let (head, len) = of(text).unwrap().unwrap();
        assert_eq!(
            (head.status, head.content_type.as_str(), head.framing),
            (200, "text/event-stream", Framing::Chunked)
        );
        assert_eq!(&text[len..], "rest");
        assert!(head.keep_alive);
        let (head, _) =
            of("HTTP/1.1 429 X\r\nretry-after: 2\r\ncontent-length: 3\r\nconnection: close\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.retry_after_ms, head.framing, head.keep_alive), (Some(2000), Framing::Length(3), false));
        let (head, _) = of("HTTP/1.0 200 X\r\nretry-after-ms: 5\r\nretry-after: 2\r\ncontent-encoding: gzip\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(
            (head.retry_after_ms, head.framing, head.keep_alive, head.encoded),
            (Some(5), Framing::Close, false, false)
        );
        assert!(head.gzip);
        assert_eq!(of("HTTP/1.1 200 OK\r\nx: y\r\n"), Ok(None));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +3x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5,\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
        assert!(of("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n").is_ok());
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        assert!(of(&endless).is_err());
    }
    #[test]
    fn what_means_one_thing_only_is_tolerated() {
        let framing = |text: &str| of(text).map(|found| found.map(|(head, _)| head.framing));
        for (text, wanted) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\n", Framing::Length(5)),
            ("HTTP/1.1 200\r\ncontent-length: 05\r\n\r\n", Framing::Length(5)),
            ("\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5)),
            ("HTTP/1.1 200 OK\r\ncontent-length : 5\r\nx: a\r\n b\r\n\r\n", Framing::Length(5)),
            ("HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\n", Framing::Length(0)),
            ("HTTP/1.1 200 \u{e9}\r\nContent-Type: \u{e9}\r\nx: \u{e9}\r\n\r\n", Framing::Close),
        ] {
            assert_eq!(framing(text), Ok(Some(wanted)), "{text:?}");
        }
        let many = |lines| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-h: y\r\n".repeat(lines));
        assert!(of(&many(HEADERS_MAX)).is_ok());
        assert_eq!(of(&many(HEADERS_MAX + 1)), Err(Error::Malformed("too many header lines")));
    }

    #[test]
    fn encodings_are_told_apart() {
        for (value, gzip, encoded) in [
            ("identity", false, false),
            ("", false, false),
            ("gzip", true, false),
            ("X-GZIP, identity", true, false),
            ("br", false, true),
            ("gzip, br", true, true),
            ("gzip, gzip", true, true),
        ] {
            let (head, _) = of(&format!("HTTP/1.1 200 OK\r\ncontent-encoding: {value}\r\n\r\n")).unwrap().unwrap();
            assert_eq!((head.gzip, head.encoded), (gzip, encoded), "{value}");
        }
    }
}
