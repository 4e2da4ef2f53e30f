//! The grid as a router sees it at one moment: an immutable snapshot, made anew when readings change.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::cmp::Ordering;
use core::ops::Range;

use rhumb_engine::perf::Perf;
use rhumb_grid::config::{Accepts, Endpoint, EngineKind, Location, Router, Served, Site};
use rhumb_grid::dialects::spoken;
use rhumb_grid::geo::{distance_km, estimated_rtt_ms};
use rhumb_grid::index::{Grid, country};
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use serde::{Deserialize, Serialize};

use crate::compact_row::{BoundInputs, CompactRow};
use crate::decide::{Target, World};
use crate::learn::{Correction, Ewma, PowerPrice, Rtt};
use crate::lower_bound::{LowerBounds, lower_bounds};
use crate::row::{Able, CandidateHealth, LocalLoad, Row};
use crate::workload::WorkloadStats;

/// A snapshot. Its rows are sorted by model, so that the candidates of a model stand side by side, those that are
/// expected to be good first.
#[derive(Debug, Clone)]
pub struct View {
    /// Counts up with each snapshot of a gateway.
    pub version: u64,
    /// Every candidate.
    pub rows: Vec<Row>,
    by_model: Vec<Range<usize>>,
    lower_bounds: Vec<Vec<LowerBounds>>,
    compact_rows: Vec<CompactRow>,
}

impl View {
    /// The candidates of a model.
    pub fn rows(&self, model: ModelIndex) -> &[Row] {
        self.by_model.get(model.at()).map_or(&[], |r| &self.rows[r.clone()])
    }

    /// The row of a target, if it is still there.
    pub fn row(&self, target: &Target) -> Option<&Row> {
        self.rows(target.model).iter().find(|r| r.endpoint == target.endpoint)
    }
}

impl World for View {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        View::rows(self, model)
    }

    fn lower_bounds(&self, model: ModelIndex) -> &[LowerBounds] {
        self.lower_bounds.get(model.at()).map_or(&[], Vec::as_slice)
    }

    fn compact_rows(&self, model: ModelIndex) -> &[CompactRow] {
        self.by_model.get(model.at()).map_or(&[], |r| &self.compact_rows[r.clone()])
    }

    /// A view alone knows of nothing under way.
    fn local_load(&self, _: EndpointIndex) -> LocalLoad {
        LocalLoad::default()
    }
}

/// What an endpoint last said of its load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Requests running.
    pub running: f64,
    /// Requests waiting.
    pub waiting: f64,
    /// Share of the KV cache in use, if it says so.
    pub kv_use: Option<f64>,
    /// Power drawn by its GPUs, if it says so.
    pub watts: Option<f64>,
    /// This gateway's own requests in flight there when the report arrived.
    pub own_in_flight: f64,
    /// When it arrived, by the receiver's clock.
    pub at_ms: u64,
}

impl LoadReport {
    /// Requests of other gateways that waited there: all of them wait alike.
    fn others_waiting(&self) -> f64 {
        let all = self.running + self.waiting;
        if all > 0.0 { self.waiting * (1.0 - self.own_in_flight / all).max(0.0) } else { 0.0 }
    }
}

/// All that is known of an endpoint besides its configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EndpointState {
    /// Its last report.
    pub load: Option<LoadReport>,
    /// Its round trip.
    pub rtt: Rtt,
    /// When the last probe ended, by the receiver's clock.
    pub rtt_at_ms: Option<u64>,
    /// How its time to first token departs from the prior.
    pub ttft: Correction,
    /// How its pace departs from the prior.
    pub pace: Correction,
    /// What is known against it.
    pub health: CandidateHealth,
    /// Models that it does not have although it should, one bit for each by its place in the endpoint's list. Beyond the
    /// 128th place none is known to be missing.
    pub missing: u128,
    /// Which requests an operator lets it take, if fewer than its configuration does.
    pub accepts: Accepts,
    /// Requests of this gateway in flight there.
    pub own_in_flight: f64,
    /// How many of this gateway's it is of use with at once, where that is learnt; else what is stated counts.
    pub window: Option<f64>,
    /// What a second is worth to those in flight there, USD.
    pub others_second_usd: Ewma,
    /// Requests of other gateways there, on average over its reports.
    pub others: Ewma,
    /// For how long this gateway's requests there have been late while none of them began, ms.
    pub stalled_ms: f64,
    /// A model that the engine has said to take fewer tokens of than the configuration says, and how many.
    pub context: Option<(ModelIndex, u32)>,
}

impl Default for EndpointState {
    fn default() -> Self {
        Self {
            load: None,
            rtt: Rtt::default(),
            rtt_at_ms: None,
            ttft: Correction::default(),
            pace: Correction::default(),
            health: CandidateHealth::Healthy,
            missing: 0,
            accepts: Accepts::default(),
            own_in_flight: 0.0,
            window: None,
            others_second_usd: Ewma::new(0.002, 0.02),
            others: Ewma::new(0.0, 0.1),
            stalled_ms: 0.0,
            context: None,
        }
    }
}

/// A report is fresh for so long, ms.
const FRESH_MS: u64 = 10_000;

/// So many may wait for the step that runs now.
const WAITING_MAX: f64 = 2.0;

impl EndpointState {
    /// A report has arrived.
    pub fn report(&mut self, load: LoadReport) {
        self.others.add((load.running + load.waiting - load.own_in_flight).max(0.0));
        self.load = Some(load);
    }

    /// The endpoint has just said that next to nothing waits there: what a first token takes now is its own doing, and
    /// not that of others who send it more than it can do.
    pub fn is_unqueued(&self, now_ms: u64) -> bool {
        self.load.is_some_and(|l| now_ms.saturating_sub(l.at_ms) < FRESH_MS && l.waiting <= WAITING_MAX)
    }
}

/// All that is known of a site besides its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SiteState {
    /// Its price of power headroom.
    pub power: PowerPrice,
    /// Power its GPUs draw.
    pub watts: f64,
}

/// Turns readings into snapshots of one grid.
#[derive(Debug, Clone)]
pub struct Viewer {
    template: Vec<Row>,
    by_model: Vec<Range<usize>>,
    /// For each endpoint, the speed model of its first model's weights, where its GPU and shape are known.
    perf: Vec<Option<Perf>>,
    endpoint_site: Vec<SiteIndex>,
    /// For each endpoint, the models it serves, in the order of its configuration.
    served: Vec<Vec<ModelIndex>>,
    sites: Vec<SiteState>,
    /// The power envelope of each site; infinite when not stated, and its headroom then costs nothing.
    site_watts_max: Vec<f64>,
    pue: Vec<f64>,
    carbon_usd_per_g: f64,
    version: u64,
    integrated_at_ms: Option<u64>,
    best_first: bool,
    /// By model.
    workload: Vec<WorkloadStats>,
}

/// An age that stands for "never read".
pub const NEVER_MS: f64 = 3_600_000.0;

impl Viewer {
    /// Prepares the rows of a grid; `perf` gives the speed model of an endpoint's model where it is known.
    pub fn new(grid: &Grid, perf: impl Fn(&Endpoint, &Served) -> Option<Perf>) -> Self {
        let c = &grid.config;
        let mut template = Vec::new();
        for (model, m) in ModelIndex::all().zip(&c.models) {
            for (e, endpoint) in EndpointIndex::all().zip(&c.endpoints) {
                for served in endpoint.models.iter().filter(|s| s.model == m.name) {
                    let site = grid.endpoint_site[e];
                    let mut row = prior(perf(endpoint, served));
                    (row.endpoint, row.site, row.model) = (e, site, model);
                    let dialects = spoken(c, endpoint);
                    row.able = Able { vision: m.vision, audio: m.audio, tools: m.tools, tasks: m.tasks(), dialects };
                    row.quality = m.quality;
                    configure(&mut row, grid, &c.sites[site], endpoint, served);
                    template.push(row);
                }
            }
        }
        // A stable sort: where nothing tells distances apart, the order of the configuration stays.
        template.sort_by(|a, b| a.model.cmp(&b.model).then(a.rtt_ms.total_cmp(&b.rtt_ms)));
        let mut by_model = Vec::with_capacity(c.models.len());
        for model in ModelIndex::of(&c.models) {
            let start = template.partition_point(|r| r.model < model);
            by_model.push(start..template.partition_point(|r| r.model <= model));
        }
        let perf = c.endpoints.iter().map(|e| e.models.first().and_then(|s| perf(e, s))).collect();
        Self {
            template,
            by_model,
            perf,
            endpoint_site: grid.endpoint_site.clone(),
            served: c.endpoints.iter().map(|e| served(grid, e)).collect(),
            sites: alloc::vec![SiteState::default(); c.sites.len()],
            site_watts_max: c.sites.iter().map(watts_max).collect(),
            pue: c.sites.iter().map(|s| s.pue).collect(),
            carbon_usd_per_g: carbon_usd_per_g(grid),
            version: 0,
            integrated_at_ms: None,
            best_first: c.gateway.router == Router::Rhumb,
            workload: alloc::vec![WorkloadStats::default(); c.models.len()],
        }
    }

    /// Whether candidates stand in the order of their bills, or in one that stays, as routers want that go in turn.
    pub fn set_best_first(&mut self, best_first: bool) {
        self.best_first = best_first;
    }

    /// An endpoint's speed is modelled: its GPU and its model's shape are known.
    pub fn is_modelled(&self, endpoint: EndpointIndex) -> bool {
        self.perf[endpoint].is_some()
    }

    /// Prompt tokens that an endpoint computes in a second, as far as is known beforehand.
    pub fn prompt_tokens_per_s(&self, endpoint: EndpointIndex) -> f64 {
        self.perf[endpoint].map_or(1.0 / PREFILL_MS, |p| p.prefill_tokens_per_ms()) * 1e3
    }

    /// What a site's electricity costs and emits from now on.
    pub fn set_energy(&mut self, site: SiteIndex, usd_per_kwh: f64, carbon_g_per_kwh: f64) {
        let pue = self.pue[site];
        for row in self.template.iter_mut().filter(|row| row.site == site) {
            row.joule_usd = usd_per_kwh * pue / JOULES_PER_KWH;
            row.carbon_usd = carbon_g_per_kwh * pue * self.carbon_usd_per_g / JOULES_PER_KWH;
        }
    }

    /// What the requests for a model are like from now on.
    pub fn set_workload(&mut self, model: ModelIndex, workload: WorkloadStats) {
        self.workload[model] = workload;
    }

    /// The state of each site, as of the last snapshot.
    pub fn sites(&self) -> &[SiteState] {
        &self.sites
    }

    /// Goes on from what was known of a site before.
    pub fn resume(&mut self, site: SiteIndex, state: SiteState) {
        self.sites[site] = state;
    }

    /// A new snapshot from the readings at `now_ms`, by the clock that stamped them.
    pub fn view(&mut self, endpoints: &[EndpointState], now_ms: u64) -> View {
        self.power(endpoints, now_ms);
        self.version += 1;
        let rtts = self.site_rtts(endpoints);
        let mut rows = self.template.clone();
        for row in &mut rows {
            let state = &endpoints[row.endpoint];
            let site = &self.sites[row.site];
            row.health = self.health(row, state);
            if let Some((model, tokens)) = state.context
                && model == row.model
            {
                row.context_tokens = row.context_tokens.min(tokens);
            }
            row.accepts = row.accepts.max(state.accepts);
            row.ttft_correction = state.ttft.factor();
            row.pace_correction = state.pace.factor();
            row.others_second_usd = state.others_second_usd.mean();
            row.stalled_ms = state.stalled_ms;
            row.site_watts = site.watts;
            row.power_usd = site.power.usd_per_joule();
            match state.load {
                Some(l) => {
                    row.reported = l.running + l.waiting;
                    row.own_at_report = l.own_in_flight;
                    let workload = &self.workload[row.model];
                    row.others_tokens = l.others_waiting() * workload.prompt_tokens();
                    row.others_per_ms = workload.per_ms(state.others.mean());
                    row.unseen_ms = workload.left_ms(row.others_per_ms, row.prefill_ms);
                    row.load_age_ms = age(now_ms, l.at_ms);
                }
                // Without reports the gateway's own count is all there is: it is exact, but not the whole truth.
                None => (row.reported, row.own_at_report) = (0.0, 0.0),
            }
            if let Some(window) = state.window {
                // What exceeds the window waits, as what exceeds the engine's own limit does. Others have their part.
                row.concurrency = (window + (row.reported - row.own_at_report).max(0.0)).max(1.0);
            }
            if let (Some(ms), Some(at)) = (rtts[row.site], state.rtt_at_ms) {
                row.rtt_ms = ms;
                row.rtt_dev_ms = state.rtt.deviation_ms();
                row.rtt_age_ms = age(now_ms, at);
            }
        }
        if self.best_first {
            for range in &self.by_model {
                best_first(&mut rows[range.clone()], endpoints);
            }
        }
        let lower_bounds = self.by_model.iter().map(|range| lower_bounds(&rows[range.clone()])).collect();
        let compact_rows = rows.iter().map(CompactRow::of).collect();
        View { version: self.version, rows, by_model: self.by_model.clone(), lower_bounds, compact_rows }
    }

    fn health(&self, row: &Row, state: &EndpointState) -> CandidateHealth {
        if state.health == CandidateHealth::Healthy && state.missing != 0 {
            let at = self.served[row.endpoint].iter().position(|model| *model == row.model);
            if at.is_some_and(|at| at < u128::BITS as usize && state.missing >> at & 1 == 1) {
                return CandidateHealth::ModelMissing;
            }
        }
        state.health
    }

    /// The models that an endpoint serves, in the order of its configuration.
    pub fn served(&self, endpoint: EndpointIndex) -> &[ModelIndex] {
        &self.served[endpoint]
    }

    /// The round trip to each site: the least that any of its endpoints showed. They share the way there; what one shows
    /// beyond it is its server's dither.
    fn site_rtts(&self, endpoints: &[EndpointState]) -> Vec<Option<f64>> {
        let mut out: Vec<Option<f64>> = alloc::vec![None; self.sites.len()];
        for (state, site) in endpoints.iter().zip(&self.endpoint_site) {
            let least = &mut out[*site];
            *least = match (*least, state.rtt.ms()) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        out
    }

    /// Adds up the power of each site, as reported or else as modelled, and integrates its price.
    fn power(&mut self, endpoints: &[EndpointState], now_ms: u64) {
        let dt_s = self.integrated_at_ms.map_or(0.0, |at| age(now_ms, at) / 1_000.0);
        self.integrated_at_ms = Some(now_ms);
        for s in &mut self.sites {
            s.watts = 0.0;
        }
        for (e, state) in EndpointIndex::all().zip(endpoints) {
            let running = state.load.map_or(0.0, |l| l.running).max(state.own_in_flight);
            let modelled =
                || self.perf[e].map_or(0.0, |p| p.watts(if running > 0.0 { 1.0 } else { 0.0 }, running as u32));
            let watts = state.load.and_then(|l| l.watts).unwrap_or_else(modelled);
            self.sites[self.endpoint_site[e]].watts += watts;
        }
        for (site, max) in self.sites.iter_mut().zip(&self.site_watts_max) {
            site.power.integrate(site.watts / max, dt_s);
        }
    }
}

/// Puts candidates in the order of the bills of a middling request, with what is under way there now. Nothing rests on
/// the order but time: a decision that meets the good ones first need not look at the others for long, and where the
/// near are busy the good ones are not the near.
fn best_first(rows: &mut [Row], endpoints: &[EndpointState]) {
    let glancing = BoundInputs::middling();
    let least = |row: &Row| {
        let in_flight = endpoints[row.endpoint].own_in_flight;
        glancing.least_usd(&CompactRow::of(row), &LocalLoad { in_flight, backlog_tokens: 0.0 })
    };
    rows.sort_by_cached_key(|row| Order(least(row)));
}

/// Numbers in their total order.
#[derive(PartialEq)]
struct Order(f64);

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The speed model of an endpoint's model, where its GPU and the model's shape are known. It is worked out once for all
/// endpoints of the same deployment: a large grid has thousands of endpoints and a handful of deployments.
pub fn perf_of(grid: &Grid) -> impl Fn(&Endpoint, &Served) -> Option<Perf> + '_ {
    let known: RefCell<BTreeMap<_, Option<Perf>>> = RefCell::default();
    move |endpoint, served| {
        let model = grid.config.models.iter().find(|m| m.name == served.model)?;
        let gpu = rhumb_engine::gpu(endpoint.gpu.as_deref()?)?;
        let shape = rhumb_engine::shape(model.shape.as_deref().unwrap_or(&model.name))?;
        let bytes = served.quantization.bytes();
        let deployment = (gpu.name, endpoint.gpus, shape.name, bytes.to_bits());
        let perf = || Perf::new(gpu, endpoint.gpus, shape, bytes);
        *known.borrow_mut().entry(deployment).or_insert_with(perf)
    }
}

/// The models that an endpoint serves, by index; one that is not among the grid's has none.
fn served(grid: &Grid, endpoint: &Endpoint) -> Vec<ModelIndex> {
    let index = |s: &Served| {
        grid.config.models.iter().position(|m| m.name == s.model).map_or(ModelIndex(u32::MAX), ModelIndex::new)
    };
    endpoint.models.iter().map(index).collect()
}

fn age(now_ms: u64, at_ms: u64) -> f64 {
    now_ms.saturating_sub(at_ms) as f64
}

fn watts_max(site: &Site) -> f64 {
    site.power_kw.map_or(f64::INFINITY, |kw| kw * 1e3)
}

/// Bytes in the unit that egress is sold by.
const GB: f64 = 1e9;
const JOULES_PER_KWH: f64 = 3.6e6;

fn carbon_usd_per_g(grid: &Grid) -> f64 {
    grid.config.gateway.carbon_usd_per_tonne / 1e6
}

fn configure(row: &mut Row, grid: &Grid, site: &Site, endpoint: &Endpoint, served: &Served) {
    row.country = country(&site.country);
    row.accepts = site.accepts.max(endpoint.accepts);
    row.context_tokens = served.context_tokens;
    row.reserves_answer = matches!(endpoint.engine, EngineKind::Vllm | EngineKind::Sglang);
    row.concurrency = f64::from(endpoint.max_concurrency);
    if let Some(p) = served.price {
        row.input_usd = p.input_usd_per_mtok / 1e6;
        row.cached_usd = p.cached_usd_per_mtok.unwrap_or(p.input_usd_per_mtok) / 1e6;
        row.output_usd = p.output_usd_per_mtok / 1e6;
    }
    row.egress_usd = site.egress_usd_per_gb / GB;
    row.joule_usd = site.energy_usd_per_kwh * site.pue / JOULES_PER_KWH;
    row.carbon_usd = site.carbon_g_per_kwh * site.pue * carbon_usd_per_g(grid) / JOULES_PER_KWH;
    row.site_watts_max = watts_max(site);
    row.rtt_ms = site.rtt_ms.unwrap_or_else(|| match grid.config.gateway.location {
        Some(l) => {
            let at = Location { latitude: site.latitude, longitude: site.longitude };
            estimated_rtt_ms(distance_km(l, at))
        }
        None => UNKNOWN_RTT_MS,
    });
    if endpoint.engine == EngineKind::Generic {
        // It will never report; its age says nothing new, so it starts and stays at what own counts are worth.
        row.load_age_ms = 0.0;
    }
}

/// A round trip before anything is known of it: a continent away.
const UNKNOWN_RTT_MS: f64 = 50.0;

/// Tokens of context assumed when the cost of one more sequence is linearised.
const CONTEXT_TOKENS: f64 = 1_000.0;

/// Time of a prompt token where nothing is known, milliseconds.
const PREFILL_MS: f64 = 0.1;

/// The dynamic fields at their start, and the speeds: those of the model, or middling ones that are soon corrected.
fn prior(perf: Option<Perf>) -> Row {
    let row = Row {
        endpoint: EndpointIndex(0),
        site: SiteIndex(0),
        model: ModelIndex(0),
        country: [0; 2],
        able: Able::default(),
        health: CandidateHealth::Healthy,
        accepts: Accepts::default(),
        context_tokens: 0,
        input_usd: 0.0,
        cached_usd: 0.0,
        output_usd: 0.0,
        egress_usd: 0.0,
        joule_usd: 0.0,
        carbon_usd: 0.0,
        power_usd: 0.0,
        prefill_joules: 0.0,
        step_joules: 0.0,
        prefill_ms: PREFILL_MS,
        step_ms: 20.0,
        step_ms_per_seq: 0.1,
        concurrency: 1.0,
        ttft_correction: 1.0,
        pace_correction: 1.0,
        reported: 0.0,
        own_at_report: 0.0,
        others_tokens: 0.0,
        stalled_ms: 0.0,
        others_per_ms: 0.0,
        unseen_ms: 0.0,
        load_age_ms: NEVER_MS,
        rtt_ms: 0.0,
        rtt_dev_ms: 0.0,
        rtt_age_ms: NEVER_MS,
        site_watts: 0.0,
        site_watts_max: f64::INFINITY,
        seq_watts: 0.0,
        quality: 0.0,
        others_second_usd: 0.0,
        reserves_answer: false,
    };
    let Some(p) = perf else { return row };
    Row {
        prefill_joules: p.joules_per_prefill_token(),
        step_joules: p.joules_per_decode_token(1.0),
        prefill_ms: 1.0 / p.prefill_tokens_per_ms(),
        step_ms: p.decode_base_ms(),
        step_ms_per_seq: p.decode_ms_per_seq(CONTEXT_TOKENS),
        seq_watts: (p.max_watts() - p.idle_watts()) / 128.0,
        ..row
    }
}

#[cfg(test)]
mod tests;
