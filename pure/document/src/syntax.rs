//! Syntax errors of the YAML parser in words that say what to type.

use crate::path::Path;
use crate::problem::Problem;
use crate::span::{self, Span};
use saphyr_parser::ScanError;

/// Turns an error of the parser into a problem.
pub(crate) fn explain(text: &str, error: &ScanError) -> Problem {
    let mark = error.marker();
    let (line, column) = (mark.line().max(1), mark.col() + 1);
    let lines = span::lines(text);
    let shown = lines.get(line - 1).copied().unwrap_or_default();
    if error.info().contains("unknown anchor") {
        let what = "anchors and aliases (`&name`, `*name`) are not read";
        let right = "write the value out where it is needed; text that begins with `&` or `*` takes quotes";
        return at(line, column, what, right);
    }
    if let Some((line, column)) = tab_indent(&lines, line) {
        return at(line, column, "a tab in the indentation", "spaces: YAML indents with nothing else");
    }
    if error.info().starts_with("mapping values") {
        if let Some(column) = deeper_than_above(&lines, line) {
            let what = "this line is indented deeper than the key above it, which has a value already";
            return at(line, indent(shown) + 1, what, &format!("{} spaces before it, as before that key", column));
        }
        let what = "this is not valid YAML: a second `:` in one line";
        return at(line, column, what, "quotes around a value that has `: ` inside, as `city: \"Bern: old town\"`");
    }
    let what = format!("this is not valid YAML: {}", plainly(error.info()));
    at(line, column, &what, advice(error.info(), shown))
}

fn at(line: usize, column: usize, what: &str, right: &str) -> Problem {
    Problem::at(Span::point(line, column), &Path::root(), what.to_owned(), right.to_owned())
}

/// Finds a tab before the first word of the line or of the one above it: the parser often stops one line late.
fn tab_indent(lines: &[&str], line: usize) -> Option<(usize, usize)> {
    (line.saturating_sub(1).max(1)..=line).find_map(|line| {
        let shown = lines.get(line - 1)?;
        let indent = shown.chars().take_while(|c| matches!(c, ' ' | '\t'));
        indent.zip(1..).find(|(c, _)| *c == '\t').map(|(_, column)| (line, column))
    })
}

/// The column (from 0) of the key above, if this line stands to the right of it though it is no part of it.
fn deeper_than_above(lines: &[&str], line: usize) -> Option<usize> {
    let above = lines[..(line - 1).min(lines.len())].iter().rev().find(|line| !line.trim().is_empty())?;
    let column = above.chars().take_while(|c| matches!(c, ' ' | '-')).count();
    (above.contains(':') && indent(lines.get(line - 1)?) > column).then_some(column)
}

fn indent(line: &str) -> usize {
    line.chars().take_while(|c| *c == ' ').count()
}

/// The parser's message without its own state ("while parsing a block mapping, ...").
fn plainly(info: &str) -> &str {
    match info {
        "while parsing a block mapping, did not find expected key" => "a key was expected here",
        "while parsing a block collection, did not find expected '-' indicator" => "a `- ` was expected here",
        "illegal placement of ':' indicator" => "this `:` is out of place",
        "simple key expected" | "simple key expect ':'" => "a `:` was expected after this",
        _ => {
            info.rsplit_once(", ").map_or(info, |(state, fault)| if state.starts_with("while") { fault } else { info })
        }
    }
}

fn advice(info: &str, line: &str) -> &'static str {
    if line.contains("${") && line.contains(['{', '[']) && info.contains("flow") {
        return "quotes around a variable inside braces or brackets: `{ key: \"${NAME}\" }`";
    }
    if info.contains("quoted scalar") && info.contains("indentation") {
        return "a closing quote: the one that opens here is not closed on its line";
    }
    if info.contains("end of stream") || info.contains("unexpected eof") {
        return "a closing quote or bracket: one is open until the end of the file";
    }
    if info.contains("flow") || info.contains("bracket") {
        return "a `,` between items and a bracket or brace that closes each opened one";
    }
    if info.contains("illegal placement") {
        return "a bracket or brace that closes each opened one above; a value that has a `:` inside takes quotes";
    }
    if info.contains("simple key") {
        return "`key: value`, with a space after the `:`";
    }
    if info.contains("indicator") || info.contains("expected key") || info.contains("indentation") {
        return "the same indentation as the line's neighbours: keys of one mapping stand in one column, and so do the \
                `-` of one list";
    }
    "quotes around the value, if it begins with a character that YAML reserves (such as `*`, `@`, `%`, `{` or a backtick)"
}

#[cfg(test)]
mod tests {
    use crate::yaml::parse;

    fn check(text: &str, expected: &str) {
        let problem = parse(text).expect_err("refused");
        let found = format!("{}:{} {} / {}", problem.line, problem.column, problem.what, problem.right);
        assert!(found.contains(expected), "{text:?}: {found}");
    }

    #[test]
    fn says_what_to_type() {
        check("a:\n\tb: 1\n", "2:1 a tab in the indentation / spaces");
        check(
            "- a: 1\n    b: 2\n",
            "2:5 this line is indented deeper than the key above it, which has a value already / 2 spaces",
        );
        check("a: b: 2\n", "1:5 this is not valid YAML: a second `:` in one line / quotes around a value");
        check("a: 'x\nb: 1\n", "a closing quote");
        check("a: [1, 2\nb: 1\n", "closes each opened one above");
        check("a: {key: ${X}}\n", "quotes around a variable");
        check("a: @x\n", "quotes around the value");
        check("a:\n  - b\n c: 1\n", "the same indentation");
    }
}
