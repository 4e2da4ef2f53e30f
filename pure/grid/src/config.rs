//! The types of `rhumb.yaml`, declared once.
//!
//! The JSON Schema, the structural check, the reference page and the parsed value all come from these types. Every
//! number carries its unit in its name; money is US dollars, 64-bit floats.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole `rhumb.yaml`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This gateway: where it listens, where it stands and what it keeps.
    #[serde(default)]
    pub gateway: Gateway,
    /// Who owns the sites.
    #[serde(default)]
    pub operators: Vec<Operator>,
    /// Places with GPUs.
    #[schemars(length(min = 1))]
    pub sites: Vec<Site>,
    /// Models as clients name them.
    #[schemars(length(min = 1))]
    pub models: Vec<Model>,
    /// Names that stand for several models.
    #[serde(default)]
    pub virtual_models: Vec<VirtualModel>,
    /// Inference servers at the sites.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<Endpoint>,
    /// Named exchange rates; the presets `interactive`, `balanced`, `economy`, `batch`, `closest` and `fastest` always
    /// exist.
    #[serde(default)]
    pub policies: Vec<Policy>,
    /// Who pays and is limited. With no tenant the gateway is open to whoever can reach it.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
}

/// The gateway process itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Address of the data plane, HTTP/1.1 and h2c.
    pub listen: String,
    /// Address of the admin API (`rhumb explain --admin`). It has no authentication yet: keep it on loopback.
    pub admin_listen: String,
    /// Certificate of the data plane: with it, clients speak TLS, HTTP/2 or HTTP/1.1 as they choose.
    pub tls: Option<ListenTls>,
    /// Certificate of the admin API.
    pub admin_tls: Option<ListenTls>,
    /// More host names that the admin API answers to. It answers to the address it listens on (on every interface: to any
    /// address), to `localhost` and to loopback addresses; another name could be one that a foreign page has made lead here.
    pub admin_hosts: Vec<String>,
    /// Origins whose pages may use the data plane from a browser, each `https://HOST` or `https://HOST:PORT` as the browser
    /// sends it, or `*` for any. None: no page may.
    pub cors_origins: Vec<String>,
    /// Where the gateway stands; the estimate of a site's round trip before its first probe comes from it.
    pub location: Option<Location>,
    /// Folder of the decision and usage log; no other gateway may use it.
    pub data_dir: String,
    /// Days that a row of the log is kept; 0: for ever.
    #[schemars(range(max = 36_500))]
    pub log_max_age_days: u32,
    /// Size of the log at which its oldest rows are left out, in MiB; 0: without limit.
    #[schemars(range(max = 1_073_741_824))]
    pub log_max_mb: u64,
    /// Worker threads; 0 means one for each available core.
    #[schemars(range(max = 1024))]
    pub workers: u32,
    /// Longest request body accepted, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_body_bytes: u64,
    /// Longest time a client may take to send its request, in milliseconds.
    #[schemars(range(min = 100, max = 600_000))]
    pub request_timeout_ms: u64,
    /// Longest time a client may take nothing of what is ready for it, in milliseconds; then its request is cancelled.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub client_stall_ms: u64,
    /// Period of the metric scrapes, in milliseconds.
    #[schemars(range(min = 50, max = 600_000))]
    pub scrape_interval_ms: u64,
    /// Period of the round-trip probes, in milliseconds.
    #[schemars(range(min = 50, max = 600_000))]
    pub probe_interval_ms: u64,
    /// Period in which each endpoint is asked which models it serves, in milliseconds.
    #[schemars(range(min = 50, max = 86_400_000))]
    pub model_list_interval_ms: u64,
    /// Period in which each endpoint is asked the canaries of its models, in milliseconds.
    #[schemars(range(min = 50, max = 86_400_000))]
    pub canary_interval_ms: u64,
    /// Holds what an endpoint could only queue at the router, where it can still go elsewhere, be preempted and leave.
    pub hold: bool,
    /// Requests of one priority that may wait for a free endpoint.
    #[schemars(range(max = 1_000_000))]
    pub max_queue: u32,
    /// Servers that are asked for the addresses of endpoints, each `ADDRESS:PORT`; none: those of the system.
    pub dns_servers: Vec<String>,
    /// Memory that the gateway may take, in MiB, if its control group and the limit of its address space (`ulimit -v`)
    /// allow no less. From 85 % on it turns requests away.
    #[schemars(range(min = 16, max = 16_777_216))]
    pub max_memory_mb: Option<u64>,
    /// Bodies of requests that are read or wait, and of plain answers until they are sent, in MiB together; default: a
    /// quarter of the memory it may take, or 1,024
    /// where that is not limited.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub max_held_mb: Option<u64>,
    /// Connections of clients at once; default: half of what the limit of descriptors leaves, since each may need one
    /// more towards an endpoint.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub max_connections: Option<u32>,
    /// Policy of requests that no tenant or header gives one.
    pub policy: String,
    /// How targets are chosen: `rhumb`, or a baseline to compare with.
    pub router: Router,
    /// Price of emitted carbon dioxide, USD per tonne; 0 turns the line off.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub carbon_usd_per_tonne: f64,
    /// Keeps the prompt caches of engines apart by tenant (`cache_salt`, to vLLM and SGLang), so that neither time nor
    /// `cached_tokens` tells one tenant what another has asked. Only where tenants are configured.
    pub cache_salt: bool,
    /// What the salts are made from; write `${NAME}` to take it from the environment. Default: a random one in the data
    /// folder. Gateways in front of the same engines share caches only where they share this.
    pub cache_salt_secret: Option<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            admin_listen: "127.0.0.1:9080".into(),
            tls: None,
            admin_tls: None,
            admin_hosts: Vec::new(),
            cors_origins: Vec::new(),
            location: None,
            data_dir: "rhumb-data".into(),
            log_max_age_days: 30,
            log_max_mb: 10_240,
            workers: 0,
            max_body_bytes: 32 << 20,
            request_timeout_ms: 30_000,
            client_stall_ms: 30_000,
            scrape_interval_ms: 1_000,
            probe_interval_ms: 5_000,
            model_list_interval_ms: 300_000,
            canary_interval_ms: 30_000,
            hold: true,
            max_queue: 10_000,
            dns_servers: Vec::new(),
            max_memory_mb: None,
            max_held_mb: None,
            max_connections: None,
            policy: "balanced".into(),
            router: Router::Rhumb,
            carbon_usd_per_tonne: 0.0,
            cache_salt: true,
            cache_salt_secret: None,
        }
    }
}

/// Certificate of a listener. Files that change are read anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenTls {
    /// File (PEM) of the certificate and those that lead to its authority.
    pub cert_file: String,
    /// File (PEM) of its private key.
    pub key_file: String,
}

/// A way of choosing targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Router {
    /// The lowest bill.
    Rhumb,
    /// In turn over the endpoints that can serve.
    RoundRobin,
    /// The site with the smallest round trip; least requests inside it.
    Nearest,
    /// Fewest requests in flight, wherever.
    LeastRequest,
    /// By chance over the endpoints that can serve.
    Random,
    /// Of two drawn by chance, the one with fewer requests running and waiting.
    PowerOfTwo,
}

/// How urgent a request is: while the more urgent wait, the less urgent do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// A person waits.
    Interactive,
    /// A program waits, or a person who can.
    Standard,
    /// Nobody waits.
    Batch,
}

impl Priority {
    /// Every priority with its name, the most urgent first.
    pub const ALL: [(&'static str, Priority); Self::COUNT] =
        [("interactive", Self::Interactive), ("standard", Self::Standard), ("batch", Self::Batch)];

    /// How many there are.
    pub const COUNT: usize = 3;

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// The priority of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }
}

/// Which requests a site or an endpoint takes: an operator drains it step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accepts {
    /// All.
    #[default]
    NewAndExisting,
    /// Those of sessions that are pinned there; new sessions go elsewhere.
    ExistingOnly,
    /// None; those in flight end.
    None,
}

impl Accepts {
    /// Every state with its name, the most open first.
    pub const ALL: [(&'static str, Accepts); 3] =
        [("new_and_existing", Self::NewAndExisting), ("existing_only", Self::ExistingOnly), ("none", Self::None)];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// The state of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
    }
}

/// A point on the Earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Degrees north.
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: f64,
    /// Degrees east.
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: f64,
}

/// Who owns sites.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Unique name.
    pub name: String,
}

/// One place with GPUs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Unique name; clients see it in `x-rhumb-site`.
    pub name: String,
    /// Name of its operator.
    pub operator: String,
    /// City, for people.
    #[serde(default)]
    pub city: String,
    /// ISO 3166-1 alpha-2 code; residency rules compare it.
    #[schemars(regex(pattern = r"^[A-Z]{2}$"))]
    pub country: String,
    /// Degrees north.
    #[schemars(range(min = -90.0, max = 90.0))]
    pub latitude: f64,
    /// Degrees east.
    #[schemars(range(min = -180.0, max = 180.0))]
    pub longitude: f64,
    /// Electrical power of all its GPUs together, in kW, that must not be exceeded. Not stated: no gate.
    #[serde(default)]
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub power_kw: Option<f64>,
    /// Power usage effectiveness: facility power over IT power.
    #[serde(default = "default_pue")]
    #[schemars(range(min = 1.0, max = 5.0))]
    pub pue: f64,
    /// Price of electricity, USD per kWh.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub energy_usd_per_kwh: f64,
    /// Grid carbon intensity, grams of CO2e per kWh.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 5_000.0))]
    pub carbon_g_per_kwh: f64,
    /// Price of traffic leaving the site, USD per GB.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub egress_usd_per_gb: f64,
    /// Round trip from this gateway, in milliseconds, used until a probe has measured it.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub rtt_ms: Option<f64>,
    /// Which requests its endpoints take; `rhumb drain` may narrow it while the gateway runs.
    #[serde(default)]
    pub accepts: Accepts,
}

fn default_pue() -> f64 {
    1.3
}

/// Weights as clients name them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Unique name; what a client writes in `model`.
    pub name: String,
    /// Other names for the same weights.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Shape used by the performance model, one of those `rhumb engine --list` prints; default: the model's own name.
    #[serde(default)]
    pub shape: Option<String>,
    /// Share of answers that are good enough, 0 to 1, from an evaluation you trust (say, MMLU accuracy).
    #[serde(default = "default_quality")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: f64,
    /// Accepts images.
    #[serde(default)]
    pub vision: bool,
    /// Accepts audio.
    #[serde(default)]
    pub audio: bool,
    /// Supports tool calls and guided output.
    #[serde(default = "yes")]
    pub tools: bool,
    /// Answers `/v1/embeddings` instead of generating text.
    #[serde(default)]
    pub embedding: bool,
    /// A question with a known answer that every endpoint of the model is asked now and then.
    #[serde(default)]
    pub canary: Option<Canary>,
}

/// A question whose answer is known. An endpoint that answers it wrongly is sent nothing until it answers it rightly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The question, asked at temperature 0.
    pub prompt: String,
    /// What the answer must hold, upper and lower case alike.
    pub contains: String,
    /// Longest answer, in tokens.
    #[serde(default = "default_canary_tokens")]
    #[schemars(range(min = 1, max = 4_096))]
    pub max_tokens: u32,
}

fn default_canary_tokens() -> u32 {
    16
}

fn default_quality() -> f64 {
    0.7
}

fn yes() -> bool {
    true
}

/// A name that stands for several models; the bill chooses among them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VirtualModel {
    /// Unique name; what a client writes in `model`.
    pub name: String,
    /// Names of models.
    #[schemars(length(min = 1))]
    pub models: Vec<String>,
}

/// The server software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// llama.cpp's `llama-server`.
    LlamaCpp,
    /// Anything else that speaks the OpenAI API; only the gateway's own counts are known of it.
    Generic,
}

/// One inference server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Unique name; clients see it in `x-rhumb-endpoint`.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// Base URL, `http://HOST:PORT` or `https://HOST`, with the path of its API. `/v1` is added unless the path names a
    /// version (`/v1`, `/api/paas/v4`), a deployment, or ends in `/chat/completions`. A query is sent with every request.
    pub url: String,
    /// Server software.
    #[serde(default = "default_engine")]
    pub engine: EngineKind,
    /// GPU type, one of those `rhumb engine --list` prints; the first estimate of its speed comes from it.
    #[serde(default)]
    pub gpu: Option<String>,
    /// GPUs of this server together.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub gpus: u32,
    /// Requests it can run at once before they queue.
    #[serde(default = "default_max_concurrency")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_concurrency: u32,
    /// Secret sent as `authorization: Bearer`; write `${NAME}` to take it from the environment.
    #[serde(default)]
    pub api_key: Option<String>,
    /// Name of the header that carries `api_key` alone, without `Bearer`, say `api-key`.
    #[serde(default)]
    pub api_key_header: Option<String>,
    /// More headers of every request to it, by name; write `${NAME}` to take a secret from the environment.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// File (PEM) of the authorities that its certificate has to be from, instead of those that the machine trusts.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// File (PEM) of the certificate that is shown to it, with `client_key_file`.
    #[serde(default)]
    pub client_cert_file: Option<String>,
    /// File (PEM) of the private key of `client_cert_file`.
    #[serde(default)]
    pub client_key_file: Option<String>,
    /// Name that its certificate has to be for, instead of the host of `url`.
    #[serde(default)]
    pub tls_server_name: Option<String>,
    /// Price of one GPU-hour, USD: the capacity is committed and only marginal energy and congestion are billed. The
    /// list price for reports follows from `planned_utilisation`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub gpu_hour_usd: Option<f64>,
    /// Share of its capacity that a committed endpoint is planned to sell, 0.01 to 1.
    #[serde(default = "default_planned_utilisation")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub planned_utilisation: f64,
    /// Which requests it takes; `rhumb drain` may narrow it while the gateway runs.
    #[serde(default)]
    pub accepts: Accepts,
    /// Parameters of a request's body that steer the engine itself and that clients may set here all the same, as
    /// `priority` or `lora_path`. Those that are not named are cut out of requests.
    #[serde(default)]
    pub allow_params: Vec<String>,
    /// Models it serves.
    #[schemars(length(min = 1))]
    pub models: Vec<Served>,
}

fn default_engine() -> EngineKind {
    EngineKind::Generic
}

fn one() -> u32 {
    1
}

fn default_max_concurrency() -> u32 {
    128
}

fn default_planned_utilisation() -> f64 {
    0.5
}

/// A model as one endpoint serves it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Name of a model.
    pub model: String,
    /// Name the endpoint knows it by; default: the model's own.
    #[serde(default)]
    pub served_as: Option<String>,
    /// Revision of the weights.
    #[serde(default)]
    pub revision: String,
    /// Quantisation of the weights.
    #[serde(default)]
    pub quantization: Quantization,
    /// Longest prompt plus answer, in tokens. Say what the engine was started with: requests that may be longer go elsewhere
    /// if they can, and those that are longer by any count are refused here.
    #[serde(default = "default_context")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub context_tokens: u32,
    /// Price per token; without it, and without `gpu_hour_usd`, tokens cost nothing.
    #[serde(default)]
    pub price: Option<Price>,
}

fn default_context() -> u32 {
    131_072
}

/// Number format of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// 32-bit floats.
    Fp32,
    /// 16-bit brain floats.
    #[default]
    Bf16,
    /// 8-bit floats.
    Fp8,
    /// 8-bit integers.
    Int8,
    /// 4-bit integers or floats.
    Int4,
}

impl Quantization {
    /// Bytes of one weight.
    pub fn bytes(self) -> f64 {
        match self {
            Self::Fp32 => 4.0,
            Self::Bf16 => 2.0,
            Self::Fp8 | Self::Int8 => 1.0,
            Self::Int4 => 0.5,
        }
    }
}

/// A metered price, USD per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Uncached prompt tokens.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub input_usd_per_mtok: f64,
    /// Prompt tokens found in the cache; default: the input price.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub cached_usd_per_mtok: Option<f64>,
    /// Generated tokens.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub output_usd_per_mtok: f64,
}

/// A set of exchange rates. What is not stated comes from the preset.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Unique name; clients may ask for it with `x-rhumb-policy`.
    pub name: String,
    /// Where the values that are not stated come from.
    #[serde(default)]
    pub preset: Preset,
    /// What one second of a waiting person is worth, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub second_usd: Option<f64>,
    /// Objective for the time to first token, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 1.0, max = 3_600_000.0))]
    pub ttft_slo_ms: Option<f64>,
    /// What missing that objective costs, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub miss_usd: Option<f64>,
    /// Pace at which a reader keeps up, milliseconds per token; slower generation is billed.
    #[serde(default)]
    #[schemars(range(min = 0.1, max = 60_000.0))]
    pub reading_pace_ms: Option<f64>,
    /// Quality wanted of the model, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: Option<f64>,
    /// What a shortfall of 1.0 in quality costs, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub quality_usd: Option<f64>,
    /// What moving a session away from its pin must save besides the lost cache, USD.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub switch_usd: Option<f64>,
    /// Longest wait for the first content before the next target is tried, in milliseconds. Where the prompt is predicted
    /// to take a good part of that, the wait is six times the prediction; each sign that the endpoint is at work (its
    /// response head, a comment, a role) extends it, four times at most.
    #[serde(default)]
    #[schemars(range(min = 10, max = 3_600_000))]
    pub first_token_timeout_ms: Option<u64>,
    /// Longest pause between two pieces of an answer, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 10, max = 3_600_000))]
    pub idle_timeout_ms: Option<u64>,
    /// How urgent its requests are unless they say otherwise (`x-rhumb-priority`, `service_tier`).
    #[serde(default)]
    pub priority: Option<Priority>,
    /// Longest wait at the router for a free endpoint, in milliseconds; then the client is rejected with Retry-After.
    #[serde(default)]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub max_wait_ms: Option<u64>,
    /// Most choices (`n`, `best_of`) that one request may ask for, those of all prompts of a list together. Default: 128
    /// for one prompt, 512 for a list.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_024))]
    pub max_choices: Option<u64>,
    /// Most tokens that one answer may be asked to have, under whatever name (`max_tokens`, `n_predict`, `min_tokens`, …). An
    /// answer that is asked no length gets this one.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_answer_tokens: Option<u64>,
    /// Targets tried for one request, the first included.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16))]
    pub max_attempts: Option<u32>,
    /// Ask a second target when the first is late for its first content, and take whichever begins first. Default: true
    /// under the presets `interactive` and `fastest`, where a person waits, else false.
    #[serde(default)]
    pub hedge: Option<bool>,
    /// A client that streams is sent a comment when it has waited so long for the first content, and again each time, so
    /// that no proxy in between gives the connection up; 0: never. Default: 10,000.
    #[serde(default)]
    #[schemars(range(max = 3_600_000))]
    pub keep_alive_ms: Option<u64>,
    /// How much clients see of an engine's refusal of their request (4xx). Default: `pass`.
    #[serde(default)]
    pub engine_errors: Option<EngineErrors>,
    /// Countries the request may be served in; empty means anywhere.
    #[serde(default)]
    pub countries: Vec<String>,
}

/// How much clients see of an engine's refusal of their request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineErrors {
    /// Its status, code, field and words, without addresses, files and credentials.
    Pass,
    /// Its status, code and field.
    Map,
    /// That it was refused.
    Hide,
}

/// A named starting point for a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A person waits for every token.
    Interactive,
    /// Speed and money weigh alike.
    #[default]
    Balanced,
    /// Money weighs most.
    Economy,
    /// Nobody waits.
    Batch,
    /// The network leg weighs most.
    Closest,
    /// Only time counts.
    Fastest,
}

impl Preset {
    /// Every preset with the name clients use.
    pub const ALL: [(&'static str, Preset); 6] = [
        ("interactive", Preset::Interactive),
        ("balanced", Preset::Balanced),
        ("economy", Preset::Economy),
        ("batch", Preset::Batch),
        ("closest", Preset::Closest),
        ("fastest", Preset::Fastest),
    ];
}

/// Who pays and is limited.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Unique name.
    pub name: String,
    /// Credentials.
    #[schemars(length(min = 1))]
    pub keys: Vec<Key>,
    /// Its policy; default: the gateway's.
    #[serde(default)]
    pub policy: Option<String>,
    /// Policies it may ask for with `x-rhumb-policy`, besides its own; empty means any preset.
    #[serde(default)]
    pub allow_policies: Vec<String>,
    /// Models it may use, virtual ones included; empty means all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Countries its requests may be served in; empty means anywhere.
    #[serde(default)]
    pub countries: Vec<String>,
    /// Its share against the other tenants' when requests have to wait.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0.001, max = 1_000.0))]
    pub weight: f64,
    /// The highest priority its requests may have.
    #[serde(default = "default_highest_priority")]
    pub highest_priority: Priority,
}

fn default_weight() -> f64 {
    1.0
}

fn default_highest_priority() -> Priority {
    Priority::Interactive
}

/// A credential. Exactly one of `key` and `sha256` is stated.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Name, for logs; never the secret.
    pub name: String,
    /// The secret; write `${NAME}` to take it from the environment.
    #[serde(default)]
    pub key: Option<String>,
    /// SHA-256 of the secret, in hexadecimal, so that the file holds no secret.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}
