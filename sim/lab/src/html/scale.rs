//! From figures to pixels, and figures as text.

/// An axis: a stretch of figures laid over a stretch of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Pixel of `from`.
    pub(super) start: f64,
    /// Pixel of `to`.
    pub(super) end: f64,
    log: bool,
}

impl Scale {
    /// An even axis. A stretch of no length is widened.
    pub(super) fn linear((from, to): (f64, f64), (start, end): (f64, f64)) -> Self {
        let to = if to > from { to } else { from + from.abs().max(1.0) };
        Self { from, to, start, end, log: false }
    }

    /// An axis on which equal ratios are equally long. INVARIANT: `from` is positive.
    pub(super) fn log((from, to): (f64, f64), (start, end): (f64, f64)) -> Self {
        let (from, to) = if to > from * 1.02 { (from, to) } else { (from / 1.5, from * 1.5) };
        Self { from, to, start, end, log: true }
    }

    /// Where a figure lies; `None` if it is not on the axis.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let slack = (self.to - self.from) * 1e-9;
        let inside = value.is_finite() && value >= self.from - slack && value <= self.to + slack;
        inside.then(|| {
            let share = if self.log {
                (value / self.from).ln() / (self.to / self.from).ln()
            } else {
                (value - self.from) / (self.to - self.from)
            };
            self.start + share * (self.end - self.start)
        })
    }

    /// Where a figure lies, or the end of the axis that is nearest to it.
    pub(super) fn clamped(&self, value: f64) -> f64 {
        self.at(value.clamp(self.from, self.to)).unwrap_or(self.start)
    }

    /// The figure at a share of the axis's length.
    pub(super) fn share(&self, share: f64) -> f64 {
        if self.log { self.from * (self.to / self.from).powf(share) } else { self.from + share * (self.to - self.from) }
    }

    /// Round figures on the axis, about `count` of them.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        if self.log && self.to / self.from >= 5.0 {
            let decades: Vec<i32> = (self.from.log10().floor() as i32..=self.to.log10().ceil() as i32).collect();
            let within = |ticks: &[f64]| -> Vec<f64> {
                let all = decades.iter().flat_map(|d| ticks.iter().map(move |t| t * 10_f64.powi(*d)));
                all.filter(|v| self.at(*v).is_some()).collect()
            };
            let fine = within(&[1.0, 2.0, 5.0]);
            return if fine.len() <= count + 3 { fine } else { within(&[1.0]) };
        }
        let step = step((self.to - self.from) / count.max(1) as f64);
        let first = (self.from / step - 1e-9).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|v| self.at(*v).is_some()).take(100).collect()
    }
}

/// The round number that is nearest above: 1, 2, 2.5 or 5 times a power of ten.
fn step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1e-12).log10().floor());
    let ratio = rough / power;
    let nice = [1.0, 2.0, 2.5, 5.0].into_iter().find(|n| *n >= ratio - 1e-9).unwrap_or(10.0);
    nice * power
}

/// The least and the greatest of some figures, leaving out those that are not numbers.
pub(super) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|v| v.is_finite())
        .fold(None, |at, v| Some(at.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
}

/// How far beyond the middle router an even axis reaches, and one of equal ratios.
pub(super) const FAR: f64 = 3.0;
/// See [`FAR`].
pub(super) const FAR_LOG: f64 = 8.0;

/// How far an axis reaches over the routers' own greatest figures: to the farthest of those that are within `far` times the
/// middle one. One router that collapsed would squash all others; what it has beyond the end is not drawn.
pub(super) fn reach(greatest: impl Iterator<Item = f64>, far: f64) -> Option<f64> {
    let mut greatest: Vec<f64> = greatest.filter(|v| v.is_finite()).collect();
    greatest.sort_by(f64::total_cmp);
    let most = match greatest.get(greatest.len() / 2) {
        Some(middle) if greatest.len() > 2 && *middle > 0.0 => middle * far,
        _ => f64::INFINITY,
    };
    greatest.into_iter().rfind(|v| *v <= most)
}

/// A sentence that names those whose figures go beyond an axis; empty if there are none.
pub(super) fn beyond<'a>(figures: impl Iterator<Item = (&'a str, f64)>, to: f64) -> String {
    let names: Vec<&str> = figures.filter(|(_, v)| *v > to).map(|(name, _)| name).collect();
    if names.is_empty() { String::new() } else { format!(" Beyond the end of the axis: {}.", names.join(", ")) }
}

/// What times up to a figure are best told in: milliseconds of one, and its name.
pub(super) fn time_unit(longest_ms: f64) -> (f64, &'static str) {
    if longest_ms >= 10_000.0 { (1_000.0, "s") } else { (1.0, "ms") }
}

/// With a comma after every three digits.
pub(super) fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.find('.').map_or((text.as_str(), ""), |at| text.split_at(at));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |w| ("-", w));
    let mut out = sign.to_owned();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out + rest
}

/// A figure in about three digits.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    let size = value.abs();
    if size >= 99.95 || size == 0.0 {
        return grouped(value, 0);
    }
    let digits = (2 - size.log10().floor() as i32).clamp(1, 6) as usize;
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_lie_where_they_belong_and_others_nowhere() {
        let even = Scale::linear((0.0, 10.0), (100.0, 0.0));
        assert_eq!((even.at(0.0), even.at(2.5), even.at(10.0)), (Some(100.0), Some(75.0), Some(0.0)));
        assert_eq!((even.at(11.0), even.at(f64::NAN), even.clamped(11.0)), (None, None, 0.0));
        let log = Scale::log((1.0, 100.0), (0.0, 200.0));
        assert!((log.at(10.0).unwrap() - 100.0).abs() < 1e-9 && (log.share(0.5) - 10.0).abs() < 1e-9);
        assert!(log.at(0.0).is_none());
        // A stretch of no length still is an axis.
        assert!(Scale::linear((3.0, 3.0), (0.0, 1.0)).at(3.0).is_some());
        assert!(Scale::log((3.0, 3.0), (0.0, 1.0)).at(3.0).is_some());
    }

    #[test]
    fn one_router_that_collapsed_does_not_set_the_axis() {
        let of = |figures: &[f64]| reach(figures.iter().copied(), FAR);
        assert_eq!(of(&[300.0, 90_000.0, 500.0, 400.0, f64::NAN]), Some(500.0));
        assert_eq!(of(&[300.0, 900.0, 500.0, 400.0]), Some(900.0), "nobody collapsed");
        assert_eq!((of(&[1.0, 100.0]), of(&[0.0, 0.0, 7.0]), of(&[])), (Some(100.0), Some(7.0), None));
        assert_eq!(beyond([("a", 1.0), ("b", 9.0)].into_iter(), 5.0), " Beyond the end of the axis: b.");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::linear((0.0, 60.0), (0.0, 1.0)).ticks(6), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(Scale::log((80.0, 900.0), (0.0, 1.0)).ticks(6), [100.0, 200.0, 500.0]);
        assert_eq!(Scale::log((1.0, 1e6), (0.0, 1.0)).ticks(4).len(), 7);
        assert_eq!(Scale::log((100.0, 140.0), (0.0, 1.0)).ticks(4), [100.0, 110.0, 120.0, 130.0, 140.0]);
    }

    #[test]
    fn numbers_have_no_more_digits_than_mean_something() {
        let texts: Vec<String> = [12_345.6, 312.4, 99.97, 31.24, 3.0, 0.1234, 0.0, -1_234.0].map(number).to_vec();
        assert_eq!(texts, ["12,346", "312", "100", "31.2", "3", "0.123", "0", "-1,234"]);
        assert_eq!(grouped(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(number(f64::NAN), "none");
        assert_eq!(extent([f64::NAN, 2.0, 1.0].into_iter()), Some((1.0, 2.0)));
        assert_eq!(extent([f64::NAN].into_iter()), None);
    }
}
