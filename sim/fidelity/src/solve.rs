//! A robust, regularised least-squares fit: Gauss–Newton with damping on logarithms of ratios. An error counts by
//! Cauchy's loss, so that a run that measured something else (a cold start, another mode) has little pull. Sums run in
//! one order, so the same data give the same parameters.

use std::collections::BTreeMap;

use crate::parameters::{Parameters, Template, is_power};
use crate::sample::{Measured, Prediction, Sample};

/// Scale of an error, as a logarithm, beyond which a point loses its pull.
const CAUCHY: f64 = 1.5;
/// Rows of one cell count as this power of their number, times the power of one: they err together.
const CELL_POWER: f64 = 0.15;
/// The loss starts wide and narrows, lest the start decide which points are outliers: factor and rounds.
const STAGES: [(f64, u32); 3] = [(4.0, 5), (2.0, 4), (1.0, 9)];
/// Step of the numerical derivative.
const STEP: f64 = 1e-4;
/// Residuals of a sample.
const RESIDUALS: usize = 3;

/// What a fit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Times.
    Time,
    /// Power, times being settled.
    Power,
}

/// Errors of a sample as logarithms over their scales, and the weights of their squares.
fn residuals(sample: &Sample, prediction: &Prediction, goal: Goal) -> [(f64, f64); RESIDUALS] {
    let error = |predicted: f64, measured: f64, scale: f64| (predicted / measured).ln() / scale;
    match (&sample.measured, goal) {
        (Measured::Serving { ttft_ms, tpot_ms, output_tokens, .. }, Goal::Time) => {
            let whole = |ttft: f64, tpot: f64| ttft + tpot * (output_tokens - 1.0);
            let e2e = error(whole(prediction.ttft_ms, prediction.tpot_ms), whole(*ttft_ms, *tpot_ms), 0.08);
            [
                (error(prediction.tpot_ms, *tpot_ms, 0.08), 1.0),
                (error(prediction.ttft_ms, *ttft_ms, 0.15), 0.64),
                (e2e, 0.25),
            ]
        }
        (Measured::Decoding { itl_ms, .. }, Goal::Time) => {
            [(error(prediction.tpot_ms, *itl_ms, 0.08), 1.0), (0.0, 0.0), (0.0, 0.0)]
        }
        (Measured::Decoding { watts: Some(watts), .. }, Goal::Power) => {
            [(error(prediction.watts, *watts, 0.08), 1.0), (0.0, 0.0), (0.0, 0.0)]
        }
        (_, Goal::Power) => [(0.0, 0.0); RESIDUALS],
    }
}

/// A fit in progress.
pub(crate) struct Problem<'a> {
    parameters: &'a Parameters,
    goal: Goal,
    /// Sample, how its values follow, and its weight.
    points: Vec<(&'a Sample, Template, f64)>,
}

impl<'a> Problem<'a> {
    /// The fit of `parameters` to `samples`; only slots that `free` admits are moved.
    pub(crate) fn new(samples: &[&'a Sample], parameters: &'a Parameters, goal: Goal) -> Self {
        let mut cells: BTreeMap<_, u32> = BTreeMap::new();
        for sample in samples {
            *cells.entry(sample.cell()).or_insert(0) += 1;
        }
        let points = samples
            .iter()
            .map(|sample| {
                let weight = f64::from(cells[&sample.cell()]).powf(CELL_POWER - 1.0);
                (*sample, parameters.template(&sample.deployment), weight)
            })
            .collect();
        Self { parameters, goal, points }
    }

    /// The parameters of least loss, from `start`.
    pub(crate) fn solve(&self, start: &[f64]) -> Vec<f64> {
        let mut at = start.to_vec();
        for (width, rounds) in STAGES {
            let mut damping = 1e-3;
            let mut loss = self.loss(&at, width);
            for _ in 0..rounds {
                let (matrix, gradient) = self.normal_equations(&at, width);
                let mut moved = false;
                for _ in 0..6 {
                    let step = descend(&matrix, &gradient, damping);
                    let trial: Vec<f64> = at.iter().zip(&step).map(|(x, d)| x - d).collect();
                    let trial_loss = self.loss(&trial, width);
                    if trial_loss < loss {
                        moved = loss - trial_loss > 1e-5 * loss;
                        (at, loss) = (trial, trial_loss);
                        damping = (damping / 4.0).max(1e-9);
                        break;
                    }
                    damping *= 8.0;
                }
                if !moved {
                    break;
                }
            }
        }
        at
    }

    /// Whether the goal moves a parameter.
    fn moves(&self, parameter: usize) -> bool {
        is_power(self.parameters.keys[parameter].term) == (self.goal == Goal::Power)
    }

    fn loss(&self, at: &[f64], width: f64) -> f64 {
        let scale = CAUCHY * width;
        let mut sum = 0.0;
        for (sample, template, weight) in &self.points {
            let Some(prediction) = sample.predict(&template.fill(at)) else { continue };
            for (error, share) in residuals(sample, &prediction, self.goal) {
                sum += 0.5 * weight * share * scale * width * (error / scale).powi(2).ln_1p();
            }
        }
        let deviation = at.iter().zip(&self.parameters.start).zip(&self.parameters.width);
        sum + deviation.map(|((x, start), width)| 0.5 * ((x - start) / width).powi(2)).sum::<f64>()
    }

    /// Matrix (dense, row by row, lower part) and gradient of the weighted squares at `at`.
    fn normal_equations(&self, at: &[f64], width: f64) -> (Vec<f64>, Vec<f64>) {
        let count = at.len();
        let scale = CAUCHY * width;
        let mut matrix = vec![0.0; count * count];
        let mut gradient = vec![0.0; count];
        for (sample, template, weight) in &self.points {
            let mut values = template.fill(at);
            let Some(prediction) = sample.predict(&values) else { continue };
            let base = residuals(sample, &prediction, self.goal);
            let pull = base.map(|(error, share)| weight * share * width / scale / (1.0 + (error / scale).powi(2)));
            let mut slopes: Vec<(usize, [f64; RESIDUALS])> = Vec::with_capacity(template.slots.len());
            for (slot, parameter) in &template.slots {
                if !self.moves(*parameter) {
                    continue;
                }
                let kept = values[*slot];
                values[*slot] = kept + STEP;
                let moved = sample.predict(&values).map(|moved| residuals(sample, &moved, self.goal)).unwrap_or(base);
                values[*slot] = kept;
                let slope = std::array::from_fn(|i| (moved[i].0 - base[i].0) / STEP);
                slopes.push((*parameter, slope));
            }
            for (row, (i, a)) in slopes.iter().enumerate() {
                gradient[*i] += (0..RESIDUALS).map(|k| pull[k] * a[k] * base[k].0).sum::<f64>();
                for (j, b) in &slopes[..=row] {
                    let product = (0..RESIDUALS).map(|k| pull[k] * a[k] * b[k]).sum::<f64>();
                    matrix[i.max(j) * count + i.min(j)] += product;
                }
            }
        }
        for (i, x) in at.iter().enumerate() {
            let precision = 1.0 / self.parameters.width[i].powi(2);
            matrix[i * count + i] += precision;
            // What is not about the goal stays where it is.
            if self.moves(i) {
                gradient[i] += precision * (x - self.parameters.start[i]);
            }
        }
        (matrix, gradient)
    }
}

/// Solves `(matrix + damping · diagonal) step = gradient` by Cholesky's decomposition.
fn descend(matrix: &[f64], gradient: &[f64], damping: f64) -> Vec<f64> {
    let count = gradient.len();
    let mut lower = matrix.to_vec();
    for i in 0..count {
        lower[i * count + i] *= 1.0 + damping;
    }
    for i in 0..count {
        for j in 0..=i {
            let mut sum = lower[i * count + j];
            for k in 0..j {
                sum -= lower[i * count + k] * lower[j * count + k];
            }
            lower[i * count + j] = if i == j { sum.max(1e-12).sqrt() } else { sum / lower[j * count + j] };
        }
    }
    let mut step = gradient.to_vec();
    for i in 0..count {
        let done: f64 = (0..i).map(|k| lower[i * count + k] * step[k]).sum();
        step[i] = (step[i] - done) / lower[i * count + i];
    }
    for i in (0..count).rev() {
        let done: f64 = (i + 1..count).map(|k| lower[k * count + i] * step[k]).sum();
        step[i] = (step[i] - done) / lower[i * count + i];
    }
    step
}
