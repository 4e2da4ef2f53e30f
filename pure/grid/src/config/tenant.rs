//! Whose requests they are.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Priority, SessionLimits};

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
    /// What each of its sessions may come to, besides the gateway's limits.
    #[serde(default)]
    pub session_limits: SessionLimits,
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
