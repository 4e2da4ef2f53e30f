//! A world that runs: emulated engines on a thread of their own, and real gateways in front of them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use rhumb_emulator::{Emulator, EmulatorConfig, Fault, Link};
use rhumb_engine::Limits;
use rhumb_gateway::{Digest, Running, SiteReading, StartError, Totals};
use rhumb_grid::config::Location;
use rhumb_grid::index::Grid;
use tokio::sync::watch;

use rhumb_scene::atlas::Atlas;
use rhumb_scene::economics::{CONTEXT_TOKENS, MODEL, MeanRequest, perf};
use rhumb_scene::fleet::{GatewayPlan, Kind, Place, config, entries, places};

/// Why a world does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// A gateway does not start.
    #[error(transparent)]
    Gateway(#[from] StartError),
    /// A socket, thread or folder cannot be had.
    #[error("cannot {what}: {why}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: std::io::Error,
    },
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> WorldError {
    move |why| WorldError::Io { what, why }
}

/// Where users enter a world.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Index of the site it stands at.
    pub(crate) site: usize,
    pub(crate) location: Location,
    pub(crate) address: SocketAddr,
}

/// One engine of a running world.
#[derive(Debug)]
pub(crate) struct EngineAt {
    pub(crate) place: Place,
    emulator: Emulator,
}

/// Engines and gateways under one router.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) entries: Vec<Entry>,
    pub(crate) engines: Vec<EngineAt>,
    gateways: Vec<Running>,
    /// Dropping it ends the engines' thread.
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Where the first gateway of a world listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Listen {
    /// Wherever there is room.
    pub(crate) const ANY: Self = Self { data: any(), admin: any() };
}

/// An address of this machine with a port that the system chooses.
const fn any() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

impl World {
    /// Starts the engines of a world and the gateways in front of them.
    pub(crate) fn start(
        kind: Kind,
        atlas: &Atlas,
        single: usize,
        mean: MeanRequest,
        first: Listen,
        dir: &Path,
    ) -> Result<Self, WorldError> {
        let places = places(kind, atlas, single);
        let entry_sites = entries(kind, atlas, single);
        let (stop, thread, emulators) = engines(atlas, &places, &entry_sites, mean)?;
        let mut world =
            Self { kind, entries: Vec::new(), engines: Vec::new(), gateways: Vec::new(), stop, thread: Some(thread) };
        for (gateway, &site) in entry_sites.iter().enumerate() {
            let listen = if gateway == 0 { first } else { Listen::ANY };
            let links: Vec<(Place, SocketAddr)> =
                places.iter().zip(&emulators).map(|(p, e)| (*p, e.addresses()[gateway])).collect();
            let location = atlas.sites[site].location;
            let plan = GatewayPlan {
                kind,
                at: location,
                listen: listen.data,
                admin_listen: listen.admin,
                data_dir: &dir.join(format!("{}-{}", kind.name(), atlas.sites[site].name)),
                engines: &links,
            };
            let config = config(atlas, mean, &plan);
            let digest = Digest::of(&serde_json::to_vec(&config).unwrap_or_default());
            let running = rhumb_gateway::start(Grid::new(config), digest)?;
            world.entries.push(Entry { site, location, address: running.address });
            world.gateways.push(running);
        }
        world.engines =
            places.into_iter().zip(emulators).map(|(place, emulator)| EngineAt { place, emulator }).collect();
        Ok(world)
    }

    /// Makes the engines of a site refuse all new work, or take it again. Answers that run go on to their end.
    pub(crate) fn fail(&self, site: usize, failed: bool) {
        let fault = if failed { Fault::Refuse } else { Fault::None };
        for engine in self.engines.iter().filter(|e| e.place.origin == site) {
            engine.emulator.set_fault(fault);
        }
    }

    /// Energy that all engines have used, joules.
    pub(crate) fn joules(&self) -> f64 {
        self.engines.iter().map(|e| e.emulator.stats().joules).sum()
    }

    /// Money and tokens over all gateways.
    pub(crate) fn totals(&self) -> Totals {
        self.gateways.iter().map(Running::totals).fold(Totals::default(), |a, b| Totals {
            usd: a.usd + b.usd,
            prompt_tokens: a.prompt_tokens + b.prompt_tokens,
            cached_tokens: a.cached_tokens + b.cached_tokens,
            completion_tokens: a.completion_tokens + b.completion_tokens,
        })
    }

    /// The sites as each gateway sees them.
    pub(crate) fn readings(&self) -> Vec<Vec<SiteReading>> {
        self.gateways.iter().map(Running::sites).collect()
    }

    /// The first gateway's address and that of its admin API.
    pub(crate) fn first(&self) -> Option<Listen> {
        self.gateways.first().map(|g| Listen { data: g.address, admin: g.admin_address })
    }

    /// Stops the gateways, then the engines. Streams under way are cut, so that nobody waits for them.
    pub(crate) fn stop(mut self) {
        for engine in &self.engines {
            engine.emulator.shutdown();
        }
        self.stop.send_replace(true);
        for gateway in self.gateways.drain(..) {
            gateway.stop();
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

type Engines = (watch::Sender<bool>, JoinHandle<()>, Vec<Emulator>);

/// Starts the engines, each with one link per gateway, as far away as that gateway is.
fn engines(atlas: &Atlas, places: &[Place], entries: &[usize], mean: MeanRequest) -> Result<Engines, WorldError> {
    let mut plans = Vec::with_capacity(places.len());
    for place in places {
        let to = &atlas.sites[place.site].region;
        let mut links = Vec::with_capacity(entries.len());
        for entry in entries {
            let rtt = Duration::from_secs_f64(atlas.rtt_ms(&atlas.sites[*entry].region, to) / 1e3);
            links.push(Link { listener: TcpListener::bind(any()).map_err(io("listen for an engine"))?, rtt });
        }
        plans.push((engine(atlas, *place, mean), links));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("start the engines' runtime"))?;
    let guard = runtime.enter();
    let emulators = plans.into_iter().map(|(config, links)| rhumb_emulator::spawn(config, links));
    let emulators = emulators.collect::<Result<Vec<_>, _>>().map_err(io("start an engine"))?;
    drop(guard);
    let (stop, mut stopped) = watch::channel(false);
    let serve = move || {
        runtime.block_on(async {
            // An error means that the world is gone, which is an end too.
            let _ = stopped.wait_for(|stop| *stop).await;
        });
    };
    let thread = std::thread::Builder::new().name("demo-engines".into()).spawn(serve).map_err(io("start a thread"))?;
    Ok((stop, thread, emulators))
}

fn engine(atlas: &Atlas, place: Place, mean: MeanRequest) -> EmulatorConfig {
    let origin = &atlas.sites[place.origin];
    EmulatorConfig {
        name: format!("{} {}", origin.name, origin.gpu),
        model: MODEL.into(),
        perf: perf(origin),
        limits: Limits::default(),
        context_tokens: CONTEXT_TOKENS,
        default_output_tokens: mean.output_tokens as u32,
        seed: 0,
        speedup: 1.0,
    }
}
