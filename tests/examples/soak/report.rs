//! What is printed.

/// Lines, and whether one was missed.
#[derive(Default)]
pub(crate) struct Report {
    /// A line does not hold.
    pub(crate) missed: bool,
}

impl Report {
    /// Prints what was measured and what is wanted.
    pub(crate) fn line(&mut self, what: &str, got: &str, want: &str, holds: bool) {
        let verdict = if holds { "" } else { " MISSED" };
        println!("{what}: {got} (want {want}){verdict}");
        self.missed |= !holds;
    }

    /// Prints what is only to be known.
    pub(crate) fn note(&self, what: &str, got: &str) {
        println!("{what}: {got}");
    }
}

/// The value below which this share of them lies; they are in order.
pub(crate) fn at(sorted: &[f64], share: f64) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n => sorted[((n - 1) as f64 * share).ceil() as usize],
    }
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    at(&values, 0.5)
}
