//! A page of metrics as the gateway writes it.

use std::collections::BTreeMap;

use rhumb_promtext::samples;

/// Series by name and labels as they are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page(BTreeMap<String, f64>);

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        Self(samples(text).map(|sample| (sample.series.to_owned(), sample.value)).collect())
    }

    /// The value of a series.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The series of a metric that has one label: its value, and the series' own.
    pub(crate) fn by_label<'a>(&'a self, metric: &str, label: &str) -> impl Iterator<Item = (&'a str, f64)> {
        let head = format!("{metric}{{{label}=\"");
        let length = head.len();
        let of_metric = self.0.range(head.clone()..).take_while(move |(series, _)| series.starts_with(&head));
        of_metric.filter_map(move |(series, value)| Some((series[length..].strip_suffix("\"}")?, *value)))
    }

    /// What has been added to a counter since an earlier page: all of it where the gateway has begun anew.
    pub(crate) fn since(&self, before: &Self, series: &str) -> f64 {
        let now = self.get(series).unwrap_or(0.0);
        let then = before.get(series).unwrap_or(0.0);
        if now < then { now } else { now - then }
    }

    /// A quantile of what a histogram has taken in since an earlier page, all its series together, in its unit, by
    /// straight lines between the bounds of its buckets; infinite where it is beyond the last bound.
    pub(crate) fn quantile(&self, before: &Self, histogram: &str, q: f64) -> Option<f64> {
        let head = format!("{histogram}_bucket{{");
        let of_histogram = self.0.range(head.clone()..).take_while(|(series, _)| series.starts_with(&head));
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (series, _) in of_histogram {
            let Some(bound) = bound(series) else { continue };
            let count = self.since(before, series);
            match buckets.iter_mut().find(|(b, _)| *b == bound) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = q * buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted && bound.is_finite() {
                let part = if count > below.1 { (wanted - below.1) / (count - below.1) } else { 1.0 };
                return Some(below.0 + part * (bound - below.0));
            }
            if bound.is_finite() {
                below = (bound, count);
            }
        }
        Some(f64::INFINITY)
    }
}

/// The upper bound of a bucket.
fn bound(series: &str) -> Option<f64> {
    let (_, from) = series.rsplit_once("le=\"")?;
    from.split_once('"')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str =
        "# HELP x y\nn_total 5\nt_bucket{le=\"0.1\"} 1\nt_bucket{le=\"1.0\"} 1\nt_bucket{le=\"+Inf\"} 1\n";
    const NOW: &str = "n_total 7\nt_bucket{le=\"0.1\"} 3\nt_bucket{le=\"1.0\"} 5\nt_bucket{le=\"+Inf\"} 6\n\
                       o{endpoint=\"a b\"} 2.5\no{endpoint=\"c\"} 1\nof{endpoint=\"d\"} 9\n# EOF\n";

    #[test]
    fn counters_tell_what_was_added_and_all_of_it_after_a_restart() {
        let (before, now) = (Page::read(BEFORE), Page::read(NOW));
        assert_eq!((now.since(&before, "n_total"), before.since(&now, "n_total"), now.get("no")), (2.0, 5.0, None));
        assert_eq!(now.by_label("o", "endpoint").collect::<Vec<_>>(), [("a b", 2.5), ("c", 1.0)]);
    }

    #[test]
    fn quantiles_are_of_all_series_of_a_histogram() {
        let of = |page: &str| page.replace("t_bucket{", "t_bucket{model=\"a\",");
        let [a, b] = [BEFORE, NOW].map(|page| Page::read(&(of(page) + &of(page).replace("\"a\"", "\"b\""))));
        assert_eq!(b.quantile(&a, "t", 0.2), Some(0.05));
        assert_eq!(b.quantile(&a, "t", 0.6), Some(0.1 + 0.5 * 0.9));
    }

    #[test]
    fn quantiles_are_of_the_time_between() {
        let (before, now) = (Page::read(BEFORE), Page::read(NOW));
        // Two up to 0.1, two up to 1, one beyond.
        assert_eq!(now.quantile(&before, "t", 0.2), Some(0.05));
        assert_eq!(now.quantile(&before, "t", 0.6), Some(0.1 + 0.5 * 0.9));
        assert_eq!(now.quantile(&before, "t", 0.99), Some(f64::INFINITY));
        assert_eq!(now.quantile(&now, "t", 0.5), None, "nothing came");
    }
}
