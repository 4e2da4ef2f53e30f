//! A response as its events, written as it comes.

use std::io::Write as _;

use rhumb_api::ApiError;
use rhumb_conversation::{Event, Stop, Text, Usage};
use serde_json::{Value, json};

use crate::output::{Output, custom_input};
use crate::response::{Reply, State, ended};

/// An item under way, by the index of the call at the engine where it is one.
#[derive(Debug)]
struct Open {
    output: Output,
    call: Option<u64>,
}

/// Writes events to memory, which cannot fail. An item is closed before the next one is opened; calls that come interleaved are put
/// in order. The whole output is repeated at the end, as the protocol wants it.
#[derive(Debug)]
pub struct Stream {
    reply: Reply,
    model: Option<String>,
    sequence: u64,
    begun: bool,
    done: Vec<Value>,
    open: Option<Open>,
    /// What came while a call was open. It follows when the answer has ended.
    later: Vec<Open>,
    called: bool,
    stop: Option<Stop<'static>>,
    usage: Option<Usage>,
    pieces: u64,
}

impl Stream {
    /// Of the answer to a request.
    pub fn new(reply: Reply) -> Self {
        Self {
            reply,
            model: None,
            sequence: 0,
            begun: false,
            done: Vec::new(),
            open: None,
            later: Vec::new(),
            called: false,
            stop: None,
            usage: None,
            pieces: 0,
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
            Event::Text(text) => self.said(Output::Message(String::new()), &text, out),
            Event::Thinking(text) => self.said(Output::Reasoning(String::new()), &text, out),
            Event::Call { index, id, name, arguments } => self.call(index, id, name, &arguments, out),
            Event::Stop(Stop::MaxTokens) => self.stop = Some(Stop::MaxTokens),
            Event::Stop(Stop::Refusal) => self.stop = Some(Stop::Refusal),
            Event::Stop(_) => self.stop = Some(Stop::End),
            Event::Usage(usage) => self.usage = Some(usage),
        }
    }

    /// The answer is whole.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.close("completed", out);
        for mut later in std::mem::take(&mut self.later) {
            let text = match &mut later.output {
                Output::Reasoning(text) | Output::Message(text) | Output::Call { arguments: text, .. } => {
                    std::mem::take(text)
                }
            };
            self.start(later, out);
            self.delta(&text, out);
            self.close("completed", out);
        }
        let (status, incomplete) = ended(self.stop.as_ref().unwrap_or(&Stop::End));
        let kind = if status == "completed" { "response.completed" } else { "response.incomplete" };
        let response = self.object(status, incomplete, None);
        self.write(kind, json!({ "response": response }), out);
    }

    /// Nothing is generated: the response is whole without any output.
    pub fn warmed_up(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        let response = self.object("completed", None, None);
        self.write("response.completed", json!({ "response": response }), out);
    }

    /// The answer breaks off. A client gets what came before it, and why there is no more.
    pub fn fail(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.begin(out);
        if let Some(open) = self.open.take() {
            let index = self.done.len();
            self.done.push(open.output.item(&self.reply, index, "incomplete"));
        }
        let error = json!({"code": "server_error", "message": error.message});
        let response = self.object("failed", None, Some(error));
        self.write("response.failed", json!({ "response": response }), out);
    }

    fn object(&self, status: &str, incomplete: Option<&str>, error: Option<Value>) -> Value {
        let estimate = Usage { fresh: self.reply.prompt_tokens, spoken: self.pieces, ..Usage::default() };
        let usage = (status != "in_progress").then(|| self.usage.unwrap_or(estimate));
        let (model, output) = (self.model.as_deref(), self.done.clone());
        self.reply.object(&State { status, error, incomplete, model, output, usage })
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for kind in ["response.created", "response.in_progress"] {
            let response = self.object("in_progress", None, None);
            self.write(kind, json!({ "response": response }), out);
        }
    }

    /// Text or thinking, in an item of that kind.
    fn said(&mut self, kind: Output, text: &str, out: &mut Vec<u8>) {
        self.pieces += 1;
        let is_same = |open: &Open| std::mem::discriminant(&open.output) == std::mem::discriminant(&kind);
        if self.called {
            if !self.later.last().is_some_and(is_same) {
                self.later.push(Open { output: kind, call: None });
            }
            append(self.later.last_mut(), text);
            return;
        }
        if !self.open.as_ref().is_some_and(is_same) {
            self.start(Open { output: kind, call: None }, out);
        }
        self.delta(text, out);
    }

    fn call(&mut self, index: u64, id: Option<Text<'_>>, name: Option<Text<'_>>, arguments: &str, out: &mut Vec<u8>) {
        self.pieces += 1;
        let is_it = |open: &Open| open.call == Some(index);
        if self.open.as_ref().is_some_and(is_it) {
            self.delta(arguments, out);
            return;
        }
        if let Some(known) = self.later.iter_mut().find(|open| is_it(open)) {
            append(Some(known), arguments);
            return;
        }
        let text = |text: Option<Text<'_>>| text.map(Text::into_owned).unwrap_or_default();
        let output = Output::Call { id: text(id), name: text(name), arguments: String::new() };
        let mut open = Open { output, call: Some(index) };
        if std::mem::replace(&mut self.called, true) {
            append(Some(&mut open), arguments);
            self.later.push(open);
        } else {
            self.start(open, out);
            self.delta(arguments, out);
        }
    }

    /// Opens an item, and closes the one before.
    fn start(&mut self, open: Open, out: &mut Vec<u8>) {
        self.begin(out);
        self.close("completed", out);
        let index = self.done.len();
        let item = open.output.item(&self.reply, index, "in_progress");
        let has_content = open.call.is_none();
        let (id, part) = (open.output.id(&self.reply, index), open.output.part());
        self.open = Some(open);
        self.write("response.output_item.added", json!({"output_index": index, "item": item}), out);
        if has_content {
            let data = json!({"item_id": id, "output_index": index, "content_index": 0, "part": part});
            self.write("response.content_part.added", data, out);
        }
    }

    /// The next of the item that is open.
    fn delta(&mut self, text: &str, out: &mut Vec<u8>) {
        let index = self.done.len();
        append(self.open.as_mut(), text);
        let Some(open) = &self.open else { return };
        let id = open.output.id(&self.reply, index);
        let (kind, data) = match &open.output {
            _ if text.is_empty() => return,
            Output::Message(_) => (
                "response.output_text.delta",
                json!({"item_id": id, "output_index": index, "content_index": 0, "delta": text, "logprobs": []}),
            ),
            Output::Reasoning(_) => (
                "response.reasoning_text.delta",
                json!({"item_id": id, "output_index": index, "content_index": 0, "delta": text}),
            ),
            // The text is inside of the object that comes, and shows when it is whole.
            Output::Call { name, .. } if self.reply.is_custom(name) => return,
            Output::Call { .. } => {
                ("response.function_call_arguments.delta", json!({"item_id": id, "output_index": index, "delta": text}))
            }
        };
        self.write(kind, data, out);
    }

    fn close(&mut self, status: &str, out: &mut Vec<u8>) {
        let Some(mut open) = self.open.take() else { return };
        let index = self.done.len();
        let id = open.output.id(&self.reply, index);
        let at = |more: Value| {
            let mut data = json!({"item_id": id, "output_index": index});
            if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
                data.extend(more);
            }
            data
        };
        match &mut open.output {
            Output::Message(text) => {
                let data = at(json!({"content_index": 0, "text": text, "logprobs": []}));
                self.write("response.output_text.done", data, out);
            }
            Output::Reasoning(text) => {
                self.write("response.reasoning_text.done", at(json!({"content_index": 0, "text": text})), out);
            }
            Output::Call { name, arguments, .. } if self.reply.is_custom(name) => {
                let input = custom_input(arguments);
                self.write("response.custom_tool_call_input.delta", at(json!({ "delta": input })), out);
                self.write("response.custom_tool_call_input.done", at(json!({ "input": input })), out);
            }
            Output::Call { name, arguments, .. } => {
                if arguments.is_empty() {
                    arguments.push_str("{}");
                }
                let own = self.reply.renamed.back(name);
                let data = at(json!({"name": own, "arguments": arguments}));
                self.write("response.function_call_arguments.done", data, out);
            }
        }
        if open.call.is_none() {
            let data = at(json!({"content_index": 0, "part": open.output.part()}));
            self.write("response.content_part.done", data, out);
        }
        let item = open.output.item(&self.reply, index, status);
        self.write("response.output_item.done", json!({"output_index": index, "item": item}), out);
        self.done.push(item);
    }

    fn write(&mut self, kind: &str, mut data: Value, out: &mut Vec<u8>) {
        data["type"] = kind.into();
        data["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        let _ = write!(out, "event: {kind}\ndata: {data}\n\n");
    }
}

fn append(open: Option<&mut Open>, more: &str) {
    match open.map(|open| &mut open.output) {
        Some(Output::Reasoning(text) | Output::Message(text) | Output::Call { arguments: text, .. }) => {
            text.push_str(more)
        }
        None => {}
    }
}

/// The event of a response that ends before anything of it was made.
pub fn error_event(error: &ApiError) -> String {
    let code = rhumb_openai::error::code(error);
    let data =
        json!({"type": "error", "code": code, "message": error.message, "param": error.param, "sequence_number": 0});
    format!("event: error\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests;
