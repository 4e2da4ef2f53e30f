//! The configuration of a gateway of one world: every world has the same engines at the same prices.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use rhumb_grid::config::{
    Accepts, Config, Dialect, Endpoint, EngineKind, Gateway, Location, Model, Operator, Policy, Preset, Router, Served,
    Site, VirtualModel,
};

use crate::atlas::{Atlas, SitePlan};
use crate::economics::{CONTEXT_TOKENS, MODEL, MeanRequest, PLANNED_UTILISATION, perf, price, seats};

/// A way of choosing, and the world it chooses in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All engines in one place, behind one gateway.
    SingleRegion,
    /// The grid, each engine in turn.
    RoundRobin,
    /// The grid, the closest site.
    Nearest,
    /// The grid, the lowest bill.
    Rhumb,
}

impl Kind {
    /// Every kind, in the order they are reported in.
    pub const ALL: [Kind; 4] = [Self::SingleRegion, Self::RoundRobin, Self::Nearest, Self::Rhumb];

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleRegion => "single-region",
            Self::RoundRobin => "round-robin",
            Self::Nearest => "nearest",
            Self::Rhumb => "rhumb",
        }
    }

    fn router(self) -> Router {
        match self {
            Self::SingleRegion => Router::LeastRequest,
            Self::RoundRobin => Router::RoundRobin,
            Self::Nearest => Router::Nearest,
            Self::Rhumb => Router::Rhumb,
        }
    }
}

/// One engine of a world: which site of the plan owns it, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the site that it belongs to in the grid; a failure of that site takes it down in every world.
    pub origin: usize,
    /// Index of the site it stands at in this world.
    pub site: usize,
}

/// Where the engines of a world stand.
pub fn places(kind: Kind, atlas: &Atlas, single: usize) -> Vec<Place> {
    let of = |(origin, s): (usize, &SitePlan)| {
        let site = if kind == Kind::SingleRegion { single } else { origin };
        vec![Place { origin, site }; s.engines as usize]
    };
    atlas.sites.iter().enumerate().flat_map(of).collect()
}

/// Indices of the sites where users enter a world.
pub fn entries(kind: Kind, atlas: &Atlas, single: usize) -> Vec<usize> {
    match kind {
        Kind::SingleRegion => vec![single],
        _ => (0..atlas.sites.len()).filter(|i| atlas.sites[*i].entry).collect(),
    }
}

/// One gateway to configure.
pub struct GatewayPlan<'a> {
    /// The world it serves in.
    pub kind: Kind,
    /// Where it stands.
    pub at: Location,
    /// Address of its data plane.
    pub listen: SocketAddr,
    /// Address of its admin API.
    pub admin_listen: SocketAddr,
    /// Folder of its log.
    pub data_dir: &'a Path,
    /// For each engine, where this gateway reaches it.
    pub engines: &'a [(Place, SocketAddr)],
}

/// Name of the policy that all routers run under.
const POLICY: &str = "demo";

// A request of the trace costs about 0.00015 USD at these sites. The demo's users mind one thing, the time to the first
// word: missing the objective costs three times the answer, and below it a second more or less costs little.

/// What a second of a waiting user is worth.
const SECOND_USD: f64 = 0.000_05;
/// Objective for the time to first token.
const TTFT_SLO_MS: f64 = 300.0;
/// What missing it costs.
const MISS_USD: f64 = 0.000_5;
/// Time per token at which a reader keeps up: some seven tokens, five words, a second.
const READING_PACE_MS: f64 = 150.0;
/// Targets tried for one request, by every router. A site has up to three engines, and they fail together.
const MAX_ATTEMPTS: u32 = 6;

/// The configuration of a gateway.
pub fn config(atlas: &Atlas, mean: MeanRequest, plan: &GatewayPlan<'_>) -> Config {
    let mut standing: Vec<usize> = plan.engines.iter().map(|(p, _)| p.site).collect();
    standing.dedup();
    let mut operators: Vec<&str> = atlas.sites.iter().map(|s| s.operator.as_str()).collect();
    operators.sort_unstable();
    operators.dedup();
    Config {
        gateway: gateway(plan),
        operators: operators.iter().map(|name| Operator { name: (*name).to_owned() }).collect(),
        sites: standing.iter().map(|s| site(&atlas.sites[*s], power_kw(atlas, plan, *s))).collect(),
        models: vec![text_model(MODEL)],
        virtual_models: vec![VirtualModel { name: "auto".into(), models: vec![MODEL.into()] }],
        endpoints: endpoints(atlas, mean, plan.engines),
        policies: vec![policy()],
        tenants: Vec::new(),
    }
}

fn gateway(plan: &GatewayPlan<'_>) -> Gateway {
    Gateway {
        listen: plan.listen.to_string(),
        admin_listen: plan.admin_listen.to_string(),
        location: Some(plan.at),
        data_dir: plan.data_dir.display().to_string(),
        workers: 1,
        scrape_interval_ms: 500,
        probe_interval_ms: 1_000,
        policy: POLICY.into(),
        router: plan.kind.router(),
        // Part of our router, and not of those it is compared with, which send every request on at once.
        hold: plan.kind == Kind::Rhumb,
        ..Gateway::default()
    }
}

fn policy() -> Policy {
    Policy {
        name: POLICY.into(),
        preset: Preset::Balanced,
        second_usd: Some(SECOND_USD),
        ttft_slo_ms: Some(TTFT_SLO_MS),
        miss_usd: Some(MISS_USD),
        reading_pace_ms: Some(READING_PACE_MS),
        max_attempts: Some(MAX_ATTEMPTS),
        ..Policy::default()
    }
}

/// The envelope of a site: that of every site whose engines stand there.
fn power_kw(atlas: &Atlas, plan: &GatewayPlan<'_>, site: usize) -> f64 {
    let mut origins: Vec<usize> = plan.engines.iter().filter(|(p, _)| p.site == site).map(|(p, _)| p.origin).collect();
    origins.dedup();
    origins.iter().map(|o| atlas.sites[*o].power_kw).sum()
}

fn site(s: &SitePlan, power_kw: f64) -> Site {
    Site {
        name: s.name.clone(),
        operator: s.operator.clone(),
        city: s.city.clone(),
        country: s.country.clone(),
        latitude: s.location.latitude,
        longitude: s.location.longitude,
        power_kw: Some(power_kw),
        pue: 1.3,
        energy_usd_per_kwh: s.energy_usd_per_kwh,
        carbon_g_per_kwh: s.carbon_g_per_kwh,
        egress_usd_per_gb: s.egress_usd_per_gb,
        rtt_ms: None,
        accepts: Accepts::default(),
    }
}

/// A model that takes and gives text, under the name of its shape.
pub fn text_model(name: &str) -> Model {
    Model {
        name: name.to_owned(),
        aliases: Vec::new(),
        shape: None,
        quality: 0.7,
        vision: false,
        audio: false,
        tools: true,
        embedding: false,
        rerank: false,
        classify: false,
        speech: false,
        images: false,
        transcription: false,
        realtime: false,
        canary: None,
    }
}

fn endpoints(atlas: &Atlas, mean: MeanRequest, engines: &[(Place, SocketAddr)]) -> Vec<Endpoint> {
    let mut number = vec![0; atlas.sites.len()];
    let endpoint = |(place, address): &(Place, SocketAddr)| {
        let origin = &atlas.sites[place.origin];
        number[place.origin] += 1;
        let perf = perf(origin);
        Endpoint {
            name: format!("{}-{}-{}", origin.name, origin.gpu, number[place.origin]),
            site: atlas.sites[place.site].name.clone(),
            url: format!("http://{address}"),
            engine: EngineKind::Vllm,
            gpu: Some(origin.gpu.clone()),
            gpus: 1,
            max_concurrency: seats(&perf, mean),
            api_key: None,
            api_key_header: None,
            headers: BTreeMap::new(),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            tls_server_name: None,
            gpu_hour_usd: None,
            planned_utilisation: PLANNED_UTILISATION,
            accepts: Accepts::default(),
            allow_params: Vec::new(),
            dialects: vec![Dialect::Chat],
            models: vec![Served {
                model: MODEL.into(),
                served_as: None,
                revision: String::new(),
                quantization: origin.quantization,
                context_tokens: CONTEXT_TOKENS,
                price: Some(price(&perf, origin.gpu_hour_usd, mean)),
            }],
        }
    };
    engines.iter().map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_has_the_same_engines() {
        let atlas = Atlas::embedded();
        let origins = |kind| places(kind, &atlas, 3).iter().map(|p| p.origin).collect::<Vec<_>>();
        for kind in Kind::ALL {
            assert_eq!(origins(kind), origins(Kind::Rhumb));
        }
        assert!(places(Kind::SingleRegion, &atlas, 3).iter().all(|p| p.site == 3));
        assert_eq!(entries(Kind::SingleRegion, &atlas, 3), [3]);
        assert_eq!(entries(Kind::Nearest, &atlas, 3).len(), atlas.entries().len());
    }

    #[test]
    fn worlds_differ_in_nothing_but_place_and_router() {
        let atlas = Atlas::embedded();
        let mean = MeanRequest { input_tokens: 1_000.0, output_tokens: 200.0 };
        let config_of = |kind| {
            let address: SocketAddr = ([127, 0, 0, 1], 1).into();
            let engines: Vec<_> = places(kind, &atlas, 3).into_iter().map(|p| (p, address)).collect();
            let plan = GatewayPlan {
                kind,
                at: atlas.sites[0].location,
                listen: address,
                admin_listen: address,
                data_dir: Path::new("d"),
                engines: &engines,
            };
            config(&atlas, mean, &plan)
        };
        let (single, grid) = (config_of(Kind::SingleRegion), config_of(Kind::Rhumb));
        assert_eq!(single.endpoints.len(), grid.endpoints.len());
        for (a, b) in single.endpoints.iter().zip(&grid.endpoints) {
            assert_eq!((a.models[0].price, &a.gpu, a.max_concurrency), (b.models[0].price, &b.gpu, b.max_concurrency));
        }
        assert_eq!(single.sites.len(), 1);
        let power = |c: &Config| c.sites.iter().filter_map(|s| s.power_kw).sum::<f64>();
        assert!((power(&single) - power(&grid)).abs() < 1e-9);
    }
}
