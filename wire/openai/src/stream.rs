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
    }
}
