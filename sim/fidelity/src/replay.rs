//! The measured vLLM runs of `vllm_rtxpro6000_requests.csv`, replayed request by request through the engine that the
//! simulator uses. A run is judged by a fit that saw nothing of its model on its board.

use std::collections::BTreeMap;
use std::path::Path;

use rhumb_engine::{Deployment, Engine, Limits, Perf, Quant, Request, Step};
use serde::Serialize;

use crate::error::Error;
use crate::fit::{Data, Model};
use crate::series;
use crate::silicon::{gpu_of, shape_of};
use crate::table::Table;
use crate::tally::{Figures, Sample as Errors};

pub(crate) const FILE: &str = "vllm_rtxpro6000_requests.csv";
const COLUMNS: &[&str] =
    &["gpu", "model", "input_tokens", "output_tokens", "queue_ms", "prefill_ms", "decode_ms", "queued_s"];

/// One replayed run.
#[derive(Debug, Clone, Serialize)]
pub struct Replay {
    /// The board.
    pub gpu: String,
    /// The model.
    pub model: String,
    /// Requests.
    pub requests: u32,
    /// Measured and modelled mean time to first token, ms.
    pub mean_ttft_ms: [f64; 2],
    /// Measured and modelled mean time per further token, ms.
    pub mean_tpot_ms: [f64; 2],
    /// Measured and modelled mean time of a request, ms.
    pub mean_e2e_ms: [f64; 2],
    /// Errors request by request.
    pub ttft: Figures,
    /// Errors request by request.
    pub tpot: Figures,
    /// Errors request by request.
    pub e2e: Figures,
    /// Where the coefficients of this pair come from.
    pub basis: &'static str,
}

struct Measured {
    queued_us: u64,
    input_tokens: u32,
    output_tokens: u32,
    ttft_ms: f64,
    decode_ms: f64,
}

/// One run of the file.
pub(crate) struct Run {
    board: String,
    model: String,
    deployment: Deployment<'static>,
    requests: Vec<Measured>,
}

/// Reads every run of the file.
pub(crate) fn read(path: &Path) -> Result<Vec<Run>, Error> {
    let table = Table::read(path, COLUMNS)?;
    let mut runs: BTreeMap<(String, String), Run> = BTreeMap::new();
    for row in table.rows() {
        let measured = Measured {
            queued_us: (row.number("queued_s")? * 1e6) as u64,
            input_tokens: row.positive("input_tokens")? as u32,
            output_tokens: row.positive("output_tokens")? as u32,
            ttft_ms: row.number("queue_ms")? + row.number("prefill_ms")?,
            decode_ms: row.number("decode_ms")?,
        };
        let (board, model) = (row.text("gpu").to_owned(), row.text("model").to_owned());
        let Some(gpu) = gpu_of(&board) else {
            return Err(row.fault("gpu", "`RTXPRO6000`, `RTX4090` or a board of the engine's table"));
        };
        let Some(shape) = shape_of(&model) else {
            return Err(row.fault("model", "a model of the engine's table"));
        };
        let deployment = Deployment { release: series::RELEASE, ..Deployment::new(gpu, 1, shape, Quant::Bf16) };
        let new = || Run { board: board.clone(), model: model.clone(), deployment, requests: Vec::new() };
        runs.entry((board.clone(), model.clone())).or_insert_with(new).requests.push(measured);
    }
    let mut runs: Vec<Run> = runs.into_values().collect();
    for run in &mut runs {
        run.requests.sort_by_key(|request| request.queued_us);
    }
    Ok(runs)
}

/// Sequences at once. The sources say 128 but for the RTX 4090; the time series of the mixture's run shows 256.
fn max_num_seqs(run: &Run) -> u32 {
    if run.deployment.gpu.name == "rtx-4090" || run.deployment.shape.experts.is_some() { 256 } else { 128 }
}

impl Run {
    /// Replays the run with a fit to `data` without the run's group; with the committed table where there is none.
    pub(crate) fn replay(&self, data: Option<&Data>) -> Option<Replay> {
        let (family, board) = (self.deployment.shape.family, self.deployment.gpu.name);
        let (values, basis) = match data {
            Some(data) => {
                let others = data.admitted(|sample| sample.group() != (family, board));
                let known = others.iter().any(|sample| sample.group().1 == board);
                let basis = if known { "board seen with another model" } else { "board never seen" };
                (Model::fit(&others, &data.fixed).values_of(&self.deployment), basis)
            }
            None => (self.deployment.values(), self.deployment.basis().describe()),
        };
        let perf = Perf::with_values(&self.deployment, &values)?;
        let limits = Limits { max_num_seqs: max_num_seqs(self), ..Limits::default() };
        let times = play(Engine::new(perf, limits), &self.requests);
        Some(self.errors(&times, basis))
    }

    fn errors(&self, times: &[(f64, f64)], basis: &'static str) -> Replay {
        let mut errors = [Errors::default(), Errors::default(), Errors::default()];
        let mut sums = [[0.0; 2]; 3];
        for (request, (first_ms, last_ms)) in self.requests.iter().zip(times) {
            let further = f64::from(request.output_tokens.max(2) - 1);
            let pairs = [
                [request.ttft_ms, *first_ms],
                [request.decode_ms / further, (last_ms - first_ms) / further],
                [request.ttft_ms + request.decode_ms, *last_ms],
            ];
            for ((sum, errors), [measured, modelled]) in sums.iter_mut().zip(&mut errors).zip(pairs) {
                sum[0] += measured / self.requests.len() as f64;
                sum[1] += modelled / self.requests.len() as f64;
                errors.add((modelled / measured - 1.0).abs(), 1);
            }
        }
        let [ttft, tpot, e2e] = errors.map(|errors| errors.figures());
        Replay {
            gpu: self.board.clone(),
            model: self.model.clone(),
            requests: self.requests.len() as u32,
            mean_ttft_ms: sums[0],
            mean_tpot_ms: sums[1],
            mean_e2e_ms: sums[2],
            ttft,
            tpot,
            e2e,
            basis,
        }
    }
}

/// Runs the requests at their times; first and last token of each, ms after it was queued.
fn play(mut engine: Engine, run: &[Measured]) -> Vec<(f64, f64)> {
    let mut times = vec![(0.0, 0.0); run.len()];
    let (mut now_us, mut next) = (0, 0);
    let mut step = Step::default();
    while next < run.len() || !engine.is_idle() {
        if engine.is_idle() {
            now_us = now_us.max(run[next].queued_us);
        }
        while next < run.len() && run[next].queued_us <= now_us {
            let request = Request {
                id: next as u64,
                prompt_blocks: Vec::new(),
                prompt_tokens: run[next].input_tokens,
                output_tokens: run[next].output_tokens,
            };
            // A request too large for the memory keeps its zeros, which count as a full miss.
            let _ = engine.submit(request);
            next += 1;
        }
        engine.step_into(&mut step);
        now_us += step.duration_us;
        for token in &step.emitted {
            let at = token.id as usize;
            let since_ms = (now_us - run[at].queued_us) as f64 / 1e3;
            if token.first {
                times[at].0 = since_ms;
            }
            times[at].1 = since_ms;
        }
    }
    times
}
