//! Starting, serving and stopping a gateway.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rhumb_flow::overload::Level;
use rhumb_grid::config;
use rhumb_grid::index::Grid;
use rhumb_kept::Kept;
use rhumb_process::{Tasks, clock};
use rhumb_store::{Log, StoreError};
use rhumb_upstream::{Names, NamesError, OriginError, TlsError};
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::connection::{self, Role};
use crate::drain::Drains;
use crate::epoch::{ConfigEpoch, SiteReading, upstreams};
use crate::reload::{Gateway, Reloader};
use crate::resource_limits::ResourceLimits;
use crate::retention::retention;
use crate::salt::Secret;
use crate::state::GatewayState;
use crate::version::{Digest, Version};
use crate::{batch_line, control, pool};
use rhumb_server::tls::Certificate;

/// Longest time that requests in flight are given to end when the gateway stops.
const DRAIN: Duration = Duration::from_secs(30);

/// Longest time that threads take to end after that. A stop has a deadline whatever a thread waits for.
const THREADS_END: Duration = Duration::from_secs(5);

/// Longest time that the log is given to write its last rows when the gateway stops.
const LOG_ENDS: Duration = Duration::from_secs(5);

/// What keeps a gateway from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`: {why}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        why: std::io::Error,
    },
    /// A thread or its runtime cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The log cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was drained cannot be known.
    #[error("`drains.json` in the data folder, which says what is drained, cannot be read: {0}")]
    Drains(std::io::Error),
    /// What the salts of the engines' caches are made from cannot be known.
    #[error("`cache-salt.key` in the data folder, which keeps tenants' caches apart, cannot be read or written: {0}")]
    Salt(std::io::Error),
    /// An endpoint URL is invalid.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The certificate of a listener cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Names cannot be looked up.
    #[error(transparent)]
    Names(#[from] NamesError),
}

/// A gateway that runs.
pub struct Running {
    /// Where the data plane listens.
    pub address: SocketAddr,
    /// Where the admin API listens.
    pub admin_address: SocketAddr,
    gateway: Arc<Gateway>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Stops taking requests, lets those in flight end, and writes the log to its last row. None of it is waited for
    /// beyond its deadline.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        let deadline = clock::now() + DRAIN + THREADS_END;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && clock::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            if thread.is_finished() {
                let _ = thread.join();
            } else {
                tracing::error!("thread `{}` does not end and is left", thread.thread().name().unwrap_or_default());
            }
        }
        self.gateway.now().state.log.stop(LOG_ENDS);
    }

    /// Each site now, as this gateway sees it.
    pub fn sites(&self) -> Vec<SiteReading> {
        self.gateway.now().site_readings()
    }

    /// Money and tokens of the requests that have ended.
    pub fn totals(&self) -> crate::metrics::Totals {
        self.gateway.now().metrics.totals()
    }

    /// What changes its configuration.
    pub fn reloader(&self) -> Reloader {
        Reloader(Arc::clone(&self.gateway))
    }
}

/// Starts a gateway from a checked configuration, which the digest of its text tells from others.
///
/// # Errors
/// An address, the data folder or a thread cannot be had.
pub fn start(grid: Grid, digest: Digest) -> Result<Running, StartError> {
    let tasks = Tasks::default();
    // The folder comes first: of two gateways with one configuration, the second is to hear of the first.
    let log = Log::open(Path::new(&grid.config.gateway.data_dir), retention(&grid.config.gateway), &tasks)?;
    serve(grid, digest, &log, &tasks).inspect_err(|_| log.stop(LOG_ENDS))
}

fn serve(grid: Grid, digest: Digest, log: &Log, tasks: &Tasks) -> Result<Running, StartError> {
    let config = grid.config.gateway.clone();
    let listen = bind(&config.listen)?;
    let admin_listen = bind(&config.admin_listen)?;
    let (tls, admin_tls) = (certificate(config.tls.as_ref())?, certificate(config.admin_tls.as_ref())?);
    let names = Names::new(&name_servers(&config), tasks)?;
    let upstreams = upstreams(&grid, &names)?;
    let drains = Drains::open(Path::new(&config.data_dir)).map_err(StartError::Drains)?;
    let version = Version { ordinal: 1, digest };
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n as usize,
    };
    let limits = ResourceLimits::new(&grid.config, workers);
    let secret = Secret::open(Path::new(&config.data_dir)).map_err(StartError::Salt)?;
    let open = |days| Kept::open(Path::new(&config.data_dir), days, tasks).map(Arc::new);
    let kept = (log.clone(), config.kept_max_age_days.map(open).transpose()?);
    let state = Arc::new(GatewayState::new(kept, tasks.clone(), drains, limits, names, secret));
    let epoch = ConfigEpoch::new(&state, grid, upstreams, version, None);
    let gateway = Arc::new(Gateway::new(epoch));
    let (stop, stopped) = watch::channel(false);
    let address = listen.local_addr().map_err(StartError::Thread)?;
    let admin_address = admin_listen.local_addr().map_err(StartError::Thread)?;
    let mut threads = Vec::with_capacity(workers + 1);
    for i in 0..workers {
        let listener = listen.try_clone().map_err(StartError::Thread)?;
        let (gateway, stopped, tls, tasks) = (Arc::clone(&gateway), stopped.clone(), tls.clone(), tasks.clone());
        let batches = tasks.clone();
        threads.push(thread(&format!("rhumb-{i}"), async move {
            // It ends with the runtime, when the last connection has.
            keep(tasks, "pool", Arc::clone(&gateway), |g| {
                let state = Arc::clone(&g.now().state);
                pool::tend(move || state.limits.level() > Level::Calm)
            });
            if i == 0 {
                keep(batches, "batches", Arc::clone(&gateway), batch_line::work);
            }
            accept(listener, tls, stopped, gateway, Role::Data).await;
        })?);
    }
    let (admin_gateway, tasks) = (Arc::clone(&gateway), tasks.clone());
    threads.push(thread("rhumb-control", async move {
        // It ends with the runtime, when the admin listener has closed.
        keep(tasks.clone(), "control", Arc::clone(&admin_gateway), control::run);
        keep(tasks.clone(), "limits", Arc::clone(&admin_gateway), |g| {
            // Not the configuration of now, which would be in use for ever.
            let state = Arc::clone(&g.now().state);
            async move { state.limits.watch().await }
        });
        for certificate in [tls, admin_tls.clone()].into_iter().flatten() {
            let tasks = tasks.clone();
            #[expect(clippy::disallowed_methods, reason = "it only starts what `Tasks` keeps")]
            tokio::spawn(async move { tasks.keep("certificate", move || certificate.clone().watch()).await });
        }
        accept(admin_listen, admin_tls, stopped, admin_gateway, Role::Admin).await;
    })?);
    Ok(Running { address, admin_address, gateway, stop, threads })
}

/// Runs a background task of a gateway until the runtime ends. One that panics is started again.
fn keep<F>(tasks: Tasks, kind: &'static str, gateway: Arc<Gateway>, begin: impl Fn(Arc<Gateway>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "it only starts what `Tasks` keeps")]
    tokio::spawn(async move { tasks.keep(kind, move || begin(Arc::clone(&gateway))).await });
}

fn certificate(files: Option<&config::ListenTls>) -> Result<Option<Arc<Certificate>>, TlsError> {
    files.map(Certificate::open).transpose()
}

fn bind(address: &str) -> Result<TcpListener, StartError> {
    let fail = |why| StartError::Listen { address: address.to_owned(), why };
    let listener = TcpListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    // Connections have it from their listener.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&listener).set_tcp_notsent_lowat(UNSENT_BYTES_MAX).map_err(fail)?;
    Ok(listener)
}

/// Where names are looked up; the checked configuration holds addresses.
fn name_servers(gateway: &config::Gateway) -> Vec<SocketAddr> {
    gateway.dns_servers.iter().filter_map(|server| server.parse().ok()).collect()
}

fn thread(name: &str, work: impl Future<Output = ()> + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let run = move || runtime.block_on(work);
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(StartError::Thread)
}

/// Takes connections until told to stop, then waits for those that stand.
async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Certificate>>,
    mut stopped: watch::Receiver<bool>,
    gateway: Arc<Gateway>,
    role: Role,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return tracing::error!("cannot listen: {e}"),
    };
    // Connections hold a receiver each; the last one gone wakes the waiting.
    let (standing, stands) = watch::channel(());
    let state = Arc::clone(&gateway.now().state);
    loop {
        let next = async {
            match role {
                Role::Data => state.limits.client(&listener).await,
                Role::Admin => state.limits.admin(&listener).await,
            }
        };
        let taken = tokio::select! {
            taken = next => taken,
            _ = stopped.wait_for(|s| *s) => break,
        };
        match taken {
            Ok((stream, seat)) => {
                let whole = (stopped.clone(), stands.clone());
                #[expect(clippy::disallowed_methods, reason = "a connection ends with its client")]
                tokio::spawn(connection::serve(stream, tls.clone(), seat, Arc::clone(&gateway), role, whole));
            }
            // Out of descriptors in spite of the guard's count: those that end free some.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop((listener, stands));
    let _ = tokio::time::timeout(DRAIN, standing.closed()).await;
}

/// Most that the kernel holds unsent for one connection. More would let a client that reads nothing look as if it did,
/// and a slow one as if it did not, since room is announced only once half of this is sent: a client makes progress
/// when it takes 8 KiB within its time.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 16 << 10;
