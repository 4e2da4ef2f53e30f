//! What the gateway allows itself, so that it never runs out of memory or descriptors, and can always say how it is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rhumb_api::ApiError;
use rhumb_flow::overload::{Level, Overload, Pressure};
use rhumb_grid::config::{Config, Priority};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::load_shedding::{LoadShed, ReasonLabel};
use crate::lock::lock;
use crate::resource_usage;

/// Limits, and what is used of them.
pub(crate) struct ResourceLimits {
    level: watch::Sender<Level>,
    pressure: Mutex<Pressure>,
    memory_max: Option<u64>,
    mapped_max: Option<u64>,
    clients: Seats,
    admins: Seats,
    upstream: Bound,
    held: Bound,
    /// Descriptors that connections of clients and to endpoints may take together, and those that were open before any.
    descriptors: usize,
    open_before: usize,
    /// Requests turned away.
    pub(crate) shed: Family<ReasonLabel, Counter>,
}

/// A number of things that there may be at once.
struct Bound {
    free: Arc<Semaphore>,
    most: usize,
}

impl Bound {
    fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    fn taken(&self) -> usize {
        self.most - self.free.available_permits().min(self.most)
    }
}

/// Places for connections on one listener.
struct Seats {
    bound: Bound,
    /// Each thread that listens has a place in hand.
    listening: usize,
}

/// A connection's place. The last [`SPARE`] are only lent, to ask how the gateway is: for one request, of which the head
/// comes at once.
pub(crate) struct Seat {
    _place: OwnedSemaphorePermit,
    pub(crate) is_lent: bool,
}

/// Places beyond those that connections may keep, on each listener: whoever asks how the gateway is has one of them.
const SPARE: usize = 32;

/// Connections that the admin API keeps.
const ADMINS: usize = 32;

/// Descriptors for the log and for looking names up.
const FILES: usize = 24;

/// Descriptors of a thread: its poller, its waker, its signals, its listener.
const EACH_THREAD: usize = 6;

/// With less room than this a gateway cannot work, so it is taken whatever the system says.
const DESCRIPTORS_MIN: usize = 16;

/// What bodies may take where no limit of the memory is known.
const HELD_BYTES: u64 = 1 << 30;

/// Longest time to send the head of a request on a lent place, and shortest that an idle connection is left alone.
pub(crate) const BRIEF: Duration = Duration::from_secs(1);

/// Between two looks at what is used.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Seats {
    fn new(most: usize, threads: usize) -> Self {
        Self { bound: Bound::new(most + SPARE + threads), listening: threads }
    }

    fn taken(&self) -> usize {
        self.bound.taken().saturating_sub(self.listening)
    }

    /// What may be kept.
    fn kept_max(&self) -> usize {
        self.bound.most - SPARE - self.listening
    }

    /// The next connection, once there is a place for it.
    async fn take(&self, listener: &TcpListener) -> std::io::Result<(TcpStream, Seat)> {
        let place = Arc::clone(&self.bound.free).acquire_owned().await.expect("it is never closed");
        let (stream, _) = listener.accept().await?;
        let is_lent = self.taken() >= self.kept_max();
        Ok((stream, Seat { _place: place, is_lent }))
    }
}

impl ResourceLimits {
    /// Limits from the configuration and the system, for so many threads that serve.
    pub(crate) fn new(config: &Config, workers: usize) -> Self {
        let gateway = &config.gateway;
        let limit = resource_usage::descriptor_limit();
        let open_before = resource_usage::descriptors_open().unwrap_or(FILES) + EACH_THREAD * (workers + 1) + FILES;
        // A probe and a scrape of each endpoint.
        let probes = (2 * config.endpoints.len()).min(limit / 4);
        let descriptors = limit.saturating_sub(open_before + probes + ADMINS + 2 * SPARE).max(DESCRIPTORS_MIN);
        // Every client may have a request at an endpoint.
        let clients = match gateway.max_connections {
            None => descriptors / 2,
            Some(most) => (most as usize).min(descriptors * 3 / 4),
        };
        let memory_max =
            [gateway.max_memory_mb.map(|mb| mb << 20), resource_usage::memory_limit()].into_iter().flatten().min();
        let mapped_max = resource_usage::mapped_limit();
        let unmapped = mapped_max.map(|most| most.saturating_sub(resource_usage::mapped_bytes()));
        let room = [memory_max, unmapped].into_iter().flatten().min();
        let share = room.map_or(HELD_BYTES, |bytes| (bytes / 4).max(gateway.max_body_bytes));
        let held = gateway.max_held_mb.map_or(share, |mb| mb << 20);
        let memory = room.map_or("no limit".into(), |bytes| format!("{} MiB", bytes >> 20));
        tracing::info!("room for {clients} connections, {} MiB of bodies that wait; memory: {memory}", held >> 20);
        Self {
            level: watch::Sender::default(),
            pressure: Mutex::default(),
            memory_max,
            mapped_max,
            clients: Seats::new(clients, workers),
            admins: Seats::new(ADMINS, 1),
            upstream: Bound::new(descriptors - clients),
            held: Bound::new(usize::try_from(held).unwrap_or(usize::MAX)),
            descriptors,
            open_before,
            shed: LoadShed::counters(),
        }
    }

    /// The next connection of a client, once there is a place for it.
    ///
    /// # Errors
    /// As those of accepting.
    pub(crate) async fn client(&self, listener: &TcpListener) -> std::io::Result<(TcpStream, Seat)> {
        self.clients.take(listener).await
    }

    /// The next connection of an admin.
    ///
    /// # Errors
    /// As those of accepting.
    pub(crate) async fn admin(&self, listener: &TcpListener) -> std::io::Result<(TcpStream, Seat)> {
        self.admins.take(listener).await
    }

    /// A place for a connection to an endpoint, if there is one.
    pub(crate) fn upstream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.upstream.free).try_acquire_owned().ok()
    }

    /// How near the gateway is to its limits.
    pub(crate) fn level(&self) -> Level {
        *self.level.borrow()
    }

    /// What was used of each means at the last look.
    pub(crate) fn pressure(&self) -> Pressure {
        *lock(&self.pressure)
    }

    /// Bytes of bodies that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.taken()
    }

    /// Connections of clients.
    pub(crate) fn connections(&self) -> usize {
        self.clients.taken()
    }

    /// Nothing held yet, on one request's account.
    pub(crate) fn holding(&self) -> Held<'_> {
        Held { limits: self, bytes: None }
    }

    /// Has what a request holds of an answer count as so many bytes; false when there is no room for them.
    pub(crate) fn hold(&self, account: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> bool {
        let counted = account.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = bytes.checked_sub(counted).filter(|more| *more > 0) else { return true };
        let place = |count| Arc::clone(&self.held.free).try_acquire_many_owned(count).ok();
        let Some(place) = u32::try_from(more).ok().and_then(place) else { return false };
        match account {
            Some(held) => held.merge(place),
            None => *account = Some(place),
        }
        true
    }

    /// Looks at what is used, every [`LOOK_EVERY`], for ever.
    pub(crate) async fn watch(&self) {
        let mut overload = Overload::default();
        loop {
            self.look(&mut overload);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn look(&self, overload: &mut Overload) {
        let counted = self.clients.taken() + self.upstream.taken();
        let open = resource_usage::descriptors_open().map_or(0, |open| open.saturating_sub(self.open_before));
        let share = |used: usize, most: usize| used as f64 / most.max(1) as f64;
        let of = |most: Option<u64>, used: fn() -> u64| most.map_or(0.0, |most| used() as f64 / most as f64);
        let pressure = Pressure {
            memory: of(self.memory_max, resource_usage::memory_bytes)
                .max(of(self.mapped_max, resource_usage::mapped_bytes)),
            descriptors: share(counted.max(open), self.descriptors),
            connections: share(self.clients.taken(), self.clients.kept_max()),
        };
        *lock(&self.pressure) = pressure;
        let before = self.level();
        let level = overload.read(&pressure);
        if level == before {
            return;
        }
        let (means, share) = pressure.worst();
        let taken: Vec<&str> = Priority::ALL.iter().filter(|(_, p)| level.takes(*p)).map(|(name, _)| *name).collect();
        let taken = if taken.is_empty() { "none".into() } else { taken.join(", ") };
        let text = format!("{means} at {:.0} % of its limit: requests taken are {taken}", share * 100.0);
        if level > before {
            tracing::warn!("{text}");
        } else {
            tracing::info!("{text}");
        }
        self.level.send_replace(level);
    }

    /// Ends when a connection is to go: it is idle, as `is_idle` says, and has been for a while, and places or memory are
    /// wanted for others.
    pub(crate) async fn unwanted(&self, is_idle: impl Fn() -> bool) {
        let mut level = self.level.subscribe();
        loop {
            if level.wait_for(|l| *l == Level::All).await.is_err() {
                return std::future::pending().await;
            }
            let was_idle = is_idle();
            // Boxed, so that the many connections that are never asked to go have no room for it.
            Box::pin(tokio::time::sleep(BRIEF)).await;
            if was_idle && is_idle() && self.level() == Level::All {
                return;
            }
        }
    }
}

/// Bytes of one request's body, or of its plain answer, that are held. Dropping it gives them back.
pub(crate) struct Held<'a> {
    limits: &'a ResourceLimits,
    bytes: Option<OwnedSemaphorePermit>,
}

impl Held<'_> {
    /// So many bytes are about to come. Room for them is looked for and not taken, since they may never come.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn expect(&self, bytes: u64) -> Result<(), ApiError> {
        if bytes <= self.limits.held.free.available_permits() as u64 {
            return Ok(());
        }
        Err(self.limits.turn_away(LoadShed::Held))
    }

    /// So many bytes have come.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let place = |count| Arc::clone(&self.limits.held.free).try_acquire_many_owned(count).ok();
        let Some(more) = u32::try_from(bytes).ok().and_then(place) else {
            return Err(self.limits.turn_away(LoadShed::Held));
        };
        match &mut self.bytes {
            Some(held) => held.merge(more),
            None => self.bytes = Some(more),
        }
        Ok(())
    }

    /// The body of so many bytes, which counts as held until the last of it has been let go.
    pub(crate) fn keep(self, body: Bytes) -> Bytes {
        match self.bytes {
            Some(place) => Bytes::from_owner(Kept { body, _place: place }),
            None => body,
        }
    }
}

struct Kept {
    body: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
