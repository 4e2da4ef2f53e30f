//! What is read of a stream on its way through, and what of it the client does not get.

use bytes::{Bytes, BytesMut};
use rhumb_api::Usage;
use rhumb_api::event::Piece;
use rhumb_api::fault::EngineError;
use rhumb_grid::config::Dialect;
use rhumb_sse::{Event, events};

use crate::{error_in, piece, usage_event};

/// What is read of the events that pass.
#[derive(Debug)]
pub struct Scanner {
    /// The dialect that the engine speaks.
    dialect: Dialect,
    /// Usage was asked for by the gateway and not by the client, so the client must not see it.
    drop_usage: bool,
    /// What was used, as far as it has been said.
    pub usage: Option<Usage>,
    /// Events that carried content.
    pub pieces: u64,
    /// Choices that were asked for, and those that have ended.
    choices: u64,
    ended: u64,
    /// The engine has said that the answer is whole.
    pub done: bool,
    /// What the engine said in place of an answer.
    pub error: Option<EngineError>,
    /// Bytes of comments since the last content.
    comments: usize,
}

/// Most that is passed on of comments between two pieces of content: heartbeats for an hour, and less than would fill the
/// way to a slow client, behind which nothing more is read and no time runs.
const COMMENT_BYTES_MAX: usize = 4 << 10;

impl Scanner {
    /// For an answer of so many choices in this dialect.
    pub fn new(dialect: Dialect, drop_usage: bool, choices: u64) -> Self {
        Self { dialect, drop_usage, usage: None, pieces: 0, choices, ended: 0, done: false, error: None, comments: 0 }
    }

    /// The dialect that the engine speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Every choice has said why it ends: without an end marker the answer is whole all the same.
    pub fn is_whole(&self) -> bool {
        self.ended >= self.choices.max(1)
    }

    /// Reads a run of whole events and returns what the client gets of it: the same bytes, unless an event is the
    /// gateway's own business. After the end or an error nothing more is passed on.
    pub fn scan(&mut self, run: Bytes) -> Bytes {
        let mut cut: Option<BytesMut> = None;
        let mut at = 0;
        for event in events(&run) {
            let end = at + event.raw.len();
            let keep = self.read(&event);
            if keep {
                if let Some(out) = &mut cut {
                    out.extend_from_slice(event.raw);
                }
            } else if cut.is_none() {
                cut = Some(BytesMut::from(&run[..at]));
            }
            at = end;
            if self.done || self.error.is_some() {
                break;
            }
        }
        match cut {
            Some(out) => out.freeze(),
            None => run.slice(..at),
        }
    }

    /// Whether the client gets the event.
    fn read(&mut self, event: &Event<'_>) -> bool {
        match piece(self.dialect, event) {
            Piece::Done => {
                self.done = true;
                // The last event of a response repeats all of it.
                self.pieces += u64::from(self.dialect == Dialect::Responses);
            }
            Piece::Error => {
                self.error = Some(error_in(self.dialect, event));
                return false;
            }
            Piece::Content { ends } => {
                (self.pieces, self.comments) = (self.pieces + 1, 0);
                self.ended += u64::from(ends);
            }
            Piece::Lifecycle => {}
        }
        if event.data.is_none() && self.pieces > 0 {
            self.comments += event.raw.len();
            return self.comments <= COMMENT_BYTES_MAX;
        }
        let Some(said) = event.data.as_deref().and_then(|data| usage_event(self.dialect, data)) else { return true };
        self.usage = Some(match self.usage {
            Some(before) if self.dialect == Dialect::Messages => both(before, said.usage),
            _ => said.usage,
        });
        // A chunk without a list of choices is none that clients understand.
        !(said.alone && (self.drop_usage || !said.has_choices))
    }
}

/// What two events of a stream say, each of its part.
fn both(a: Usage, b: Usage) -> Usage {
    Usage {
        prompt_tokens: a.prompt_tokens.max(b.prompt_tokens),
        cached_tokens: a.cached_tokens.max(b.cached_tokens),
        output_tokens: a.output_tokens.max(b.output_tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(drop_usage: bool, text: &'static str) -> (String, Scanner) {
        let mut s = Scanner::new(Dialect::Chat, drop_usage, 1);
        let out = s.scan(Bytes::from_static(text.as_bytes()));
        (String::from_utf8(out.to_vec()).unwrap(), s)
    }

    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
    const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}]}\n\n";

    #[test]
    fn a_usage_chunk_that_the_client_did_not_ask_for_is_kept_from_it() {
        let text: &'static str = Box::leak(format!("{TEXT}{USAGE}{TEXT}data: [DONE]\n\n").into_boxed_str());
        let (out, s) = scan(true, text);
        assert_eq!(out, format!("{TEXT}{TEXT}data: [DONE]\n\n"));
        assert_eq!((s.usage.unwrap().output_tokens, s.pieces, s.done), (2, 2, true));
        assert_eq!(scan(false, text).0, text);
    }

    #[test]
    fn nothing_follows_the_end_or_an_error() {
        let (out, s) = scan(false, "data: [DONE]\n\ndata: {\"x\":1}\n\n");
        assert_eq!((out.as_str(), s.done), ("data: [DONE]\n\n", true));
        let (out, s) = scan(false, ": hi\n\ndata: {\"error\":{\"message\":\"/secret/path\"}}\n\ndata: [DONE]\n\n");
        assert_eq!((out.as_str(), s.error.is_some(), s.done), (": hi\n\n", true, false));
    }

    #[test]
    fn a_run_is_passed_on_without_a_copy() {
        let run = Bytes::from_static(TEXT.as_bytes());
        let at = run.as_ptr();
        assert_eq!(Scanner::new(Dialect::Chat, true, 1).scan(run).as_ptr(), at);
    }
    #[test]
    fn a_message_passes_with_its_usage_in_two_parts() {
        let text = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\
                    \"output_tokens\":1}}}\n\n\
                    data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n\
                    data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n";
        let mut s = Scanner::new(Dialect::Messages, false, 1);
        assert_eq!(s.scan(Bytes::from_static(text.as_bytes())), text);
        let usage = s.usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.output_tokens, s.pieces, s.is_whole()), (5, 7, 2, true));
        let end = crate::ending(&s, b"").unwrap();
        s.scan(end);
        assert!(s.done);
    }

    #[test]
    fn a_response_is_whole_with_its_last_event_alone() {
        let mut s = Scanner::new(Dialect::Responses, false, 1);
        s.scan(Bytes::from_static(b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n"));
        assert_eq!(crate::ending(&s, b""), None);
        let last = b"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":2}}}";
        let end = crate::ending(&s, last).unwrap();
        s.scan(end);
        assert_eq!((s.done, s.usage.unwrap().prompt_tokens), (true, 2));
        assert_eq!(crate::ending(&Scanner::new(Dialect::Chat, false, 1), b"data: [DONE]").unwrap(), "data: [DONE]\n\n");
    }
}
