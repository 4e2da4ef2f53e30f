//! Hides the values of secrets in the lines and the words that are shown.

use std::ops::Range;

use crate::find::{MASK, holds_secret, secret_start};
use crate::find::{is_address, is_secret};
use crate::span::{Span, lines};
use crate::tree::{Node, Value};
use crate::variable::is_name;
use crate::yaml;

/// Which parts of a text hold secrets.
pub(crate) struct Mask<'a> {
    lines: Vec<&'a str>,
    /// Places of the secrets; nothing when the text is not valid YAML and only its lines can be judged.
    spans: Option<Vec<Span>>,
}

impl<'a> Mask<'a> {
    /// Finds the secrets of a text.
    pub(crate) fn of(text: &'a str) -> Self {
        let spans = yaml::parse(text).ok().map(|tree| {
            let mut spans = Vec::new();
            collect(&tree, Within::default(), &mut spans);
            spans
        });
        Self { lines: lines(text), spans }
    }

    /// Some columns (from 0) of a line, fit for a terminal and without secrets: each character with its column.
    pub(crate) fn hide(&self, number: usize, columns: Range<usize>) -> Vec<(usize, char)> {
        let Some(line) = number.checked_sub(1).and_then(|index| self.lines.get(index)) else { return Vec::new() };
        let mut hidden: Vec<(usize, usize)> = match &self.spans {
            Some(spans) => spans.iter().filter_map(|span| part_of(span, number)).chain(comment(line)).collect(),
            None => guess(&self.lines, number).map(|from| (from, usize::MAX)).into_iter().collect(),
        };
        hidden.sort_unstable();
        let mut hidden = hidden.into_iter().peekable();
        let mut shown = Vec::new();
        let mut masked_from = None;
        for (column, c) in line.chars().enumerate().skip(columns.start).take(columns.len()) {
            while hidden.next_if(|(_, to)| *to <= column).is_some() {}
            match hidden.peek().filter(|(from, _)| *from <= column) {
                Some((from, _)) if masked_from == Some(*from) => {}
                Some((from, _)) => {
                    masked_from = Some(*from);
                    shown.extend(MASK.chars().map(|star| (column, star)));
                }
                None => shown.push((column, printable(c))),
            }
        }
        shown
    }
}

fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A string that only names an environment variable gives nothing away.
fn is_reference(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(is_name)
}

/// What the keys around a value say of it.
#[derive(Debug, Clone, Copy, Default)]
struct Within {
    secret: bool,
    address: bool,
}

fn collect(node: &Node, within: Within, spans: &mut Vec<Span>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                // A secret may stand where a key should, as in `{ key }`.
                let alone = within.secret && entry.node.value == Value::Null && entry.key != "name";
                if holds_secret(&entry.key) || alone && !is_secret(&entry.key) {
                    spans.push(entry.key_span);
                }
                // In a credential everything but its name may be the secret under a misspelt key.
                let secret = within.secret && entry.key != "name" || is_secret(&entry.key);
                collect(&entry.node, Within { secret, address: is_address(&entry.key) }, spans);
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| collect(item, within, spans)),
        Value::Str(text) if is_reference(text) => {}
        Value::Str(text) if within.address && text.contains(['@', '?']) || holds_secret(text) => spans.push(node.span),
        Value::Str(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) if within.secret => spans.push(node.span),
        Value::Str(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// The columns of a line, from 0, that a span covers.
fn part_of(span: &Span, line: usize) -> Option<(usize, usize)> {
    if !(span.line..=span.end_line).contains(&line) {
        return None;
    }
    let from = if line == span.line { span.column - 1 } else { 0 };
    let to = if line == span.end_line { span.end_column - 1 } else { usize::MAX };
    Some((from, to))
}

/// The columns of a comment that holds a secret: a key that was taken out of use is still one. What only looks like a
/// comment, inside quotes, is hidden too.
fn comment(line: &str) -> Option<(usize, usize)> {
    let begins = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with([' ', '\t']);
    let (at, _) = line.match_indices('#').find(begins)?;
    let text = &line[at + 1..];
    holds_secret(text).then(|| (line[..at].chars().count() + 1, usize::MAX))
}

/// The column from which a line of a text that is not valid YAML has to be hidden.
fn guess(lines: &[&str], number: usize) -> Option<usize> {
    let index = number.checked_sub(1)?;
    let line = lines.get(index)?;
    if let Some(at) = secret_start(line) {
        return Some(line[..at].chars().count());
    }
    // The line may continue a secret that begins above it.
    let mut indent = indent_of(line);
    let mut owner_known = line.contains(':');
    for above in lines[..index].iter().rev().filter(|line| !line.trim().is_empty()) {
        let outside = indent_of(above) < indent;
        if (outside || !owner_known) && secret_start(above).is_some() {
            return Some(0);
        }
        owner_known |= above.contains(':');
        indent = indent.min(indent_of(above));
        if owner_known && indent == 0 {
            return None;
        }
    }
    None
}

/// The column of the first word of a line, behind the `- ` of a list.
fn indent_of(line: &str) -> usize {
    line.chars().take_while(|c| matches!(c, ' ' | '-' | '\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize) -> String {
        let mask = Mask::of(text);
        mask.hide(line, 0..usize::MAX).into_iter().map(|(_, c)| c).collect()
    }

    #[test]
    fn names_of_secrets() {
        for name in ["key", "api_key", "apiKey", "keys", "sha256", "auth-token", "Password", "kye", "apikey"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["name", "context_tokens", "first_token_timeout_ms", "input_usd_per_mtok", "models"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn hides_values_and_nothing_else() {
        assert_eq!(shown("{ name: a, key: s3cret, b: 1 }", 1), "{ name: a, key: ***, b: 1 }");
        assert_eq!(shown("keys: [s3cret, 123456]", 1), "keys: [***, ***]");
        assert_eq!(shown("headers: {x-a: s3cret, b: 1}", 1), "headers: {x-a: ***, b: ***}");
        assert_eq!(shown("headers:\n  x-a: s3cret", 2), "  x-a: ***");
        assert_eq!(shown("key: |\n  s3cret\n  more\nb: 1", 2), "  ***");
        assert_eq!(shown("key: |\n  s3cret\n  more\nb: 1", 3), "***");
        assert_eq!(shown("keys: [{ name: a, clef: s3cret }]", 1), "keys: [{ name: a, clef: *** }]");
        assert_eq!(shown("key: ${A}", 1), "key: ${A}");
        assert_eq!(shown("url: https://h/?token=x", 1), "url: ***");
        assert_eq!(shown("keys:\n  - name: a", 2), "  - name: a");
    }

    #[test]
    fn hides_in_a_broken_text_too() {
        assert_eq!(shown("a: [\nkey: s3cret", 2), "key: ***");
        assert_eq!(shown("a: [\nkey: >\n  s3cret\n  more", 4), "***");
        assert_eq!(shown("a: [\nkey: \"x\n  s3cret", 3), "***");
        assert_eq!(shown("a: [\n- {key: s3cret, name: x}", 2), "- {key: ***");
        assert_eq!(shown("a: [\nkey: ${A}\nb: c", 3), "b: c");
        assert_eq!(shown("keys: [{ name: a, key: ${A} }]", 1), "keys: [{ name: a, key: ${A} }]");
        assert_eq!(shown("a: [\nkeys: [s3cret, more]", 2), "keys: ***");
        assert_eq!(shown("a: [\nkey: ${A}s3cret", 2), "key: ***");
    }

    #[test]
    fn hides_secrets_in_odd_places() {
        for (text, expected) in [
            ("url: \"user:s3cret@h:80\"", "url: ***"),
            ("url: s3cret@h:80", "url: ***"),
            ("dns_servers: [s3cret@h:53]", "dns_servers: [***]"),
            ("city: //user:s3cret@h", "city: ***"),
            ("- \"api_key: s3cret\"", "- ***"),
            ("- api_key:s3cret", "- ***"),
            ("- api_key=s3cret", "- ***"),
            ("\"api_key: s3cret\": 1", "***: ***"),
            ("{ \"x-api-key: s3cret\" }", "{ ***}"),
            ("a: 1 # api_key: s3cret", "a: 1 #***"),
            ("# password = s3cret", "#***"),
            ("a: b # no secret here", "a: b # no secret here"),
            ("headers: [\"Authorization: Bearer s3cret\"]", "headers: [***]"),
            ("a: Bearer s3cret-s3cret", "a: ***"),
            ("name: sk-s3cret-s3cret", "name: ***"),
            ("keys: [{ s3cret }]", "keys: [{ *** }]"),
            ("api_key: { s3cret: }", "api_key: { ***: }"),
        ] {
            assert_eq!(shown(text, 1), expected, "{text}");
        }
        assert_eq!(shown("a: |\n  token=s3cret", 2), "  ***");
    }

    #[test]
    fn hides_secrets_in_odd_places_of_a_broken_text() {
        for (line, expected) in [
            ("url: \"user:s3cret@h:80\"", "url: \"***"),
            ("url: user:s3 cret@h", "url: ***"),
            ("- \"api_key: s3cret\"", "- \"api_key: ***"),
            ("# api_key: s3cret", "# api_key: ***"),
            ("a: Bearer s3cret-s3cret", "a: Bearer ***"),
            ("name: sk-s3cret-s3cret", "name: ***"),
        ] {
            assert_eq!(shown(&format!("a: [\n{line}"), 2), expected, "{line}");
        }
    }
}
