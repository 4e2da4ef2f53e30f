//! Problems as people read them.

use crate::mask::Mask;
use crate::problem::{COLLECTED_MAX, Problem, Severity};
use crate::span::lines;

/// Longest stretch of a line that is shown, in characters.
const SHOWN_MAX: usize = 120;

/// Columns of a line that are looked at on each side of a problem: a line may be megabytes long.
const AROUND: usize = 1_000;

/// Problems that are shown of one file: nobody reads thousands, and they are one mistake or two.
const LISTED_MAX: usize = 50;

/// The problems to show, in the order of the file, errors before warnings where there is no room for all; and how many
/// are left out.
pub fn listed(problems: &[Problem]) -> (Vec<&Problem>, usize) {
    let mut listed: Vec<&Problem> = problems.iter().collect();
    listed.sort_by_key(|problem| (problem.severity, problem.line, problem.column));
    listed.truncate(LISTED_MAX);
    listed.sort_by_key(|problem| (problem.line, problem.column));
    let more = problems.len() - listed.len();
    (listed, more)
}

/// Writes problems for people, in the order of the file: the line, a mark under what is wrong, and what would be right.
/// The values of secrets are masked.
pub fn render(file: &str, text: &str, problems: &[Problem]) -> String {
    let (listed, more) = listed(problems);
    let mask = Mask::of(text);
    let lines = lines(text);
    let mut out = String::new();
    for problem in listed {
        let Problem { severity, line, column, what, .. } = problem;
        out.push_str(&format!("{}: {file}:{line}:{column}: {what}\n", severity.name()));
        let line = problem.line.checked_sub(1).and_then(|index| lines.get(index));
        if let Some(line) = line.filter(|line| !line.trim().is_empty()) {
            let begin = problem.column.saturating_sub(1);
            let columns = begin.saturating_sub(AROUND)..begin.saturating_add(AROUND);
            out.push_str(&excerpt(problem, &mask.hide(problem.line, columns), line));
        }
        out.push_str(&format!("  right: {}\n\n", problem.right));
    }
    if more > 0 {
        out.push_str(&format!("… and {more} more\n\n"));
    }
    out.push_str(&format!("{} in {file}\n", count(problems)));
    out
}

/// `2 problems and 1 warning`.
fn count(problems: &[Problem]) -> String {
    let warnings = problems.iter().filter(|problem| problem.severity == Severity::Warning).count();
    let errors = problems.len() - warnings;
    let least = if problems.len() >= COLLECTED_MAX { "at least " } else { "" };
    let counted = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let parts = [(errors, "problem"), (warnings, "warning")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| counted(*n, word)).collect();
    format!("{least}{}", parts.join(" and "))
}

/// A line as shown, from some of its characters with their columns, and the mark under what is wrong.
fn excerpt(problem: &Problem, characters: &[(usize, char)], whole: &str) -> String {
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
    let begins_later = from > 0 || characters.first().is_some_and(|(at, _)| *at > 0);
    if begins_later {
        line.insert(0, '…');
    }
    // The columns that were looked at may end before the line does.
    let goes_on = characters.last().is_some_and(|(at, c)| *c != '*' && whole.chars().nth(at + 1).is_some());
    if to < characters.len() || goes_on {
        line.push('…');
    }
    let indent = first - from + usize::from(begins_later);
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
        let (what, right) = ("what".into(), "right".into());
        Problem { severity: Severity::Error, line, column, length, path: String::new(), what, right }
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

    #[test]
    fn long_lists_are_cut_and_errors_come_before_warnings() {
        let problems: Vec<Problem> = (1..=60)
            .map(|line| {
                let problem = problem(line, 1, 1);
                if line <= 30 { problem.into_warning() } else { problem }
            })
            .collect();
        let shown = render("f", &"a\n".repeat(60), &problems);
        assert_eq!(shown.matches("error: f:").count(), 30);
        assert_eq!(shown.matches("warning: f:").count(), 20);
        assert!(shown.starts_with("warning: f:1:1: what\n"), "{shown}");
        assert!(shown.ends_with("… and 10 more\n\n30 problems and 30 warnings in f\n"), "{shown}");
    }
}
