//! What the threads of a gateway have in common while one configuration is in force.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use rhumb_core::facts::{BYTES_PER_TOKEN, Estimates};
use rhumb_flow::admission::{QueueClass, QueueClasses};
use rhumb_flow::hedge::Hedging;
use rhumb_flow::peers::groups;
use rhumb_grid::config::{Dialect, EngineKind};
use rhumb_grid::dialects::{Dialects, spoken, takes_salt};
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex, TenantIndex};
use rhumb_process::clock;
use rhumb_route::decide::Target;
use rhumb_route::facts::Hit;
use rhumb_route::prefix::Held;
use rhumb_route::view::{EndpointState, View, Viewer};
use rhumb_route::workload::WorkloadStats;
use rhumb_upstream::{Names, Origin, OriginError, Tls};

use crate::auth::Keys;
use crate::live::Live;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::names::NameTable;
use crate::numbers::{EndpointNumber, Numbers, SiteNumber};
use crate::salt;
use crate::state::GatewayState;
use crate::version::Version;
use crate::versions::Versions;

/// One gateway under one configuration: requests that began under it end under it, whatever is in force by then.
pub(crate) struct ConfigEpoch {
    pub(crate) version: Version,
    pub(crate) versions: Arc<Versions>,
    pub(crate) state: Arc<GatewayState>,
    pub(crate) numbers: Numbers,
    pub(crate) grid: Arc<Grid>,
    pub(crate) names: Arc<NameTable>,
    pub(crate) keys: Keys,
    pub(crate) live: Vec<Arc<Live>>,
    /// Endpoints that are compared with each other.
    pub(crate) peers: Vec<Vec<EndpointIndex>>,
    pub(crate) queue_classes: QueueClasses,
    /// Per model.
    pub(crate) hedging: Vec<Arc<Mutex<Hedging>>>,
    /// Per model.
    pub(crate) workload: Vec<Arc<Mutex<WorkloadStats>>>,
    pub(crate) upstreams: Vec<Upstream>,
    /// What keeps the caches of engines apart, per tenant.
    salts: Vec<Option<String>>,
    pub(crate) view: ArcSwap<View>,
    /// Held by whoever makes a view; nothing else is held when it is taken.
    pub(crate) publishing: Mutex<()>,
    /// When the last view was made, by the gateway's clock.
    pub(crate) viewed_at_ms: AtomicU64,
    pub(crate) viewer: Mutex<Viewer>,
    /// What is expected of requests, per tenant (the last is nobody) and model: nobody's prompts shape what is expected of
    /// another's.
    estimates: Vec<Arc<Mutex<Estimates>>>,
    pub(crate) metrics: Metrics,
}

/// How an endpoint is reached.
pub(crate) struct Upstream {
    pub(crate) origin: Origin,
    pub(crate) tls: Tls,
    /// Header lines that every request there carries.
    pub(crate) headers: String,
    /// It understands `stream_options.include_usage`.
    pub(crate) states_usage: bool,
    /// The dialects in which it is asked.
    pub(crate) speaks: Dialects,
    /// It keys its cache by `cache_salt` as well.
    takes_salt: bool,
    /// Parameters that steer it and that clients may set, as bits.
    pub(crate) allowed: u64,
    /// For each model, the name it knows it by.
    pub(crate) served_as: Vec<Option<String>>,
}

/// A site as the demo and the dashboard show it.
#[derive(Debug, Clone)]
pub struct SiteReading {
    /// Its name.
    pub name: String,
    /// Power its GPUs draw.
    pub watts: f64,
    /// Requests of this gateway in flight there.
    pub in_flight: f64,
    /// Endpoints there that are confirmed unhealthy.
    pub ill: usize,
}

/// Blocks remembered for an endpoint whose cache size is not known.
const PREFIX_BLOCKS_DEFAULT: usize = 4_096;

impl ConfigEpoch {
    /// What has to be made for a configuration, with what was learnt under the one `before` it.
    pub(crate) fn new(
        state: &Arc<GatewayState>,
        grid: Grid,
        upstreams: Vec<Upstream>,
        version: Version,
        before: Option<&Self>,
    ) -> Self {
        let queue_classes = QueueClasses::of(&grid);
        let mut known = lock(&state.known);
        let numbers = known.numbers(&grid, &queue_classes);
        let live: Vec<Arc<Live>> = numbers.endpoints.iter().map(|n| Arc::clone(&known.live()[n.at()])).collect();
        let tenants = TenantIndex::of(&grid.config.tenants).map(Some).chain([None]);
        let mut estimates = Vec::new();
        for tenant in tenants.map(|t| numbers.tenant(t)) {
            estimates.extend(numbers.models.iter().map(|m| known.estimates((tenant, *m))));
        }
        let workload = numbers.models.iter().map(|m| known.workload(*m)).collect();
        let hedging = numbers.models.iter().map(|m| known.hedging(*m)).collect();
        drop(known);
        let perf = rhumb_route::view::perf_of(&grid);
        let mut viewer = Viewer::new(&grid, &perf);
        let blocks: usize = grid
            .config
            .endpoints
            .iter()
            .map(|e| e.models.first().and_then(|s| perf(e, s)).map_or(PREFIX_BLOCKS_DEFAULT, |p| cache_blocks(&p)))
            .sum();
        for (_, live) in EndpointIndex::all().zip(&live).filter(|(endpoint, _)| viewer.is_modelled(*endpoint)) {
            lock(&live.learnt).tracker.health.performance_mut().expect_modelled();
        }
        drop(perf);
        lock(&state.prefixes).resize(blocks);
        if let Some(before) = before {
            let sites: BTreeMap<SiteNumber, SiteIndex> = numbers.sites.iter().copied().zip(SiteIndex::all()).collect();
            for (number, state) in before.numbers.sites.iter().zip(lock(&before.viewer).sites()) {
                if let Some(site) = sites.get(number) {
                    viewer.resume(*site, *state);
                }
            }
        }
        Self {
            versions: before.map_or_else(Arc::default, |b| Arc::clone(&b.versions)),
            hedging,
            workload,
            estimates,
            metrics: before.map_or_else(|| Metrics::new(&grid, &state.limits), |b| b.metrics.under(&grid)),
            names: Arc::new(NameTable::new(&grid, version.to_string(), before.map(|b| &*b.names))),
            keys: Keys::new(&grid),
            salts: salt::salts(&grid.config, &state.secret),
            view: ArcSwap::new(Arc::new(viewer.view(&vec![EndpointState::default(); live.len()], 0))),
            publishing: Mutex::new(()),
            viewed_at_ms: AtomicU64::new(0),
            viewer: Mutex::new(viewer),
            peers: groups(&grid),
            state: Arc::clone(state),
            grid: Arc::new(grid),
            version,
            numbers,
            live,
            queue_classes,
            upstreams,
        }
    }

    /// Milliseconds since this gateway started: the clock of every age.
    pub(crate) fn now_ms(&self) -> u64 {
        self.state.now_ms()
    }

    /// Microseconds since this gateway started: what requests are timed by.
    pub(crate) fn now_us(&self) -> u64 {
        self.state.us_at(clock::now())
    }

    /// The queue class of the models that one name stands for.
    pub(crate) fn queue_class(&self, models: &[ModelIndex]) -> QueueClass {
        let queue_class = self.queue_classes.queue_class(models).expect("the models are those of a name in the grid");
        self.numbers.queue_class(queue_class)
    }

    /// The endpoint and model that a session is pinned to, if both are still there.
    pub(crate) fn pinned(&self, session: u64) -> Option<(EndpointIndex, ModelIndex)> {
        let (endpoint, model) = lock(self.state.pins_of(session)).get(session).copied()?;
        Some((self.numbers.endpoint_at(endpoint)?, self.numbers.model_at(model)?))
    }

    /// Pins a session to what serves it.
    pub(crate) fn pin(&self, session: u64, target: &Target) {
        let pin = (self.numbers.endpoint(target.endpoint), self.numbers.models[target.model]);
        lock(self.state.pins_of(session)).insert(session, pin);
    }

    /// The endpoints believed to hold the longest prefixes of a prompt.
    pub(crate) fn lookup(&self, blocks: &[u64], tokens_per_block: f64, held: &mut Vec<Held>, hits: &mut Vec<Hit>) {
        lock(&self.state.prefixes).lookup(blocks, tokens_per_block, held);
        let here = |h: &Held| {
            let endpoint = self.numbers.endpoint_at(EndpointNumber(h.endpoint))?;
            Some(Hit { endpoint, tokens: h.tokens })
        };
        hits.clear();
        hits.extend(held.iter().filter_map(here));
    }

    /// An endpoint holds a prompt from now on.
    pub(crate) fn cached(&self, blocks: &[u64], endpoint: EndpointIndex) {
        lock(&self.state.prefixes).insert(blocks, self.numbers.endpoint(endpoint).0);
    }

    /// What keeps the cache of an endpoint's engine apart for a tenant, where it can be.
    pub(crate) fn salt(&self, tenant: Option<TenantIndex>, endpoint: EndpointIndex) -> Option<&str> {
        let salt = tenant.and_then(|t| self.salts[t].as_deref());
        salt.filter(|_| self.upstreams[endpoint].takes_salt)
    }

    /// What is expected of the requests of a tenant for a model.
    pub(crate) fn estimates(&self, tenant: Option<TenantIndex>, model: ModelIndex) -> &Mutex<Estimates> {
        let tenant = tenant.map_or(self.grid.config.tenants.len(), TenantIndex::at);
        &self.estimates[tenant * self.grid.config.models.len() + model.at()]
    }

    /// Each site now.
    pub(crate) fn site_readings(&self) -> Vec<SiteReading> {
        let watts: Vec<f64> = lock(&self.viewer).sites().iter().map(|s| s.watts).collect();
        let now = self.now_ms();
        let mut out: Vec<SiteReading> = self
            .grid
            .config
            .sites
            .iter()
            .zip(watts)
            .map(|(s, watts)| SiteReading { name: s.name.clone(), watts, in_flight: 0.0, ill: 0 })
            .collect();
        for (live, site) in self.live.iter().zip(&self.grid.endpoint_site) {
            let site = &mut out[*site];
            site.in_flight += live.local_load().in_flight;
            site.ill += usize::from(lock(&live.learnt).tracker.health.is_unhealthy(now));
        }
        out
    }
}

fn cache_blocks(perf: &rhumb_engine::Perf) -> usize {
    let block_tokens = rhumb_openai::request::BLOCK_BYTES as f64 / BYTES_PER_TOKEN;
    (perf.kv_capacity_tokens() as f64 / block_tokens) as usize
}

/// The version of Anthropic's API that is spoken: there has been no other since 2023.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// How each endpoint of a grid is reached.
///
/// # Errors
/// An endpoint URL is invalid, or a file of its TLS cannot be used.
pub(crate) fn upstreams(grid: &Grid, names: &Names) -> Result<Vec<Upstream>, OriginError> {
    grid.config
        .endpoints
        .iter()
        .map(|e| {
            let mut headers = String::from("accept: */*\r\naccept-encoding: identity\r\n");
            let key = e.api_key.iter().map(|key| match &e.api_key_header {
                Some(name) => format!("{name}: {key}\r\n"),
                None => format!("authorization: Bearer {key}\r\n"),
            });
            headers.extend(key);
            let is_versioned = e.headers.keys().any(|name| name.eq_ignore_ascii_case(VERSION.0));
            if e.dialects.contains(&Dialect::Messages) && !is_versioned {
                headers.push_str(&format!("{}: {}\r\n", VERSION.0, VERSION.1));
            }
            headers.extend(e.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
            let tls = Tls {
                ca_file: e.ca_file.clone(),
                client: e.client_cert_file.clone().zip(e.client_key_file.clone()),
                server_name: e.tls_server_name.clone(),
            };
            let served_as = |m: &rhumb_grid::config::Model| {
                let served = e.models.iter().find(|s| s.model == m.name);
                served.map(|s| s.served_as.clone().unwrap_or_else(|| m.name.clone()))
            };
            Ok(Upstream {
                origin: Origin::parse(&e.url)?.with_tls(&tls)?.named_by(names),
                tls,
                headers,
                states_usage: e.engine != EngineKind::Generic,
                speaks: spoken(&grid.config, e),
                takes_salt: takes_salt(e.engine),
                allowed: rhumb_grid::steering::bits(&e.allow_params),
                served_as: grid.config.models.iter().map(served_as).collect(),
            })
        })
        .collect()
}
