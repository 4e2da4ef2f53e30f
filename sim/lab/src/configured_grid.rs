//! A grid of one's own: a `rhumb.yaml`, its endpoints run by the engine model instead of being dialled.

use std::path::Path;

use rhumb_config::{Catalogue, Purpose};
use rhumb_engine::{Perf, gpus, shapes};
use rhumb_grid::config::{Config, Location};
use rhumb_grid::index::Grid;
use rhumb_grid::position::ModelIndex;
use rhumb_grid::rates::Rates;
use rhumb_grid::service::Service;
use rhumb_route::view::perf_of;
use rhumb_scene::economics::{self, MeanRequest};
use rhumb_world::{EngineSpec, GatewayAt, Jitter, Setup};

use crate::build::{clients, held_by, limits, policy, telemetry, tenants};
use crate::file::Loaded;
use crate::parameters::Set;
use crate::places::{entries, near_users};
use crate::problem::LabError;
use crate::scenario::{RouterName, Scenario};
use crate::wan::Wan;
use rhumb_atlas::Spot;

/// A configuration whose every endpoint has an engine model.
#[derive(Debug)]
pub(crate) struct ConfiguredGrid {
    grid: Grid,
    perfs: Vec<Perf>,
    /// Sites that gateways stand at, where engines stand at all of them.
    gateways: Vec<usize>,
    /// Models that the traffic's name stands for.
    models: Vec<ModelIndex>,
    pub(crate) cities: Vec<Spot>,
    mean: MeanRequest,
    block_tokens: u32,
}

impl ConfiguredGrid {
    /// Reads the configuration that a scenario names.
    pub(crate) fn new(
        loaded: &Loaded,
        mut cities: Vec<Spot>,
        mean: MeanRequest,
        block_tokens: u32,
    ) -> Result<Self, LabError> {
        let plan = &loaded.scenario.grid;
        let Some(name) = &plan.config else {
            let right = "add `config:` with the path of a rhumb.yaml".to_owned();
            return Err(loaded.wrong("grid", "`sites: file` names no file".to_owned(), right));
        };
        let path = loaded.folder.join(name);
        let config = read(&path)?;
        cities.truncate(loaded.scenario.traffic.cities as usize);
        let grid = Grid::new(config);
        let perf = perf_of(&grid);
        let mut perfs = Vec::with_capacity(grid.config.endpoints.len());
        for endpoint in &grid.config.endpoints {
            if endpoint.models.len() > 1 {
                let what = format!("endpoint `{}` of `{}` serves several models", endpoint.name, path.display());
                let right = "one model an endpoint: an engine model runs one".to_owned();
                return Err(loaded.wrong("grid.config", what, right));
            }
            let Some(known) = endpoint.models.first().and_then(|served| perf(endpoint, served)) else {
                let what = format!("endpoint `{}` of `{}` has no engine model", endpoint.name, path.display());
                let right = "give it a `gpu`, and its model a `shape`, of those `rhumb engine --list` prints, with \
                             room for the model"
                    .to_owned();
                return Err(loaded.wrong("grid.config", what, right));
            };
            perfs.push(known);
        }
        drop(perf);
        let models = asked(loaded, &grid)?;
        let at: Vec<Location> = grid.config.sites.iter().map(location).collect();
        let gateways = near_users(&at, &cities, (plan.gateways as usize).min(at.len()));
        Ok(Self { grid, perfs, gateways, models, cities, mean, block_tokens })
    }

    /// Requests a second that all engines together can serve.
    pub(crate) fn capacity_rps(&self) -> f64 {
        self.perfs.iter().map(|p| economics::capacity_rps(p, self.mean)).sum()
    }

    /// Where gateways stand.
    pub(crate) fn gateways(&self) -> Vec<Location> {
        self.gateways.iter().map(|i| location(&self.grid.config.sites[*i])).collect()
    }

    /// What its GPUs cost in an hour, where the configuration says so, USD.
    pub(crate) fn usd_per_hour(&self) -> f64 {
        self.grid.config.endpoints.iter().filter_map(|e| Some(e.gpu_hour_usd? * f64::from(e.gpus))).sum()
    }

    /// Its engines, and how far each one's model rests on measurements.
    pub(crate) fn engines(&self) -> impl Iterator<Item = (String, &'static str)> + '_ {
        self.grid.config.endpoints.iter().zip(&self.perfs).map(|(e, perf)| {
            let model = e.models.first().map_or("", |m| m.model.as_str());
            (format!("{} × {}, {model}", e.gpus, e.gpu.as_deref().unwrap_or("?")), perf.basis().describe())
        })
    }

    /// The world of one router.
    pub(crate) fn setup(&self, scenario: &Scenario, router: RouterName, seed: u64) -> Setup {
        let single = (router == RouterName::SingleRegion).then(|| {
            let at: Vec<Location> = self.grid.config.sites.iter().map(location).collect();
            near_users(&at, &self.cities, 1)[0]
        });
        let grid = single.map_or_else(|| self.grid.clone(), |site| in_one_place(&self.grid, site));
        let set = Set::of(scenario, router);
        let grid = held_by(&set, grid);
        let sites: Vec<Location> = grid.config.sites.iter().map(location).collect();
        let standing = single.map_or_else(|| self.gateways.clone(), |_| vec![0]);
        let gateway = |i: usize| GatewayAt { name: grid.config.sites[i].name.clone(), location: sites[i] };
        let gateways: Vec<GatewayAt> = standing.into_iter().map(gateway).collect();
        let places: Vec<Location> = gateways.iter().map(|g| g.location).collect();
        let limits = limits(&scenario.grid, self.block_tokens);
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
            rtt_ms: Wan::new(seed).matrix(&places, &sites),
            engines: self.perfs.iter().map(|perf| EngineSpec { perf: *perf, limits }).collect(),
            names: vec![self.models.clone()],
            jitter: Jitter { share: scenario.network.jitter, asymmetry: scenario.network.asymmetry },
            telemetry: telemetry(scenario),
            faults: Vec::new(),
            energy: Vec::new(),
            seed,
            grid,
        }
    }
}

fn location(site: &rhumb_grid::config::Site) -> Location {
    Location { latitude: site.latitude, longitude: site.longitude }
}

fn read(path: &Path) -> Result<Config, LabError> {
    let text = std::fs::read_to_string(path).map_err(|why| LabError::Read { path: path.to_owned(), why })?;
    let gpus: Vec<&str> = gpus().iter().map(|g| g.name).collect();
    let shapes: Vec<&str> = shapes().iter().map(|s| s.name).collect();
    // Nothing is dialled, so the secrets that a file takes from the environment are not needed.
    let unset = |_: &str| Some("simulated-secret-0123456789".to_owned());
    rhumb_config::load(&text, &unset, &Catalogue { gpus: &gpus, shapes: &shapes }, Purpose::Serve)
        .map(|loaded| loaded.config)
        .map_err(|problems| LabError::Scenario { file: path.display().to_string(), text, problems })
}

/// The models that the traffic asks for: those of the name it gives, or the first one. One that no endpoint serves ends
/// the run before it begins.
fn asked(loaded: &Loaded, grid: &Grid) -> Result<Vec<ModelIndex>, LabError> {
    let first = || grid.config.models.first().map(|m| m.name.clone()).unwrap_or_default();
    let name = loaded.scenario.traffic.model.clone().unwrap_or_else(first);
    let known = || grid.model_names().collect::<Vec<_>>().join(", ");
    let Some(models) = grid.models_named(&name) else {
        let what = format!("there is no model `{name}`");
        return Err(loaded.wrong("traffic.model", what, format!("one of {}", known())));
    };
    let served = |model: &ModelIndex| {
        let name = &grid.config.models[*model].name;
        grid.config.endpoints.iter().any(|e| e.models.iter().any(|s| s.model == *name))
    };
    if !models.iter().any(served) {
        let right = "a model that an endpoint of the configuration serves".to_owned();
        return Err(loaded.wrong("traffic.model", format!("no endpoint serves `{name}`"), right));
    }
    Ok(models.to_vec())
}

/// The same endpoints, all at one site, with the power of all.
fn in_one_place(grid: &Grid, site: usize) -> Grid {
    let mut config = grid.config.clone();
    let power_kw: Option<f64> = config.sites.iter().map(|s| s.power_kw).sum();
    let mut only = config.sites.swap_remove(site);
    only.power_kw = power_kw;
    config.endpoints.iter_mut().for_each(|e| e.site = only.name.clone());
    config.sites = vec![only];
    Grid::new(config)
}
