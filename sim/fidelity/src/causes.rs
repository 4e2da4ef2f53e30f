//! Why a group misses, read off its own errors: the text is made from the evidence, not written by hand.

use std::collections::BTreeMap;

use crate::report::{SEEN_TARGETS, UNSEEN_TARGETS};
use crate::sample::{Measured, Prediction, Sample};
use crate::tally::Summary;

/// Logarithmic errors of a group's rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    tpot: Vec<f64>,
    ttft: Vec<f64>,
    power: Vec<f64>,
    /// Errors of the time per token under one label of program and release, for one setting.
    settings: BTreeMap<String, Vec<f64>>,
    by_release: BTreeMap<String, Vec<f64>>,
    unfit: u32,
    cold: u32,
}

/// A first token later than this under a light load is no queue.
const COLD_MS: f64 = 4000.0;
/// Users up to which a load is light.
const LIGHT_USERS: f64 = 32.0;
/// Logarithmic difference from which two runs of one setting are not one thing.
const TWO_THINGS: f64 = 0.2;

impl Evidence {
    pub(crate) fn add(&mut self, sample: &Sample, prediction: Option<Prediction>) {
        let Some(prediction) = prediction else {
            self.unfit += sample.rows;
            return;
        };
        match &sample.measured {
            Measured::Serving { users, input_tokens, output_tokens, ttft_ms, tpot_ms } => {
                let error = (prediction.tpot_ms / tpot_ms).ln();
                let program = format!("{} {}", sample.deployment.backend.name(), sample.deployment.release);
                let setting = format!(
                    "{program}|{:?}|{}|{users}|{input_tokens}|{output_tokens}",
                    sample.cell(),
                    sample.deployment.gpus
                );
                self.tpot.push(error);
                self.settings.entry(setting).or_default().push(tpot_ms.ln());
                self.by_release.entry(program).or_default().push(error);
                self.ttft.push((prediction.ttft_ms / ttft_ms).ln());
                if *ttft_ms > COLD_MS && *users <= LIGHT_USERS && *ttft_ms > 3.0 * prediction.ttft_ms {
                    self.cold += sample.rows;
                }
            }
            Measured::Decoding { watts: Some(watts), .. } => self.power.push((prediction.watts / watts).ln()),
            Measured::Decoding { watts: None, .. } => {}
        }
    }

    /// The cause of the misses of a group with these errors; `None` when it misses no target.
    pub(crate) fn cause(&self, errors: &Summary, seen: bool) -> Option<String> {
        let limits = if seen { SEEN_TARGETS } else { UNSEEN_TARGETS };
        let figures = [errors.ttft, errors.tpot, errors.e2e, errors.power];
        let missed: Vec<bool> = figures
            .iter()
            .zip(limits)
            .map(|(figures, limit)| figures.points > 0 && figures.median_abs_error.is_none_or(|error| error > limit))
            .collect();
        if !missed.contains(&true) {
            return None;
        }
        let mut causes = Vec::new();
        if self.unfit > 0 {
            causes.push(format!("{} rows: the weights do not fit the boards stated", self.unfit));
        }
        if missed[1] || missed[2] {
            causes.extend(self.pace());
        }
        if missed[0] {
            causes.push(self.first_tokens());
        }
        if missed[3] {
            causes.push(format!("power {} as a whole", off(&self.power)));
        }
        Some(causes.join("; "))
    }

    fn pace(&self) -> Option<String> {
        let apart = |times: &Vec<f64>| {
            let (low, high) = times.iter().fold((f64::MAX, f64::MIN), |(l, h), t| (l.min(*t), h.max(*t)));
            high - low > TWO_THINGS
        };
        let twice = self.settings.values().filter(|times| times.len() > 1).count();
        let torn = self.settings.values().filter(|times| apart(times)).count();
        if torn > 0 && torn * 4 >= twice {
            return Some(format!(
                "{torn} settings were measured twice with times per token more than 20 % apart: a mode that no column \
                 states, as speculative decoding is"
            ));
        }
        let medians: Vec<(&String, f64)> =
            self.by_release.iter().map(|(name, errors)| (name, middle(errors))).collect();
        let worst = medians.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
        if medians.len() > 1 {
            return Some(format!("time per token {} under {}, its worst release", percent(worst.1), worst.0));
        }
        let level = middle(&self.tpot);
        let spread: Vec<f64> = self.tpot.iter().map(|error| (error - level).abs()).collect();
        Some(if level.abs() > middle(&spread) {
            format!(
                "time per token {} throughout: this pair's kernels differ from what other pairs tell",
                percent(level)
            )
        } else {
            format!("time per token scatters by {:.0} % around its level", 100.0 * (middle(&spread).exp() - 1.0))
        })
    }

    fn first_tokens(&self) -> String {
        if self.cold > 0 {
            return format!(
                "first token {}; {} rows waited seconds under a light load (a cold start, or a wait that no column \
                 states)",
                off(&self.ttft),
                self.cold
            );
        }
        format!("first token {}", off(&self.ttft))
    }
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn percent(ln: f64) -> String {
    format!("{:+.0} %", 100.0 * (ln.exp() - 1.0))
}

fn off(errors: &[f64]) -> String {
    let level = middle(errors);
    let spread: Vec<f64> = errors.iter().map(|error| (error - level).abs()).collect();
    format!("{} at the middle, ± {:.0} % around it", percent(level), 100.0 * (middle(&spread).exp() - 1.0))
}
