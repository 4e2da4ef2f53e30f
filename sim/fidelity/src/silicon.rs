//! The serving measurements: `silicon_ttft_tpot.csv`.

use std::collections::BTreeMap;
use std::path::Path;

use rhumb_engine::{Backend, Deployment, GpuSpec, ModelShape, Quant, Text, gpu, shape};

use crate::error::Error;
use crate::floor::Run;
use crate::sample::{Measured, Sample};
use crate::table::{Row, Table};

pub(crate) const FILE: &str = "silicon_ttft_tpot.csv";

const COLUMNS: &[&str] = &[
    "silicon_concurrency",
    "backend",
    "backend_version",
    "model_path",
    "system",
    "precision",
    "mode",
    "isl",
    "osl",
    "gemm_quant_mode",
    "moe_quant_mode",
    "batch_size",
    "tp_size",
    "attention_dp_size",
    "moe_tp_size",
    "moe_ep_size",
    "silicon_ttft_ms",
    "silicon_tpot_ms",
];

/// From this number of boards on, attention is data parallel: no model has as many heads as such groups have boards
/// to copy them to, and the rows state nothing better.
const WIDE_BOARDS: u32 = 17;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Silicon {
    pub(crate) samples: Vec<Sample>,
    /// Every judged row by itself, copies too.
    pub(crate) runs: Vec<Run>,
    /// Rows that are not judged: reason, and how many.
    pub(crate) excluded: BTreeMap<String, u32>,
    pub(crate) sha256: String,
}

/// The reason that is not a miss: the engine model has no such mode.
pub(crate) const DISAGGREGATED: &str = "disaggregated prefill and decode: out of the model";

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Silicon, Error> {
    let table = Table::read(path, COLUMNS)?;
    let mut out = Silicon { sha256: table.sha256.clone(), ..Silicon::default() };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for row in table.rows() {
        match sample(&row)? {
            Err(reason) => *out.excluded.entry(reason).or_insert(0) += 1,
            Ok(sample) => {
                out.runs.extend(run(&row, &sample));
                let Deployment { gpus, attention_ranks, expert_parallel, .. } = sample.deployment;
                let key = format!(
                    "{}|{gpus}|{attention_ranks}|{expert_parallel}|{:?}|{:?}",
                    sample.model,
                    sample.cell(),
                    sample.measured
                );
                match seen.get(&key) {
                    Some(at) => out.samples[*at].rows += 1,
                    None => {
                        seen.insert(key, out.samples.len());
                        out.samples.push(sample);
                    }
                }
            }
        }
    }
    Ok(out)
}

/// A row as a sample, or why it is not judged.
fn sample(row: &Row<'_>) -> Result<Result<Sample, String>, Error> {
    let (input_tokens, output_tokens) = (row.positive("isl")?, row.positive("osl")?);
    let (ttft_ms, tpot_ms) = (row.positive("silicon_ttft_ms")?, row.positive("silicon_tpot_ms")?);
    match row.text("mode") {
        "agg" => {}
        "disagg" => return Ok(Err(DISAGGREGATED.to_owned())),
        _ => return Err(row.fault("mode", "`agg` or `disagg`")),
    }
    let backend = backend(row)?;
    let (model, system) = (row.text("model_path").to_owned(), row.text("system").to_owned());
    if model.is_empty() || system.is_empty() {
        return Err(row.fault(if model.is_empty() { "model_path" } else { "system" }, "a name"));
    }
    let Some(gpu) = gpu_of(&system) else { return Ok(Err(format!("unknown system `{system}`"))) };
    let Some(shape) = shape_of(&model) else { return Ok(Err(format!("unknown model `{model}`"))) };
    let layout = Layout::read(row)?;
    let deployment = formats(
        row,
        layout.on(Deployment { backend, text: Text::Random, ..Deployment::new(gpu, 1, shape, Quant::Bf16) }),
    )?;
    let batch = row.optional("batch_size")?;
    let stated_users = row.optional("silicon_concurrency")?;
    let ranks = layout.attention_ranks.unwrap_or(1.0).max(1.0);
    let Some(users) = stated_users.or(batch.map(|batch| batch * ranks)).filter(|users| *users > 0.0) else {
        return Err(row.fault("silicon_concurrency", "a number above zero, here or in `batch_size`"));
    };
    let release: &'static str = known_release(row.text("backend_version"));
    Ok(Ok(Sample {
        line: row.line,
        model,
        system,
        deployment: Deployment { release, ..deployment },
        measured: Measured::Serving { users, input_tokens, output_tokens, ttft_ms, tpot_ms },
        rows: 1,
        fit: stated_users.is_some() && layout.stated(),
    }))
}

/// Columns that say what was run, beside model, system, backend and release.
const SETTING: [&str; 11] = [
    "precision",
    "gemm_quant_mode",
    "moe_quant_mode",
    "isl",
    "osl",
    "silicon_concurrency",
    "batch_size",
    "tp_size",
    "attention_dp_size",
    "moe_tp_size",
    "moe_ep_size",
];

/// The row as one of possibly several runs of its setting; the setting is as the row states it, not as it is read.
fn run(row: &Row<'_>, sample: &Sample) -> Option<Run> {
    let Measured::Serving { ttft_ms, tpot_ms, .. } = sample.measured else { return None };
    let Deployment { backend, release, .. } = sample.deployment;
    let setting = SETTING.map(|column| row.text(column)).join("|");
    Some(Run { group: sample.group(), backend: backend.name(), release, setting, ttft_ms, tpot_ms })
}

fn backend(row: &Row<'_>) -> Result<Backend, Error> {
    match row.text("backend") {
        "vllm" => Ok(Backend::Vllm),
        "sglang" => Ok(Backend::Sglang),
        "trtllm" => Ok(Backend::TensorRt),
        _ => Err(row.fault("backend", "`vllm`, `sglang` or `trtllm`")),
    }
}

/// Label of the rows that name no release.
pub(crate) const UNSTATED: &str = "unstated";

/// Releases are names without end; each is kept once for the length of the program.
fn known_release(name: &str) -> &'static str {
    use std::sync::Mutex;
    static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let name = if name.is_empty() { UNSTATED } else { name };
    let mut names = NAMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.push(kept);
    kept
}

/// The boards of a row, as it states them.
struct Layout {
    tensor: f64,
    attention_ranks: Option<f64>,
    expert_tensor: Option<f64>,
    expert_parallel: Option<f64>,
}

impl Layout {
    fn read(row: &Row<'_>) -> Result<Self, Error> {
        Ok(Self {
            tensor: row.positive("tp_size")?,
            attention_ranks: row.optional("attention_dp_size")?,
            expert_tensor: row.optional("moe_tp_size")?,
            expert_parallel: row.optional("moe_ep_size")?,
        })
    }

    /// Whether no field is zero, which is no layout.
    fn stated(&self) -> bool {
        [self.attention_ranks, self.expert_tensor, self.expert_parallel].iter().all(|field| *field != Some(0.0))
    }

    /// The deployment on these boards.
    ///
    /// Some rows multiply the boards by themselves: what ran on `k` boards with experts spread over them is also in
    /// the file as `k × k` (tensor × expert parallel, or tensor × attention data parallel), the measured times equal to
    /// the last digit. Such a row is read as `k` boards where the weights fit there.
    fn on(&self, deployment: Deployment<'static>) -> Deployment<'static> {
        let at_least_one = |field: Option<f64>| field.unwrap_or(1.0).max(1.0);
        let (ranks, tensor) = (at_least_one(self.attention_ranks), self.tensor);
        let (expert_tensor, experts) = (at_least_one(self.expert_tensor), at_least_one(self.expert_parallel));
        let stated = (tensor * ranks).max(expert_tensor * experts);
        let squared = if expert_tensor == experts && experts > 1.0 && tensor * ranks == experts * experts {
            Some(experts)
        } else if expert_tensor == 1.0 && tensor == ranks && experts > 1.0 && tensor * ranks == experts {
            Some(tensor)
        } else {
            None
        };
        let bytes = deployment.shape.params_b * 0.6;
        let fits = |boards: &f64| boards * deployment.gpu.memory_gib > bytes;
        let gpus = squared.filter(fits).unwrap_or(stated) as u32;
        let data_parallel = (ranks > 1.0 && tensor == 1.0) || gpus >= WIDE_BOARDS;
        Deployment {
            gpus,
            attention_ranks: if data_parallel { gpus } else { 1 },
            expert_parallel: experts > 1.0,
            ..deployment
        }
    }
}

/// The number formats of a row.
fn formats(row: &Row<'_>, deployment: Deployment<'static>) -> Result<Deployment<'static>, Error> {
    let mixture = deployment.shape.experts.is_some();
    let block = row.text("moe_quant_mode") == "fp8_block";
    let (dense, dense_bytes, experts, kv_bytes) = match row.text("precision") {
        "" | "bf16" => (Quant::Bf16, 2.0, Quant::Bf16, 2.0),
        "fp8" => (Quant::Fp8, 1.0, if block { Quant::Fp8Block } else { Quant::Fp8 }, 1.0),
        // Attention and shared layers of a mixture stay in 8 or 16 bits: about 1.4 bytes on average.
        "fp4" if mixture => (Quant::Fp8, 1.4, Quant::Fp4, 1.0),
        "fp4" => (Quant::Fp4, Quant::Fp4.bytes(), Quant::Fp4, 1.0),
        "int4" if mixture => (Quant::Bf16, 2.0, Quant::Int4, 2.0),
        "int4" => (Quant::Int4, Quant::Int4.bytes(), Quant::Int4, 2.0),
        _ => return Err(row.fault("precision", "`bf16`, `fp8`, `fp4`, `int4` or nothing")),
    };
    let native = deployment.shape.family.starts_with("gpt-oss");
    // gpt-oss ships its experts in 4 bits and all else in 16, whatever the row calls it.
    let (dense, dense_bytes, experts, kv_bytes) =
        if native { (Quant::Bf16, 2.0, Quant::Fp4, 2.0) } else { (dense, dense_bytes, experts, kv_bytes) };
    Ok(Deployment { dense, dense_bytes, experts, expert_bytes: experts.bytes(), kv_bytes, ..deployment })
}

/// The board of a system's name.
pub(crate) fn gpu_of(system: &str) -> Option<&'static GpuSpec> {
    let name = match system {
        "rtx_pro_6000_server" => "rtx-pro-6000",
        "a100_sxm" => "a100-80",
        "a100_pcie" => "a100-80-pcie",
        "RTXPRO6000" => "rtx-pro-6000",
        "RTX4090" => "rtx-4090",
        _ => "",
    };
    let plain = system.to_lowercase().replace('_', "-");
    gpu(name).or_else(|| gpu(&plain)).or_else(|| gpu(plain.trim_end_matches("-sxm")))
}

/// The shape of a model's path: the one whose name its last part starts with, the longest such.
pub(crate) fn shape_of(path: &str) -> Option<&'static ModelShape> {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase().replace('_', "-");
    let name = name.trim_start_matches("meta-").to_owned();
    let known = |shape: &&ModelShape| {
        let at = shape.name;
        name.starts_with(at) && !name[at.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '.')
    };
    rhumb_engine::shapes().iter().filter(known).max_by_key(|shape| shape.name.len()).or_else(|| shape(&name))
}
