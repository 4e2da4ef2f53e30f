//! The gateway process itself: where it listens, what it holds, how long it waits.

use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Location, SessionLimits};

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
    /// Days that responses (`/v1/responses`) and conversations are kept for clients that want it (`store`, which they want
    /// unless they say otherwise), and files and batches, in the data folder: prompts and answers stand there as they were.
    /// Not set: nothing is kept, and clients are told so.
    #[schemars(range(min = 1, max = 36_500))]
    pub kept_max_age_days: Option<u32>,
    /// Worker threads; 0 means one for each available core.
    #[schemars(range(max = 1024))]
    pub workers: u32,
    /// Longest request body accepted, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_body_bytes: u64,
    /// Longest time a client may take to send its request, in milliseconds.
    #[schemars(range(min = 100, max = 600_000))]
    pub request_timeout_ms: u64,
    /// How long a client may leave ready output unread before its request is cancelled, in milliseconds.
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
    /// Memory limit, in MiB; the lowest of this, the control group's and that of the address space (`ulimit -v`) applies. Load
    /// is shed above 85 %.
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
    /// What each session may come to, of whichever tenant.
    pub session_limits: SessionLimits,
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
            kept_max_age_days: None,
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
            session_limits: SessionLimits::default(),
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
