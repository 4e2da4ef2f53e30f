//! One measurement, ready to be predicted.

use rhumb_engine::terms::{TERM_COUNT, Values};
use rhumb_engine::{Basis, Deployment, MeanWork, Perf};

use crate::closed_loop::{ClosedLoop, closed_loop_with};

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Measured {
    /// A closed loop of users, as a serving benchmark runs it.
    Serving {
        /// Requests in flight.
        users: f64,
        /// Prompt length, tokens.
        input_tokens: f64,
        /// Answer length, tokens.
        output_tokens: f64,
        /// Mean time to first token, ms.
        ttft_ms: f64,
        /// Mean time per further token, ms.
        tpot_ms: f64,
    },
    /// Decoding at a mean batch: time between tokens and power of all boards.
    Decoding {
        /// Sequences that decode at once, on average.
        batch: f64,
        /// Mean context, tokens.
        context_tokens: f64,
        /// Prompt tokens computed per step, on average.
        prompt_tokens: f64,
        /// Time between tokens, ms.
        itl_ms: f64,
        /// Whether that time is the mean over all steps; else the median, which is of steps without prompts.
        mean: bool,
        /// Mean power of all boards, watts, where measured.
        watts: Option<f64>,
    },
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// File and line it is from.
    pub(crate) line: u64,
    /// The model as its row names it.
    pub(crate) model: String,
    /// The system as its row names it.
    pub(crate) system: String,
    /// What ran.
    pub(crate) deployment: Deployment<'static>,
    /// What was measured.
    pub(crate) measured: Measured,
    /// Rows of the file that hold this very measurement, for this very setting.
    pub(crate) rows: u32,
    /// Whether the fit may use it: rows whose parallelism or load is not stated are judged and not learned from.
    pub(crate) fit: bool,
}

/// Mean times of a serving run, or the like of a decoding one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prediction {
    pub(crate) ttft_ms: f64,
    pub(crate) tpot_ms: f64,
    pub(crate) watts: f64,
}

impl Sample {
    /// Models of one architecture on one board: what is held out together.
    pub(crate) fn group(&self) -> (&'static str, &'static str) {
        (self.deployment.shape.family, self.deployment.gpu.name)
    }

    /// Rows that share program, release and number format err together; they count as fewer than they are.
    pub(crate) fn cell(&self) -> (&'static str, &'static str, &'static str, &'static str, &'static str) {
        let (family, gpu) = self.group();
        let format =
            if self.deployment.shape.experts.is_some() { self.deployment.experts } else { self.deployment.dense };
        (family, gpu, self.deployment.backend.name(), self.deployment.release, format.name())
    }

    /// What the model says to it; `None` when the model does not fit the boards.
    pub(crate) fn predict(&self, values: &Values) -> Option<Prediction> {
        let perf = Perf::with_values(&self.deployment, values)?;
        Some(match &self.measured {
            Measured::Serving { users, input_tokens, output_tokens, .. } => {
                let ClosedLoop { ttft_ms, tpot_ms, .. } =
                    closed_loop_with(&perf, values, *users, *input_tokens, *output_tokens);
                Prediction { ttft_ms, tpot_ms, watts: 0.0 }
            }
            Measured::Decoding { batch, context_tokens, prompt_tokens, mean, .. } => {
                let decode = MeanWork { decode_seqs: *batch, kv_tokens: batch * context_tokens, ..MeanWork::default() };
                let mixed = MeanWork {
                    prefill_tokens: *prompt_tokens,
                    prefill_pairs: prompt_tokens * prompt_tokens / 2.0,
                    ..decode
                };
                let timed = if *mean { &mixed } else { &decode };
                Prediction { ttft_ms: 0.0, tpot_ms: perf.mean_ms(timed), watts: perf.mean_watts(&mixed) }
            }
        })
    }

    /// Where the committed table stands on it.
    pub(crate) fn basis(&self) -> Basis {
        self.deployment.basis()
    }
}

/// All terms at "no deviation".
pub(crate) const NO_VALUES: Values = [0.0; TERM_COUNT];
