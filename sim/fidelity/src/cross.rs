//! Predictions for points that the fit did not see.
//!
//! What is held out is a group: all rows of one architecture on one board, under whatever names. DeepSeek-R1 and
//! DeepSeek-V3 are one architecture, and the file has the same runs under both names.

use std::collections::{BTreeMap, BTreeSet};

use crate::fit::{Data, Model};
use crate::sample::{Prediction, Sample};

/// What a fit leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HeldOut {
    /// One architecture on one board.
    Group(&'static str, &'static str),
    /// A board, with every model.
    Board(&'static str),
    /// An architecture, on every board.
    Family(&'static str),
}

impl HeldOut {
    fn covers(self, sample: &Sample) -> bool {
        let (family, gpu) = sample.group();
        match self {
            Self::Group(f, g) => f == family && g == gpu,
            Self::Board(g) => g == gpu,
            Self::Family(f) => f == family,
        }
    }
}

/// A sample judged by a fit that did not see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) sample: &'a Sample,
    /// What was left out of the fit.
    pub(crate) held_out: HeldOut,
    /// `None` when the model does not fit the boards stated.
    pub(crate) prediction: Option<Prediction>,
    /// Whether board and architecture each occur elsewhere in the fit.
    pub(crate) seen: bool,
}

/// Judges every sample three times: without its group, without its board, without its architecture.
pub(crate) fn judge(data: &Data) -> Vec<Judged<'_>> {
    let mut folds = BTreeSet::new();
    for sample in &data.samples {
        let (family, gpu) = sample.group();
        folds.extend([HeldOut::Group(family, gpu), HeldOut::Board(gpu), HeldOut::Family(family)]);
    }
    let folds: Vec<HeldOut> = folds.into_iter().collect();
    let work = |share: usize| -> Vec<Judged<'_>> {
        folds.iter().skip(share).step_by(THREADS).flat_map(|fold| judge_fold(data, *fold)).collect()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..THREADS).map(|share| scope.spawn(move || work(share))).collect();
        let mut judged = work(0);
        for other in others {
            judged.extend(other.join().expect("a fold does not panic"));
        }
        judged.sort_by_key(|j| (j.held_out, j.sample.line));
        judged
    })
}

/// Folds are independent, so their number of threads changes nothing but the time.
const THREADS: usize = 2;

fn judge_fold(data: &Data, fold: HeldOut) -> Vec<Judged<'_>> {
    let training = data.admitted(|sample| !fold.covers(sample));
    let model = Model::fit(&training, &data.fixed);
    let mut boards: BTreeMap<&str, ()> = BTreeMap::new();
    let mut families: BTreeMap<&str, ()> = BTreeMap::new();
    for sample in &training {
        let (family, gpu) = sample.group();
        boards.insert(gpu, ());
        families.insert(family, ());
    }
    let judged = |sample| {
        let (family, gpu) = Sample::group(sample);
        let seen = boards.contains_key(gpu) && families.contains_key(family);
        Judged { sample, held_out: fold, prediction: sample.predict(&model.values(sample)), seen }
    };
    data.samples.iter().filter(|sample| fold.covers(sample)).map(judged).collect()
}
