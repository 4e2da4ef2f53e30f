//! From a scenario to the worlds of its routers.

use std::collections::BTreeMap;

use rhumb_engine::{Limits, Perf, gpu, gpus, shape, shapes};
use rhumb_grid::config::{
    Accepts, Config, Dialect, Endpoint, EngineKind, Gateway, Location, Operator, Policy, Served, Site,
};
use rhumb_grid::index::Grid;
use rhumb_grid::position::ModelIndex;
use rhumb_grid::rates::Rates;
use rhumb_grid::service::Service;
use rhumb_scene::economics::{self, MeanRequest, PLANNED_UTILISATION};
use rhumb_scene::fleet::text_model;
use rhumb_world::{Clients, EngineSpec, GatewayAt, Jitter, Setup, Telemetry, Tenant};

use crate::parameters::Set;
use crate::places::{entries, near_users};
use crate::scenario::{GridPlan, PolicyPlan, RouterName, Scenario, SitesFrom, Slo, TenantPlan};
use crate::wan::Wan;
use rhumb_atlas::Spot;

/// Power usage effectiveness of the sites of a scenario.
const PUE: f64 = 1.3;
/// Price of traffic leaving a site, USD per GB: the usual list price between regions of one cloud.
const EGRESS_USD_PER_GB: f64 = 0.02;

/// A grid to be, the same for every router but for where it stands.
#[derive(Debug)]
pub(crate) struct GeneratedGrid {
    pub(crate) spots: Vec<Spot>,
    pub(crate) cities: Vec<Spot>,
    /// By spot.
    pub(crate) perfs: Vec<Perf>,
    /// Spots that gateways stand at, where engines stand at all of them.
    gateways: Vec<usize>,
    pub(crate) mean: MeanRequest,
    pub(crate) block_tokens: u32,
}

/// What is wrong with a plan: path of the value, what it is, what would be right.
pub(crate) type Wrong = (&'static str, String, String);

/// The sites of a plan and the speed of their engines.
pub(crate) fn ground(
    plan: &GridPlan,
    cities: u32,
    mean: MeanRequest,
    block_tokens: u32,
) -> Result<GeneratedGrid, Wrong> {
    let all = match plan.sites {
        SitesFrom::Akamai => rhumb_atlas::akamai(),
        SitesFrom::Aws => rhumb_atlas::aws(),
        SitesFrom::Cities | SitesFrom::Demo | SitesFrom::File => rhumb_atlas::cities(),
    };
    let mut cities_all = rhumb_atlas::cities();
    cities_all.truncate(cities as usize);
    let count = plan.count.map_or(all.len(), |c| c as usize);
    if count > all.len() {
        let what = format!("`count` is {count}");
        return Err(("grid.count", what, format!("at most {}: this list has no more sites", all.len())));
    }
    let spots: Vec<Spot> = match plan.sites {
        SitesFrom::Cities => all.into_iter().take(count).collect(),
        _ if count == all.len() => all,
        _ => {
            let at: Vec<Location> = all.iter().map(|s| s.location).collect();
            near_users(&at, &cities_all, count).into_iter().map(|i| all[i].clone()).collect()
        }
    };
    let mut perfs = Vec::with_capacity(plan.gpus.len());
    for name in &plan.gpus {
        perfs.push(perf(plan, name)?);
    }
    let perfs = (0..spots.len()).map(|i| perfs[i % perfs.len()]).collect();
    let at: Vec<Location> = spots.iter().map(|s| s.location).collect();
    let gateways = near_users(&at, &cities_all, (plan.gateways as usize).min(at.len()));
    Ok(GeneratedGrid { spots, cities: cities_all, perfs, gateways, mean, block_tokens })
}

fn perf(plan: &GridPlan, name: &str) -> Result<Perf, Wrong> {
    let list = |names: Vec<&str>| format!("one of {}", names.join(", "));
    let Some(gpu) = gpu(name) else {
        let known = gpus().iter().map(|g| g.name).collect();
        return Err(("grid.gpus", format!("there is no GPU `{name}`"), list(known)));
    };
    let Some(shape) = shape(&plan.model) else {
        let known = shapes().iter().map(|s| s.name).collect();
        return Err(("grid.model", format!("there is no model `{}`", plan.model), list(known)));
    };
    Perf::new(gpu, plan.gpus_per_engine, shape, plan.quantization.bytes()).ok_or_else(|| {
        let what = format!("`{}` does not fit {} × `{name}`", plan.model, plan.gpus_per_engine);
        let right = match Perf::gpus_needed(gpu, shape, plan.quantization.bytes()) {
            Some(needed) => format!("at least {needed} GPUs an engine, or a smaller number format"),
            None => "a GPU with more memory, or a smaller number format".to_owned(),
        };
        ("grid.gpus_per_engine", what, right)
    })
}

impl GeneratedGrid {
    /// Requests a second that all engines together can serve.
    pub(crate) fn capacity_rps(&self, plan: &GridPlan) -> f64 {
        let engines = f64::from(plan.engines_per_site);
        self.perfs.iter().map(|p| engines * economics::capacity_rps(p, self.mean)).sum()
    }

    /// Where gateways stand.
    pub(crate) fn gateways(&self) -> Vec<Location> {
        self.gateways.iter().map(|i| self.spots[*i].location).collect()
    }

    /// The spot that is nearest to users: where a single region stands.
    fn centre(&self) -> usize {
        let at: Vec<Location> = self.spots.iter().map(|s| s.location).collect();
        near_users(&at, &self.cities, 1)[0]
    }

    /// The world of one router.
    pub(crate) fn setup(&self, scenario: &Scenario, router: RouterName, seed: u64) -> Setup {
        let single = (router == RouterName::SingleRegion).then(|| self.centre());
        let set = Set::of(scenario, router);
        let grid = held_by(&set, Grid::new(self.config(scenario, single)));
        let standing = single.map_or_else(|| self.gateways.clone(), |s| vec![s]);
        let gateway = |i: &usize| GatewayAt { name: self.spots[*i].name.clone(), location: self.spots[*i].location };
        let gateways: Vec<GatewayAt> = standing.iter().map(gateway).collect();
        let places: Vec<Location> = gateways.iter().map(|g| g.location).collect();
        let sites: Vec<Location> =
            grid.config.sites.iter().map(|s| Location { latitude: s.latitude, longitude: s.longitude }).collect();
        let stated = &scenario.network.rtt_ms;
        let rtt_ms = match single {
            _ if stated.is_empty() => Wan::new(seed).matrix(&places, &sites),
            // All GPUs stand where the nearest of them would.
            Some(_) => vec![stated.iter().copied().fold(f64::INFINITY, f64::min)],
            None => stated.clone(),
        };
        let engines = self.perfs.iter().flat_map(|perf| {
            let limits = limits(&scenario.grid, self.block_tokens);
            std::iter::repeat_n(EngineSpec { perf: *perf, limits }, scenario.grid.engines_per_site as usize)
        });
        Setup {
            choosing: set.choosing(),
            rates: set.rates(Rates::of(&policy(scenario))),
            service: Service::of(&policy(scenario)),
            tenants: tenants(scenario, &set),
            clients: clients(scenario),
            hedges: scenario.hedges,
            canaries: scenario.canaries,
            places: entries(&self.cities, &places),
            gateways,
            rtt_ms,
            engines: engines.collect(),
            names: vec![vec![ModelIndex(0)]],
            jitter: Jitter { share: scenario.network.jitter, asymmetry: scenario.network.asymmetry },
            telemetry: telemetry(scenario),
            faults: Vec::new(),
            energy: Vec::new(),
            seed,
            grid,
        }
    }

    fn config(&self, scenario: &Scenario, single: Option<usize>) -> Config {
        let plan = &scenario.grid;
        let site_of = |spot: usize| single.unwrap_or(spot);
        let standing: Vec<usize> = single.map_or_else(|| (0..self.spots.len()).collect(), |s| vec![s]);
        let power_kw = |spot: usize| {
            let engines = f64::from(plan.engines_per_site);
            let here = if single.is_some() { &self.perfs[..] } else { &self.perfs[spot..=spot] };
            let kw: f64 = here.iter().map(|perf| perf.max_watts() * engines / 1e3).sum();
            plan.power_share.map(|share| share * kw)
        };
        let sites = standing.iter().map(|s| self.site(scenario, *s, power_kw(*s))).collect();
        let mut endpoints = Vec::new();
        for (spot, perf) in self.perfs.iter().enumerate() {
            for engine in 1..=plan.engines_per_site {
                endpoints.push(self.endpoint(plan, spot, &self.spots[site_of(spot)].name, engine, perf));
            }
        }
        Config {
            gateway: Gateway { carbon_usd_per_tonne: scenario.energy.carbon_usd_per_tonne, ..Gateway::default() },
            operators: vec![Operator { name: "simulated".into() }],
            sites,
            models: vec![text_model(&plan.model)],
            virtual_models: Vec::new(),
            endpoints,
            policies: Vec::new(),
            tenants: Vec::new(),
        }
    }

    fn site(&self, scenario: &Scenario, spot: usize, power_kw: Option<f64>) -> Site {
        let s = &self.spots[spot];
        Site {
            name: s.name.clone(),
            operator: "simulated".into(),
            city: s.city.clone(),
            country: s.country.clone(),
            latitude: s.location.latitude,
            longitude: s.location.longitude,
            power_kw,
            pue: PUE,
            energy_usd_per_kwh: scenario.energy.usd_per_kwh,
            carbon_g_per_kwh: scenario.energy.carbon_g_per_kwh,
            egress_usd_per_gb: EGRESS_USD_PER_GB,
            rtt_ms: None,
            accepts: Accepts::default(),
        }
    }

    fn endpoint(&self, plan: &GridPlan, spot: usize, site: &str, engine: u32, perf: &Perf) -> Endpoint {
        let gpu_hour_usd = plan.gpu_hour_usd * f64::from(plan.gpus_per_engine);
        Endpoint {
            name: format!("{}-{engine}", self.spots[spot].name),
            site: site.to_owned(),
            url: "http://127.0.0.1:1".into(),
            engine: EngineKind::Vllm,
            gpu: Some(plan.gpus[spot % plan.gpus.len()].clone()),
            gpus: plan.gpus_per_engine,
            max_concurrency: economics::seats(perf, self.mean).min(plan.max_num_seqs),
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
                model: plan.model.clone(),
                served_as: None,
                revision: String::new(),
                quantization: plan.quantization,
                context_tokens: CONTEXT_TOKENS,
                price: Some(economics::price(perf, gpu_hour_usd, self.mean)),
            }],
        }
    }
}

/// Longest prompt plus answer of a simulated engine: its memory is what limits it.
const CONTEXT_TOKENS: u32 = 10_000_000;

/// The bounds of a scenario's schedulers.
pub(crate) fn limits(plan: &GridPlan, block_tokens: u32) -> Limits {
    Limits { max_num_seqs: plan.max_num_seqs, max_batched_tokens: plan.max_batched_tokens, block_tokens }
}

/// The grid as a router has it: it holds requests back or sends all of them on at once.
pub(crate) fn held_by(set: &Set<'_>, mut grid: Grid) -> Grid {
    grid.config.gateway.hold = set.holds();
    grid
}

pub(crate) fn policy(scenario: &Scenario) -> Policy {
    policy_of(&scenario.policy, &scenario.slo)
}

/// The tenants of a scenario.
pub(crate) fn tenants(scenario: &Scenario, set: &Set<'_>) -> Vec<Tenant> {
    let tenant = |plan: &TenantPlan| {
        let policy = policy_of(plan.policy.as_ref().unwrap_or(&scenario.policy), &plan.slo.unwrap_or(scenario.slo));
        let mut service = Service::of(&policy);
        // The least urgent comes last.
        service.priority = service.priority.max(plan.highest_priority);
        Tenant { name: plan.name.clone(), rates: set.rates(Rates::of(&policy)), service, weight: plan.weight }
    };
    scenario.tenants.iter().map(tenant).collect()
}

/// How the clients of a scenario behave.
pub(crate) fn clients(scenario: &Scenario) -> Clients {
    let plan = &scenario.clients;
    Clients { retries: plan.retries, leaving: plan.leaving, leave_after_us: plan.leave_after_s * 1e6, poison: None }
}

fn policy_of(plan: &PolicyPlan, slo: &Slo) -> Policy {
    Policy {
        name: "scenario".into(),
        preset: plan.preset,
        second_usd: plan.second_usd,
        ttft_slo_ms: Some(slo.ttft_ms),
        miss_usd: plan.miss_usd,
        reading_pace_ms: plan.reading_pace_ms,
        first_token_timeout_ms: plan.first_token_timeout_ms,
        max_attempts: plan.max_attempts,
        priority: plan.priority,
        max_wait_ms: plan.max_wait_ms,
        ..Policy::default()
    }
}

pub(crate) fn telemetry(scenario: &Scenario) -> Telemetry {
    let t = &scenario.telemetry;
    Telemetry {
        scrape_us: t.scrape_ms * 1_000,
        probe_us: t.probe_ms * 1_000,
        publish_us: t.publish_ms * 1_000,
        delay_us: t.delay_ms * 1_000,
        loss: t.loss,
    }
}
