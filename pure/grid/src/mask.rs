//! Hides the values of secrets in the lines that are shown.

use crate::near::nearest;
use crate::secrets;
use crate::yaml::{self, Node, Span, Value};

/// What replaces a secret, whatever its length.
const MASK: &str = "***";

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
            collect(&tree, false, &mut spans);
            spans
        });
        Self { lines: yaml::lines(text), spans }
    }

    /// The characters of a line with their original columns (from 0), fit for a terminal and without secrets.
    pub(crate) fn hide(&self, number: usize, line: &str) -> Vec<(usize, char)> {
        let hidden = match &self.spans {
            Some(spans) => spans.iter().filter_map(|span| part_of(span, number)).collect(),
            None => guess(&self.lines, number).map(|from| (from, usize::MAX)).into_iter().collect::<Vec<_>>(),
        };
        let mut shown = Vec::new();
        let mut masked_from = None;
        for (column, c) in line.chars().enumerate() {
            match hidden.iter().find(|(from, to)| (*from..*to).contains(&column)) {
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

/// Tells whether a key of this name, or of one that resembles it, holds a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let name: String = key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    ["key", "secret", "passw", "sha256", "bearer", "authorization", "header"].iter().any(|part| name.contains(part))
        || name.ends_with("token")
        || nearest(key, ["key", "api_key", "sha256"]).is_some()
}

/// A string that only names an environment variable gives nothing away.
fn is_reference(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(secrets::is_name)
}

fn collect(node: &Node, secret: bool, spans: &mut Vec<Span>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                // In a credential everything but its name may be the secret under a misspelt key.
                let inside = secret && entry.key != "name";
                collect(&entry.node, inside || is_secret(&entry.key), spans);
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| collect(item, secret, spans)),
        Value::Str(text) if is_reference(text) => {}
        // A URL may carry a password or a token.
        Value::Str(text) if text.contains("://") && text.contains(['@', '?']) => spans.push(node.span),
        Value::Str(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) if secret => spans.push(node.span),
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

/// The column from which a line of a text that is not valid YAML has to be hidden.
fn guess(lines: &[&str], number: usize) -> Option<usize> {
    let index = number.checked_sub(1)?;
    let line = lines.get(index)?;
    if let Some(column) = secret_column(line) {
        return Some(column);
    }
    // The line may continue a secret that begins above it.
    let mut indent = indent_of(line);
    let mut owner_known = line.contains(':');
    for above in lines[..index].iter().rev().filter(|line| !line.trim().is_empty()) {
        let outside = indent_of(above) < indent;
        if (outside || !owner_known) && secret_column(above).is_some() {
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

/// Where the value of the first key that names a secret begins, unless it is a reference to the environment.
fn secret_column(line: &str) -> Option<usize> {
    for (at, _) in line.match_indices(':') {
        let key = line[..at].rsplit(['{', ',', '-', '[', ' ']).find(|word| !word.is_empty()).unwrap_or_default();
        let value = line[at + 1..].trim_start_matches(' ');
        let password = line[at + 1..].starts_with("//") && value.contains(['@', '?']);
        if password || is_secret(key) && !opens_mapping(value) && !begins_with_reference(value) {
            return Some(line[..line.len() - value.len()].chars().count());
        }
    }
    None
}

/// Tells whether a value is `{ ...` or `[{ ...`, whose own keys say what is a secret.
fn opens_mapping(value: &str) -> bool {
    value.strip_prefix('[').unwrap_or(value).trim_start().starts_with('{')
}

/// Tells whether nothing but a reference and closing brackets remain of a line.
fn begins_with_reference(value: &str) -> bool {
    let value = value.trim_start_matches(['"', '\'']);
    let Some((name, rest)) = value.strip_prefix("${").and_then(|rest| rest.split_once('}')) else { return false };
    secrets::is_name(name) && rest.trim_matches(['"', '\'', ' ', '}', ']', ',']).is_empty()
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
        mask.hide(line, text.lines().nth(line - 1).expect("a line")).into_iter().map(|(_, c)| c).collect()
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
}
