//! Engine servers, and what they serve at which price.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Accepts;

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

/// A dialect in which an endpoint can be asked for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI's chat completions.
    Chat,
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
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
    /// Dialects it speaks. A client of one of them is passed through to it as it is; one of another is translated to chat
    /// completions. What they cannot say goes only where the client's own dialect is spoken.
    #[serde(default = "default_dialects")]
    #[schemars(length(min = 1))]
    pub dialects: Vec<Dialect>,
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

fn default_dialects() -> Vec<Dialect> {
    vec![Dialect::Chat]
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
