//! A document as a tree in which every value knows its place in the text.

use crate::span::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
    /// Where its text comes from.
    pub origin: Origin,
}

/// Where the text of a string comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The file itself.
    File,
    /// Partly the environment; the string as the file has it.
    Environment(String),
    /// Partly the environment, which did not know the name: the value says nothing.
    Unset,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Str(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping.
    Map(Vec<Entry>),
}

/// A key with its value. A mapping keeps its entries in the order of the text, repeated keys included.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// A string as the file has it, before the environment filled it in; empty for anything else.
    pub fn written(&self) -> &str {
        match (&self.origin, &self.value) {
            (Origin::Environment(written), _) => written,
            (Origin::File | Origin::Unset, Value::Str(text)) => text,
            (Origin::File | Origin::Unset, _) => "",
        }
    }

    /// The same value as JSON; a repeated key keeps its last value, a number that JSON cannot hold becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Str(value) => value.as_str().into(),
            Value::Seq(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
        }
    }
}
