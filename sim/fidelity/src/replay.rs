//! The measured vLLM runs of `vllm_rtxpro6000_requests.csv`, replayed request by request through the engine that the
//! simulator uses. No fit sees these runs.

use crate::error::Error;
use crate::report::{Figures, Sample as Errors};
use crate::silicon::shape_of;
use crate::table::Table;
use rhumb_engine::{Engine, Limits, Perf, Request, Step, gpu};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

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

/// Replays every run of the file.
pub(crate) fn read(path: &Path) -> Result<Vec<Replay>, Error> {
    let table = Table::read(path, COLUMNS)?;
    let mut runs: BTreeMap<(String, String), Vec<Measured>> = BTreeMap::new();
    for row in table.rows() {
        let ttft_ms = row.number("queue_ms")? + row.number("prefill_ms")?;
        let measured = Measured {
            queued_us: (row.number("queued_s")? * 1e6) as u64,
            input_tokens: row.positive("input_tokens")? as u32,
            output_tokens: row.positive("output_tokens")? as u32,
            ttft_ms,
            decode_ms: row.number("decode_ms")?,
        };
        if gpu_slug(row.text("gpu")).is_none() {
            return Err(row.fault("gpu", "`RTXPRO6000` or `RTX4090`"));
        }
        if shape_of(row.text("model")).is_none() {
            return Err(row.fault("model", "a model of the engine's table"));
        }
        runs.entry((row.text("gpu").to_owned(), row.text("model").to_owned())).or_default().push(measured);
    }
    Ok(runs.into_iter().filter_map(|((gpu, model), run)| replay(gpu, model, run)).collect())
}

fn gpu_slug(name: &str) -> Option<&'static str> {
    match name {
        "RTXPRO6000" => Some("rtx-pro-6000"),
        "RTX4090" => Some("rtx-4090"),
        _ => None,
    }
}

fn replay(board: String, model: String, mut run: Vec<Measured>) -> Option<Replay> {
    run.sort_by_key(|request| request.queued_us);
    let slug = gpu_slug(&board)?;
    let perf = Perf::new(gpu(slug)?, 1, shape_of(&model)?, 2.0)?;
    let max_num_seqs = if slug == "rtx-4090" { 256 } else { 128 };
    let times = play(Engine::new(perf, Limits { max_num_seqs, ..Limits::default() }), &run);
    let (mut ttft, mut tpot, mut e2e) = (Errors::default(), Errors::default(), Errors::default());
    let mut sums = [[0.0; 2]; 3];
    for (request, (first_ms, last_ms)) in run.iter().zip(times) {
        let further = f64::from(request.output_tokens.max(2) - 1);
        let pairs = [
            [request.ttft_ms, first_ms],
            [request.decode_ms / further, (last_ms - first_ms) / further],
            [request.ttft_ms + request.decode_ms, last_ms],
        ];
        for (sum, pair) in sums.iter_mut().zip(pairs) {
            sum[0] += pair[0] / run.len() as f64;
            sum[1] += pair[1] / run.len() as f64;
        }
        for (errors, [measured, modelled]) in [&mut ttft, &mut tpot, &mut e2e].into_iter().zip(pairs) {
            errors.add((modelled / measured - 1.0).abs(), 1);
        }
    }
    Some(Replay {
        gpu: board,
        model,
        requests: run.len() as u32,
        mean_ttft_ms: sums[0],
        mean_tpot_ms: sums[1],
        mean_e2e_ms: sums[2],
        ttft: ttft.figures(),
        tpot: tpot.figures(),
        e2e: e2e.figures(),
        basis: perf.basis().describe(),
    })
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
