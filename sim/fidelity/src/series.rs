//! The seconds of `vllm_rtxpro6000_timeseries.csv`: how long a step takes at how many sequences and prompt tokens, on
//! the two boards of which there is no other serving measurement.

use std::path::Path;

use rhumb_engine::{Deployment, Perf, Quant};

use crate::error::Error;
use crate::sample::{Measured, Sample};
use crate::silicon::{gpu_of, shape_of};
use crate::table::Table;

pub(crate) const FILE: &str = "vllm_rtxpro6000_timeseries.csv";
/// Release of vLLM that the runs were made with, as its source states it.
pub(crate) const RELEASE: &str = "0.19.0";
const COLUMNS: &[&str] = &["gpu", "model", "prompt_throughput", "gen_throughput", "running", "kv_cache_pct"];

/// Context of a sequence, tokens, where the share of KV memory in use is not stated: the runs' mean prompt (857) and
/// half of the mean answer (653) while prompts start, three quarters of it where none does, which is late in a run.
const CONTEXT_TOKENS: f64 = 1185.0;
const LATE_CONTEXT_TOKENS: f64 = 1350.0;
/// Fewest sequences at which a second is taken: with fewer, many end within it.
const MIN_RUNNING: f64 = 8.0;

/// Reads the file: samples and its SHA-256.
pub(crate) fn read(path: &Path) -> Result<(Vec<Sample>, String), Error> {
    let table = Table::read(path, COLUMNS)?;
    let mut samples = Vec::new();
    for row in table.rows() {
        let (prompts, tokens) = (row.number("prompt_throughput")?, row.number("gen_throughput")?);
        let running = row.number("running")?;
        let Some(gpu) = gpu_of(row.text("gpu")) else {
            return Err(row.fault("gpu", "`RTXPRO6000`, `RTX4090` or a board of the engine's table"));
        };
        let Some(shape) = shape_of(row.text("model")) else {
            return Err(row.fault("model", "a model of the engine's table"));
        };
        if running < MIN_RUNNING || tokens <= 0.0 {
            continue;
        }
        let deployment = Deployment { release: RELEASE, ..Deployment::new(gpu, 1, shape, Quant::Bf16) };
        // Capacity does not depend on what is fitted.
        let capacity = Perf::deploy(&deployment).map_or(0.0, |perf| perf.kv_capacity_tokens() as f64);
        let held = row.number("kv_cache_pct")? / 100.0 * capacity / running;
        let assumed = if prompts > 0.0 { CONTEXT_TOKENS } else { LATE_CONTEXT_TOKENS };
        samples.push(Sample {
            line: row.line,
            model: row.text("model").to_owned(),
            system: row.text("gpu").to_owned(),
            deployment,
            measured: Measured::Decoding {
                batch: running,
                context_tokens: if held > 0.0 { held } else { assumed },
                prompt_tokens: prompts * running / tokens,
                itl_ms: 1000.0 * running / tokens,
                mean: true,
                watts: None,
            },
            rows: 1,
            fit: true,
        });
    }
    Ok((samples, table.sha256))
}
