//! A streamed answer as server-sent events, and the body type of all answers.

use crate::answer::Ticket;
use crate::fault::Cut;
use crate::openai::{Generation, Kind, usage};
use crate::words::push_word;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Why a connection ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an injected fault cut the connection")]
pub(crate) struct Severed;

/// Body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// All of it, until it is taken.
    Whole(Option<Bytes>),
    /// Token by token.
    Stream(Box<TokenStream>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Severed;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Severed>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(stream) => stream.done,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// The events of one answer.
#[derive(Debug)]
pub(crate) struct TokenStream {
    ticket: Ticket,
    generation: Generation,
    /// An event up to the opening of the delta or text.
    head: String,
    /// The end of an event that brings a token.
    tail: &'static str,
    sent_tokens: u32,
    done: bool,
    /// Whether the bytes before a reset have had their chance to leave.
    flushed: bool,
    reset_on_close: Arc<AtomicBool>,
}

impl TokenStream {
    /// A stream for `generation`, whose tokens `ticket` announces.
    pub(crate) fn new(
        ticket: Ticket,
        generation: Generation,
        id: &str,
        created: u64,
        reset_on_close: Arc<AtomicBool>,
    ) -> Self {
        let (object, opening) = match generation.kind {
            Kind::Chat => ("chat.completion.chunk", "\"delta\":{"),
            Kind::Completion => ("text_completion", ""),
        };
        let model = serde_json::Value::from(ticket.shared.config.model.as_str());
        let head = format!(
            "data: {{\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{created},\"model\":{model},\
             \"choices\":[{{\"index\":0,{opening}"
        );
        let tail = match (generation.kind, generation.include_usage) {
            (Kind::Chat, false) => "},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            (Kind::Chat, true) => "},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
            (Kind::Completion, false) => ",\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            (Kind::Completion, true) => ",\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
        };
        Self { ticket, generation, head, tail, sent_tokens: 0, done: false, flushed: false, reset_on_close }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Severed>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let (progress, cut) = self.ticket.poll(cx);
        let fresh = progress.due_tokens.saturating_sub(self.sent_tokens);
        if fresh > 0 || progress.finished {
            let room = (self.head.len() + self.tail.len() + 24) * (fresh as usize + 1) + 512;
            let mut events = Vec::with_capacity(room);
            for _ in 0..fresh {
                self.push_token(&mut events);
            }
            if progress.finished {
                self.push_end(progress.cached_tokens, &mut events);
                self.ticket.complete();
                self.done = true;
            }
            return Poll::Ready(Some(Ok(Frame::data(events.into()))));
        }
        match cut {
            None | Some(Cut::Stall) => Poll::Pending,
            Some(Cut::Fin) => {
                self.done = true;
                Poll::Ready(None)
            }
            Some(Cut::Reset) if !self.flushed => {
                // The connection flushes when there is nothing to add; only then may it be torn down.
                self.flushed = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Cut::Reset) => {
                self.reset_on_close.store(true, Ordering::Relaxed);
                self.done = true;
                Poll::Ready(Some(Err(Severed)))
            }
        }
    }

    fn push_token(&mut self, events: &mut Vec<u8>) {
        let field = match self.generation.kind {
            Kind::Chat => {
                if self.sent_tokens == 0 {
                    events.extend_from_slice(self.head.as_bytes());
                    events.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\"");
                    events.extend_from_slice(self.tail.as_bytes());
                }
                &b"\"content\":\""[..]
            }
            Kind::Completion => b"\"text\":\"",
        };
        events.extend_from_slice(self.head.as_bytes());
        events.extend_from_slice(field);
        let prompt = &self.generation.prompt;
        push_word(prompt.text_seed, prompt.begun_words + self.sent_tokens, events);
        events.push(b'"');
        events.extend_from_slice(self.tail.as_bytes());
        self.sent_tokens += 1;
    }

    fn push_end(&self, cached_tokens: u32, events: &mut Vec<u8>) {
        let Generation { kind, finish_reason, include_usage, ref prompt, .. } = self.generation;
        let closing = match kind {
            Kind::Chat => "}",
            Kind::Completion => "\"text\":\"\"",
        };
        let usage_field = if include_usage { ",\"usage\":null" } else { "" };
        let head = &self.head;
        let mut end =
            format!("{head}{closing},\"logprobs\":null,\"finish_reason\":\"{finish_reason}\"}}]{usage_field}}}\n\n");
        if include_usage {
            // The head of an event up to its list of choices, which is empty here.
            let before = head.split("{\"index\"").next().unwrap_or_default();
            let usage = usage(prompt.tokens, self.sent_tokens, cached_tokens);
            end.push_str(&format!("{before}],\"usage\":{usage}}}\n\n"));
        }
        end.push_str("data: [DONE]\n\n");
        events.extend_from_slice(end.as_bytes());
    }
}
