//! What is wrong with a file, where, and what would be right.

use crate::mask::Mask;
use crate::path::Path;
use crate::yaml::{self, Span};
use serde::Serialize;

/// Longest stretch of a line that is shown, in characters.
const SHOWN_MAX: usize = 120;

/// One thing to correct. Neither text ever holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, in characters from 1.
    pub column: usize,
    /// Characters from there that the problem covers, on that line.
    pub length: usize,
    /// The value concerned, as `endpoints[2].models[0].price`; empty for the whole file.
    pub path: String,
    /// What was found.
    pub what: String,
    /// What would be right.
    pub right: String,
}

impl Problem {
    /// A problem with what stands at `span`.
    pub(crate) fn at(span: Span, path: &Path, what: String, right: String) -> Self {
        let one_line = span.end_line == span.line && span.end_column > span.column;
        let length = if one_line { span.end_column - span.column } else { 1 };
        Self { line: span.line, column: span.column, length, path: path.to_string(), what, right }
    }
}

/// Writes problems for people, in the order of the file: the line, a mark under what is wrong, and what would be right.
/// The values of secrets are masked.
///
/// ```
/// let text = "sites: []\nmodels: []\nendpoints: []\ntenant: []\n";
/// let catalogue = rhumb_grid::Catalogue { gpus: &[], shapes: &[] };
/// let problems = rhumb_grid::load(text, &|_| None, &catalogue).unwrap_err();
/// let shown = rhumb_grid::render("rhumb.yaml", text, &problems);
/// assert!(shown.contains("error: rhumb.yaml:4:1: unknown key `tenant`"));
/// assert!(shown.ends_with("4 problems in rhumb.yaml\n"));
/// ```
pub fn render(file: &str, text: &str, problems: &[Problem]) -> String {
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|problem| (problem.line, problem.column));
    let mask = Mask::of(text);
    let lines = yaml::lines(text);
    let mut out = String::new();
    for problem in &sorted {
        out.push_str(&format!("error: {file}:{}:{}: {}\n", problem.line, problem.column, problem.what));
        let line = problem.line.checked_sub(1).and_then(|index| lines.get(index));
        if let Some(line) = line.filter(|line| !line.trim().is_empty()) {
            out.push_str(&excerpt(problem, &mask.hide(problem.line, line)));
        }
        out.push_str(&format!("  right: {}\n\n", problem.right));
    }
    let plural = if sorted.len() == 1 { "problem" } else { "problems" };
    out.push_str(&format!("{} {plural} in {file}\n", sorted.len()));
    out
}

/// A line as shown: its characters, where they stood in the file, and how far the mark may reach.
fn excerpt(problem: &Problem, characters: &[(usize, char)]) -> String {
    // The characters of a mask share the place of the secret, so the mark covers all of them or none.
    let begin = problem.column.saturating_sub(1);
    let end = begin.saturating_add(problem.length.max(1));
    let reached = |column: usize| characters.iter().take_while(|(at, _)| *at < column).count();
    let covering = characters.iter().map(|(at, _)| *at).take_while(|at| *at <= begin).last();
    let first = match covering {
        Some(at) if characters.last().is_some_and(|(end, _)| *end >= begin) => reached(at),
        _ => characters.len(),
    };
    let last = reached(end).max(first + 1);
    let from = if first > SHOWN_MAX / 2 && characters.len() > SHOWN_MAX { first - SHOWN_MAX / 3 } else { 0 };
    let to = characters.len().min(from + SHOWN_MAX);
    let mut line: String = characters[from.min(to)..to].iter().map(|(_, c)| *c).collect();
    if from > 0 {
        line.insert(0, '…');
    }
    if to < characters.len() {
        line.push('…');
    }
    let indent = first - from + usize::from(from > 0);
    let marks = last.min(from + SHOWN_MAX).saturating_sub(first).max(1);
    let number = problem.line.to_string();
    let gutter = " ".repeat(number.len());
    let line = line.trim_end();
    format!("{gutter} |\n{number} | {line}\n{gutter} | {}{}\n", " ".repeat(indent), "^".repeat(marks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize, column: usize, length: usize) -> Problem {
        Problem { line, column, length, path: String::new(), what: "what".into(), right: "right".into() }
    }

    fn check(text: &str, problem: Problem, expected: &str) {
        let shown = render("f", text, &[problem]);
        let body: Vec<&str> = shown.lines().skip(1).take_while(|line| !line.starts_with("  right")).collect();
        assert_eq!(body.join("\n"), expected);
    }

    #[test]
    fn points_at_the_place() {
        check("a\nbc: de\n", problem(2, 5, 2), "  |\n2 | bc: de\n  |     ^^");
        check("\tb: 1\n", problem(1, 1, 1), "  |\n1 |  b: 1\n  | ^");
    }

    #[test]
    fn survives_places_outside_the_text() {
        check("a\n", problem(9, 9, 9), "");
        check("a\n", problem(1, 9, 9), "  |\n1 | a\n  |  ^");
        check("", problem(0, 0, 0), "");
        render("f", "x", &[problem(usize::MAX, usize::MAX, usize::MAX), problem(1, usize::MAX, usize::MAX)]);
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let shown = render("f", &text, &[problem(1, 501, 1)]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[2].starts_with("1 | …a") && lines[2].ends_with("b…"), "{}", lines[2]);
        let column = lines[3].chars().count() - 1;
        assert_eq!(lines[2].chars().nth(column), Some('X'));
    }

    #[test]
    fn secrets_are_masked() {
        let text = "key: hunter2 # x\napi_key: \"${A}\"\nurl: http://u:p@h\nb: { key: p1, b: c }";
        let show = |line, column| render("f", text, &[problem(line, column, 1)]);
        assert!(show(1, 6).contains("1 | key: *** # x\n"), "{}", show(1, 6));
        assert!(show(2, 10).contains("2 | api_key: \"${A}\"\n"));
        assert!(!show(3, 6).contains("u:p"));
        assert!(!show(4, 15).contains("p1"));
    }
}
