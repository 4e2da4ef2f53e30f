//! The types of `rhumb.yaml`, declared once.
//!
//! The JSON Schema, the structural check, the reference page and the parsed value all come from these types. Every
//! number carries its unit in its name; money is US dollars, 64-bit floats.

use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod endpoint;
mod gateway;
mod model;
mod policy;
mod session_limits;
mod site;
mod tenant;

pub use endpoint::{Dialect, Endpoint, EngineKind, Price, Quantization, Served};
pub use gateway::{Gateway, ListenTls, Router};
pub use model::{Canary, Model, VirtualModel};
pub use policy::{EngineErrors, Policy, Preset, Priority};
pub use session_limits::SessionLimits;
pub use site::{Accepts, Location, Operator, Site};
pub use tenant::{Key, Tenant};

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
