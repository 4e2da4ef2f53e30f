//! Starting, serving and stopping a gateway.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http::{HeaderValue, header};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rhumb_flow::overload::Level;
use rhumb_grid::config;
use rhumb_grid::index::Grid;
use rhumb_process::Tasks;
use rhumb_store::{Log, Retention, StoreError};
use rhumb_upstream::{Names, NamesError, OriginError};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::body::Counted;
use crate::drain::Drains;
use crate::guard::{BRIEF, Guard, Seat};
use crate::lasting::Lasting;
use crate::reload::{Gateway, Reloader};
use crate::shared::{Shared, SiteReading, upstreams};
use crate::socket::{Socket, Standing};
use crate::turn::Streams;
use crate::version::{Digest, Version};
use crate::{admin, control, pool, routes};

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
    /// An endpoint's URL is none.
    #[error(transparent)]
    Origin(#[from] OriginError),
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
        let deadline = Instant::now() + DRAIN + THREADS_END;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            if thread.is_finished() {
                let _ = thread.join();
            } else {
                tracing::error!("thread `{}` does not end and is left", thread.thread().name().unwrap_or_default());
            }
        }
        self.gateway.now().lasting.log.stop(LOG_ENDS);
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
    let names = Names::new(&name_servers(&config), tasks)?;
    let upstreams = upstreams(&grid, &names)?;
    let drains = Drains::open(Path::new(&config.data_dir)).map_err(StartError::Drains)?;
    let version = Version { ordinal: 1, digest };
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n as usize,
    };
    let guard = Guard::new(&grid.config, workers);
    let lasting = Arc::new(Lasting::new(log.clone(), tasks.clone(), drains, guard, names));
    let shared = Shared::new(&lasting, grid, upstreams, version, None);
    let gateway = Arc::new(Gateway::new(shared));
    let (stop, stopped) = watch::channel(false);
    let address = listen.local_addr().map_err(StartError::Thread)?;
    let admin_address = admin_listen.local_addr().map_err(StartError::Thread)?;
    let mut threads = Vec::with_capacity(workers + 1);
    for i in 0..workers {
        let listener = listen.try_clone().map_err(StartError::Thread)?;
        let (gateway, stopped, tasks) = (Arc::clone(&gateway), stopped.clone(), tasks.clone());
        threads.push(thread(&format!("rhumb-{i}"), async move {
            // It ends with the runtime, when the last connection has.
            keep(tasks, "pool", Arc::clone(&gateway), |g| pool::tend(Arc::clone(&g.now().lasting)));
            accept(listener, stopped, gateway, Role::Data).await;
        })?);
    }
    let (admin_gateway, tasks) = (Arc::clone(&gateway), tasks.clone());
    threads.push(thread("rhumb-control", async move {
        // It ends with the runtime, when the admin listener has closed.
        keep(tasks.clone(), "control", Arc::clone(&admin_gateway), control::run);
        keep(tasks, "guard", Arc::clone(&admin_gateway), |g| {
            // Not the configuration of now, which would be in use for ever.
            let lasting = Arc::clone(&g.now().lasting);
            async move { lasting.guard.watch().await }
        });
        accept(admin_listen, stopped, admin_gateway, Role::Admin).await;
    })?);
    Ok(Running { address, admin_address, gateway, stop, threads })
}

/// Runs a background task of a gateway until the runtime ends. One that panics is started again.
fn keep<F>(tasks: Tasks, kind: &'static str, gateway: Arc<Gateway>, begin: impl Fn(Arc<Gateway>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move { tasks.keep(kind, move || begin(Arc::clone(&gateway))).await });
}

/// How long the log keeps its rows, as the configuration says.
pub(crate) fn retention(gateway: &config::Gateway) -> Retention {
    let some = |n: u64| Some(n).filter(|n| *n > 0);
    Retention {
        age: some(gateway.log_max_age_days.into()).map(|days| Duration::from_secs(days * 24 * 3_600)),
        bytes: some(gateway.log_max_mb).map(|mb| mb << 20),
    }
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

#[derive(Clone, Copy)]
enum Role {
    Data,
    Admin,
}

/// Takes connections until told to stop, then waits for those that stand.
async fn accept(listener: TcpListener, mut stopped: watch::Receiver<bool>, gateway: Arc<Gateway>, role: Role) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return tracing::error!("cannot listen: {e}"),
    };
    // Connections hold a receiver each; the last one gone wakes the waiting.
    let (standing, stands) = watch::channel(());
    let guard = Arc::clone(&gateway.now().lasting);
    loop {
        let next = async {
            match role {
                Role::Data => guard.guard.client(&listener).await,
                Role::Admin => guard.guard.admin(&listener).await,
            }
        };
        let taken = tokio::select! {
            taken = next => taken,
            _ = stopped.wait_for(|s| *s) => break,
        };
        match taken {
            Ok((stream, seat)) => {
                let connection = connection(stream, seat, Arc::clone(&gateway), role, stopped.clone());
                let stands = stands.clone();
                tokio::spawn(async move {
                    connection.await;
                    drop(stands);
                });
            }
            // Out of descriptors in spite of the guard's count: those that end free some.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    drop((listener, stands));
    let _ = tokio::time::timeout(DRAIN, standing.closed()).await;
}

async fn connection(
    stream: TcpStream,
    seat: Seat,
    gateway: Arc<Gateway>,
    role: Role,
    mut stopped: watch::Receiver<bool>,
) {
    // An event must not wait for the client to acknowledge the one before.
    let _ = stream.set_nodelay(true);
    let patience = if seat.is_lent { BRIEF } else { HEADER_TIMEOUT };
    // Every request on the connection holds a clone until its answer has been sent; one is held here, one by the service.
    let busy = Arc::new(Standing::default());
    let standing = Arc::downgrade(&busy);
    let guarded = Arc::clone(&gateway.now().lasting);
    let unwanted = async {
        match role {
            Role::Data => guarded.guard.unwanted(|| standing.strong_count() <= 2).await,
            // Whoever asks how the gateway is may stay.
            Role::Admin => std::future::pending().await,
        }
    };
    tokio::pin!(unwanted);
    let h2 = tokio::select! {
        h2 = is_h2(&stream, patience) => h2,
        // Nothing has been asked for yet.
        _ = stopped.wait_for(|s| *s) => return,
        () = &mut unwanted => return,
    };
    let requests = Arc::clone(&busy);
    let stall = Duration::from_millis(gateway.now().grid.config.gateway.client_stall_ms);
    let io = TokioIo::new(Socket::new(stream, stall, Arc::downgrade(&busy)));
    let service = service_fn(move |request| {
        let (gateway, busy) = (Arc::clone(&gateway), Arc::clone(&requests));
        async move {
            let answer = match role {
                Role::Data if seat.is_lent => routes::handle_lent(&gateway.now(), &request),
                // What is in force now is what it is served under to its end.
                Role::Data => routes::handle(gateway.now(), request).await,
                Role::Admin => admin::handle(Arc::clone(&gateway), request).await,
            };
            let mut answer = answer.map(|answer| Counted::new(answer, busy));
            // HTTP/2 knows no such header.
            if !h2 && (seat.is_lent || gateway.now().lasting.guard.level() > Level::Calm) {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    if h2 {
        let mut builder = http2::Builder::new(Streams { patience: stall });
        builder.timer(TokioTimer::new()).max_concurrent_streams(1_024).max_header_list_size(64 << 10);
        builder.max_send_buf_size(UNREAD_BYTES_MAX);
        // Boxed, so that the many connections that speak HTTP/1.1 have no room for it.
        let mut conn = Box::pin(builder.serve_connection(io, service));
        tokio::select! {
            _ = conn.as_mut() => return,
            _ = stopped.wait_for(|s| *s) => conn.as_mut().graceful_shutdown(),
            () = &mut unwanted => conn.as_mut().graceful_shutdown(),
        }
        last(conn, &busy).await;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(patience).max_headers(100);
        builder.max_buf_size(UNREAD_BYTES_MAX);
        let mut conn = Box::pin(builder.serve_connection(io, service));
        tokio::select! {
            _ = conn.as_mut() => return,
            _ = stopped.wait_for(|s| *s) => conn.as_mut().graceful_shutdown(),
            () = &mut unwanted => conn.as_mut().graceful_shutdown(),
        }
        last(conn, &busy).await;
    }
}

/// Lets a connection end after its last request. One without a request, say with half a head, is not waited for beyond
/// what sending the end of an answer takes.
async fn last(conn: impl Future, busy: &Arc<Standing>) {
    if Arc::strong_count(busy) > 2 {
        conn.await;
    } else {
        let _ = tokio::time::timeout(FLUSH, conn).await;
    }
}

/// Most of an answer that waits here for its client. With it stand at most one read of as much and the beginning of an
/// event; what comes behind is not read from the endpoint. Heads of HTTP/1.1 have the same limit, as those of HTTP/2 do.
const UNREAD_BYTES_MAX: usize = 64 << 10;

/// Most that the kernel holds unsent for one connection. More would let a client that reads nothing look as if it did,
/// and a slow one as if it did not, since room is announced only once half of this is sent: a client makes progress
/// when it takes 8 KiB within its time.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 16 << 10;

/// Longest time to send what is left of an answer when the gateway stops.
const FLUSH: Duration = Duration::from_secs(1);

/// Longest time a client may take to send a head, and a kept-alive connection may stay silent.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);

/// Longest time the first four bytes of a connection may take once one has come.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);

/// The client speaks HTTP/2 with prior knowledge: its first bytes are the preface (RFC 9113, section 3.4).
async fn is_h2(stream: &TcpStream, patience: Duration) -> bool {
    let mut first = [0; 4];
    if !matches!(tokio::time::timeout(patience, stream.peek(&mut first)).await, Ok(Ok(1..))) {
        return false;
    }
    let preface = async {
        loop {
            match stream.peek(&mut first).await {
                Ok(n @ 1..4) if b"PRI "[..n] == first[..n] => {
                    let ready = stream.ready(Interest::READABLE).await;
                    if ready.is_err() || ready.is_ok_and(|r| r.is_read_closed()) {
                        return false;
                    }
                    // The rest of the preface follows at once; until it does, nothing tells the two apart.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(4..) => return &first == b"PRI ",
                _ => return false,
            }
        }
    };
    // Bytes that do not go on are HTTP/1's to complain about: it sees the end of the stream behind them.
    tokio::time::timeout(PREFACE_TIMEOUT, preface).await.unwrap_or(false)
}
