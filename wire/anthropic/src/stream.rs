//! An answer as Anthropic's events, written as it comes.

use std::io::Write as _;

use rhumb_conversation::{Event, Stop, Text, Usage};
use serde_json::json;

use crate::answer::{Reply, SIGNATURE, call_id, counters, stop};

/// What is open for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    /// A call, by its index at the engine.
    Call(u64),
}

/// What came while a call was open, which only one block may be. It follows when the answer has ended.
#[derive(Debug)]
enum Later {
    Text(String),
    Thinking(String),
    Call { index: u64, id: String, name: String, arguments: String },
}

/// Writes events to memory, which cannot fail. A block is closed before the next one is opened; calls that come interleaved are put in order.
#[derive(Debug)]
pub struct Stream {
    reply: Reply,
    model: Option<String>,
    begun: bool,
    open: Option<Open>,
    /// Blocks opened so far.
    blocks: u64,
    /// The open call has arguments.
    has_arguments: bool,
    later: Vec<Later>,
    called: bool,
    stop: Stop<'static>,
    usage: Option<Usage>,
    /// Pieces of text and arguments: what is generated, where no engine counts it.
    pieces: u64,
    hidden: u64,
}

/// After so many pieces of thinking that it is not shown, a client learns that the model is at work.
const HIDDEN_PIECES: u64 = 64;

impl Stream {
    /// Of the answer to a request.
    pub fn new(reply: Reply) -> Self {
        Self {
            reply,
            model: None,
            begun: false,
            open: None,
            blocks: 0,
            has_arguments: false,
            later: Vec::new(),
            called: false,
            stop: Stop::End,
            usage: None,
            pieces: 0,
            hidden: 0,
        }
    }

    /// Takes what was said next.
    pub fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Model(model) => {
                if self.model.is_none() {
                    self.model = Some(model.into_owned());
                }
            }
            Event::Text(text) => self.said(Open::Text, &text, out),
            Event::Thinking(text) if self.reply.shows_thinking => self.said(Open::Thinking, &text, out),
            Event::Thinking(_) => {
                self.pieces += 1;
                self.hidden += 1;
                if self.hidden % HIDDEN_PIECES == 1 {
                    self.ping(out);
                }
            }
            Event::Call { index, id, name, arguments } => self.call(index, id, name, &arguments, out),
            Event::Stop(reason) => self.stop = owned(reason),
            Event::Usage(usage) => self.usage = Some(usage),
        }
    }

    /// The client is to hear that the answer is still coming.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }

    /// The answer is whole.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        for later in std::mem::take(&mut self.later) {
            match later {
                Later::Text(text) => self.piece(Open::Text, &text, out),
                Later::Thinking(text) => self.piece(Open::Thinking, &text, out),
                Later::Call { index, id, name, arguments } => {
                    self.open_call(index, &id, &name, out);
                    self.arguments(&arguments, out);
                }
            }
            self.close(out);
        }
        let (reason, sequence) = stop(&self.stop, self.called);
        let usage =
            self.usage.unwrap_or(Usage { fresh: self.reply.prompt_tokens, spoken: self.pieces, ..Usage::default() });
        let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
        let data = json!({"type": "message_delta", "delta": delta, "usage": counters(&usage)});
        let _ = write!(out, "event: message_delta\ndata: {data}\n\n");
        out.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        // A client takes a prompt of no tokens for an empty context, and never shortens its history.
        let usage = Usage { fresh: self.reply.prompt_tokens.max(1), ..Usage::default() };
        let model = self.model.as_deref().unwrap_or(&self.reply.model);
        let message = json!({
            "id": self.reply.id, "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": counters(&usage),
        });
        let data = json!({"type": "message_start", "message": message});
        let _ = write!(out, "event: message_start\ndata: {data}\n\n");
    }

    /// Text or thinking.
    fn said(&mut self, kind: Open, text: &str, out: &mut Vec<u8>) {
        self.pieces += 1;
        if !self.called {
            self.piece(kind, text, out);
            return;
        }
        match (kind, self.later.last_mut()) {
            (Open::Text, Some(Later::Text(all))) | (Open::Thinking, Some(Later::Thinking(all))) => all.push_str(text),
            (Open::Thinking, _) => self.later.push(Later::Thinking(text.to_owned())),
            _ => self.later.push(Later::Text(text.to_owned())),
        }
    }

    fn piece(&mut self, kind: Open, text: &str, out: &mut Vec<u8>) {
        let (block, delta, member) = match kind {
            Open::Thinking => (r#"{"type":"thinking","thinking":"","signature":""}"#, "thinking_delta", "thinking"),
            _ => (r#"{"type":"text","text":""}"#, "text_delta", "text"),
        };
        if self.open != Some(kind) {
            self.start(kind, block, out);
        }
        self.delta(delta, member, text, out);
    }

    fn call(&mut self, index: u64, id: Option<Text<'_>>, name: Option<Text<'_>>, arguments: &str, out: &mut Vec<u8>) {
        self.pieces += 1;
        if self.open == Some(Open::Call(index)) {
            self.arguments(arguments, out);
            return;
        }
        let text = |text: Option<Text<'_>>| text.map(Text::into_owned).unwrap_or_default();
        if !std::mem::replace(&mut self.called, true) {
            self.open_call(index, &text(id), &text(name), out);
            self.arguments(arguments, out);
            return;
        }
        let known = self.later.iter_mut().find(|later| matches!(later, Later::Call { index: i, .. } if *i == index));
        match known {
            Some(Later::Call { arguments: all, .. }) => all.push_str(arguments),
            _ => {
                let arguments = arguments.to_owned();
                self.later.push(Later::Call { index, id: text(id), name: text(name), arguments });
            }
        }
    }

    fn open_call(&mut self, index: u64, id: &str, name: &str, out: &mut Vec<u8>) {
        let (id, name) = (call_id(&self.reply, index, id), self.reply.renamed.back(name).to_owned());
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}}).to_string();
        self.has_arguments = false;
        self.start(Open::Call(index), &block, out);
    }

    fn arguments(&mut self, arguments: &str, out: &mut Vec<u8>) {
        if !arguments.is_empty() {
            self.has_arguments = true;
            self.delta("input_json_delta", "partial_json", arguments, out);
        }
    }

    /// Opens a block, and closes the one before.
    fn start(&mut self, kind: Open, block: &str, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        let index = self.blocks;
        (self.open, self.blocks) = (Some(kind), index + 1);
        let _ = write!(
            out,
            "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{block}}}\n\n"
        );
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match self.open {
            None => return,
            Some(Open::Thinking) => self.delta("signature_delta", "signature", SIGNATURE, out),
            Some(Open::Call(_)) if !self.has_arguments => self.delta("input_json_delta", "partial_json", "{}", out),
            Some(Open::Call(_) | Open::Text) => {}
        }
        self.open = None;
        let index = self.blocks - 1;
        let _ =
            write!(out, "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n");
    }

    fn delta(&self, kind: &str, member: &str, text: &str, out: &mut Vec<u8>) {
        let index = self.blocks.saturating_sub(1);
        let _ = write!(
            out,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"{kind}\",\"{member}\":"
        );
        let _ = serde_json::to_writer(&mut *out, text);
        out.extend_from_slice(b"}}\n\n");
    }
}

fn owned(reason: Stop<'_>) -> Stop<'static> {
    match reason {
        Stop::Sequence(text) => Stop::Sequence(text.map(|text| text.into_owned().into())),
        Stop::End => Stop::End,
        Stop::MaxTokens => Stop::MaxTokens,
        Stop::Calls => Stop::Calls,
        Stop::Refusal => Stop::Refusal,
        Stop::Other => Stop::Other,
    }
}

#[cfg(test)]
mod tests;
