//! Aligned columns, two spaces apart, no lines drawn.

use rhumb_screen::{fitting, widths};

/// Space between two columns.
const GAP: usize = 2;

/// Rows under a header; columns whose header starts with `>` are aligned right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    table_within(header, rows, &[], usize::MAX)
}

/// The same in lines of so many characters: whole columns are left out, those of the highest rank first.
pub fn table_within(header: &[&str], rows: &[Vec<String>], ranks: &[u8], room: usize) -> String {
    let right: Vec<bool> = header.iter().map(|h| h.starts_with('>')).collect();
    let header: Vec<&str> = header.iter().map(|h| h.trim_start_matches('>')).collect();
    let widths = widths(&header, rows);
    let kept = fitting(&widths, ranks, GAP, room);
    let header: Vec<String> = header.into_iter().map(str::to_owned).collect();
    let mut out = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (&i, cell) in kept.iter().filter_map(|i| Some((i, row.get(*i)?))) {
            let pad = widths[i].saturating_sub(cell.chars().count());
            let (before, after) = if right[i] { (pad, 0) } else { (0, pad) };
            line.push_str(&" ".repeat(before));
            line.push_str(cell);
            line.push_str(&" ".repeat(after + GAP));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
