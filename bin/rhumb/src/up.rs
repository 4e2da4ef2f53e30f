//! `rhumb up`.

use std::path::PathBuf;
use std::time::Duration;

use rhumb_gateway::{Digest, Reloader};
use rhumb_grid::index::Grid;
use rhumb_process::Lines;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::exit::{self, Failure, Outcome};
use crate::load;
use crate::watch::{Found, LOOK_EVERY, Watch};

/// Arguments of `rhumb up`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(short, long, default_value = "rhumb.yaml")]
    config: PathBuf,
    /// Listen here instead of where the configuration says
    #[arg(long)]
    listen: Option<String>,
    /// Serve the admin API here instead of where the configuration says
    #[arg(long)]
    admin_listen: Option<String>,
    /// Keep the decision log in this folder instead
    #[arg(long)]
    data_dir: Option<String>,
}

impl Args {
    /// The configuration of a text, with what the arguments say instead.
    fn grid(&self, text: &str) -> Result<Grid, String> {
        let mut config = load::checked(&self.config, text)?;
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
        Ok(Grid::new(config))
    }

    /// Puts what was found in the file into force, or says why not.
    fn reload(&self, reloader: &Reloader, found: Found) {
        let grid = found.and_then(|text| Ok((self.grid(&text)?, Digest::of(text.as_bytes()))));
        match grid {
            Ok((grid, digest)) => {
                let open = grid.config.tenants.is_empty();
                if reloader.offer(grid, digest) && open {
                    warn_open();
                }
            }
            Err(why) => reloader.refuse(why),
        }
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let text = load::text(&args.config).map_err(|e| Failure::new(exit::USAGE, e))?;
    let grid = args.grid(&text).map_err(|e| Failure::new(exit::FOUND, e))?;
    let digest = Digest::of(text.as_bytes());
    let lines = say()?;
    let open = grid.config.tenants.is_empty();
    let (endpoints, sites) = (grid.config.endpoints.len(), grid.config.sites.len());
    let mut signals = Signals::new()?;
    let running = rhumb_gateway::start(grid, digest)
        .inspect_err(|_| lines.finish(LINES_END))
        .map_err(|e| Failure::new(exit::USAGE, e))?;
    tracing::info!(
        "serving http://{}/v1 over {endpoints} endpoints at {sites} sites; admin API at http://{}",
        running.address,
        running.admin_address
    );
    if open {
        warn_open();
    }
    let mut watch = Watch::new(args.config.clone(), digest);
    let reloader = running.reloader();
    signals.until_told_to_end(|event| {
        let found = match event {
            Event::Hangup => Some(watch.read()),
            Event::Tick => watch.look(),
        };
        if let Some(found) = found {
            args.reload(&reloader, found);
        }
    });
    tracing::info!("stopping: requests in flight may end, a second signal ends them");
    let second = move || {
        // Whoever signals twice wants the end now; what the log has not committed yet is lost, as with a kill.
        signals.until_told_to_end(|_| {});
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

fn warn_open() {
    tracing::warn!("no tenants are configured: whoever reaches this address may use it");
}

/// Why the configuration may have to be read anew.
enum Event {
    /// SIGHUP.
    Hangup,
    /// It is time for a look.
    Tick,
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

    /// Tells of events until SIGTERM or SIGINT comes.
    fn until_told_to_end(&mut self, mut tell: impl FnMut(Event)) {
        let Self { runtime, term, int, hangup, .. } = self;
        runtime.block_on(async {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // The end before news, and a signal before the look that would find the same.
                    biased;
                    _ = term.recv() => return,
                    _ = int.recv() => return,
                    _ = hangup.recv() => tell(Event::Hangup),
                    _ = ticks.tick() => tell(Event::Tick),
                }
            }
        });
    }
}
