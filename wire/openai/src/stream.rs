//! The end of a stream.

use rhumb_sse::Event;

/// The event that says that a stream is whole.
pub const END: &[u8] = b"data: [DONE]\n\n";

/// Data of that event.
const MARKER: &[u8] = b"[DONE]";

/// The event says that the stream is whole.
pub fn is_done(event: &Event<'_>) -> bool {
    event.data.as_deref() == Some(MARKER)
}

/// What came last, and ends no event, is the end marker without its empty line.
pub fn is_unended_end(rest: &[u8]) -> bool {
    let data = rest.trim_ascii_end().strip_prefix(b"data:");
    data.is_some_and(|data| data.strip_prefix(b" ").unwrap_or(data) == MARKER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> bool {
        is_done(&rhumb_sse::events(text.as_bytes()).next().unwrap())
    }

    #[test]
    fn the_end_marker_is_told_from_text_that_holds_it() {
        assert!(ends("data: [DONE]\n\n") && ends("data:[DONE]\r\n\r\n"));
        assert!(!ends("data: {\"x\":\"[DONE]\"}\n\n") && !ends(": [DONE]\n\n"));
        assert!(is_unended_end(b"data: [DONE]") && is_unended_end(b"data:[DONE]\r\n"));
        assert!(!is_unended_end(b"data: [DONE") && !is_unended_end(b"") && !is_unended_end(b"data:  [DONE]"));
    }
}
