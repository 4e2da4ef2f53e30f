//! `rhumb up`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rhumb_config::{Loaded, Problem, Purpose};
use rhumb_gateway::{Digest, Reloader};
use rhumb_grid::index::Grid;
use rhumb_process::Lines;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::watch::{Found, LOOK_EVERY, Watch};
use crate::{load, local};
use rhumb_cli::exit::{self, Failure, Outcome};

/// Arguments of `rhumb up`.
#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// The configuration; default: rhumb.yaml, and without that file the engines that are found on this machine
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Listen here instead of where the configuration says
    #[arg(long)]
    listen: Option<String>,
    /// Serve the admin API here instead of where the configuration says
    #[arg(long)]
    admin_listen: Option<String>,
    /// Keep the decision log in this folder instead
    #[arg(long)]
    data_dir: Option<String>,
    /// Ports of this machine at which engines are looked for where there is no configuration
    #[arg(long, value_name = "PORT", value_delimiter = ',', default_values_t = local::PORTS)]
    look_at: Vec<u16>,
}

/// The configuration where none is named.
const DEFAULT: &str = "rhumb.yaml";

impl Args {
    /// Where the configuration is.
    fn path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT))
    }

    /// The text of the configuration, and what the file says: the same, unless there is no file and engines were found without.
    fn text(&self) -> Result<(String, Digest), Failure> {
        let path = self.path();
        let why = match load::text(path) {
            Ok(text) => {
                let digest = Digest::of(text.as_bytes());
                return Ok((text, digest));
            }
            Err(why) => why,
        };
        if self.config.is_some() || path.exists() {
            return Err(Failure::new(exit::USAGE, why));
        }
        let text = local::find(&self.look_at, self.listen.is_none())?;
        // The file is watched all the same: once it is there, it is in force.
        Ok((text, Digest::of(why.as_bytes())))
    }

    /// The configuration of a text, with what the arguments say instead.
    fn grid(&self, text: &str) -> Result<(Grid, Vec<Problem>), String> {
        let Loaded { mut config, warnings } = load::checked(self.path(), text, Purpose::Serve)?;
        let gateway = &mut config.gateway;
        for (from, to) in [
            (&self.listen, &mut gateway.listen),
            (&self.admin_listen, &mut gateway.admin_listen),
            (&self.data_dir, &mut gateway.data_dir),
        ] {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        Ok((Grid::new(config), warnings))
    }

    /// Puts what was found in the file into force, or says why not; nothing of the two once the gateway stops.
    fn reload(&self, reloader: &Reloader, found: Found, stops: &AtomicBool) {
        let grid = found.and_then(|text| Ok((self.grid(&text)?, Digest::of(text.as_bytes()))));
        if stops.load(Ordering::Acquire) {
            return;
        }
        match grid {
            Ok(((grid, warnings), digest)) => {
                let open = grid.config.tenants.is_empty();
                if reloader.offer(grid, digest) {
                    self.warn(&warnings, open);
                }
            }
            Err(why) => reloader.refuse(why),
        }
    }

    /// Says what the configuration in force does not do, though it may seem to.
    fn warn(&self, warnings: &[Problem], is_open: bool) {
        let (listed, more) = rhumb_config::listed(warnings);
        for Problem { line, column, what, right, .. } in listed {
            tracing::warn!("{}:{line}:{column}: {what}; right: {right}", self.path().display());
        }
        if more > 0 {
            tracing::warn!("and {more} more: `rhumb check` counts them");
        }
        if is_open {
            tracing::warn!("no tenants are configured: whoever reaches this address may use it");
        }
    }

    /// Watches the file on a thread of its own: however long it takes to read it, signals are answered.
    fn watch(&self, digest: Digest, reloader: Reloader, stops: Arc<AtomicBool>) -> Result<mpsc::Sender<()>, Failure> {
        let (hangup, hangups) = mpsc::channel();
        let (args, mut watch) = (self.clone(), Watch::new(self.path().to_owned(), digest));
        let look = move || {
            loop {
                let found = match hangups.recv_timeout(LOOK_EVERY) {
                    Ok(()) => {
                        // One reading answers all signals that came before it.
                        while hangups.try_recv().is_ok() {}
                        Some(watch.read())
                    }
                    Err(RecvTimeoutError::Timeout) => watch.look(),
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                if let Some(found) = found {
                    args.reload(&reloader, found, &stops);
                }
            }
        };
        let thread = std::thread::Builder::new().name("rhumb-reload".into()).spawn(look);
        thread.map(|_| hangup).map_err(|e| Failure::new(exit::USAGE, format!("cannot start a thread: {e}")))
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (text, known) = args.text()?;
    let (grid, warnings) = args.grid(&text).map_err(|e| Failure::new(exit::FOUND, e))?;
    let digest = Digest::of(text.as_bytes());
    let lines = say()?;
    let open = grid.config.tenants.is_empty();
    let (endpoints, sites) = (grid.config.endpoints.len(), grid.config.sites.len());
    let scheme = |tls: &Option<_>| if tls.is_some() { "https" } else { "http" };
    let (scheme, admin_scheme) = (scheme(&grid.config.gateway.tls), scheme(&grid.config.gateway.admin_tls));
    let mut signals = Signals::new()?;
    let running = rhumb_gateway::start(grid, digest)
        .inspect_err(|_| lines.finish(LINES_END))
        .map_err(|e| Failure::new(exit::USAGE, e))?;
    tracing::info!(
        "serving {scheme}://{}/v1 over {endpoints} endpoints at {sites} sites; admin API at {admin_scheme}://{}",
        running.address,
        running.admin_address
    );
    args.warn(&warnings, open);
    let stops = Arc::new(AtomicBool::new(false));
    let hangup = args.watch(known, running.reloader(), Arc::clone(&stops))?;
    signals.until_told_to_end(|| {
        // The thread ends with this function: it is there to hear of it.
        let _ = hangup.send(());
    });
    stops.store(true, Ordering::Release);
    tracing::info!("stopping: requests in flight may end, a second signal ends them");
    let second = move || {
        // Whoever signals twice wants the end now; what the log has not committed yet is lost, as with a kill.
        signals.until_told_to_end(|| {});
        std::process::abort();
    };
    // Where no thread can be had, the first signal ends it all the same.
    let _ = std::thread::Builder::new().name("rhumb-signals".into()).spawn(second);
    running.stop();
    tracing::info!("stopped");
    lines.finish(LINES_END);
    Ok(exit::DONE)
}

/// Longest time that the last log lines are given to be written.
const LINES_END: Duration = Duration::from_secs(1);

/// Log lines, those of panics too, go to the standard error stream as far as it takes them.
fn say() -> Result<Lines, Failure> {
    let lines = Lines::stderr().map_err(|e| Failure::new(exit::USAGE, format!("cannot start a thread: {e}")))?;
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_max_level(tracing::Level::INFO)
        .init();
    // What is there by default writes to the stream itself, and waits for whoever does not read it.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(lines)
}

/// The signals that a gateway hears, from when it is made: none in between gets the default treatment.
struct Signals {
    runtime: tokio::runtime::Runtime,
    term: Signal,
    int: Signal,
    hangup: Signal,
    /// A file that grows beyond its limit (`ulimit -f`) ends the write and not the process: the log deals with it as with
    /// a full disk.
    #[cfg(target_os = "linux")]
    _file_size: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let fail = |e| Failure::new(exit::USAGE, format!("cannot wait for signals: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let entered = runtime.enter();
        let handler = |kind| signal(kind).map_err(fail);
        let (term, int) = (handler(SignalKind::terminate())?, handler(SignalKind::interrupt())?);
        let hangup = handler(SignalKind::hangup())?;
        #[cfg(target_os = "linux")]
        let file_size = handler(SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as i32))?;
        drop(entered);
        Ok(Self {
            runtime,
            term,
            int,
            hangup,
            #[cfg(target_os = "linux")]
            _file_size: file_size,
        })
    }

    /// Tells of each SIGHUP until SIGTERM or SIGINT comes.
    fn until_told_to_end(&mut self, mut tell: impl FnMut()) {
        let Self { runtime, term, int, hangup, .. } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    // The end before news.
                    biased;
                    _ = term.recv() => return,
                    _ = int.recv() => return,
                    _ = hangup.recv() => tell(),
                }
            }
        });
    }
}
