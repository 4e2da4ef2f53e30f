//! What is wrong with a file, where, and what would be right.

use crate::path::Path;
use crate::span::Span;
use serde::Serialize;

/// Longest sentence of a problem, in characters. Names from the file are cut one by one; this bounds what is left.
const SENTENCE_MAX: usize = 1_000;

/// Problems that are collected of one file. What comes later in the file is not looked at.
pub const COLLECTED_MAX: usize = 10_000;

/// Whether a file with this problem can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and does not do what whoever wrote it expects.
    Warning,
}

impl Severity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing to correct. Neither text ever holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the file can be used all the same.
    pub severity: Severity,
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
    pub fn at(span: Span, path: &Path, what: String, right: String) -> Self {
        let one_line = span.end_line == span.line && span.end_column > span.column;
        let length = if one_line { span.end_column - span.column } else { 1 };
        let (severity, what, right) = (Severity::Error, cut(what), cut(right));
        Self { severity, line: span.line, column: span.column, length, path: path.to_string(), what, right }
    }

    /// The same as something that does not keep the file from being used.
    pub fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// The same as something that does.
    pub fn into_error(self) -> Self {
        Self { severity: Severity::Error, ..self }
    }
}

fn cut(sentence: String) -> String {
    match sentence.char_indices().nth(SENTENCE_MAX) {
        Some((at, _)) => format!("{}…", &sentence[..at]),
        None => sentence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_cut() {
        let long = Problem::at(Span::point(1, 1), &Path::root(), "é".repeat(5_000), String::new());
        assert_eq!(long.what.chars().count(), SENTENCE_MAX + 1);
    }
}
