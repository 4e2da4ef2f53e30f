//! The report: how far predictions are from measurements that their fit did not see.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rhumb_engine::Basis;
use serde::Serialize;

use crate::cross::{HeldOut, Judged, judge};
use crate::error::Error;
use crate::fit::Data;
use crate::floor::{self, Floor};
use crate::replay::{self, Replay};
use crate::sample::{Measured, Sample as Point};
use crate::silicon::DISAGGREGATED;
use crate::table;
use crate::tally::{Figures, Summary, Tally};

/// What to judge.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Data folders. The files that the committed coefficients were fitted to are judged by fits that leave out what
    /// they judge; all others, being foreign, by the committed coefficients.
    pub data: Vec<PathBuf>,
}

/// Errors of one model on one system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The model as its rows name it.
    pub model: String,
    /// The system as its rows name it.
    pub system: String,
    /// Whether board and architecture each occur elsewhere in the fit that judged it.
    pub seen: bool,
    /// Its errors.
    #[serde(flatten)]
    pub errors: Summary,
    /// Why it misses, where it does.
    pub cause: Option<String>,
}

/// Rows that were not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excluded {
    /// Why.
    pub reason: String,
    /// How many.
    pub points: u32,
    /// Whether they count as misses: all do but the disaggregated ones.
    pub counted_as_misses: bool,
}

/// One target and what was reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Which error, on which groups.
    pub name: &'static str,
    /// Highest median absolute error that meets it.
    pub target: f64,
    /// The one reached.
    pub reached: Option<f64>,
    /// Whether it is met.
    pub met: bool,
    /// Whether it is missed by at most a quarter.
    pub within_a_quarter: bool,
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Time to first token, groups whose board and architecture were each seen in the fit.
    pub ttft: Figures,
    /// Time per further token, the same groups.
    pub tpot: Figures,
    /// Time of a whole request, the same groups.
    pub e2e: Figures,
    /// Power, the same groups.
    pub power: Figures,
    /// Every group.
    pub by_group: Vec<Group>,
    /// What was not judged.
    pub excluded: Vec<Excluded>,
    /// The same errors where the board, or the architecture, was never seen.
    pub unseen: Summary,
    /// The board never seen.
    pub unseen_board: Summary,
    /// The architecture never seen.
    pub unseen_model: Summary,
    /// The targets.
    pub targets: Vec<Target>,
    /// How near the data themselves let a prediction come.
    pub floor: Floor,
    /// Measured runs, request by request.
    pub replay: Vec<Replay>,
    /// What the figures are of.
    pub method: &'static str,
    /// Files read: name and SHA-256.
    pub files: Vec<(String, String)>,
}

const HELD_OUT: &str = "each point is judged by a fit that saw no row of its architecture on its board";
const COMMITTED: &str = "each point is judged by the committed coefficients, which were fitted to other files";

/// Reads the folders, fits and judges.
///
/// # Errors
/// When a folder has no data, or a file is broken: then there is no report at all.
pub fn run_report(options: &Options) -> Result<Report, Error> {
    let mut folders = Vec::new();
    let mut runs = Vec::new();
    for folder in &options.data {
        if let Some(path) = table::locate(folder, "perf", replay::FILE) {
            runs.extend(replay::read(&path)?);
        }
        match Data::read(folder) {
            Ok(data) => folders.push(data),
            Err(Error::NoData { .. }) if !runs.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    let fitted = folders.iter().find(|data| data.is_the_fitted());
    let replays = runs.iter().filter_map(|run| run.replay(fitted)).collect();
    let mut tallies = Tallies::default();
    let mut method = HELD_OUT;
    for data in &folders {
        tallies.floor.measured(&data.runs);
        if data.is_the_fitted() {
            for judged in judge(data) {
                tallies.held_out(&judged);
            }
        } else {
            method = COMMITTED;
            for sample in &data.samples {
                tallies.foreign(sample);
            }
        }
        for (reason, rows) in &data.excluded {
            *tallies.excluded.entry(reason.clone()).or_insert(0) += rows;
        }
    }
    let files =
        folders.iter().flat_map(|data| data.sources.iter().map(|(name, sha, _)| ((*name).to_owned(), sha.clone())));
    Ok(tallies.report(replays, method, files.collect()))
}

#[derive(Default)]
struct Tallies {
    seen: Tally,
    unseen: Tally,
    board: Tally,
    family: Tally,
    groups: BTreeMap<(String, String), (bool, Tally, crate::causes::Evidence)>,
    excluded: BTreeMap<String, u32>,
    floor: floor::Evidence,
}

impl Tallies {
    fn held_out(&mut self, judged: &Judged<'_>) {
        match judged.held_out {
            HeldOut::Group(..) => {
                let tally = if judged.seen { &mut self.seen } else { &mut self.unseen };
                tally.add(judged.sample, judged.prediction);
                if judged.seen {
                    self.floor.predicted(judged.sample, judged.prediction);
                }
                self.group(judged.sample, judged.prediction, judged.seen);
            }
            HeldOut::Board(_) => {
                self.unseen.add(judged.sample, judged.prediction);
                self.board.add(judged.sample, judged.prediction);
            }
            HeldOut::Family(_) => {
                self.unseen.add(judged.sample, judged.prediction);
                self.family.add(judged.sample, judged.prediction);
            }
        }
    }

    fn foreign(&mut self, sample: &Point) {
        let prediction = sample.predict(&sample.deployment.values());
        let seen = sample.basis() == Basis::Measured;
        let tally = if seen { &mut self.seen } else { &mut self.unseen };
        tally.add(sample, prediction);
        if seen {
            self.floor.predicted(sample, prediction);
        }
        match sample.basis() {
            Basis::ModelMeasured => self.board.add(sample, prediction),
            Basis::GpuMeasured => self.family.add(sample, prediction),
            Basis::Measured | Basis::FirstPrinciples => {}
        }
        self.group(sample, prediction, seen);
    }

    fn group(&mut self, sample: &Point, prediction: Option<crate::sample::Prediction>, seen: bool) {
        if matches!(sample.measured, Measured::Decoding { watts: None, .. }) {
            return; // Judged request by request in the replay.
        }
        let key = (sample.model.clone(), sample.system.clone());
        let (group_seen, tally, evidence) = self.groups.entry(key).or_default();
        *group_seen = seen;
        tally.add(sample, prediction);
        evidence.add(sample, prediction);
    }

    fn report(mut self, replay: Vec<Replay>, method: &'static str, files: Vec<(String, String)>) -> Report {
        for (reason, rows) in &self.excluded {
            if reason != DISAGGREGATED {
                self.seen.miss(reason, *rows);
            }
        }
        let (seen, unseen) = (self.seen.summary(), self.unseen.summary());
        let by_group = self.groups.into_iter().map(|((model, system), (seen, tally, evidence))| {
            let errors = tally.summary();
            let cause = evidence.cause(&errors, seen);
            Group { model, system, seen, errors, cause }
        });
        let excluded = self.excluded.into_iter().map(|(reason, points)| {
            let counted_as_misses = reason != DISAGGREGATED;
            Excluded { reason, points, counted_as_misses }
        });
        Report {
            ttft: seen.ttft,
            tpot: seen.tpot,
            e2e: seen.e2e,
            power: seen.power,
            by_group: by_group.collect(),
            excluded: excluded.collect(),
            unseen,
            unseen_board: self.board.summary(),
            unseen_model: self.family.summary(),
            targets: targets(&seen, &unseen),
            floor: self.floor.floor(),
            replay,
            method,
            files,
        }
    }
}

pub(crate) const SEEN_TARGETS: [f64; 4] = [0.15, 0.09, 0.09, 0.10];
pub(crate) const UNSEEN_TARGETS: [f64; 4] = [0.25, 0.15, 0.15, 0.25];

fn targets(seen: &Summary, unseen: &Summary) -> Vec<Target> {
    let target = |name, target: f64, figures: &Figures| {
        let reached = figures.median_abs_error;
        Target {
            name,
            target,
            reached,
            met: reached.is_some_and(|reached| reached <= target),
            within_a_quarter: reached.is_some_and(|reached| reached <= target * 1.25),
        }
    };
    let [ttft, tpot, e2e, power] = SEEN_TARGETS;
    let [new_ttft, new_tpot, new_e2e, new_power] = UNSEEN_TARGETS;
    vec![
        target("TTFT, seen", ttft, &seen.ttft),
        target("TPOT, seen", tpot, &seen.tpot),
        target("E2E, seen", e2e, &seen.e2e),
        target("power, seen", power, &seen.power),
        target("TTFT, never seen", new_ttft, &unseen.ttft),
        target("TPOT, never seen", new_tpot, &unseen.tpot),
        target("E2E, never seen", new_e2e, &unseen.e2e),
        target("power, never seen", new_power, &unseen.power),
    ]
}
