//! The few marks that pictures consist of.

use std::fmt::Write;

use super::scale::Scale;

/// A text as it may stand in markup, between tags or in quotes. What XML has no way to write is left out.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A whole picture. The description is for those who do not see it.
pub(super) fn picture(id: &str, (width, height): (f64, f64), title: &str, describe: &str, inside: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n{inside}</svg>\n",
        escape(title),
        escape(describe)
    )
}

/// A text.
pub(super) fn text(class: &str, (x, y): (f64, f64), content: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", escape(content))
}

/// A straight line.
pub(super) fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> String {
    let ((x1, y1), (x2, y2)) = (from, to);
    format!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n")
}

/// A box; with a title, which shows when it is pointed at.
pub(super) fn area(class: &str, (x, y): (f64, f64), (width, height): (f64, f64), title: Option<&str>) -> String {
    let mut out = format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"",
        width.max(0.0),
        height.max(0.0)
    );
    let _ = match title {
        Some(title) => writeln!(out, "><title>{}</title></rect>", escape(title)),
        None => writeln!(out, "/>"),
    };
    out
}

/// The course of a line through points; where one is missing, the line has a gap. A point between two gaps is a dot.
pub(super) fn course(points: impl IntoIterator<Item = Option<(f64, f64)>>) -> String {
    let mut out = String::new();
    // Points since the last gap.
    let mut run = 0;
    for point in points {
        let Some((x, y)) = point else {
            if run == 1 {
                out.push_str("h0");
            }
            run = 0;
            continue;
        };
        let _ = write!(out, "{}{x:.1} {y:.1}", if run == 0 { "M" } else { "L" });
        run += 1;
    }
    if run == 1 {
        out.push_str("h0");
    }
    out
}

/// What is drawn of a router, so that it can be hidden and found.
pub(super) fn series(class: &str, inside: &str) -> String {
    format!("<g class=\"s {class}\">{inside}</g>\n")
}

/// Two axes.
pub(super) struct Plot {
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Plot {
    /// Where a pair of figures lies, if both are on the axes.
    pub(super) fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((self.x.at(x)?, self.y.at(y)?))
    }

    /// Grid lines and their figures; the heading of the upright axis stands above it, where it reads without turning
    /// one's head. No heading along the foot: no figures there.
    pub(super) fn frame(
        &self,
        along: Option<&str>,
        up: &str,
        x_text: &dyn Fn(f64) -> String,
        y_text: &dyn Fn(f64) -> String,
    ) -> String {
        let (left, right, foot, top) = (self.x.start, self.x.end, self.y.start, self.y.end);
        let mut out = String::new();
        for tick in self.y.ticks(((foot - top) / 45.0) as usize) {
            let y = self.y.clamped(tick);
            out += &line("grid", (left, y), (right, y));
            out += &text("tick end", (left - 7.0, y + 4.0), &y_text(tick));
        }
        for tick in self.x.ticks(((right - left) / 90.0) as usize) {
            let x = self.x.clamped(tick);
            out += &line("grid", (x, foot), (x, top));
            if along.is_some() {
                out += &text("tick mid", (x, foot + 17.0), &x_text(tick));
            }
        }
        out += &line("axis", (left, foot), (right, foot));
        out += &text("heading", (left - 44.0, top - 10.0), up);
        if let Some(along) = along {
            out += &text("heading end", (right, foot + 35.0), along);
        }
        out
    }
}

/// Shifts labels apart that would overlap, keeping their order and staying in `low..=high` if they fit.
pub(super) fn apart(wanted: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]).then(a.cmp(b)));
    let mut out = wanted.to_vec();
    let mut next = low;
    for i in &order {
        out[*i] = out[*i].max(next);
        next = out[*i] + gap;
    }
    let mut last = high;
    for i in order.iter().rev() {
        out[*i] = out[*i].min(last);
        last = out[*i] - gap;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_stays_text() {
        assert_eq!(escape("<b a='1'>&\"\u{0}"), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn a_course_has_gaps_where_points_are_missing() {
        let points = [Some((0.0, 1.0)), Some((2.0, 3.0)), None, Some((4.0, 5.0)), None];
        assert_eq!(course(points), "M0.0 1.0L2.0 3.0M4.0 5.0h0");
        assert_eq!(course([None]), "");
    }

    #[test]
    fn labels_keep_their_order_and_their_distance() {
        let placed = apart(&[10.0, 11.0, 50.0, 99.0, 98.0], 12.0, (0.0, 100.0));
        assert_eq!(placed, [10.0, 22.0, 50.0, 100.0, 88.0]);
    }
}
