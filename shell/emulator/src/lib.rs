//! An engine server without a GPU: it answers the OpenAI API over real sockets with the timing, memory limits and
//! power of [`rhumb_engine`], so that gateways, tests and demonstrations meet an engine that queues, batches, fills
//! up and fails as real ones do.
//!
//! One task per engine (`driver`) owns the model and hands out the tokens of a step when that step ends; one task
//! per connection (`server`) reads requests and writes what is due. Network distance is emulated per listener: a
//! request is seen, and an answer leaves, half a round trip late.

mod answer;
pub mod cli;
mod command;
mod driver;
mod fault;
mod io;
mod metrics;
mod openai;
mod outbox;
mod prompt;
mod routes;
mod server;
mod stats;
mod stream;
mod words;

pub use fault::{Fault, UnknownFault};
pub use stats::Stats;

use fault::FaultSwitch;
use rhumb_engine::{Limits, Perf};
use rhumb_process::clock;
use stats::Board;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// What an emulated engine is and serves.
#[derive(Debug, Clone)]
pub struct EmulatorConfig {
    /// Name of this engine, for its own reports.
    pub name: String,
    /// Model name it answers to.
    pub model: String,
    /// Speed, memory and power.
    pub perf: Perf,
    /// The scheduler's bounds.
    pub limits: Limits,
    /// Longest prompt and answer together, tokens.
    pub context_tokens: u32,
    /// Mean length of an answer whose request names none, tokens.
    pub default_output_tokens: u32,
    /// Decides answer lengths, with the prompt. The text follows from the prompt alone, as if two engines with one
    /// seed or another held the same weights.
    pub seed: u64,
    /// How many times faster than the modelled engine to run; 1 is real time. Round trips are not sped up.
    pub speedup: f64,
}

/// One way into an engine.
#[derive(Debug)]
pub struct Link {
    /// Bound and listening.
    pub listener: TcpListener,
    /// Round-trip time to emulate for everything that comes this way.
    pub rtt: Duration,
}

/// A running engine server; clones are handles to the same one. It serves until [`Emulator::shutdown`], also when
/// every handle is gone.
#[derive(Debug, Clone)]
pub struct Emulator {
    shared: Arc<Shared>,
    addresses: Arc<[SocketAddr]>,
}

/// What the driver, the connections and the handles have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EmulatorConfig,
    /// Largest prompt and answer together that KV memory holds, tokens.
    pub(crate) kv_capacity_tokens: u64,
    pub(crate) started_unix_s: u64,
    pub(crate) fault: FaultSwitch,
    pub(crate) inbox: mpsc::UnboundedSender<command::Command>,
    pub(crate) board: Mutex<Board>,
    pub(crate) next_id: AtomicU64,
    pub(crate) stop: watch::Sender<bool>,
}

impl Shared {
    /// The board, whatever happened to the thread that held it last: every update leaves it whole.
    pub(crate) fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Starts an engine server on the current tokio runtime (of either flavour; its I/O and time must be enabled).
///
/// # Errors
/// When a listener cannot be handed to the runtime.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn(config: EmulatorConfig, links: Vec<Link>) -> std::io::Result<Emulator> {
    let mut listeners = Vec::with_capacity(links.len());
    let mut half_rtts = Vec::with_capacity(links.len());
    let mut addresses = Vec::with_capacity(links.len());
    for link in links {
        link.listener.set_nonblocking(true)?;
        addresses.push(link.listener.local_addr()?);
        listeners.push(tokio::net::TcpListener::from_std(link.listener)?);
        half_rtts.push(link.rtt / 2);
    }
    let (inbox, commands) = mpsc::unbounded_channel();
    let engine = rhumb_engine::Engine::new(config.perf, config.limits);
    let shared = Arc::new(Shared {
        kv_capacity_tokens: engine.kv_capacity_tokens(),
        started_unix_s: unix_s(),
        fault: FaultSwitch::default(),
        inbox,
        board: Mutex::new(Board::new(&config)),
        next_id: AtomicU64::new(0),
        stop: watch::Sender::new(false),
        config,
    });
    #[expect(clippy::disallowed_methods, reason = "the server ends with it")]
    tokio::spawn(driver::drive(Arc::clone(&shared), engine, half_rtts.clone(), commands));
    for (link, listener) in listeners.into_iter().enumerate() {
        #[expect(clippy::disallowed_methods, reason = "the server ends with it")]
        tokio::spawn(server::listen(Arc::clone(&shared), listener, link, half_rtts[link]));
    }
    Ok(Emulator { shared, addresses: addresses.into() })
}

impl Emulator {
    /// Makes the engine misbehave from now on, or behave again.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.fault.set(fault, None);
    }

    /// What it is doing and has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.board().stats()
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &EmulatorConfig {
        &self.shared.config
    }

    /// Where its links listen, in the order given.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops it: listeners close, connections are cut, the driver ends.
    pub fn shutdown(&self) {
        self.shared.stop.send_replace(true);
    }
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn unix_s() -> u64 {
    clock::wall().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
