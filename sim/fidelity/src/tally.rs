//! Errors, counted row by row and reduced to a median and a tail.

use crate::sample::{Measured, Prediction, Sample as Point};
use serde::Serialize;

/// A median and a tail of absolute relative errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Rows judged, those left out included.
    pub points: u64,
    /// Half of the rows are nearer than this; `None` without rows.
    pub median_abs_error: Option<f64>,
    /// Nine of ten rows are nearer than this; `None` without rows, or when so many were left out.
    pub p90_abs_error: Option<f64>,
}

/// Errors on the way to figures: each with the number of rows it stands for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    errors: Vec<(f64, u32)>,
}

impl Sample {
    pub(crate) fn add(&mut self, error: f64, rows: u32) {
        self.errors.push((error, rows));
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures { points: self.points(), median_abs_error: self.at(0.5), p90_abs_error: self.at(0.9) }
    }

    fn points(&self) -> u64 {
        self.errors.iter().map(|(_, rows)| u64::from(*rows)).sum()
    }

    /// The error that this share of the rows does not exceed; `None` without rows, or where it has no bound.
    pub(crate) fn at(&self, share: f64) -> Option<f64> {
        let mut sorted = self.errors.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rank = (share * self.points() as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        let value = sorted.iter().find(|(_, rows)| {
            below += u64::from(*rows);
            below >= rank
        });
        value.map(|(error, _)| *error).filter(|error| error.is_finite())
    }
}

/// The four errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Time to first token.
    pub ttft: Figures,
    /// Time per further token.
    pub tpot: Figures,
    /// Time of a whole request.
    pub e2e: Figures,
    /// Power of all boards.
    pub power: Figures,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    ttft: Sample,
    tpot: Sample,
    e2e: Sample,
    power: Sample,
}

impl Tally {
    pub(crate) fn add(&mut self, point: &Point, prediction: Option<Prediction>) {
        let error = |predicted: Option<f64>, measured: f64| {
            predicted.map_or(f64::INFINITY, |predicted| (predicted / measured - 1.0).abs())
        };
        match &point.measured {
            Measured::Serving { ttft_ms, tpot_ms, output_tokens, .. } => {
                let whole = |ttft: f64, tpot: f64| ttft + tpot * (output_tokens - 1.0);
                self.ttft.add(error(prediction.map(|p| p.ttft_ms), *ttft_ms), point.rows);
                self.tpot.add(error(prediction.map(|p| p.tpot_ms), *tpot_ms), point.rows);
                let e2e = prediction.map(|p| whole(p.ttft_ms, p.tpot_ms));
                self.e2e.add(error(e2e, whole(*ttft_ms, *tpot_ms)), point.rows);
            }
            Measured::Decoding { watts: None, .. } => {}
            Measured::Decoding { watts: Some(watts), .. } => {
                self.power.add(error(prediction.map(|p| p.watts), *watts), point.rows);
            }
        }
    }

    /// Rows left out are misses of every kind their file has.
    pub(crate) fn miss(&mut self, reason: &str, rows: u32) {
        if reason.starts_with("power:") {
            self.power.add(f64::INFINITY, rows);
        } else {
            for errors in [&mut self.ttft, &mut self.tpot, &mut self.e2e] {
                errors.add(f64::INFINITY, rows);
            }
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary {
            ttft: self.ttft.figures(),
            tpot: self.tpot.figures(),
            e2e: self.e2e.figures(),
            power: self.power.figures(),
        }
    }
}
