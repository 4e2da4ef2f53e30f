//! The command that runs one engine server from a terminal.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rhumb_engine::{GpuSpec, Limits, ModelShape, Perf, gpu, gpus, shape, shapes};

use crate::{Emulator, EmulatorConfig, Fault, Link, UnknownFault, spawn};

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quantization {
    /// 16 bits a weight.
    Bf16,
    /// 8-bit floating point, computed at the GPU's 8-bit rate.
    Fp8,
    /// 8-bit integers, computed at the GPU's 8-bit rate.
    Int8,
    /// 4-bit integers with scales, computed at the 16-bit rate.
    Int4,
}

impl Quantization {
    /// Bytes a weight takes; 4-bit weights come with one 16-bit scale for 128.
    #[must_use]
    pub fn weight_bytes_per_param(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 | Self::Int8 => 1.0,
            Self::Int4 => 0.516,
        }
    }
}

/// Arguments of `rhumb engine`.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// GPU to emulate (see --list)
    #[arg(long, value_name = "NAME", default_value = "rtx-pro-6000")]
    pub gpu: String,
    /// Model to emulate (see --list)
    #[arg(long, value_name = "NAME", default_value = "llama-3.1-8b")]
    pub model: String,
    /// GPUs the model is spread over (tensor parallel)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub gpus: u32,
    /// How the weights are stored
    #[arg(long, value_enum, default_value_t = Quantization::Bf16)]
    pub quantization: Quantization,
    /// Name clients use for the model [default: the model's]
    #[arg(long, value_name = "NAME")]
    pub served_as: Option<String>,
    /// Address to serve on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Network round trip to emulate, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub rtt_ms: f64,
    /// Most requests in the batch; more wait in the queue
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_num_seqs: u32,
    /// Most tokens computed in one step; longer prompts go in chunks
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_batched_tokens: u32,
    /// Mean length of an answer, tokens, when the request sets none
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub output_tokens: u32,
    /// Run this many times faster than the real engine
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub speedup: f64,
    /// Seed of the answers' lengths
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Fail on purpose: none, refuse, http500 (or another status), hang, stall, reset, fin
    #[arg(long, value_name = "FAULT", default_value = "none")]
    pub fault: String,
    /// Tokens answered before stall, reset or fin strikes
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub fault_after: u32,
    /// Print the known GPUs and models, and exit
    #[arg(long)]
    pub list: bool,
}

/// Why the engine server did not start or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No GPU or model of that name.
    #[error("unknown {what} {name:?}: {hint}known are {known}")]
    Unknown {
        /// `GPU` or `model`.
        what: &'static str,
        /// The name given.
        name: String,
        /// The nearest known name as a question, or nothing.
        hint: String,
        /// Every known name.
        known: String,
    },
    /// The weights leave no room for KV.
    #[error("{model} in {quantization} does not fit on {gpus} x {gpu} ({gpu_gib} GiB each): {remedy}")]
    DoesNotFit {
        /// Model asked for.
        model: String,
        /// How its weights are stored.
        quantization: String,
        /// GPUs given.
        gpus: u32,
        /// GPU asked for.
        gpu: String,
        /// Memory of one, GiB.
        gpu_gib: f64,
        /// What would fit.
        remedy: String,
    },
    /// A number outside its range.
    #[error("{option} is {value}: {expected}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// The value given.
        value: f64,
        /// What would be right.
        expected: &'static str,
    },
    /// No fault of that name.
    #[error(transparent)]
    Fault(#[from] UnknownFault),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system refused something else.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl EngineArgs {
    /// The configuration these arguments stand for.
    ///
    /// # Errors
    /// When a name is unknown, a number is out of range, or the model does not fit.
    pub fn config(&self) -> Result<EmulatorConfig, EngineError> {
        let gpu_spec = gpu(&self.gpu).ok_or_else(|| unknown("GPU", &self.gpu, gpus().iter().map(|spec| spec.name)))?;
        let model =
            shape(&self.model).ok_or_else(|| unknown("model", &self.model, shapes().iter().map(|shape| shape.name)))?;
        if !(1e-3..=1e4).contains(&self.speedup) {
            let expected = "give a factor from 0.001 to 10000";
            return Err(EngineError::OutOfRange { option: "--speedup", value: self.speedup, expected });
        }
        if !(0.0..=60_000.0).contains(&self.rtt_ms) {
            let expected = "give 0 to 60000 milliseconds";
            return Err(EngineError::OutOfRange { option: "--rtt-ms", value: self.rtt_ms, expected });
        }
        let perf = Perf::new(gpu_spec, self.gpus, model, self.quantization.weight_bytes_per_param())
            .ok_or_else(|| self.does_not_fit(gpu_spec, model))?;
        let limits = Limits {
            max_num_seqs: self.max_num_seqs,
            max_batched_tokens: self.max_batched_tokens,
            ..Limits::default()
        };
        Ok(EmulatorConfig {
            name: format!("{} x {}", self.gpus, self.gpu),
            model: self.served_as.clone().unwrap_or_else(|| self.model.clone()),
            perf,
            limits,
            context_tokens: model.context_tokens,
            default_output_tokens: self.output_tokens,
            seed: self.seed,
            speedup: self.speedup,
        })
    }

    fn does_not_fit(&self, gpu: &GpuSpec, model: &ModelShape) -> EngineError {
        let remedy = match Perf::gpus_needed(gpu, model, self.quantization.weight_bytes_per_param()) {
            Some(gpus) => format!("use --gpus {gpus}, fewer bits, or a larger GPU"),
            None => "use a larger GPU".to_owned(),
        };
        EngineError::DoesNotFit {
            model: model.name.to_owned(),
            quantization: format!("{:?}", self.quantization).to_lowercase(),
            gpus: self.gpus,
            gpu: gpu.name.to_owned(),
            gpu_gib: gpu.memory_gib,
            remedy,
        }
    }
}

fn unknown(what: &'static str, name: &str, known: impl Iterator<Item = &'static str>) -> EngineError {
    let known: Vec<&str> = known.collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), candidate), candidate))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    let hint = match nearest {
        Some((likeness, candidate)) if likeness > 0.7 => format!("did you mean {candidate:?}? "),
        _ => String::new(),
    };
    EngineError::Unknown { what, name: name.to_owned(), hint, known: known.join(", ") }
}

/// Runs an engine server until it is interrupted or terminated, or prints what it can emulate.
///
/// # Errors
/// When the arguments do not make an engine, or the operating system refuses a socket.
pub fn run(args: EngineArgs) -> Result<(), EngineError> {
    if args.list {
        let io = |source| EngineError::Io { what: "print the list", source };
        return match std::io::stdout().lock().write_all(list().as_bytes()) {
            // The reader has left, as `| head` does.
            Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed.map_err(io),
        };
    }
    let config = args.config()?;
    let fault = Fault::parse(&args.fault, args.fault_after)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| EngineError::Io { what: "start the runtime", source })?;
    runtime.block_on(async {
        let listen = |source| EngineError::Listen { address: args.listen, source };
        let listener = TcpListener::bind(args.listen).map_err(listen)?;
        let rtt = Duration::from_secs_f64(args.rtt_ms / 1000.0);
        let emulator = spawn(config, vec![Link { listener, rtt }]).map_err(listen)?;
        emulator.set_fault(fault);
        announce(&emulator, &args);
        let outcome = terminated().await.map_err(|source| EngineError::Io { what: "wait for signals", source });
        emulator.shutdown();
        outcome
    })
}

fn announce(emulator: &Emulator, args: &EngineArgs) {
    let config = emulator.config();
    for address in emulator.addresses() {
        let line = format!(
            "engine on http://{address}/v1: {} on {}, KV memory for {} tokens, {:.0} to {:.0} W ({})\n",
            config.model,
            config.name,
            config.perf.kv_capacity_tokens(),
            config.perf.idle_watts(),
            config.perf.max_watts(),
            config.perf.basis().describe(),
        );
        // A closed stderr is no reason not to serve.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
    if args.fault != "none" {
        let _ = writeln!(std::io::stderr().lock(), "injected fault: {}", args.fault);
    }
}

/// Waits for an interrupt or a request to terminate.
async fn terminated() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// The known GPUs and models, in columns.
#[must_use]
pub fn list() -> String {
    let mut out = format!("{:<24} {:>8} {:>9} {:>7} {:>7}\n", "GPU", "GiB", "GB/s", "TFLOPS", "watts");
    for spec in gpus() {
        let GpuSpec { name, memory_gib, memory_gb_per_s, bf16_tflops, board_watts, .. } = spec;
        out += &format!("{name:<24} {memory_gib:>8.0} {memory_gb_per_s:>9.0} {bf16_tflops:>7.0} {board_watts:>7.0}\n");
    }
    out += &format!("\n{:<24} {:>8} {:>9} {:>7} {:>7}\n", "MODEL", "params", "active", "layers", "context");
    for shape in shapes() {
        let ModelShape { name, params_b, active_params_b, layers, context_tokens, .. } = shape;
        out += &format!("{name:<24} {params_b:>7.1}B {active_params_b:>8.1}B {layers:>7} {context_tokens:>7}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        engine: EngineArgs,
    }

    fn config(args: &[&str]) -> Result<EmulatorConfig, EngineError> {
        Cli::try_parse_from([&["engine"], args].concat()).unwrap().engine.config()
    }

    #[test]
    fn the_defaults_make_an_engine() {
        assert_eq!(config(&[]).unwrap().model, "llama-3.1-8b");
        assert_eq!(config(&["--served-as", "chat"]).unwrap().model, "chat");
    }

    #[test]
    fn errors_name_what_would_be_right() {
        let error = config(&["--gpu", "h10"]).unwrap_err().to_string();
        assert!(error.starts_with("unknown GPU \"h10\": did you mean \"h100\"? known are l4, "), "{error}");
        let error = config(&["--gpu", "l4", "--model", "llama-3.3-70b", "--quantization", "fp8"]).unwrap_err();
        let expected = "llama-3.3-70b in fp8 does not fit on 1 x l4 (24 GiB each): use --gpus 4, fewer bits, or a \
                        larger GPU";
        assert_eq!(error.to_string(), expected);
        let error = config(&["--speedup", "0"]).unwrap_err().to_string();
        assert_eq!(error, "--speedup is 0: give a factor from 0.001 to 10000");
    }

    #[test]
    fn the_list_has_every_name_and_even_columns() {
        let list = list();
        assert!(gpus().iter().all(|spec| list.contains(spec.name)));
        assert!(shapes().iter().all(|shape| list.contains(shape.name)));
        assert!(list.lines().filter(|line| !line.is_empty()).all(|line| line.len() == 59), "{list}");
    }
}
