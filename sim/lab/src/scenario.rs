//! A scenario: a small file that says which grid, which traffic, what goes wrong, who competes, and what must come out.

use rhumb_baselines::Baseline;
use rhumb_grid::config::{Priority, Quantization};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::figure::within;

/// A scenario file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one line.
    pub about: String,
    /// Where GPUs stand and what they serve.
    pub grid: GridPlan,
    /// Who asks what.
    pub traffic: TrafficPlan,
    /// Whose requests they are. Not stated: nobody's in particular.
    #[serde(default)]
    pub tenants: Vec<TenantPlan>,
    /// How users' programs behave.
    #[serde(default)]
    pub clients: ClientsPlan,
    /// Gateways make a second attempt beside a first that is late, where the policy allows it (`hedge`, which interactive ones
    /// do unless it says otherwise), as live ones do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hedges: bool,
    /// Gateways ask every engine a canary, every half minute unless the configuration says otherwise, as live ones do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canaries: bool,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<FaultPlan>,
    /// How messages travel.
    #[serde(default)]
    pub network: NetworkPlan,
    /// How readings reach gateways.
    #[serde(default)]
    pub telemetry: TelemetryPlan,
    /// What energy costs.
    #[serde(default)]
    pub energy: EnergyPlan,
    /// What time and money are worth to users.
    #[serde(default)]
    pub policy: PolicyPlan,
    /// What routers' parameters are set to; the others have their authors' defaults.
    #[serde(default)]
    pub parameters: Vec<ParameterPlan>,
    /// Who competes, unless the command line says. Not stated: Rhumb and the plain ones, from `single-region` to
    /// `nearest`.
    #[serde(default = "plain_routers")]
    #[schemars(length(min = 1))]
    pub routers: Vec<RouterName>,
    /// What a good answer is: goodput counts these.
    #[serde(default)]
    pub slo: Slo,
    /// The fewest GPUs that are enough for the traffic: searched for by each router, on each seed.
    #[serde(default)]
    pub least_gpus: Option<LeastPlan>,
    /// What must come out.
    #[serde(default)]
    pub pass: Vec<PassPlan>,
}

/// The JSON Schema of a scenario file.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    schema["title"] = "a scenario of rhumb sim".into();
    schema
}

fn plain_routers() -> Vec<RouterName> {
    RouterName::ALL.into_iter().filter(|r| r.baseline().is_none()).collect()
}

/// A setting of a router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterPlan {
    /// Whose.
    pub router: RouterName,
    /// Name of the parameter.
    pub parameter: String,
    /// Its value.
    pub value: f64,
}

/// A router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouterName {
    /// The lowest bill.
    Rhumb,
    /// All GPUs in the one place that is nearest to demand, least requests inside it.
    SingleRegion,
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
    /// Fewest requests of its own in flight.
    LeastRequest,
    /// Of two drawn by chance, the less loaded.
    PowerOfTwo,
    /// The site with the smallest round trip.
    Nearest,
    /// Prequal's hot-cold rule.
    Prequal,
    /// Consistent hashing of sessions with bounded loads.
    SessionAffinity,
    /// llm-d's default mix of scorers.
    LlmD,
    /// SGLang's cache-aware balancer.
    Sglang,
    /// Preble's E2.
    Preble,
    /// LMetric.
    Lmetric,
    /// Dynamo's cost of overlap, with a temperature.
    Dynamo,
    /// SkyWalker: regional, with selective pushing.
    Skywalker,
    /// GORGO: weighted network, prefill and queue.
    Gorgo,
    /// Locality first, as praxis-grid orders its candidates.
    LocalityFirst,
}

impl RouterName {
    /// Every router.
    pub const ALL: [Self; 17] = [
        Self::Rhumb,
        Self::SingleRegion,
        Self::RoundRobin,
        Self::Random,
        Self::LeastRequest,
        Self::PowerOfTwo,
        Self::Nearest,
        Self::Prequal,
        Self::SessionAffinity,
        Self::LlmD,
        Self::Sglang,
        Self::Preble,
        Self::Lmetric,
        Self::Dynamo,
        Self::Skywalker,
        Self::Gorgo,
        Self::LocalityFirst,
    ];

    /// Whose way of choosing it is, where it is neither ours nor a plain one.
    #[must_use]
    pub fn baseline(self) -> Option<Baseline> {
        match self {
            Self::Prequal => Some(Baseline::Prequal),
            Self::SessionAffinity => Some(Baseline::Affinity),
            Self::LlmD => Some(Baseline::LlmD),
            Self::Sglang => Some(Baseline::Sglang),
            Self::Preble => Some(Baseline::Preble),
            Self::Lmetric => Some(Baseline::Lmetric),
            Self::Dynamo => Some(Baseline::Dynamo),
            Self::Skywalker => Some(Baseline::SkyWalker),
            Self::Gorgo => Some(Baseline::Gorgo),
            Self::LocalityFirst => Some(Baseline::Locality),
            _ => None,
        }
    }

    /// Its name in files, on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rhumb => "rhumb",
            Self::SingleRegion => "single-region",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastRequest => "least-request",
            Self::PowerOfTwo => "power-of-two",
            Self::Nearest => "nearest",
            _ => self.baseline().map_or("", Baseline::name),
        }
    }
}

/// Where the list of sites comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SitesFrom {
    /// The grid of `rhumb demo`, with its prices and GPUs; the other keys of `grid` do not apply.
    Demo,
    /// 43 sites of one edge network.
    Akamai,
    /// 32 cloud regions with measured round trips.
    Aws,
    /// The most populous cities of the world, at most 4,400.
    Cities,
    /// A `rhumb.yaml` of one's own, named by `config`: its sites, endpoints and prices. Of the other keys of `grid`, the
    /// scheduler's bounds and `gateways` apply.
    File,
}

/// Where GPUs stand and what they serve.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridPlan {
    /// Where the list of sites comes from.
    pub sites: SitesFrom,
    /// For `sites: file`: the configuration, relative to the scenario.
    #[serde(default)]
    pub config: Option<String>,
    /// Sites taken: spread as evenly over users as so many can be. Not stated: all.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4400))]
    pub count: Option<u32>,
    /// Engines at each site.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub engines_per_site: u32,
    /// GPU types, dealt to the sites in turn.
    #[serde(default = "default_gpus")]
    #[schemars(length(min = 1))]
    pub gpus: Vec<String>,
    /// GPUs of one engine.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub gpus_per_engine: u32,
    /// Model that every engine serves.
    #[serde(default = "default_model")]
    pub model: String,
    /// Number format of its weights.
    #[serde(default = "default_quantization")]
    pub quantization: Quantization,
    /// Most sequences that an engine runs at once.
    #[serde(default = "default_seqs")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_num_seqs: u32,
    /// Most tokens that an engine computes in one step.
    #[serde(default = "default_batched")]
    #[schemars(range(min = 16, max = 262_144))]
    pub max_batched_tokens: u32,
    /// Price of one GPU-hour, USD.
    #[serde(default = "default_gpu_hour")]
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub gpu_hour_usd: f64,
    /// Gateways, at the sites nearest to most users.
    #[serde(default = "default_gateways")]
    #[schemars(range(min = 1, max = 256))]
    pub gateways: u32,
    /// Power envelope of a site, as a share of the board power of its GPUs. Not stated: none.
    #[serde(default)]
    #[schemars(range(min = 0.1, max = 10.0))]
    pub power_share: Option<f64>,
}

fn one() -> u32 {
    1
}

fn default_gpus() -> Vec<String> {
    vec!["rtx-pro-6000".into()]
}

fn default_model() -> String {
    "llama-3.1-8b".into()
}

fn default_quantization() -> Quantization {
    Quantization::Fp8
}

fn default_seqs() -> u32 {
    128
}

fn default_batched() -> u32 {
    2048
}

fn default_gpu_hour() -> f64 {
    1.69
}

fn default_gateways() -> u32 {
    8
}

/// Who asks what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficPlan {
    /// `demo` (the traffic of `rhumb demo`), `poisson`, or a trace: `azure-sample` is built in; `azure-conv`,
    /// `azure-code`, `mooncake`, `agentic`, `servegen-m-large`, `servegen-m-small` and `servegen-mm-image` need the data
    /// folder; anything else is the path of a CSV or JSONL file, relative to the scenario.
    pub workload: String,
    /// For `sites: file`: the model or virtual model that users ask for. Not stated: the first.
    #[serde(default)]
    pub model: Option<String>,
    /// Requests a second. Not stated: what `utilisation` asks for.
    #[serde(default)]
    #[schemars(range(min = 0.001, max = 10_000_000.0))]
    pub rps: Option<f64>,
    /// Share of what all engines can serve that comes, on average.
    #[serde(default = "default_utilisation")]
    #[schemars(range(min = 0.001, max = 10.0))]
    pub utilisation: f64,
    /// Further shares of capacity that each router is run at, for the picture of goodput over load. Not for `demo`.
    #[serde(default)]
    pub loads: Vec<f64>,
    /// Length of the traffic. One of `seconds` and `requests` is needed; with both, what comes first ends it.
    #[serde(default)]
    #[schemars(range(min = 0.1, max = 31_622_400.0))]
    pub seconds: Option<f64>,
    /// Requests at most.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests: Option<u64>,
    /// Where in a trace to begin, seconds.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 31_622_400.0))]
    pub from_s: f64,
    /// Copies of a trace, each shifted by so many hours: as if users of other time zones did the same. Each copy's users
    /// live around gateways of their own, from east to west.
    #[serde(default)]
    pub copies_hours: Vec<f64>,
    /// For `poisson`: mean prompt, tokens.
    #[serde(default = "default_input")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub input_tokens: u32,
    /// For `poisson`: mean answer, tokens.
    #[serde(default = "default_output")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub output_tokens: u32,
    /// For `demo`: demand of the bursting region at its peak, over what its own site can serve.
    #[serde(default = "default_burst")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub burst: f64,
    /// Cities that users live in, the largest first.
    #[serde(default = "default_cities")]
    #[schemars(range(min = 1, max = 4400))]
    pub cities: u32,
}

fn default_utilisation() -> f64 {
    0.6
}

fn default_input() -> u32 {
    1_000
}

fn default_output() -> u32 {
    200
}

fn default_burst() -> f64 {
    1.2
}

fn default_cities() -> u32 {
    300
}

/// A tenant: a stream of requests of its own, the same whatever the others send. Not for `demo`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPlan {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its requests, as a share of what `rps` or `utilisation` says. The shares need not add up to 1.
    #[schemars(range(min = 0.000_001, max = 1000.0))]
    pub share: f64,
    /// Its share of what is served against the other tenants', where requests wait.
    #[serde(default = "one_weight")]
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub weight: f64,
    /// The highest priority its requests may have.
    #[serde(default = "highest")]
    pub highest_priority: Priority,
    /// What time and money are worth to it. Not stated: the scenario's `policy`.
    #[serde(default)]
    pub policy: Option<PolicyPlan>,
    /// What a good answer is to it. Not stated: the scenario's `slo`.
    #[serde(default)]
    pub slo: Option<Slo>,
}

fn one_weight() -> f64 {
    1.0
}

fn highest() -> Priority {
    Priority::Interactive
}

/// How users' programs behave.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientsPlan {
    /// Times that a request is sent again which was refused or failed, as the official SDKs do (they: 2). The request
    /// counts once, from when it was sent first.
    #[schemars(range(min = 0, max = 100))]
    pub retries: u32,
    /// Share of the requests whose client may leave before it has its answer.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub leaving: f64,
    /// After how long those leave, on average, seconds.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub leave_after_s: f64,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// Name of the site.
    pub site: String,
    /// When it begins, seconds since the traffic began.
    #[schemars(range(min = 0.0, max = 31_622_400.0))]
    pub from_s: f64,
    /// When it ends. Not stated: never.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 31_622_400.0))]
    pub until_s: Option<f64>,
    /// What goes wrong.
    pub kind: FaultName,
    /// How bad it is: for `brown-out` and `rtt` the factor, for `errors` and `busy` the share of what comes, for
    /// `lying-telemetry` the requests shown, for `power-cap` the share left.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub by: Option<f64>,
    /// For `partition`: the gateway cut off. Not stated: all.
    #[serde(default)]
    pub gateway: Option<String>,
    /// The fault comes and goes: up and down for so many seconds each.
    #[serde(default)]
    #[schemars(range(min = 0.1, max = 86_400.0))]
    pub flapping_s: Option<f64>,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultName {
    /// New work is refused; what runs goes on.
    Refuse,
    /// Engines die with what they run and hold.
    SiteLoss,
    /// Requests are taken and never answered.
    BlackHole,
    /// Requests are answered with an error at once.
    Errors,
    /// Requests are told at once that the site is busy.
    Busy,
    /// Engines stop in the middle of a step and go on afterwards.
    Freeze,
    /// Steps take longer.
    BrownOut,
    /// Round trips take longer.
    Rtt,
    /// Nothing passes between the site and one gateway, or all.
    Partition,
    /// Requests are answered in time, and wrongly.
    WrongAnswers,
    /// Readings stay what they were.
    StaleTelemetry,
    /// Readings show a number of requests, whatever runs.
    LyingTelemetry,
    /// The power envelope shrinks.
    PowerCap,
}

/// How messages travel.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkPlan {
    /// Mean of the exponential tail of a delay, as a share of it.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub jitter: f64,
    /// Most that one way is longer than the other, as a share of the round trip.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub asymmetry: f64,
    /// Round trips between the one gateway and each site, ms, in the order of the sites. Not stated: as measured between
    /// cloud regions, or as distance and the routes of similar length make them.
    #[schemars(inner(range(min = 0.1, max = 60_000.0)))]
    pub rtt_ms: Vec<f64>,
}

impl Default for NetworkPlan {
    fn default() -> Self {
        let jitter = rhumb_world::Jitter::default();
        Self { jitter: jitter.share, asymmetry: jitter.asymmetry, rtt_ms: Vec::new() }
    }
}

/// How readings reach gateways.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryPlan {
    /// Period of the readings of load, ms.
    #[schemars(range(min = 10, max = 600_000))]
    pub scrape_ms: u64,
    /// Period of the round-trip probes, ms.
    #[schemars(range(min = 10, max = 600_000))]
    pub probe_ms: u64,
    /// Period of the views that decisions are made on, ms.
    #[schemars(range(min = 10, max = 600_000))]
    pub publish_ms: u64,
    /// Delay of a reading on top of the network's, ms.
    #[schemars(range(min = 0, max = 600_000))]
    pub delay_ms: u64,
    /// Share of the readings that get lost.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub loss: f64,
}

impl Default for TelemetryPlan {
    fn default() -> Self {
        let t = rhumb_world::Telemetry::default();
        Self {
            scrape_ms: t.scrape_us / 1_000,
            probe_ms: t.probe_us / 1_000,
            publish_ms: t.publish_us / 1_000,
            delay_ms: t.delay_us / 1_000,
            loss: t.loss,
        }
    }
}

/// What energy costs and emits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnergyPlan {
    /// Hourly prices and carbon of 2024 of the nearest zone instead of one figure (needs the data folder).
    pub hourly: bool,
    /// Hour of that year (UTC) at which the traffic begins.
    #[schemars(range(min = 0, max = 8783))]
    pub start_hour: u32,
    /// Price of electricity where hours are not used, USD per kWh.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub usd_per_kwh: f64,
    /// Carbon intensity where hours are not used, grams of CO2e per kWh.
    #[schemars(range(min = 0.0, max = 5000.0))]
    pub carbon_g_per_kwh: f64,
    /// Price of emitted carbon dioxide, USD per tonne.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub carbon_usd_per_tonne: f64,
}

impl Default for EnergyPlan {
    fn default() -> Self {
        Self { hourly: false, start_hour: 0, usd_per_kwh: 0.08, carbon_g_per_kwh: 300.0, carbon_usd_per_tonne: 0.0 }
    }
}

/// What time and money are worth; what is not stated comes from the preset.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyPlan {
    /// The preset.
    pub preset: rhumb_grid::config::Preset,
    /// What one second of a waiting person is worth, USD.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub second_usd: Option<f64>,
    /// What missing the objective for the time to first token (`slo.ttft_ms`) costs, USD.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub miss_usd: Option<f64>,
    /// Pace at which a reader keeps up, milliseconds per token.
    #[schemars(range(min = 0.1, max = 60_000.0))]
    pub reading_pace_ms: Option<f64>,
    /// Longest wait for the first token before the next target is tried, ms.
    #[schemars(range(min = 10, max = 3_600_000))]
    pub first_token_timeout_ms: Option<u64>,
    /// Targets tried for one request.
    #[schemars(range(min = 1, max = 16))]
    pub max_attempts: Option<u32>,
    /// How urgent requests are.
    pub priority: Option<Priority>,
    /// Longest wait at a gateway for an endpoint with room, ms.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub max_wait_ms: Option<u64>,
}

/// What a good answer is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slo {
    /// Longest time to first token, ms.
    #[schemars(range(min = 1.0, max = 3_600_000.0))]
    pub ttft_ms: f64,
    /// Longest time per output token after it, ms.
    #[schemars(range(min = 0.1, max = 60_000.0))]
    pub tpot_ms: f64,
}

impl Default for Slo {
    fn default() -> Self {
        Self { ttft_ms: 500.0, tpot_ms: 100.0 }
    }
}

/// A search for the fewest GPUs that are enough. The traffic stays what it is on the grid's own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeastPlan {
    /// Engines at each site: the fewest and the most that are tried.
    #[schemars(inner(range(min = 1, max = 1024)))]
    pub engines_per_site: [u32; 2],
    /// What says that they are enough: a path into the router's report, as `ttft_attainment`.
    pub metric: String,
    /// It is at most this.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// It is at least this.
    #[serde(default)]
    pub at_least: Option<f64>,
}

impl LeastPlan {
    /// Whether a value of the metric says that the GPUs are enough.
    pub(crate) fn holds(&self, value: f64) -> bool {
        within(value, self.at_least, self.at_most)
    }
}

/// A line of the pass conditions: a metric of one router, against a figure or against another router.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassPlan {
    /// Whose.
    #[serde(default = "rhumb")]
    pub router: RouterName,
    /// What: a path into the router's report, as `ttft_ms.p95`, `lost` or `usd_per_mtok.metered`.
    pub metric: String,
    /// The metric may be at most this, or this many times the other router's.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// The metric must be at least this, or this many times the other router's.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The other router. Not stated: the figure itself counts.
    #[serde(default)]
    pub of: Option<RouterName>,
}

fn rhumb() -> RouterName {
    RouterName::Rhumb
}
