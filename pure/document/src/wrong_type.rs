//! The words for a value of the wrong type: what was found, and how to write what was probably meant.

use crate::distance::Suggestions;
use crate::path::{Path, Step};
use crate::scalar;
use crate::shape::{Kind, Shape};
use crate::shown::{listed, shown};
use crate::tree::{Node, Origin, Value};

/// Says what was found and what would be right; the value of a secret is not repeated.
pub(crate) fn explain(
    node: &Node,
    shape: &Shape<'_>,
    path: &Path,
    secret: bool,
    suggestions: &Suggestions,
) -> (String, String) {
    let name = last_key(path);
    if let (Kind::Words, Value::Str(word)) = (shape.kind, &node.value) {
        let words = shape.words();
        let right = match suggestions.nearest(word, words.iter().copied()) {
            Some(word) => format!("`{word}`"),
            None => format!("one of {}", listed(words)),
        };
        return (format!("`{name}` has no choice `{}`", shown(node.written())), right);
    }
    let found = if name.is_empty() {
        format!("the file holds {}", found(node, secret))
    } else {
        format!("`{name}` holds {}", found(node, secret))
    };
    (found, right(node, shape, name, secret))
}

/// The key that a path ends in, looking through the items of lists.
pub fn last_key(path: &Path) -> &str {
    let key = path.steps().iter().rev().find_map(|step| match step {
        Step::Key(name) => Some(name.as_str()),
        Step::Index(_) => None,
    });
    key.unwrap_or_default()
}

fn found(node: &Node, secret: bool) -> String {
    let value = &node.value;
    match value {
        Value::Null => "no value".to_owned(),
        Value::Str(_) if secret => "text".to_owned(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) if secret => "something that is not text".to_owned(),
        Value::Bool(value) => format!("the truth value `{value}`"),
        Value::Int(value) => format!("the number {value}"),
        Value::Float(value) => format!("the number {value}"),
        Value::Str(_) => format!("the text `{}`", shown(node.written())),
        Value::Seq(_) => "a list".to_owned(),
        Value::Map(_) => "keys with values".to_owned(),
    }
}

fn right(node: &Node, shape: &Shape<'_>, name: &str, secret: bool) -> String {
    let takes = shape.takes();
    if let Origin::Environment(_) | Origin::Unset = node.origin {
        return format!("{takes}, written into the file: a variable can only fill in text");
    }
    let example = match (shape.kind, &node.value) {
        (Kind::List, Value::Str(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_)) if secret => None,
        (Kind::List, Value::Str(text)) => Some(format!("`{name}: [{}]`", shown(text))),
        (Kind::List, Value::Map(_)) => Some("each item begins with `- `".to_owned()),
        (Kind::Text, Value::Int(_) | Value::Float(_) | Value::Bool(_)) if secret => {
            Some("the same in quotes".to_owned())
        }
        (Kind::Text, Value::Int(_) | Value::Float(_) | Value::Bool(_)) => match shape.default_text() {
            Some(text) => Some(format!("`{name}: {text}`")),
            None => as_text(&node.value).map(|text| format!("in quotes: `\"{text}\"`")),
        },
        (Kind::Text, Value::Seq(_)) => Some("a single one".to_owned()),
        (Kind::Bool, Value::Str(text)) => truth(text).map(|value| format!("`{name}: {value}`")),
        (Kind::Number | Kind::Whole, Value::Str(text)) => number_in(text),
        (Kind::Object, Value::Seq(_)) => Some("without the `- `".to_owned()),
        _ => None,
    };
    let meaning = shape.meaning();
    match example {
        Some(example) => format!("{takes}; {example}"),
        None if node.value == Value::Null && shape.kind != Kind::Object => format!("{takes}: {meaning}"),
        None => takes,
    }
}

/// A number or truth value as the text that was probably meant.
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::Null | Value::Str(_) | Value::Seq(_) | Value::Map(_) => None,
    }
}

/// What the words of YAML 1.1 and of other languages mean.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" | "1" => Some(true),
        "no" | "off" | "n" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// A number in quotes, or with a unit behind it.
fn number_in(text: &str) -> Option<String> {
    let text = text.trim();
    if matches!(scalar::plain(text), Value::Int(_) | Value::Float(_)) {
        return Some(format!("without quotes: `{}`", shown(text)));
    }
    text.starts_with(|c: char| c.is_ascii_digit())
        .then(|| "digits alone: the unit is in the name of the key".to_owned())
}
