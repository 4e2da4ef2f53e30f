//! The head of a response: status, framing and the few headers that matter here.

use crate::conn::Error;

/// Longest head accepted.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;

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
    /// A `content-encoding` other than identity is present.
    pub encoded: bool,
    /// `retry-after`, in milliseconds, from whichever header states it.
    pub retry_after_ms: Option<u64>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// Parses a head if it is complete, and says how long it is.
///
/// # Errors
/// It is none, or is too long.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => return Err(Error::Malformed("head too long")),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Error::Malformed("head")),
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head {
        status,
        content_type: String::new(),
        encoded: false,
        retry_after_ms: None,
        framing: Framing::Close,
        keep_alive: response.version == Some(1),
    };
    let (mut length, mut chunked) = (None, false);
    for h in response.headers.iter() {
        header(&mut head, &mut length, &mut chunked, h.name, h.value)?;
    }
    // rfc9112 6.3: with both, the transfer coding wins, and the message is suspect.
    head.framing = match (chunked, length) {
        (true, Some(_)) => return Err(Error::Malformed("both content-length and transfer-encoding")),
        (true, None) => Framing::Chunked,
        (false, Some(n)) => Framing::Length(n),
        (false, None) if matches!(status, 204 | 304) => Framing::Length(0),
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
        let n = text()?.parse().map_err(|_| Error::Malformed("content-length"))?;
        if length.replace(n).is_some_and(|before| before != n) {
            return Err(Error::Malformed("two content-lengths"));
        }
    } else if name.eq_ignore_ascii_case("transfer-encoding") {
        if !text()?.eq_ignore_ascii_case("chunked") {
            return Err(Error::Malformed("transfer-encoding"));
        }
        *chunked = true;
    } else if name.eq_ignore_ascii_case("content-type") {
        let text = text()?;
        head.content_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    } else if name.eq_ignore_ascii_case("content-encoding") {
        head.encoded = !text()?.eq_ignore_ascii_case("identity");
    } else if name.eq_ignore_ascii_case("connection") {
        let text = text()?.to_ascii_lowercase();
        if text.contains("close") {
            head.keep_alive = false;
        }
    } else if name.eq_ignore_ascii_case("retry-after-ms") {
        head.retry_after_ms = text()?.parse().ok();
    } else if name.eq_ignore_ascii_case("retry-after") && head.retry_after_ms.is_none() {
        // A date is also allowed; it compares wall clocks of two machines, so it is left unread.
        head.retry_after_ms = text()?.parse::<u64>().ok().map(|s| s.saturating_mul(1_000));
    }
    Ok(())
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
            (Some(5), Framing::Close, false, true)
        );
        assert_eq!(of("HTTP/1.1 200 OK\r\nx: y\r\n"), Ok(None));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +3x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
        assert!(of("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n").is_ok());
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        assert!(of(&endless).is_err());
    }
}
