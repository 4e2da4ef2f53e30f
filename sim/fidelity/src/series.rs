//! The seconds of `vllm_rtxpro6000_timeseries.csv` in which nothing but decoding went on: how long a step takes at how
//! many sequences, on the two boards of which there is no other serving measurement.

use crate::error::Error;
use crate::sample::{Measured, Sample};
use crate::silicon::{gpu_of, shape_of};
use crate::table::Table;
use rhumb_engine::{Deployment, Quant};
use std::path::Path;

pub(crate) const FILE: &str = "vllm_rtxpro6000_timeseries.csv";
const COLUMNS: &[&str] = &["gpu", "model", "prompt_throughput", "gen_throughput", "running", "waiting"];

/// Context of a sequence in those seconds, tokens: the runs' mean prompt (857) and three quarters of the mean answer
/// (653), for no prompt starts where nobody waits, which is late in a run.
const CONTEXT_TOKENS: f64 = 1350.0;
/// Fewest sequences at which a second is taken: with fewer, many end within it.
const MIN_RUNNING: f64 = 8.0;

/// Boards of at most this much memory hold few of these sequences at once, GiB.
const SMALL_GIB: f64 = 30.0;

/// Reads the file: samples and its SHA-256.
pub(crate) fn read(path: &Path) -> Result<(Vec<Sample>, String), Error> {
    let table = Table::read(path, COLUMNS)?;
    let mut samples = Vec::new();
    for row in table.rows() {
        let (prompts, tokens) = (row.number("prompt_throughput")?, row.number("gen_throughput")?);
        let (running, waiting) = (row.number("running")?, row.number("waiting")?);
        let Some(gpu) = gpu_of(row.text("gpu")) else {
            return Err(row.fault("gpu", "`RTXPRO6000`, `RTX4090` or a board of the engine's table"));
        };
        let Some(shape) = shape_of(row.text("model")) else {
            return Err(row.fault("model", "a model of the engine's table"));
        };
        // Where memory is short, some always wait.
        let full = waiting > 0.0 && gpu.memory_gib > SMALL_GIB;
        if prompts > 0.0 || full || running < MIN_RUNNING || tokens <= 0.0 {
            continue;
        }
        samples.push(Sample {
            line: row.line,
            model: row.text("model").to_owned(),
            system: row.text("gpu").to_owned(),
            deployment: Deployment::new(gpu, 1, shape, Quant::Bf16),
            measured: Measured::Decoding {
                batch: running,
                context_tokens: CONTEXT_TOKENS,
                prompt_tokens: 0.0,
                itl_ms: 1000.0 * running / tokens,
                watts: None,
            },
            rows: 1,
            fit: true,
        });
    }
    Ok((samples, table.sha256))
}
