//! Places in a text.

/// A stretch of the text. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first line.
    pub line: usize,
    /// The first column.
    pub column: usize,
    /// The line of the end.
    pub end_line: usize,
    /// The column after the last character.
    pub end_column: usize,
}

impl Span {
    /// One character.
    pub fn point(line: usize, column: usize) -> Self {
        Self { line, column, end_line: line, end_column: column + 1 }
    }
}

/// Splits a text where YAML does, at a carriage return too.
pub fn lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}
