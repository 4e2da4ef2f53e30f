//! The floor under the error: what the rows say of each other, and how far the model would stay from them if it knew
//! how far off it is on average. Neither needs a belief about the model's form.

mod text;

use crate::sample::{Measured, Prediction, Sample};
use crate::silicon::UNSTATED;
use crate::tally::{Figures, Sample as Errors};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Name under which all backends together are counted.
pub(crate) const ALL: &str = "all";

/// An architecture on a board.
type Group = (&'static str, &'static str);

/// A measured run as its row states it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) group: Group,
    pub(crate) backend: &'static str,
    pub(crate) release: &'static str,
    /// All else that the row states: formats, layout of boards, lengths, load.
    pub(crate) setting: String,
    /// Mean time to first token, ms.
    pub(crate) ttft_ms: f64,
    /// Mean time per further token, ms.
    pub(crate) tpot_ms: f64,
}

/// How far times lie apart, as shares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Groups (an architecture on a board) that the points are of.
    pub groups: u64,
    /// Time to first token.
    pub ttft: Figures,
    /// Time per further token.
    pub tpot: Figures,
}

/// What the data themselves say about how near a prediction can come. Points are pairs of measurements in the first
/// two, rows in the others; an error of a pair is the longer time over the shorter, less one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Floor {
    /// The same setting under the same release, measured again, by backend and for `all`.
    pub measured_twice: BTreeMap<&'static str, Spread>,
    /// The same setting under another release of the same backend, by backend and for `all`.
    pub other_release: BTreeMap<&'static str, Spread>,
    /// Errors of the predictions for groups whose board and architecture were each seen in the fit, by backend and for
    /// `all`.
    pub predicted: BTreeMap<&'static str, Spread>,
    /// The same errors with the median offset of each cell (group, backend and release) taken off, as if it were known.
    pub offsets_known: BTreeMap<&'static str, Spread>,
}

/// Spreads on the way to figures.
#[derive(Debug, Default)]
struct Spreads(BTreeMap<&'static str, (BTreeSet<Group>, [Errors; 2])>);

impl Spreads {
    /// Adds the natural logarithms of two ratios: times to first token, times per further token.
    fn add(&mut self, backend: &'static str, group: Group, logarithms: [f64; 2], rows: u32) {
        for name in [backend, ALL] {
            let (groups, errors) = self.0.entry(name).or_default();
            groups.insert(group);
            for (errors, logarithm) in errors.iter_mut().zip(logarithms) {
                errors.add((logarithm.exp() - 1.0).abs(), rows);
            }
        }
    }

    fn figures(self) -> BTreeMap<&'static str, Spread> {
        let spread = |(groups, [ttft, tpot]): (BTreeSet<Group>, [Errors; 2])| Spread {
            groups: groups.len() as u64,
            ttft: ttft.figures(),
            tpot: tpot.figures(),
        };
        self.0.into_iter().map(|(backend, found)| (backend, spread(found))).collect()
    }
}

/// Predictions of one cell: logarithms of predicted over measured, and the rows they stand for.
type Residuals = Vec<([f64; 2], u32)>;

/// The different measurements of one setting under one release, by how they are [`written`]: logarithms of the times.
type Measurements = BTreeMap<(i64, i64), [f64; 2]>;

/// What the floor is computed from.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    runs: Vec<Run>,
    cells: BTreeMap<(Group, &'static str, &'static str), Residuals>,
}

impl Evidence {
    pub(crate) fn measured(&mut self, runs: &[Run]) {
        self.runs.extend_from_slice(runs);
    }

    /// A prediction whose fit did not see the sample's group. One that does not exist is off without bound.
    pub(crate) fn predicted(&mut self, sample: &Sample, prediction: Option<Prediction>) {
        let Measured::Serving { ttft_ms, tpot_ms, .. } = sample.measured else { return };
        let residual = prediction
            .map_or([f64::INFINITY; 2], |found| [(found.ttft_ms / ttft_ms).ln(), (found.tpot_ms / tpot_ms).ln()]);
        let cell = (sample.group(), sample.deployment.backend.name(), sample.deployment.release);
        self.cells.entry(cell).or_default().push((residual, sample.rows));
    }

    pub(crate) fn floor(&self) -> Floor {
        let (mut predicted, mut offsets_known) = (Spreads::default(), Spreads::default());
        for ((group, backend, _), residuals) in &self.cells {
            let offset = [0, 1].map(|time| middle(residuals, time));
            for (residual, rows) in residuals {
                predicted.add(backend, *group, *residual, *rows);
                offsets_known.add(backend, *group, [residual[0] - offset[0], residual[1] - offset[1]], *rows);
            }
        }
        let (measured_twice, other_release) = self.pairs();
        Floor {
            measured_twice: measured_twice.figures(),
            other_release: other_release.figures(),
            predicted: predicted.figures(),
            offsets_known: offsets_known.figures(),
        }
    }

    /// Pairs under one release, and pairs of releases. Rows without a release are in neither: they may be of any.
    fn pairs(&self) -> (Spreads, Spreads) {
        let mut settings: BTreeMap<_, BTreeMap<&str, Measurements>> = BTreeMap::new();
        for run in self.runs.iter().filter(|run| run.release != UNSTATED) {
            let releases = settings.entry((run.group, run.backend, run.setting.as_str())).or_default();
            let times = [run.ttft_ms.ln(), run.tpot_ms.ln()];
            releases.entry(run.release).or_default().entry(written(run)).or_insert(times);
        }
        let (mut twice, mut other) = (Spreads::default(), Spreads::default());
        for ((group, backend, _), releases) in settings {
            for times in releases.values() {
                let times: Vec<_> = times.values().copied().collect();
                each_pair(&times, |apart| twice.add(backend, group, apart, 1));
            }
            let means: Vec<_> = releases.values().map(mean).collect();
            each_pair(&means, |apart| other.add(backend, group, apart, 1));
        }
        (twice, other)
    }
}

/// A run's times in hundredths of a millisecond. Some runs stand in the file twice, once with two decimals and once
/// with all: rows that agree so far are one measurement.
fn written(run: &Run) -> (i64, i64) {
    let hundredths = |time_ms: f64| (time_ms * 100.0).round() as i64;
    (hundredths(run.ttft_ms), hundredths(run.tpot_ms))
}

fn mean(times: &Measurements) -> [f64; 2] {
    [0, 1].map(|time| times.values().map(|logarithms| logarithms[time]).sum::<f64>() / times.len() as f64)
}

/// Calls `found` with how far apart each two of the measurements are.
fn each_pair(times: &[[f64; 2]], mut found: impl FnMut([f64; 2])) {
    for (at, one) in times.iter().enumerate() {
        for other in &times[at + 1..] {
            found([(one[0] - other[0]).abs(), (one[1] - other[1]).abs()]);
        }
    }
}

/// The median residual of a cell, over its rows; 0 where no row has a prediction.
fn middle(residuals: &Residuals, time: usize) -> f64 {
    let mut finite = Errors::default();
    for (residual, rows) in residuals.iter().filter(|(residual, _)| residual[time].is_finite()) {
        finite.add(residual[time], *rows);
    }
    finite.at(0.5).unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
