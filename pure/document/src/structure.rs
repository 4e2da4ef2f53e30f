//! Holds the tree against the schema and reports everything that differs.
//!
//! What can be understood in spite of a problem is put right in the tree (a misspelt key takes its right name, an
//! impossible number a possible one), so that one slip neither hides other problems nor causes false ones.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::distance::Suggestions;
use crate::find::is_secret;
use crate::path::Path;
use crate::patterns;
use crate::problem::{COLLECTED_MAX, Problem};
use crate::shape::{Kind, Shape};
use crate::shown::{listed, shown};
use crate::span::Span;
use crate::tree::{Entry, Node, Origin, Value};
use crate::wrong_type;

/// What the walk over a tree found.
pub struct Outcome {
    /// All problems.
    pub problems: Vec<Problem>,
    /// Whether the tree, as put right, holds all that the types need.
    pub whole: bool,
}

/// Checks a tree against the schema; `example` says what an empty file should hold.
pub fn check(root: &mut Node, schema: &Json, example: &str) -> Outcome {
    let mut walker = Walker { schema, problems: Vec::new(), whole: true, suggestions: Suggestions::default() };
    if root.value == Value::Null {
        walker.problem(root.span, &Path::root(), "the file is empty".to_owned(), example.to_owned());
        walker.whole = false;
    } else {
        walker.node(root, schema, &Path::root(), false);
    }
    Outcome { problems: walker.problems, whole: walker.whole }
}

struct Walker<'a> {
    schema: &'a Json,
    problems: Vec<Problem>,
    whole: bool,
    suggestions: Suggestions,
}

impl<'a> Walker<'a> {
    fn problem(&mut self, span: Span, path: &Path, what: String, right: String) {
        self.problems.push(Problem::at(span, path, what, right));
    }

    /// So much is wrong that the rest of the file is not looked at.
    fn is_full(&mut self) -> bool {
        let full = self.problems.len() >= COLLECTED_MAX;
        self.whole &= !full;
        full
    }

    /// `secret` says that the value must not be repeated in a message.
    fn node(&mut self, node: &mut Node, schema: &'a Json, path: &Path, secret: bool) {
        let shape = Shape::of(self.schema, schema);
        let span = node.span;
        match (shape.kind, &mut node.value) {
            (_, Value::Null) if shape.nullable => {}
            (Kind::Object, Value::Map(entries)) => self.object(entries, &shape, span, path, secret),
            (Kind::List, Value::Seq(items)) => {
                self.count(items.len(), &shape, span, path);
                for (index, item) in items.iter_mut().enumerate() {
                    if self.is_full() {
                        return;
                    }
                    self.node(item, shape.items(), &path.index(index), secret);
                }
            }
            (Kind::Text, Value::Str(_)) => self.text(node, &shape, path),
            (Kind::Bool, Value::Bool(_)) => {}
            (Kind::Words, Value::Str(word)) if shape.words().contains(&word.as_str()) => {}
            (Kind::Whole | Kind::Number, Value::Int(_)) | (Kind::Number, Value::Float(_)) => {
                self.number(node, &shape, path);
            }
            _ => self.wrong(node, &shape, path, secret),
        }
    }

    fn object(&mut self, entries: &mut Vec<Entry>, shape: &Shape<'a>, span: Span, path: &Path, secret: bool) {
        self.repeated(entries, path);
        if let Some(schema) = shape.values() {
            // The one map there is holds headers, any of which may carry a secret.
            entries.iter_mut().for_each(|entry| self.node(&mut entry.node, schema, &path.key(&entry.key), true));
            return;
        }
        self.unknown(entries, shape, path, secret);
        for entry in entries.iter_mut() {
            if let Some(schema) = shape.property(&entry.key) {
                self.node(&mut entry.node, schema, &path.key(&entry.key), is_secret(&entry.key));
            }
        }
        for name in shape.required() {
            if entries.iter().any(|entry| entry.key == name) {
                continue;
            }
            let Some(schema) = shape.property(name) else { continue };
            let missing = Shape::of(self.schema, schema);
            let place = if path.steps().is_empty() { String::new() } else { format!(" in `{path}`") };
            let right = format!("add `{name}:`, {}", missing.meaning());
            self.problem(span, &path.key(name), format!("missing key `{name}`{place}"), right);
            match missing.stand_in() {
                Some(value) => {
                    let node = Node { span, value, origin: Origin::File };
                    entries.push(Entry { key: name.to_owned(), key_span: span, node });
                }
                None => self.whole = false,
            }
        }
    }

    /// Reports repeated keys and keeps the first of each. Which one was meant is open, and so is all that depends on it.
    fn repeated(&mut self, entries: &mut Vec<Entry>, path: &Path) {
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut lines = std::collections::BTreeMap::new();
        for entry in entries.drain(..) {
            if self.is_full() {
                break;
            }
            if let Some(line) = lines.get(&entry.key) {
                let what = format!("key `{}` is already on line {line}", shown(&entry.key));
                let right = "one of the two; an item of a list of its own begins with `- `".to_owned();
                self.problem(entry.key_span, &path.key(&entry.key), what, right);
                self.whole = false;
            } else {
                lines.insert(entry.key.clone(), entry.key_span.line);
                kept.push(entry);
            }
        }
        *entries = kept;
    }

    /// Reports unknown keys; one that is nearly a known key takes its place, any other is dropped.
    fn unknown(&mut self, entries: &mut Vec<Entry>, shape: &Shape<'a>, path: &Path, secret: bool) {
        let is_known = |entry: &Entry| shape.property(&entry.key).is_some();
        let mut present: BTreeSet<String> = entries.iter().filter(|e| is_known(e)).map(|e| e.key.clone()).collect();
        for entry in entries.iter_mut().filter(|entry| !is_known(entry)) {
            if self.is_full() {
                break;
            }
            let absent = shape.properties().map(|(name, _)| name).filter(|name| !present.contains(*name));
            let meant = self.suggestions.nearest(&entry.key, absent);
            let meant = meant.and_then(|name| Some((name, shape.property(name)?)));
            let right = match meant {
                Some((name, schema)) => format!("`{name}`, {}", Shape::of(self.schema, schema).meaning()),
                None => format!("one of {}", listed(shape.properties().map(|(name, _)| name))),
            };
            // In a credential, a word in the place of a key may be the secret itself.
            let (what, path) = match secret && meant.is_none() && entry.node.value == Value::Null {
                true => ("unknown key, without a value".to_owned(), path.clone()),
                false => (format!("unknown key `{}`", shown(&entry.key)), path.key(&entry.key)),
            };
            self.problems.push(Problem::at(entry.key_span, &path, what, right));
            if let Some((name, _)) = meant {
                name.clone_into(&mut entry.key);
                present.insert(name.to_owned());
            }
        }
        entries.retain(is_known);
    }

    fn count(&mut self, count: usize, shape: &Shape<'a>, span: Span, path: &Path) {
        if count < shape.min_items() {
            let right = format!("at least one item: {}", shape.meaning());
            self.problem(span, path, format!("`{path}` is empty"), right);
        }
    }

    fn text(&mut self, node: &Node, shape: &Shape<'a>, path: &Path) {
        let (Value::Str(text), Some(pattern)) = (&node.value, shape.pattern()) else { return };
        if node.origin == Origin::Unset {
            return;
        }
        if let Some((what, right)) = patterns::mismatch(pattern, text, &format!("`{}`", shown(node.written()))) {
            self.problem(node.span, path, what, right);
        }
    }

    fn number(&mut self, node: &mut Node, shape: &Shape<'a>, path: &Path) {
        let value = match node.value {
            // Bounds are far below 2^53, where neighbours become equal.
            Value::Int(value) => value as f64,
            Value::Float(value) => value,
            _ => return,
        };
        let (min, max) = shape.range();
        if min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max) && value.is_finite() {
            return;
        }
        let name = wrong_type::last_key(path);
        self.problem(node.span, path, format!("{value} is out of range"), format!("`{name}`, {}", shape.meaning()));
        self.replace(node, shape);
    }

    fn wrong(&mut self, node: &mut Node, shape: &Shape<'a>, path: &Path, secret: bool) {
        if node.origin != Origin::Unset || shape.kind != Kind::Words {
            let (what, right) = wrong_type::explain(node, shape, path, secret, &self.suggestions);
            self.problem(node.span, path, what, right);
        }
        self.replace(node, shape);
    }

    fn replace(&mut self, node: &mut Node, shape: &Shape<'a>) {
        let text = wrong_type::as_text(&node.value).filter(|_| shape.kind == Kind::Text).map(Value::Str);
        match text.or_else(|| shape.stand_in()) {
            Some(value) => node.value = value,
            None => self.whole = false,
        }
    }
}
