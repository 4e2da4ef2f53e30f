//! `rhumb.yaml` as a tree in which every value knows its place in the text.
//!
//! Narrower than YAML on purpose: one document, text keys, no anchors, no tags, and a limit on size and depth, so that
//! no file can make the walkers recurse or the memory grow beyond what its own length explains.

use crate::path::Path;
use crate::problem::Problem;
use crate::scalar;
use crate::span::Span;
use crate::syntax;
use crate::tree::{Entry, Node, Origin, Value};
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Longest file read, in bytes.
const BYTES_MAX: usize = 16 << 20;
/// Deepest nesting of lists and mappings.
const DEPTH_MAX: usize = 32;

/// Reads a text into a tree; a syntax error ends the reading, so there is at most one problem.
pub fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > BYTES_MAX {
        let what = format!("the file is longer than {} MiB", BYTES_MAX >> 20);
        return Err(refuse(Span::point(1, 1), &what, "a smaller file: one grid fits easily"));
    }
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax::explain(text, &error))?;
        builder.take(event, placed(span))?;
    }
    let empty = Node { span: Span::point(1, 1), value: Value::Null, origin: Origin::File };
    Ok(builder.root.unwrap_or(empty))
}

/// A stretch as the parser counts it.
fn placed(span: saphyr_parser::Span) -> Span {
    let (start, end) = (span.start, span.end);
    Span { line: start.line().max(1), column: start.col() + 1, end_line: end.line().max(1), end_column: end.col() + 1 }
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
