//! The matrix products of `gemm_latency.csv`, reduced to two shares per board and number format: of memory bandwidth
//! where the weights are read for few rows, and of the peak rate where there are many rows.
//!
//! `time = launch + √(bytes/(bandwidth·memory) ² + flop/(peak·compute) ²)`, the launch not being kept: an engine's
//! captured graphs launch otherwise.

use std::collections::BTreeMap;
use std::path::Path;

use rhumb_engine::terms::{Key, Term};
use rhumb_engine::{GpuSpec, Quant, gpus};

use crate::error::Error;
use crate::silicon::gpu_of;
use crate::table::Table;

pub(crate) const FILE: &str = "gemm_latency.csv";
const COLUMNS: &[&str] = &["system", "gemm_dtype", "n", "k", "m", "latency_ms"];
/// Formats whose table is of another kernel than the engines use: vLLM's block-scaled products in the table take at
/// least 0.05 to 0.28 ms each, which no engine's decode step shows.
const OTHER_KERNEL: &str = "fp8_block";
/// Fewest products from which two shares are read.
const MIN_POINTS: usize = 50;

/// Ideal times of a product and the measured one, ms.
struct Product {
    memory_ms: f64,
    compute_ms: f64,
    latency_ms: f64,
}

/// The two shares of a board and format.
#[derive(Debug, Clone, Copy)]
struct Shares {
    memory: f64,
    compute: f64,
}

/// Entries for the table of coefficients: per board, per generation and for all boards; and the file's SHA-256.
pub(crate) fn read(path: &Path) -> Result<(Vec<(Key<'static>, f64)>, String), Error> {
    let table = Table::read(path, COLUMNS)?;
    let mut products: BTreeMap<(&'static str, &'static str), Vec<Product>> = BTreeMap::new();
    for row in table.rows() {
        let (n, k, m) = (row.positive("n")?, row.positive("k")?, row.positive("m")?);
        let latency_ms = row.positive("latency_ms")?;
        let quant = match row.text("gemm_dtype") {
            "bfloat16" => Quant::Bf16,
            "fp8" => Quant::Fp8,
            "nvfp4" => Quant::Fp4,
            OTHER_KERNEL => continue,
            _ => return Err(row.fault("gemm_dtype", "`bfloat16`, `fp8`, `fp8_block` or `nvfp4`")),
        };
        let Some(gpu) = gpu_of(row.text("system")) else {
            return Err(row.fault("system", "a system of gpu_specs.csv"));
        };
        products.entry((quant.name(), gpu.name)).or_default().push(Product {
            memory_ms: n * k * quant.bytes() / (gpu.memory_gb_per_s * 1e6),
            compute_ms: 2.0 * m * n * k / (quant.tflops(gpu) * 1e9),
            latency_ms,
        });
    }
    let shares: BTreeMap<_, _> = products
        .iter()
        .filter(|(_, points)| points.len() >= MIN_POINTS)
        .map(|(key, points)| (*key, fit(points)))
        .collect();
    Ok((entries(&shares), table.sha256))
}

fn generation(gpu: &str) -> &'static str {
    gpus().iter().find(|spec: &&GpuSpec| spec.name == gpu).map_or("", |spec| spec.generation.name())
}

/// The shares of each board, and their geometric means over a generation and over all boards for those never measured.
/// 4-bit integers are read like 4-bit floats of the fastest kernel known, 16-bit ones with conversion: they take the
/// means of 16 bits.
fn entries(shares: &BTreeMap<(&'static str, &'static str), Shares>) -> Vec<(Key<'static>, f64)> {
    let mut means: BTreeMap<(&'static str, &'static str), Vec<Shares>> = BTreeMap::new();
    for ((quant, gpu), share) in shares {
        means.entry((quant, gpu)).or_default().push(*share);
        means.entry((quant, generation(gpu))).or_default().push(*share);
        means.entry((quant, "")).or_default().push(*share);
        if *quant == Quant::Bf16.name() {
            means.entry((Quant::Int4.name(), generation(gpu))).or_default().push(*share);
            means.entry((Quant::Int4.name(), "")).or_default().push(*share);
        }
    }
    let mut out = Vec::new();
    for ((quant, label), group) in means {
        let mean = |of: fn(&Shares) -> f64| group.iter().map(|share| of(share).ln()).sum::<f64>() / group.len() as f64;
        for (term, ln) in [(Term::GemmMemory, mean(|s| s.memory)), (Term::GemmCompute, mean(|s| s.compute))] {
            out.push((Key { term, first: quant, second: label }, ln));
        }
    }
    out
}

/// The shares (in steps of 1 %) and launch (in steps of 1 µs) of the least mean absolute logarithmic error, by
/// coordinate descent.
fn fit(points: &[Product]) -> Shares {
    let error = |launch_ms: f64, memory: f64, compute: f64| -> f64 {
        let one = |p: &Product| {
            let time = launch_ms + (p.memory_ms / memory).hypot(p.compute_ms / compute);
            (time / p.latency_ms).ln().abs()
        };
        points.iter().map(one).sum()
    };
    let (mut launch_ms, mut memory, mut compute) = (0.004, 0.8, 0.6);
    for _ in 0..8 {
        let best = |trial: &dyn Fn(f64) -> f64, range: std::ops::Range<u32>, unit: f64| -> f64 {
            let values = range.map(|step| f64::from(step) * unit);
            values.min_by(|a, b| trial(*a).total_cmp(&trial(*b))).unwrap_or(unit)
        };
        memory = best(&|value| error(launch_ms, value, compute), 20..101, 0.01);
        compute = best(&|value| error(launch_ms, memory, value), 20..101, 0.01);
        launch_ms = best(&|value| error(value, memory, compute), 0..16, 0.001);
    }
    Shares { memory, compute }
}
