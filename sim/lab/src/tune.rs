//! Searches a router's parameters: random trials on one part of a workload, to be judged on another.
//!
//! Random search finds a point among the best 5 % of the volume with 95 % probability in 59 trials, however many parameters
//! matter (Bergstra and Bengio, JMLR 2012); everyone gets the same number.

use std::collections::BTreeMap;

use rhumb_rng::{hash, label, unit};

use crate::file::Loaded;
use crate::lab::Lab;
use crate::options::Options;
use crate::parameters::parameters;
use crate::problem::LabError;
use crate::scenario::{ParameterPlan, RouterName};
use crate::traffic::Origin;

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// The best values.
    pub parameters: BTreeMap<String, f64>,
    /// What they score.
    pub score: f64,
    /// What the defaults score.
    pub default_score: f64,
}

/// Seeds of tuning are apart from those of reports by so much, for workloads without a second half.
const APART: u64 = 1 << 20;

/// A part of a scenario's traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first half of a trace; of a workload by chance, seeds that no report uses.
    ToTune,
    /// The second half.
    ToJudge,
}

impl Part {
    /// Cuts a scenario to its part; the seed to run it with.
    ///
    /// # Errors
    /// The scenario's workload is none.
    pub fn of(self, loaded: &mut Loaded, seed: u64) -> Result<u64, LabError> {
        let folder = loaded.folder.clone();
        let plan = &mut loaded.scenario.traffic;
        if let (Origin::Trace(_), Some(seconds)) = (Origin::of(&plan.workload, &folder)?, plan.seconds) {
            plan.seconds = Some(seconds / 2.0);
            plan.requests = plan.requests.map(|r| r.div_ceil(2));
            if self == Self::ToJudge {
                plan.from_s += seconds / 2.0;
            }
            return Ok(seed);
        }
        Ok(if self == Self::ToTune { seed.wrapping_add(APART) } else { seed })
    }
}

/// Tries so many settings of a router on the part that is there to tune; the first are its defaults. The best meets the
/// objectives most often, and among equals has the shortest 95th percentile of the time to first token.
///
/// # Errors
/// As of [`Lab::run`].
pub fn tune(loaded: &mut Loaded, options: &Options, router: RouterName, trials: u64) -> Result<Tuned, LabError> {
    let seed = Part::ToTune.of(loaded, options.seed)?;
    loaded.alone();
    let options = Options { routers: vec![router], seed, ..options.clone() };
    let mut best: Option<Tuned> = None;
    let mut default_score = f64::NAN;
    // Where there is little to set, the same is drawn again.
    let mut tried: Vec<BTreeMap<String, f64>> = Vec::new();
    for trial in 0..trials.max(1) {
        let values = draw(router, options.seed, trial);
        if tried.contains(&values) {
            continue;
        }
        tried.push(values.clone());
        let parameters = &mut loaded.scenario.parameters;
        parameters.retain(|k| k.router != router);
        parameters.extend(values.iter().map(|(parameter, value)| ParameterPlan {
            router,
            parameter: parameter.clone(),
            value: *value,
        }));
        let score = score(loaded, &options, router)?;
        if trial == 0 {
            default_score = score;
        }
        if best.as_ref().is_none_or(|b| score > b.score) {
            best = Some(Tuned { parameters: values, score, default_score });
        }
    }
    Ok(best.expect("there is one trial at least"))
}

fn draw(router: RouterName, seed: u64, trial: u64) -> BTreeMap<String, f64> {
    let value = |(i, parameter): (usize, &rhumb_baselines::Parameter)| {
        let share = unit(hash(hash(seed, label(router.name())), trial * 64 + i as u64));
        let value = match (trial, parameter.name) {
            (0, _) => parameter.default,
            (_, crate::parameters::HOLD) => share.round(),
            // Three digits say what it is as well as all of them.
            _ => format!("{:.3e}", parameter.at(share))
                .parse()
                .unwrap_or(parameter.default)
                .clamp(parameter.low, parameter.high),
        };
        (parameter.name.to_owned(), value)
    };
    parameters(router).iter().enumerate().map(value).collect()
}

fn score(loaded: &Loaded, options: &Options, router: RouterName) -> Result<f64, LabError> {
    let report = Lab::new(loaded, options)?.run(&|_| {})?;
    let figures = &report.routers[router.name()];
    let met = figures["slo_attainment"].as_f64().unwrap_or(0.0);
    let p95_ms = figures["ttft_ms"]["p95"].as_f64().unwrap_or(f64::MAX);
    Ok(met - 1e-3 * (p95_ms / loaded.scenario.slo.ttft_ms).min(100.0))
}
