//! What the threads of a gateway have in common.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwap;
use rhumb_flow::admission::Lanes;
use rhumb_flow::budget::RetryBudget;
use rhumb_grid::index::Grid;
use rhumb_route::decide::Target;
use rhumb_route::learn::Ewma;
use rhumb_route::pins::Pins;
use rhumb_route::prefix::PrefixIndex;
use rhumb_route::view::{EndpointState, View, Viewer};
use rhumb_store::Log;
use rhumb_upstream::Origin;

use crate::auth::Keys;
use crate::guard::Guard;
use crate::hold::Hold;
use crate::ids::Ids;
use crate::live::{Live, lock};
use crate::metrics::Metrics;
use crate::names::NameTable;

/// One gateway.
pub(crate) struct Shared {
    pub(crate) grid: Arc<Grid>,
    pub(crate) names: NameTable,
    pub(crate) keys: Keys,
    pub(crate) ids: Ids,
    pub(crate) live: Vec<Live>,
    pub(crate) lanes: Lanes,
    pub(crate) hold: Mutex<Hold>,
    pub(crate) guard: Guard,
    budgets: Mutex<BTreeMap<Budgeted, RetryBudget>>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) view: ArcSwap<View>,
    pub(crate) viewer: Mutex<Viewer>,
    pub(crate) pins: Vec<Mutex<Pins>>,
    pub(crate) prefixes: Mutex<PrefixIndex>,
    /// Expected answer length, per tenant (the last is nobody) and model.
    pub(crate) output_tokens: Vec<Mutex<Ewma>>,
    /// Bytes of prompt per token, per model.
    pub(crate) bytes_per_token: Vec<Mutex<Ewma>>,
    pub(crate) turn: AtomicU64,
    pub(crate) log: Log,
    pub(crate) metrics: Metrics,
    start: Instant,
}

/// Tenant, model and site: what a retry budget is for.
type Budgeted = (Option<usize>, u32, u32);

/// How an endpoint is reached.
pub(crate) struct Upstream {
    pub(crate) origin: Origin,
    /// Header lines that every request there carries.
    pub(crate) headers: String,
    /// It understands `stream_options.include_usage`.
    pub(crate) states_usage: bool,
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
    /// Endpoints there that are confirmed ill.
    pub ill: usize,
}

/// Pins kept, and the shards they are kept in.
const PINS: usize = 1 << 18;
const PIN_SHARDS: usize = 16;

/// Answer length before one has been seen.
const OUTPUT_TOKENS: f64 = 200.0;

/// Bytes of JSON per token before one has been seen: English text and some punctuation.
const BYTES_PER_TOKEN: f64 = 4.2;

/// Blocks remembered for an endpoint whose cache size is not known.
const PREFIX_BLOCKS_DEFAULT: usize = 4_096;

impl Shared {
    pub(crate) fn new(grid: Grid, log: Log, upstreams: Vec<Upstream>, guard: Guard) -> Self {
        let grid = Arc::new(grid);
        let names = NameTable::new(&grid);
        let (models, tenants) = (grid.config.models.len(), grid.config.tenants.len());
        let perf = rhumb_route::view::perf_of(&grid);
        let mut viewer = Viewer::new(&grid, &perf);
        let blocks: usize = grid
            .config
            .endpoints
            .iter()
            .map(|e| e.models.first().and_then(|s| perf(e, s)).map_or(PREFIX_BLOCKS_DEFAULT, |p| cache_blocks(&p)))
            .sum();
        let live: Vec<Live> = grid.config.endpoints.iter().map(|_| Live::default()).collect();
        let view = Arc::new(viewer.view(&vec![EndpointState::default(); live.len()], 0));
        drop(perf);
        let lanes = Lanes::of(&grid);
        Self {
            hold: Mutex::new(Hold::new(&grid, &lanes)),
            budgets: Mutex::default(),
            lanes,
            keys: Keys::new(&grid),
            ids: Ids::new(),
            metrics: Metrics::new(&grid, &guard),
            guard,
            names,
            live,
            upstreams,
            view: ArcSwap::new(view),
            viewer: Mutex::new(viewer),
            pins: (0..PIN_SHARDS).map(|_| Mutex::new(Pins::new(PINS / PIN_SHARDS))).collect(),
            prefixes: Mutex::new(PrefixIndex::new(blocks)),
            output_tokens: (0..=tenants)
                .flat_map(|_| 0..models)
                .map(|_| Mutex::new(Ewma::new(OUTPUT_TOKENS, 0.02)))
                .collect(),
            bytes_per_token: (0..models).map(|_| Mutex::new(Ewma::new(BYTES_PER_TOKEN, 0.02))).collect(),
            turn: AtomicU64::new(0),
            log,
            grid,
            start: Instant::now(),
        }
    }

    /// Milliseconds since this gateway started: the clock of every age.
    pub(crate) fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Publishes a view of the present readings.
    pub(crate) fn publish(&self) {
        let now = self.now_ms();
        let windows: Vec<Option<f64>> = {
            let hold = lock(&self.hold);
            (0..self.live.len()).map(|i| hold.window(i).learnt(now)).collect()
        };
        let states: Vec<EndpointState> = self
            .live
            .iter()
            .zip(windows)
            .map(|(live, window)| {
                let mut learnt = lock(&live.learnt);
                learnt.state.window = window;
                learnt.state.ill = learnt.is_ill(now);
                learnt.state.own_in_flight = live.overlay().in_flight;
                learnt.state
            })
            .collect();
        let view = Arc::new(lock(&self.viewer).view(&states, now));
        self.view.store(view);
    }

    /// The retry budget of a tenant for a model at a site.
    pub(crate) fn budget<T>(
        &self,
        tenant: Option<usize>,
        target: &Target,
        with: impl FnOnce(&mut RetryBudget) -> T,
    ) -> T {
        with(lock(&self.budgets).entry((tenant, target.model, target.site)).or_default())
    }

    /// The pins that hold a session's.
    pub(crate) fn pins_of(&self, session: u64) -> &Mutex<Pins> {
        &self.pins[session as usize % PIN_SHARDS]
    }

    /// The estimate of answer lengths for a tenant and a model.
    pub(crate) fn output_of(&self, tenant: Option<usize>, model: u32) -> &Mutex<Ewma> {
        let models = self.grid.config.models.len();
        let tenant = tenant.unwrap_or(self.grid.config.tenants.len());
        &self.output_tokens[tenant * models + model as usize]
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
            let site = &mut out[*site as usize];
            site.in_flight += live.overlay().in_flight;
            site.ill += usize::from(lock(&live.learnt).is_ill(now));
        }
        out
    }
}

fn cache_blocks(perf: &rhumb_engine::Perf) -> usize {
    let block_tokens = rhumb_openai::request::BLOCK_BYTES as f64 / BYTES_PER_TOKEN;
    (perf.kv_capacity_tokens() as f64 / block_tokens) as usize
}
