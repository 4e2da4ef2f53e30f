//! The items of an output.

use rhumb_conversation::call_id;
use serde_json::{Value, json};

use crate::response::Reply;

/// An item as it is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// What the model thinks.
    Reasoning(String),
    /// What it says.
    Message(String),
    /// It calls a tool.
    Call { id: String, name: String, arguments: String },
}

impl Output {
    /// Its identifier, by its place in the output.
    pub(crate) fn id(&self, reply: &Reply, index: usize) -> String {
        let kind = match self {
            Self::Reasoning(_) => "rs",
            Self::Message(_) => "msg",
            Self::Call { name, .. } if reply.is_custom(name) => "ctc",
            Self::Call { .. } => "fc",
        };
        format!("{kind}_{}_{index}", reply.number())
    }

    /// What its content is while nothing of it has come, or as it is.
    pub(crate) fn part(&self) -> Value {
        match self {
            Self::Reasoning(text) => json!({"type": "reasoning_text", "text": text}),
            Self::Message(text) => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
            Self::Call { .. } => Value::Null,
        }
    }

    /// The item, in this state.
    pub(crate) fn item(&self, reply: &Reply, index: usize, status: &str) -> Value {
        let id = self.id(reply, index);
        let content = |text: &str| if text.is_empty() && status == "in_progress" { vec![] } else { vec![self.part()] };
        match self {
            Self::Reasoning(text) => {
                json!({"id": id, "type": "reasoning", "summary": [], "content": content(text), "status": status})
            }
            Self::Message(text) => {
                json!({"id": id, "type": "message", "role": "assistant", "content": content(text), "status": status})
            }
            Self::Call { id: call, name, arguments } => {
                let call = if call.is_empty() {
                    format!("call_{}_{index}", reply.number())
                } else {
                    call_id(call).into_owned()
                };
                let own = reply.renamed.back(name);
                if reply.is_custom(name) {
                    let input = custom_input(arguments);
                    return json!({"id": id, "type": "custom_tool_call", "call_id": call, "name": own, "input": input, "status": status});
                }
                json!({"id": id, "type": "function_call", "call_id": call, "name": own, "arguments": arguments, "status": status})
            }
        }
    }
}

/// The text of a call whose argument is one: the only member of the object that the engine wrote, or what it wrote instead.
pub(crate) fn custom_input(arguments: &str) -> String {
    let value: Option<Value> = serde_json::from_str(arguments).ok();
    value.as_ref().and_then(|value| value["input"].as_str()).unwrap_or(arguments).to_owned()
}
