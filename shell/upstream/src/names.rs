//! The addresses of endpoints' names, looked up by a thread of their own and ahead of the requests, so that no request
//! waits for a name that has been found once. See docs/adr/0008-names-ahead-of-requests.md.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use rhumb_process::{Tasks, clock};
use tokio::sync::{mpsc, watch};

use crate::last_good::LastGood;

/// Follows names for as long as anybody wants their addresses.
pub struct Names {
    followed: Mutex<BTreeMap<String, Weak<Followed>>>,
    wanted: mpsc::UnboundedSender<Wanted>,
}

/// A name, and who is told its addresses.
type Wanted = (String, watch::Sender<Found>);

/// What keeps names from being looked up.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// The system's own configuration cannot be used.
    #[error("cannot look names up: {0}")]
    System(#[from] NetError),
    /// A thread or its runtime cannot be made.
    #[error("cannot look names up: {0}")]
    Thread(#[from] std::io::Error),
}

/// A name whose addresses are kept up to date.
#[derive(Debug)]
pub(crate) struct Followed {
    found: watch::Receiver<Found>,
    /// The thread that looks names up lives as long as anybody has one.
    _thread: mpsc::UnboundedSender<Wanted>,
}

/// What is known of a name.
#[derive(Debug, Clone, Default)]
enum Found {
    /// Nothing yet: it is being looked up for the first time.
    #[default]
    Pending,
    /// It has these addresses.
    At(Arc<[IpAddr]>),
    /// It was not found, or not for too long.
    Nothing,
}

/// Longest time that one server has for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

impl Names {
    /// Asks these servers; with none, those that the system is configured with, after its `hosts` file.
    ///
    /// # Errors
    /// The system's configuration is unusable, or no thread can be had.
    pub fn new(servers: &[SocketAddr], tasks: &Tasks) -> Result<Self, NamesError> {
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio()?,
            servers => {
                let servers = servers.iter().map(server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        // What was found is kept here.
        options.cache_size = 0;
        options.timeout = options.timeout.min(ANSWER_TIMEOUT);
        let resolver = builder.build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (wanted, mut next) = mpsc::unbounded_channel::<Wanted>();
        let tasks = tasks.clone();
        let work = async move {
            while let Some((host, found)) = next.recv().await {
                let (resolver, tasks, found) = (resolver.clone(), tasks.clone(), Arc::new(found));
                let begin = move || follow(resolver.clone(), host.clone(), Arc::clone(&found));
                #[expect(clippy::disallowed_methods, reason = "it only starts what `Tasks` keeps")]
                tokio::spawn(async move { tasks.keep("name", begin).await });
            }
        };
        std::thread::Builder::new().name("rhumb-names".into()).spawn(move || runtime.block_on(work))?;
        Ok(Self { followed: Mutex::default(), wanted })
    }

    /// Keeps the addresses of a name up to date while the answer is held.
    pub(crate) fn follow(&self, host: &str) -> Arc<Followed> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = followed.get(host).and_then(Weak::upgrade) {
            return standing;
        }
        let (found, addresses) = watch::channel(Found::default());
        let new = Arc::new(Followed { found: addresses, _thread: self.wanted.clone() });
        followed.retain(|_, standing| standing.strong_count() > 0);
        followed.insert(host.to_owned(), Arc::downgrade(&new));
        // The thread lives as long as this.
        let _ = self.wanted.send((host.to_owned(), found));
        new
    }
}

impl Followed {
    /// Its addresses: at once, unless it has never been looked up yet. None: it is not known.
    pub(crate) async fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        let mut found = self.found.clone();
        match &*found.wait_for(|f| !matches!(f, Found::Pending)).await.ok()? {
            Found::At(addresses) => Some(Arc::clone(addresses)),
            Found::Pending | Found::Nothing => None,
        }
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
}

/// Looks a name up until nobody wants it any more.
async fn follow(resolver: TokioResolver, host: String, found: Arc<watch::Sender<Found>>) {
    let mut names = LastGood::default();
    loop {
        let looked_up = tokio::select! {
            looked_up = resolver.lookup_ip(host.as_str()) => looked_up,
            () = found.closed() => return,
        };
        let now = clock::now();
        let addresses: Result<Arc<[IpAddr]>, _> = looked_up.as_ref().map(|found| found.iter().collect());
        let again = match (&looked_up, addresses) {
            (Ok(record), Ok(addresses)) if !addresses.is_empty() => {
                names.found(now, addresses, record.valid_until().saturating_duration_since(now))
            }
            (looked_up, _) => {
                let again = names.failed();
                if names.has_just_failed() {
                    let why = looked_up.as_ref().err().map_or("it has no address".into(), ToString::to_string);
                    tracing::warn!("`{host}` is not found, what was last found is used for up to an hour: {why}");
                }
                again
            }
        };
        found.send_replace(names.usable(now).map_or(Found::Nothing, Found::At));
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            () = found.closed() => return,
        }
    }
}
