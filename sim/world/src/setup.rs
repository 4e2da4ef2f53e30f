//! What a simulated grid is made of.

use rhumb_baselines::Baseline;
use rhumb_core::failover::Failed;
use rhumb_engine::{Limits, Perf};
use rhumb_flow::blame::Failure;
use rhumb_flow::patience::is_long;
use rhumb_grid::config::{Location, Router};
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use rhumb_grid::service::Service;
use rhumb_rng::{hash, label, unit};
use rhumb_route::decide::Target;

/// A grid to be simulated under one router.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Sites, endpoints, models and prices, the same for every gateway but for where it stands.
    pub grid: Grid,
    /// How targets are chosen.
    pub choosing: Choosing,
    /// The policy of every request that belongs to no tenant.
    pub rates: Rates,
    /// What its requests may ask of a gateway.
    pub service: Service,
    /// Whose requests they are; empty where all are nobody's in particular.
    pub tenants: Vec<Tenant>,
    /// How those who ask behave.
    pub clients: Clients,
    /// Gateways make a second attempt beside a first that is late, where the policy of its request allows it.
    pub hedges: bool,
    /// Gateways ask every engine a canary as often as their configuration says.
    pub canaries: bool,
    /// Where users enter.
    pub gateways: Vec<GatewayAt>,
    /// Where users are.
    pub places: Vec<Place>,
    /// Base round trip between gateways and sites, by gateway, then site.
    pub rtt_ms: Vec<f64>,
    /// The engine behind each endpoint of the grid.
    pub engines: Vec<EngineSpec>,
    /// The models that each name in use stands for; [`crate::Arrival::name`] is a place in this list.
    pub names: Vec<Vec<ModelIndex>>,
    /// How messages are delayed beyond the base.
    pub jitter: Jitter,
    /// How readings reach gateways.
    pub telemetry: Telemetry,
    /// What goes wrong and when.
    pub faults: Vec<Fault>,
    /// What energy costs and emits by the hour, for each site; empty where the configuration's figures hold all along.
    pub energy: Vec<Vec<Energy>>,
    /// Decides every draw of the world.
    pub seed: u64,
}

impl Setup {
    /// What holds for the requests of a tenant.
    pub(crate) fn terms(&self, tenant: u32) -> (&Rates, &Service, f64) {
        match self.tenants.get(tenant as usize) {
            Some(t) => (&t.rates, &t.service, t.weight),
            None => (&self.rates, &self.service, 1.0),
        }
    }

    /// A failed attempt at a target as its gateway sees it.
    pub(crate) fn failed(&self, tenant: u32, target: &Target, fail: Option<Failed>) -> Failed {
        let granted_ms = self.terms(tenant).0.first_token_timeout_ms;
        let is_long = is_long(granted_ms, target.predicted.begins_ms() - target.predicted.stalled_ms);
        Failed { is_long, ..fail.unwrap_or(Failure::Other.into()) }
    }
}

/// How targets are chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Choosing {
    /// By the router's own code.
    Router(Router),
    /// As somebody else would, with these values of the parameters.
    Baseline(Baseline, Vec<f64>),
}

impl From<Router> for Choosing {
    fn from(router: Router) -> Self {
        Self::Router(router)
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// The policy of its requests.
    pub rates: Rates,
    /// What they may ask of a gateway, no more urgent than the tenant's requests may be.
    pub service: Service,
    /// Its share against the others' where requests wait.
    pub weight: f64,
}

/// How those who ask behave.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Clients {
    /// Times that a client sends a request again which was refused or failed, as the official SDKs do.
    pub retries: u32,
    /// Share of the requests whose client may leave before it has its answer.
    pub leaving: f64,
    /// One client's requests that engines fail on.
    pub poison: Option<Poison>,
    /// After how long those leave, on average, µs.
    pub leave_after_us: f64,
}

/// Requests that engines fail on, whatever they do for others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Poison {
    /// Whose they are.
    pub tenant: u32,
    /// Share of that tenant's requests.
    pub share: f64,
    /// How engines fail on them.
    pub failure: Failure,
    /// An engine that serves them all the same.
    pub served_by: Option<EndpointIndex>,
}

impl Poison {
    /// An engine fails on this request of a tenant.
    pub(crate) fn hits(&self, seed: u64, tenant: u32, request: u64, endpoint: EndpointIndex) -> bool {
        tenant == self.tenant
            && self.served_by != Some(endpoint)
            && unit(hash(hash(seed, label("poison")), request)) < self.share
    }
}

/// A gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayAt {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Location,
}

/// A place users ask from.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The gateway they enter at.
    pub gateway: u32,
    /// Round trip between a user there and the gateway.
    pub rtt_ms: f64,
}

/// The engine behind an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineSpec {
    /// Its speed, memory and power.
    pub perf: Perf,
    /// Its scheduler's bounds.
    pub limits: Limits,
}

/// Delay beyond the base round trip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter {
    /// Mean of the exponential tail, as a share of the base delay.
    pub share: f64,
    /// Most that one way can be longer than the other, as a share of the round trip.
    pub asymmetry: f64,
}

impl Default for Jitter {
    /// A tail of 2 % and an asymmetry of up to 5 %: the AWS matrix shows direction differences of 1.3 ms at the median
    /// and 7 ms at the 95th percentile.
    fn default() -> Self {
        Self { share: 0.02, asymmetry: 0.05 }
    }
}

/// How readings reach gateways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Telemetry {
    /// Period of the readings of load, µs.
    pub scrape_us: u64,
    /// Period of the round-trip probes, µs.
    pub probe_us: u64,
    /// Period of the views, µs.
    pub publish_us: u64,
    /// Delay of a reading on top of the network's, µs.
    pub delay_us: u64,
    /// Share of the readings that get lost.
    pub loss: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { scrape_us: 500_000, probe_us: 1_000_000, publish_us: 100_000, delay_us: 0, loss: 0.0 }
    }
}

/// What energy costs and emits at a site during one hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy {
    /// Price of electricity, USD per kWh.
    pub usd_per_kwh: f64,
    /// Carbon intensity, grams of CO2e per kWh.
    pub carbon_g_per_kwh: f64,
}

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// When it begins, µs.
    pub from_us: u64,
    /// When it ends, µs.
    pub until_us: u64,
    /// Where.
    pub site: SiteIndex,
    /// The endpoints there that it strikes, from the first up to but not with the last; all where nothing is stated.
    /// What strikes the network, readings or power strikes the whole site.
    pub endpoints: Option<(EndpointIndex, EndpointIndex)>,
    /// What.
    pub kind: FaultKind,
}

impl Fault {
    /// Whether it strikes an endpoint of a site.
    pub(crate) fn strikes(&self, endpoint: EndpointIndex, site: SiteIndex) -> bool {
        site == self.site && self.endpoints.is_none_or(|(from, to)| (from..to).contains(&endpoint))
    }
}

/// What goes wrong at a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultKind {
    /// Its engines refuse new work; what runs goes on to its end.
    Refuse,
    /// Its engines die: what runs is lost, and so are their caches.
    Loss,
    /// It takes requests and never answers.
    BlackHole,
    /// Its engines answer this share of what comes with an error at once.
    Errors(f64),
    /// Its engines tell this share of what comes at once that they are busy.
    Busy(f64),
    /// Its engines stop in the middle of a step: what runs stalls and goes on when it is over.
    Freeze,
    /// Every step takes this many times as long.
    BrownOut(f64),
    /// Every round trip takes this many times as long.
    Rtt(f64),
    /// Nothing passes between it and one gateway, or any.
    Partition(Option<u32>),
    /// Its engines answer in time, and wrongly.
    WrongAnswers,
    /// Its readings stay what they were.
    StaleTelemetry,
    /// Its readings show this many requests, whatever runs.
    LyingTelemetry(f64),
    /// Its power envelope shrinks to this share.
    PowerCap(f64),
}
