//! Pages of metrics in the text format of Prometheus and OpenMetrics, read as far as counters and gauges go.

/// One sample of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as they are written.
    pub series: &'a str,
    /// The metric's name.
    pub name: &'a str,
    /// Names and values as written, in the order of the names.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The value, which may be infinite or not a number.
    pub value: f64,
}

/// The samples of a page. Lines that are none are left out.
pub fn samples(page: &str) -> impl Iterator<Item = Sample<'_>> {
    page.lines().filter_map(sample)
}

/// Reads a sample line; a time stamp and an exemplar may follow the value.
fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim_start();
    let end = line.find(['{', ' ', '\t']).filter(|_| !line.starts_with('#'))?;
    let (name, rest) = line.split_at(end);
    let (mut labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    labels.sort_unstable();
    let series = line[..line.len() - rest.len()].trim_end();
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { series, name, labels, value })
}

/// The labels up to their closing brace, and what follows it. A quoted value may hold any character.
fn labels(mut rest: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once('=')?;
        let text = quoted.trim_start().strip_prefix('"')?;
        let mut escaped = false;
        let end = text.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        labels.push((name.trim(), &text[..end]));
        rest = &text[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_series_as_written_and_its_labels_in_order() {
        let page =
            "# HELP x y\nx{b=\"}\\\"{, x=\", a=\"1\",}\t3e0 1700000000 # {t=\"x}\"} 7 1.0\r\n  y 2\nz\nw{a=1} 5\n";
        let found: Vec<Sample<'_>> = samples(page).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].series, found[0].name, found[0].value), ("x{b=\"}\\\"{, x=\", a=\"1\",}", "x", 3.0));
        assert_eq!(found[0].labels, [("a", "1"), ("b", "}\\\"{, x=")]);
        assert_eq!((found[1].series, found[1].value), ("y", 2.0));
    }
}
