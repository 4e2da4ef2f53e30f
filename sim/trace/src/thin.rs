//! Thins a trace and leaves its bursts.

use std::collections::BTreeSet;

use rhumb_rng::Rng;

use crate::rows::Row;

/// The window within which the share is held.
const WINDOW_US: u64 = 1_000_000;

/// Which rows stay when the share `p` of the units does.
///
/// Keeping each call by a coin of its own adds the coin's variance to every window and so makes any trace look more like
/// a Poisson process the thinner it gets. Here the units (sessions, conversations, else single calls) that first appear
/// in a second are counted, `p` times their number is kept, and the fraction is carried to the next second; only *which*
/// of them stay is drawn. The count of a window is then `p` times what it was, to within one.
pub(crate) fn kept(rows: &[Row], p: f64, rng: &mut Rng) -> Vec<bool> {
    let mut keep = vec![false; rows.len()];
    let mut kept_units: BTreeSet<u64> = BTreeSet::new();
    let mut seen_units: BTreeSet<u64> = BTreeSet::new();
    // A phase of its own for each seed, so that a trace of lone calls does not always lose the first.
    let mut carry = rng.unit();
    let mut begin = 0;
    while begin < rows.len() {
        let window = rows[begin].at_us / WINDOW_US;
        let n = rows[begin..].partition_point(|r| r.at_us / WINDOW_US == window);
        let window = begin..begin + n;
        let fresh: Vec<usize> =
            window.clone().filter(|&i| rows[i].unit.is_none_or(|unit| seen_units.insert(unit))).collect();
        carry += p * fresh.len() as f64;
        let mut wanted = (carry as usize).min(fresh.len());
        carry -= wanted as f64;
        for (done, &i) in fresh.iter().enumerate() {
            // Selection sampling (Knuth, TAOCP 2, algorithm S).
            if rng.below(fresh.len() - done) < wanted {
                wanted -= 1;
                keep[i] = true;
                kept_units.extend(rows[i].unit);
            }
        }
        for i in window {
            keep[i] |= rows[i].unit.is_some_and(|unit| kept_units.contains(&unit));
        }
        begin += n;
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at_us: u64, unit: Option<u64>) -> Row {
        Row {
            at_us,
            input_tokens: 1,
            output_tokens: 1,
            client: 0,
            session: None,
            unit,
            ids: Vec::new(),
            think_us: None,
            next: None,
        }
    }

    /// Squared coefficient of variation of the counts of 10-s windows.
    fn spread(at_us: impl Iterator<Item = u64>) -> f64 {
        let mut counts = vec![0.0; 400];
        at_us.for_each(|at| counts[(at / 10_000_000) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 400.0;
        counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / 400.0 / (mean * mean)
    }

    #[test]
    fn counts_keep_their_spread_where_a_coin_would_not() {
        // 40 calls in every tenth second alternating with 20: what a coin of 0.05 turns into noise.
        let rows: Vec<Row> = (0..400_u64)
            .flat_map(|w| {
                let n = if w % 2 == 0 { 40 } else { 20 };
                (0..n).map(move |i| row(w * 10_000_000 + i * 1_000, None))
            })
            .collect();
        let mut rng = Rng::labelled(3, "test");
        let before = spread(rows.iter().map(|r| r.at_us));
        let stratified = kept(&rows, 0.05, &mut rng);
        let after = spread(rows.iter().zip(&stratified).filter(|(_, k)| **k).map(|(r, _)| r.at_us));
        let coin = spread(rows.iter().filter(|_| rng.unit() < 0.05).map(|r| r.at_us));
        assert!((after / before - 1.0).abs() < 0.1, "{before} {after}");
        assert!(coin / before > 3.0, "{before} {coin}");
    }

    #[test]
    fn a_session_stays_or_goes_whole_and_the_share_is_met() {
        let rows: Vec<Row> = (0..3_000_u64).map(|i| row(i * 300_000, Some(i % 500 + i / 1_500 * 1_000))).collect();
        let keep = kept(&rows, 0.3, &mut Rng::new(1));
        for unit in 0..1_500 {
            let of: BTreeSet<bool> =
                rows.iter().zip(&keep).filter(|(r, _)| r.unit == Some(unit)).map(|(_, k)| *k).collect();
            assert!(of.len() <= 1);
        }
        let n = keep.iter().filter(|k| **k).count();
        assert!((890..=910).contains(&n), "{n}");
        assert!(kept(&rows, 1.0, &mut Rng::new(1)).iter().all(|k| *k));
    }
}
