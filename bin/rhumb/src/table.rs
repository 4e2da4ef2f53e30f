//! Aligned columns, two spaces apart, no lines drawn.

/// Rows under a header; columns whose header starts with `>` are aligned right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let right: Vec<bool> = header.iter().map(|h| h.starts_with('>')).collect();
    let header: Vec<String> = header.iter().map(|h| h.trim_start_matches('>').to_owned()).collect();
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i));
        cells.chain([&header[i]]).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let pad = widths[i].saturating_sub(cell.chars().count());
            let (before, after) = if right[i] { (pad, 0) } else { (0, pad) };
            line.push_str(&" ".repeat(before));
            line.push_str(cell);
            line.push_str(&" ".repeat(after + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
