//! Places that serve, and who runs them.

use alloc::string::{String, ToString as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
