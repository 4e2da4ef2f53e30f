//! The accelerators the model knows, as their vendors and the aiconfigurator project describe them.
//!
//! Source of bandwidth, memory, arithmetic rates, board power and links: the system descriptions of ai-dynamo's
//! aiconfigurator (`systems/*.yaml`, Apache-2.0). The RTX 4090 is not among them; its row is from NVIDIA's Ada
//! architecture white paper (dense rates, 32-bit accumulation). `idle_watts` is not in either source: it is an
//! assumption, about a sixth of board power, for a board that holds a model in memory and runs nothing.

use serde::Serialize;

/// Boards that share an architecture, and so the kernels written for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Generation {
    /// A100, A30.
    Ampere,
    /// L4, L40S, RTX 4090.
    Ada,
    /// H100, H200.
    Hopper,
    /// B200, B300 and their Grace pairs.
    Blackwell,
    /// RTX PRO 6000: the same name, another chip.
    BlackwellRtx,
}

impl Generation {
    /// Slug by which the table of coefficients names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ampere => "ampere",
            Self::Ada => "ada",
            Self::Hopper => "hopper",
            Self::Blackwell => "blackwell",
            Self::BlackwellRtx => "blackwell-rtx",
        }
    }
}

/// What a step's time and power depend on, for one board.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GpuSpec {
    /// Slug by which configuration and command line name it.
    pub name: &'static str,
    /// Its architecture.
    pub generation: Generation,
    /// Peak memory bandwidth, GB/s (10⁹ bytes).
    pub memory_gb_per_s: f64,
    /// Memory, GiB (2³⁰ bytes).
    pub memory_gib: f64,
    /// Dense 16-bit matrix rate, TFLOP/s.
    pub bf16_tflops: f64,
    /// Dense 8-bit floating-point matrix rate, TFLOP/s; `None` where the board has no such unit.
    pub fp8_tflops: Option<f64>,
    /// Dense 4-bit floating-point matrix rate, TFLOP/s; `None` where the board has no such unit.
    pub fp4_tflops: Option<f64>,
    /// Dense 8-bit integer matrix rate, TOP/s.
    pub int8_tops: f64,
    /// Board power limit, watts.
    pub board_watts: f64,
    /// Power with a model loaded and no request running, watts (an assumption, see the module's text).
    pub idle_watts: f64,
    /// Bandwidth between two boards of one server, one direction, GB/s.
    pub link_gb_per_s: f64,
}

impl GpuSpec {
    /// Rate of the widest 8-bit unit, TFLOP/s: floating point where the board has it, else integer.
    #[must_use]
    pub fn eight_bit_tflops(&self) -> f64 {
        self.fp8_tflops.unwrap_or(self.int8_tops)
    }
}

use Generation::{Ada, Ampere, Blackwell, BlackwellRtx, Hopper};

#[rustfmt::skip]
const GPUS: &[GpuSpec] = &[
    row("l4",            Ada,          [300.0, 24.0], 121.0, [Some(242.0), None], [242.0, 72.0, 16.0, 32.0]),
    row("a30",           Ampere,       [933.0, 24.0], 165.0, [None, None], [330.0, 165.0, 28.0, 32.0]),
    row("l40s",          Ada,          [864.0, 44.99], 362.1, [Some(733.0), None], [733.0, 350.0, 58.0, 32.0]),
    row("rtx-4090",      Ada,          [1008.0, 24.0], 165.2, [Some(330.3), None], [660.6, 450.0, 60.0, 32.0]),
    row("rtx-pro-6000",  BlackwellRtx, [1792.0, 95.59], 467.8, [Some(935.6), Some(1871.2)], [935.6, 600.0, 90.0, 64.0]),
    row("a100-80",       Ampere,       [2039.0, 80.0], 312.0, [None, None], [624.0, 400.0, 66.0, 300.0]),
    row("a100-80-pcie",  Ampere,       [1935.0, 80.0], 312.0, [None, None], [624.0, 300.0, 52.0, 32.0]),
    row("h100",          Hopper,       [3350.0, 80.0], 989.0, [Some(1978.0), None], [1978.0, 700.0, 115.0, 450.0]),
    row("h100-pcie",     Hopper,       [2000.0, 80.0], 756.5, [Some(1513.0), None], [1513.0, 350.0, 60.0, 64.0]),
    row("h200",          Hopper,       [4800.0, 141.0], 989.0, [Some(1978.0), None], [1978.0, 700.0, 120.0, 450.0]),
    row("b200",          Blackwell,    [7700.0, 180.0], 2250.0, [Some(4500.0), Some(9000.0)], [4500.0, 1000.0, 165.0, 900.0]),
    row("b300",          Blackwell,    [7750.0, 268.59], 2250.0, [Some(4500.0), Some(14000.0)], [153.5, 1100.0, 180.0, 900.0]),
    row("gb200",         Blackwell,    [8000.0, 185.03], 2500.0, [Some(5000.0), Some(10000.0)], [5000.0, 1200.0, 200.0, 900.0]),
    row("gb300",         Blackwell,    [8000.0, 277.55], 2500.0, [Some(5000.0), Some(15000.0)], [165.0, 1400.0, 230.0, 900.0]),
];

const fn row(
    name: &'static str,
    generation: Generation,
    [memory_gb_per_s, memory_gib]: [f64; 2],
    bf16_tflops: f64,
    [fp8_tflops, fp4_tflops]: [Option<f64>; 2],
    [int8_tops, board_watts, idle_watts, link_gb_per_s]: [f64; 4],
) -> GpuSpec {
    GpuSpec {
        name,
        generation,
        memory_gb_per_s,
        memory_gib,
        bf16_tflops,
        fp8_tflops,
        fp4_tflops,
        int8_tops,
        board_watts,
        idle_watts,
        link_gb_per_s,
    }
}

/// Every known board, the slowest memory first within its generation.
#[must_use]
pub fn gpus() -> &'static [GpuSpec] {
    GPUS
}

/// The board called `name`, or `None`.
#[must_use]
pub fn gpu(name: &str) -> Option<&'static GpuSpec> {
    GPUS.iter().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_rows_are_plausible() {
        for (i, spec) in gpus().iter().enumerate() {
            assert!(gpus().iter().skip(i + 1).all(|other| other.name != spec.name), "{} twice", spec.name);
            assert!(spec.idle_watts < spec.board_watts / 3.0, "{}", spec.name);
            assert!(spec.eight_bit_tflops() > spec.bf16_tflops, "{}", spec.name);
        }
        assert_eq!(gpu("h100").map(|spec| spec.memory_gb_per_s), Some(3350.0));
        assert!(gpu("h1000").is_none());
    }
}
