//! `rhumb.yaml` as a tree in which every value knows its place in the text.
//!
//! Narrower than YAML on purpose: one document, text keys, no anchors, no tags, and a limit on size and depth, so that
//! no file can make the walkers recurse or the memory grow beyond what its own length explains.

use crate::path::Path;
use crate::problem::Problem;
use crate::scalar;
use crate::syntax;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Longest file read, in bytes.
const BYTES_MAX: usize = 16 << 20;
/// Deepest nesting of lists and mappings.
const DEPTH_MAX: usize = 32;

/// A stretch of the text. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) end_line: usize,
    pub(crate) end_column: usize,
}

impl Span {
    /// One character.
    pub(crate) fn point(line: usize, column: usize) -> Self {
        Self { line, column, end_line: line, end_column: column + 1 }
    }

    fn of(span: saphyr_parser::Span) -> Self {
        let (start, end) = (span.start, span.end);
        Self {
            line: start.line().max(1),
            column: start.col() + 1,
            end_line: end.line().max(1),
            end_column: end.col() + 1,
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Where the text of a string comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The file itself.
    File,
    /// Partly the environment; the string as the file has it.
    Environment(String),
    /// Partly the environment, which did not know the name: the value says nothing.
    Unset,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value. A mapping keeps its entries in the order of the text, repeated keys included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// A string as the file has it, before the environment filled it in; empty for anything else.
    pub(crate) fn written(&self) -> &str {
        match (&self.origin, &self.value) {
            (Origin::Environment(written), _) => written,
            (Origin::File | Origin::Unset, Value::Str(text)) => text,
            (Origin::File | Origin::Unset, _) => "",
        }
    }

    /// The same value as JSON; a repeated key keeps its last value, a number that JSON cannot hold becomes null.
    pub(crate) fn to_json(&self) -> serde_json::Value {
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

/// Splits a text where YAML does, at a carriage return too.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

/// Reads a text into a tree; a syntax error ends the reading, so there is at most one problem.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > BYTES_MAX {
        let what = format!("the file is longer than {} MiB", BYTES_MAX >> 20);
        return Err(refuse(Span::point(1, 1), &what, "a smaller file: one grid fits easily"));
    }
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax::explain(text, &error))?;
        builder.take(event, Span::of(span))?;
    }
    let empty = Node { span: Span::point(1, 1), value: Value::Null, origin: Origin::File };
    Ok(builder.root.unwrap_or(empty))
}

fn refuse(span: Span, what: &str, right: &str) -> Problem {
    Problem::at(span, &Path::root(), what.to_owned(), right.to_owned())
}

/// A list or mapping that is still being read.
enum Open {
    Seq(Span, Vec<Node>),
    Map(Span, Vec<Entry>, Option<(String, Span)>),
}

/// Builds the tree from parser events, with a stack of its own instead of recursion.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    documents: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.scalar(&text, style, span);
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.push(Open::Seq(span, Vec::new()), span)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.push(Open::Map(span, Vec::new(), None), span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
            Event::Alias(_) => refuse_extras(span, 1, false),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(refuse(span, "a second document begins here", "one document: remove this `---`"));
                }
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn push(&mut self, open: Open, span: Span) -> Result<(), Problem> {
        if self.open.len() >= DEPTH_MAX {
            let what = format!("lists and mappings are nested more than {DEPTH_MAX} deep");
            return Err(refuse(span, &what, "nothing in rhumb.yaml is deeper than 6"));
        }
        if matches!(self.open.last(), Some(Open::Map(_, _, None))) {
            return Err(refuse(
                span,
                "a list or mapping as a key",
                "text, then `:`; quote it if it begins with `[` or `{`",
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) {
        if let Some(Open::Map(_, _, key @ None)) = self.open.last_mut() {
            *key = Some((text.to_owned(), span));
            return;
        }
        let plain = style == ScalarStyle::Plain;
        let value = if plain { scalar::plain(text) } else { Value::Str(text.to_owned()) };
        // The parser places an absent value at the next token, often lines below: its key is the better place.
        let span = match self.open.last() {
            Some(Open::Map(_, _, Some((_, key_span)))) if plain && text.is_empty() => *key_span,
            _ => span,
        };
        self.add(Node { span, value, origin: Origin::File });
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::Seq(span, items)) => {
                self.add(Node { span: first_mark(span), value: Value::Seq(items), origin: Origin::File });
            }
            Some(Open::Map(span, entries, _)) => {
                let span = entries.first().map_or(first_mark(span), |entry| entry.key_span);
                self.add(Node { span, value: Value::Map(entries), origin: Origin::File });
            }
            None => {}
        }
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open::Seq(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key)) => {
                if let Some((key, key_span)) = key.take() {
                    entries.push(Entry { key, key_span, node });
                }
            }
            None => self.root = Some(node),
        }
    }
}

/// A list or mapping is pointed at by its first character.
fn first_mark(span: Span) -> Span {
    Span::point(span.line, span.column)
}

fn refuse_extras(span: Span, anchor: usize, tagged: bool) -> Result<(), Problem> {
    if anchor > 0 {
        let right = "write the value out where it is needed; text that begins with `&` or `*` takes quotes";
        return Err(refuse(span, "anchors and aliases (`&name`, `*name`) are not read", right));
    }
    if tagged {
        let right = "the value alone; text that begins with `!` takes quotes";
        return Err(refuse(span, "tags (`!name`) are not read", right));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let problem = parse(text).expect_err("refused");
        format!("{}:{} {}", problem.line, problem.column, problem.what)
    }

    #[test]
    fn values_know_their_place() {
        let tree = parse("a:\n  - b: 1\n    c: 'x y'\n  - d:\ne: [1, {f: 2}]\n").expect("valid");
        let items = &tree.get("a").expect("a").node;
        let Value::Seq(items) = &items.value else { panic!("{items:?}") };
        assert_eq!((items[0].span.line, items[0].span.column), (2, 5));
        let c = items[0].get("c").expect("c");
        assert_eq!(c.node.value, Value::Str("x y".into()));
        assert_eq!(c.node.span, Span { line: 3, column: 8, end_line: 3, end_column: 13 });
        assert_eq!(c.key_span, Span { line: 3, column: 5, end_line: 3, end_column: 6 });
        let d = items[1].get("d").expect("d");
        assert_eq!((d.node.value.clone(), d.node.span.line), (Value::Null, 4));
    }

    #[test]
    fn repeated_keys_are_kept() {
        let Value::Map(entries) = parse("a: 1\na: 2\n").expect("valid").value else { panic!("a mapping") };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn an_empty_text_is_null() {
        for text in ["", "# only a comment\n", "---\n", "\u{feff}"] {
            assert_eq!(parse(text).expect("valid").value, Value::Null, "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_configuration() {
        assert_eq!(problem("a: &x 1\nb: *x\n"), "1:4 anchors and aliases (`&name`, `*name`) are not read");
        assert_eq!(problem("b: *x\n"), "1:4 anchors and aliases (`&name`, `*name`) are not read");
        assert_eq!(problem("a: !!str 1\n"), "1:4 tags (`!name`) are not read");
        assert_eq!(problem("a: 1\n---\nb: 2\n"), "2:1 a second document begins here");
        assert_eq!(problem("[a]: 1\n"), "1:1 a list or mapping as a key");
        assert!(problem(&"[".repeat(200)).contains("nested more than 32 deep"));
        assert!(problem(&"- ".repeat(200)).contains("nested more than 32 deep"));
    }
}
