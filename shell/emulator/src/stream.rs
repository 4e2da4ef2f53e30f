//! A streamed answer as server-sent events, and the body type of all answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::answer::Ticket;
use crate::fault::Cut;
use crate::openai::{Generation, Kind, usage};
use crate::words::push_word;

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
    Stream(Box<EventStream>),
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

/// The events of an answer: those of each of its choices as they come, then the end.
#[derive(Debug)]
pub(crate) struct EventStream {
    choices: Vec<Choice>,
    /// An event up to the opening of its list of choices.
    head: String,
    include_usage: bool,
    done: bool,
    /// Whether the bytes before a reset have had their chance to leave.
    flushed: bool,
    reset_on_close: Arc<AtomicBool>,
}

/// The events of one choice.
#[derive(Debug)]
struct Choice {
    ticket: Ticket,
    generation: Generation,
    /// An event up to the opening of the delta or text.
    head: String,
    /// The end of an event that brings a token.
    tail: &'static str,
    sent_tokens: u32,
    cached_tokens: u32,
    done: bool,
}

impl EventStream {
    /// A stream for generations, whose tokens their tickets announce.
    pub(crate) fn new(
        choices: impl Iterator<Item = (Ticket, Generation)>,
        id: &str,
        created: u64,
        reset_on_close: &Arc<AtomicBool>,
    ) -> Self {
        let (mut head, mut include_usage) = (String::new(), false);
        let choices = choices
            .enumerate()
            .map(|(index, (ticket, generation))| {
                let object = match generation.kind {
                    Kind::Chat => "chat.completion.chunk",
                    Kind::Completion => "text_completion",
                };
                let model = serde_json::Value::from(ticket.shared.config.model.as_str());
                head = format!(
                    "data: {{\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{created},\"model\":{model},\"choices\":["
                );
                include_usage = generation.include_usage;
                Choice::new(ticket, generation, index, &head)
            })
            .collect();
        let reset_on_close = Arc::clone(reset_on_close);
        Self { choices, head, include_usage, done: false, flushed: false, reset_on_close }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Severed>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let (mut events, mut cut) = (Vec::new(), None);
        for choice in self.choices.iter_mut().filter(|choice| !choice.done) {
            cut = cut.or(choice.push_due(cx, &mut events));
        }
        if self.choices.iter().all(|choice| choice.done) {
            self.push_end(&mut events);
            self.done = true;
        }
        if !events.is_empty() {
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

    fn push_end(&self, events: &mut Vec<u8>) {
        if self.include_usage {
            let sum = |of: fn(&Choice) -> u32| self.choices.iter().map(of).sum();
            let usage = usage(sum(|c| c.generation.prompt.tokens), sum(|c| c.sent_tokens), sum(|c| c.cached_tokens));
            events.extend_from_slice(format!("{}],\"usage\":{usage}}}\n\n", self.head).as_bytes());
        }
        events.extend_from_slice(rhumb_openai::stream::END);
    }
}

impl Choice {
    fn new(ticket: Ticket, generation: Generation, index: usize, head: &str) -> Self {
        let opening = match generation.kind {
            Kind::Chat => "\"delta\":{",
            Kind::Completion => "",
        };
        let tail = match (generation.kind, generation.include_usage) {
            (Kind::Chat, false) => "},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            (Kind::Chat, true) => "},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
            (Kind::Completion, false) => ",\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            (Kind::Completion, true) => ",\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
        };
        let head = format!("{head}{{\"index\":{index},{opening}");
        Self { ticket, generation, head, tail, sent_tokens: 0, cached_tokens: 0, done: false }
    }

    /// Adds the events that are due; how a fault cuts the answer, if it does here.
    fn push_due(&mut self, cx: &mut Context<'_>, events: &mut Vec<u8>) -> Option<Cut> {
        let (progress, cut) = self.ticket.poll(cx);
        let fresh = progress.due_tokens.saturating_sub(self.sent_tokens);
        if fresh == 0 && !progress.finished {
            return cut;
        }
        events.reserve((self.head.len() + self.tail.len() + 24) * (fresh as usize + 1) + 512);
        for _ in 0..fresh {
            self.push_token(events);
        }
        if progress.finished {
            self.cached_tokens = progress.cached_tokens;
            self.push_finish(events);
            self.ticket.complete();
            self.done = true;
        }
        None
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

    fn push_finish(&self, events: &mut Vec<u8>) {
        let Generation { kind, finish_reason, include_usage, .. } = self.generation;
        let closing = match kind {
            Kind::Chat => "}",
            Kind::Completion => "\"text\":\"\"",
        };
        let usage_field = if include_usage { ",\"usage\":null" } else { "" };
        let head = &self.head;
        let end =
            format!("{head}{closing},\"logprobs\":null,\"finish_reason\":\"{finish_reason}\"}}]{usage_field}}}\n\n");
        events.extend_from_slice(end.as_bytes());
    }
}
