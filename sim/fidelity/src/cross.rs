//! Predictions for points that the fit did not see.
//!
//! What is held out is a group: all rows of one architecture on one board, under whatever names. DeepSeek-R1 and
//! DeepSeek-V3 are one architecture, and the file has the same runs under both names.

use crate::fit::{Data, Model};
use crate::sample::{Prediction, Sample};
use std::collections::{BTreeMap, BTreeSet};

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

#[doc(hidden)]
pub fn explore(folder: &std::path::Path) -> Result<(), crate::Error> {
    use crate::sample::Measured;
    let data = Data::read(folder)?;
    let all = judge(&data);
    let median = |mut v: Vec<f64>| { v.sort_by(f64::total_cmp); if v.is_empty() { f64::NAN } else { v[v.len() / 2] } };
    let mut lines: BTreeMap<String, [Vec<f64>; 5]> = BTreeMap::new();
    for j in &all {
        let Some(p) = j.prediction else { println!("no fit {} {:?} {}", j.sample.line, j.sample.group(), j.sample.deployment.gpus); continue };
        let kind = match j.held_out { HeldOut::Group(..) => if j.seen { "seen" } else { "unseen-group" }, HeldOut::Board(_) => "board", HeldOut::Family(_) => "family" };
        let (f, g) = j.sample.group();
        let mut keys = vec![format!("=== {kind}")];
        if kind == "seen" || kind == "unseen-group" {
            keys.push(format!("b {} {kind}", j.sample.deployment.backend.name()));
            keys.push(format!("g {f} {g}"));
            keys.push(format!("r {f} {g} {} {}", j.sample.deployment.backend.name(), j.sample.deployment.release));
        }
        for key in keys {
            let l = lines.entry(key).or_default();
            for _ in 0..j.sample.rows {
                match &j.sample.measured {
                    Measured::Serving { ttft_ms, tpot_ms, output_tokens, .. } => {
                        l[0].push((p.tpot_ms / tpot_ms).ln());
                        l[1].push((p.ttft_ms / ttft_ms).ln());
                        l[2].push(((p.ttft_ms + p.tpot_ms * (output_tokens - 1.0)) / (ttft_ms + tpot_ms * (output_tokens - 1.0))).ln());
                    }
                    Measured::Decoding { itl_ms, watts, .. } => { l[3].push((p.tpot_ms / itl_ms).ln()); l[4].push((p.watts / watts).ln()); }
                }
            }
        }
    }
    for (k, l) in lines {
        let cell = |v: &Vec<f64>| format!("{:.3}({:+.2},{})", median(v.iter().map(|x| (x.exp() - 1.0).abs()).collect()), median(v.clone()), v.len());
        println!("{k:60} tpot {} ttft {} e2e {} itl {} power {}", cell(&l[0]), cell(&l[1]), cell(&l[2]), cell(&l[3]), cell(&l[4]));
    }
    Ok(())
}
