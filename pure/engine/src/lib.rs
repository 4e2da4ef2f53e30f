//! Performance model of a continuous-batching inference engine: how long a step takes on a GPU, what fits in KV
//! memory, which requests run together, and how much power that draws.
//!
//! One model serves three uses: the predictor's prior in the router, the simulator's servers, and the emulator that
//! answers real HTTP with this timing. Nothing here reads a clock, draws a random number or does I/O: time comes out
//! as the duration of a step, and the caller decides what to do with it.
//!
//! The layers, lowest first: [`mod@gpu`] and [`mod@shape`] are tables, [`perf`] turns one of each into step times and watts,
//! [`prefix`] and [`kv`] account for memory, [`batch`] runs requests step by step.

#![no_std]

extern crate alloc;

pub mod batch;
mod coefficients;
pub mod deployment;
pub mod fitted;
pub mod gpu;
mod hash;
pub mod kv;
pub mod perf;
mod power;
pub mod prefix;
mod sequence;
pub mod shape;
mod shapes;
pub mod terms;
mod work;

pub use batch::{Admitted, Counters, Emitted, Engine, Limits, Request, Step, SubmitError};
pub use deployment::{Backend, Basis, Deployment, Quant, Text};
pub use gpu::{Generation, GpuSpec, gpu, gpus};
pub use perf::{MeanWork, Perf, StepWork};
pub use shape::{Experts, ModelShape, shape, shapes};
