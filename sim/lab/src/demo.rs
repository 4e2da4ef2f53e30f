//! The demo's grid and traffic as simulated worlds, one for each router it compares.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::build::{clients, held_by};
use crate::parameters::Set;
use crate::scenario::{RouterName, Scenario};
use rhumb_atlas::Spot;
use rhumb_engine::Limits;
use rhumb_grid::config::Location;
use rhumb_grid::geo::{distance_km, estimated_rtt_ms};
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_grid::rates::Rates;
use rhumb_grid::service::Service;
use rhumb_scene::atlas::SitePlan;
use rhumb_scene::economics::{MODEL, perf};
use rhumb_scene::fleet::{GatewayPlan, Kind, config, entries, places};
use rhumb_scene::scene::Scene;
use rhumb_scene::traffic::nearest;
use rhumb_world::{Arrival, EngineSpec, Fault, FaultKind, GatewayAt, Jitter, Place, Setup, Telemetry};

/// A failure that lasts to the end of the run.
const FOR_GOOD_US: u64 = 86_400_000_000;

/// Length of the demo where none is given, seconds.
pub(crate) const PERIOD_S: f64 = 60.0;

/// The demo's world for a router: the grid, or everything in one region.
fn kind_of(router: RouterName) -> Kind {
    match router {
        RouterName::SingleRegion => Kind::SingleRegion,
        RouterName::RoundRobin => Kind::RoundRobin,
        RouterName::Nearest => Kind::Nearest,
        _ => Kind::Rhumb,
    }
}

/// The demo's world under `router`.
pub(crate) fn setup(scene: &Scene, scenario: &Scenario, router: RouterName, seed: u64) -> Setup {
    let kind = kind_of(router);
    let atlas = &scene.atlas;
    let engines = places(kind, atlas, scene.single);
    let entry_sites = entries(kind, atlas, scene.single);
    let nowhere: SocketAddr = ([127, 0, 0, 1], 1).into();
    let links: Vec<_> = engines.iter().map(|p| (*p, nowhere)).collect();
    let plan = GatewayPlan {
        kind,
        at: atlas.sites[entry_sites[0]].location,
        listen: nowhere,
        admin_listen: nowhere,
        data_dir: Path::new("simulated"),
        engines: &links,
    };
    let config = config(atlas, scene.mean, &plan);
    let gateway = &config.gateway;
    let telemetry = Telemetry {
        scrape_us: gateway.scrape_interval_ms * 1_000,
        probe_us: gateway.probe_interval_ms * 1_000,
        ..Telemetry::default()
    };
    let policy = config.policies.first().cloned().unwrap_or_default();
    let set = Set::of(scenario, router);
    let grid = held_by(&set, Grid::new(config));
    let region = |site: usize| atlas.sites[site].region.as_str();
    let standing: Vec<usize> =
        grid.config.sites.iter().filter_map(|s| atlas.sites.iter().position(|a| a.name == s.name)).collect();
    let rtt_ms =
        entry_sites.iter().flat_map(|e| standing.iter().map(|s| atlas.rtt_ms(region(*e), region(*s)))).collect();
    let gateways = entry_sites
        .iter()
        .map(|s| GatewayAt { name: atlas.sites[*s].name.clone(), location: atlas.sites[*s].location });
    let gateways: Vec<GatewayAt> = gateways.collect();
    Setup {
        choosing: set.choosing(),
        rates: set.rates(Rates::of(&policy)),
        service: Service::of(&policy),
        tenants: Vec::new(),
        clients: clients(scenario),
        hedges: scenario.hedges,
        canaries: scenario.canaries,
        places: atlas.cities.iter().map(|c| place(c.location, &gateways)).collect(),
        gateways,
        rtt_ms,
        engines: engines
            .iter()
            .map(|p| EngineSpec { perf: perf(&atlas.sites[p.origin]), limits: Limits::default() })
            .collect(),
        names: vec![vec![ModelIndex(0)]],
        // The live demo delays every message by half the measured round trip, exactly.
        jitter: Jitter { share: 0.0, asymmetry: 0.0 },
        telemetry,
        faults: vec![failure(scene, kind, &grid)],
        energy: Vec::new(),
        seed,
        grid,
    }
}

/// The engines of the failing site refuse new work, wherever they stand in this world.
fn failure(scene: &Scene, kind: Kind, grid: &Grid) -> Fault {
    let origins: Vec<usize> = places(kind, &scene.atlas, scene.single).iter().map(|p| p.origin).collect();
    let from = origins.iter().position(|o| *o == scene.failure.site).unwrap_or(0);
    let count = origins.iter().filter(|o| **o == scene.failure.site).count();
    Fault {
        from_us: (scene.failure.at_s * 1e6) as u64,
        until_us: FOR_GOOD_US,
        site: grid.endpoint_site[from],
        endpoints: Some((EndpointIndex::new(from), EndpointIndex::new(from + count))),
        kind: FaultKind::Refuse,
    }
}

/// When the failing site fails, with a name, for pictures.
pub(crate) fn failing(scene: &Scene) -> (f64, f64, String) {
    let name = scene.atlas.sites.get(scene.failure.site).map_or("", |s| s.name.as_str());
    (scene.failure.at_s, f64::INFINITY, format!("refuse {name}"))
}

fn place(at: Location, gateways: &[GatewayAt]) -> Place {
    let locations: Vec<Location> = gateways.iter().map(|g| g.location).collect();
    let gateway = nearest(&locations, at);
    Place { gateway: gateway as u32, rtt_ms: estimated_rtt_ms(distance_km(locations[gateway], at)) }
}

/// An engine of a site, and where its model comes from.
pub(crate) fn engine(site: &SitePlan) -> (String, &'static str) {
    (format!("1 × {}, {MODEL}", site.gpu), perf(site).basis().describe())
}

/// Where the demo's users live.
pub(crate) fn cities(scene: &Scene) -> Vec<Spot> {
    let spot = |c: &rhumb_scene::atlas::City| Spot {
        name: String::new(),
        city: String::new(),
        country: String::new(),
        location: c.location,
        population: c.population,
    };
    scene.atlas.cities.iter().map(spot).collect()
}

/// The demo's users for so many seconds.
pub(crate) fn traffic(scene: &Scene, seconds: f64) -> impl Iterator<Item = Arrival> + use<> {
    let key = |l: Location| (l.latitude.to_bits(), l.longitude.to_bits());
    let cities: BTreeMap<_, u32> = (0..).zip(&scene.atlas.cities).map(|(i, c)| (key(c.location), i)).collect();
    scene.traffic().take_while(move |a| a.at_ms < seconds * 1e3).map(move |a| Arrival {
        at_us: (a.at_ms * 1e3) as u64,
        place: cities.get(&key(a.user)).copied().unwrap_or(0),
        name: 0,
        tenant: 0,
        input_tokens: a.input_tokens,
        output_tokens: a.output_tokens,
        session: None,
        blocks: Vec::new(),
        tag: 0,
    })
}
