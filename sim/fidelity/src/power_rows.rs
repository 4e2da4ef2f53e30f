//! The energy measurements: `mlenergy_llm_runs.csv`. They say how long a token takes at a mean batch, and what all
//! boards draw meanwhile.

use std::collections::BTreeMap;
use std::path::Path;

use rhumb_engine::{Deployment, Quant};

use crate::error::Error;
use crate::sample::{Measured, Sample};
use crate::silicon::{gpu_of, shape_of};
use crate::table::{Row, Table};

pub(crate) const FILE: &str = "mlenergy_llm_runs.csv";

const COLUMNS: &[&str] = &[
    "task",
    "avg_batch_size",
    "avg_output_len",
    "avg_power_watts",
    "data_parallel",
    "expert_parallel",
    "gpu_model",
    "median_itl_ms",
    "model_id",
    "num_gpus",
    "tensor_parallel",
    "weight_precision",
];

/// Prompt lengths are not stated. Questions of the arena and of GPQA are some hundred tokens, code to fill in more.
const PROMPT_TOKENS: f64 = 300.0;
const CODE_PROMPT_TOKENS: f64 = 600.0;
/// The label under which what is particular to this benchmark's vLLM is kept.
const RELEASE: &str = "ml.energy";

/// What the file holds.
#[derive(Debug, Default)]
pub(crate) struct PowerRows {
    pub(crate) samples: Vec<Sample>,
    pub(crate) excluded: BTreeMap<String, u32>,
    pub(crate) sha256: String,
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<PowerRows, Error> {
    let table = Table::read(path, COLUMNS)?;
    let mut out = PowerRows { sha256: table.sha256.clone(), ..PowerRows::default() };
    for row in table.rows() {
        match sample(&row)? {
            Ok(sample) => out.samples.push(sample),
            Err(reason) => *out.excluded.entry(reason).or_insert(0) += 1,
        }
    }
    Ok(out)
}

fn sample(row: &Row<'_>) -> Result<Result<Sample, String>, Error> {
    let (model, system) = (row.text("model_id").to_owned(), row.text("gpu_model").to_owned());
    let (batch, output_tokens) = (row.positive("avg_batch_size")?, row.positive("avg_output_len")?);
    let (watts, itl_ms) = (row.positive("avg_power_watts")?, row.positive("median_itl_ms")?);
    let gpus = row.positive("num_gpus")?;
    let (data_parallel, experts) = (row.positive("data_parallel")?, row.positive("expert_parallel")?);
    row.positive("tensor_parallel")?;
    let quant = match row.text("weight_precision") {
        "bfloat16" => Quant::Bf16,
        "fp8" => Quant::Fp8,
        "mxfp4" => Quant::Fp4,
        _ => return Err(row.fault("weight_precision", "`bfloat16`, `fp8` or `mxfp4`")),
    };
    let Some(gpu) = gpu_of(&system) else { return Ok(Err(format!("power: unknown system `{system}`"))) };
    let Some(shape) = shape_of(&model) else { return Ok(Err(format!("power: unknown model `{model}`"))) };
    let deployment = Deployment {
        attention_ranks: data_parallel as u32,
        expert_parallel: experts > 1.0,
        release: RELEASE,
        ..Deployment::new(gpu, gpus as u32, shape, quant)
    };
    // MXFP4 is the format of the experts only.
    let deployment = if quant == Quant::Fp4 {
        Deployment { dense: Quant::Bf16, dense_bytes: 2.0, ..deployment }
    } else {
        deployment
    };
    let prompt = if row.text("task") == "sourcegraph-fim" { CODE_PROMPT_TOKENS } else { PROMPT_TOKENS };
    Ok(Ok(Sample {
        line: row.line,
        model,
        system,
        deployment,
        measured: Measured::Decoding {
            batch,
            context_tokens: prompt + output_tokens / 2.0,
            prompt_tokens: batch * prompt / output_tokens,
            itl_ms,
            mean: false,
            watts: Some(watts),
        },
        rows: 1,
        fit: true,
    }))
}
