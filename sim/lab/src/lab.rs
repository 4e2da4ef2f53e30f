//! Runs a scenario: every router on every seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rhumb_grid::config::Location;
use rhumb_rng::{hash, label};
use rhumb_scene::scene::{Options as SceneOptions, Scene};
use rhumb_world::{Checks, Ran, Setup, Source, Watch, run};

use crate::build::{GeneratedGrid, ground};
use crate::configured_grid::ConfiguredGrid;
use crate::file::Loaded;
use crate::measure::{RouterReport, report};
use crate::merged_arrivals::MergedArrivals;
use crate::options::Options;
use crate::places::Users;
use crate::plots::{Plots, plots};
use crate::problem::LabError;
use crate::report::{Report, line, mean_and_ci};
use crate::scenario::{RouterName, Scenario, SitesFrom};
use crate::trace::replay_command;
use crate::traffic::{ArrivalSource, Origin, Wanted};
use crate::{demo, faults};
use rhumb_atlas::Spot;

/// How often progress is shown. Only the screen depends on it.
const LOOK: Duration = Duration::from_millis(200);

/// How far a scenario is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Runs that have ended.
    pub done: usize,
    /// Runs in all.
    pub runs: usize,
    /// Requests simulated so far.
    pub requests: u64,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { done, runs, requests } = self;
        write!(f, "{done} of {runs} runs, {requests} requests")
    }
}

/// A scenario with all that its runs have in common.
#[derive(Debug)]
pub struct Lab<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) options: &'a Options,
    kind: World,
    origin: Origin,
    rps: f64,
    capacity_rps: f64,
}

/// What a run's world is made from.
#[derive(Debug)]
enum World {
    Demo(Box<Scene>),
    GeneratedGrid(Box<GeneratedGrid>),
    ConfiguredGrid(Box<ConfiguredGrid>),
}

/// One run to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Job {
    pub(crate) router: RouterName,
    pub(crate) seed: u64,
    /// Share of capacity offered, where it is not the scenario's own.
    load: Option<f64>,
}

struct Run {
    report: RouterReport,
    plots: Option<Plots>,
}

impl<'a> Lab<'a> {
    /// Prepares a scenario.
    ///
    /// # Errors
    /// Something that the scenario names does not exist or cannot be read.
    pub fn new(loaded: &'a Loaded, options: &'a Options) -> Result<Self, LabError> {
        let scenario = &loaded.scenario;
        let plan = &scenario.traffic;
        let origin = Origin::of(&plan.workload, &loaded.folder)?;
        let (mean, block_tokens) = origin.sizes(plan, options.data.as_deref())?;
        let (kind, capacity_rps) = if scenario.grid.sites == SitesFrom::File {
            let own = ConfiguredGrid::new(loaded, rhumb_atlas::cities(), mean, block_tokens)?;
            let capacity_rps = own.capacity_rps();
            (World::ConfiguredGrid(Box::new(own)), capacity_rps)
        } else if scenario.grid.sites == SitesFrom::Demo {
            let scene = Scene::new(SceneOptions {
                rows: rhumb_scene::atlas::trace(),
                rps: plan.rps,
                burst: plan.burst,
                fail: None,
                seed: Some(options.seed),
                period_s: plan.seconds.unwrap_or(demo::PERIOD_S),
            })?;
            let capacity_rps = scene.capacity_rps();
            (World::Demo(Box::new(scene)), capacity_rps)
        } else {
            let ground = ground(&scenario.grid, plan.cities, mean, block_tokens);
            let ground = ground.map_err(|(path, what, right)| loaded.wrong(path, what, right))?;
            let capacity_rps = ground.capacity_rps(&scenario.grid);
            (World::GeneratedGrid(Box::new(ground)), capacity_rps)
        };
        let rps = plan.rps.unwrap_or(capacity_rps * plan.utilisation);
        let lab = Self { loaded, options, kind, origin, rps, capacity_rps };
        // A fault at a place that does not exist shows before anything runs.
        faults::check(loaded, &lab.setup(RouterName::Rhumb, options.seed)?)?;
        Ok(lab)
    }

    pub(crate) fn scenario(&self) -> &Scenario {
        &self.loaded.scenario
    }

    /// The world of a router.
    pub(crate) fn setup(&self, router: RouterName, seed: u64) -> Result<Setup, LabError> {
        self.setup_of(self.scenario(), router, seed)
    }

    /// The world of a router in a scenario that differs from this one in what places have, and not in which there are.
    pub(crate) fn setup_of(&self, scenario: &Scenario, router: RouterName, seed: u64) -> Result<Setup, LabError> {
        let mut setup = match &self.kind {
            World::Demo(scene) => demo::setup(scene, scenario, router, seed),
            World::GeneratedGrid(ground) => ground.setup(scenario, router, seed),
            World::ConfiguredGrid(own) => own.setup(scenario, router, seed),
        };
        setup.faults.extend(faults::of(scenario, &setup));
        if scenario.energy.hourly {
            setup.energy = crate::energy::hourly(scenario, &setup.grid, self.options.data.as_deref())?;
        }
        Ok(setup)
    }

    /// GPUs of all sites with so many engines at each; none where a scenario does not say how many there are.
    pub(crate) fn gpus_with(&self, engines_per_site: u32) -> u32 {
        match &self.kind {
            World::GeneratedGrid(ground) => {
                ground.spots.len() as u32 * engines_per_site * self.scenario().grid.gpus_per_engine
            }
            World::Demo(_) | World::ConfiguredGrid(_) => 0,
        }
    }

    fn source(&self, seed: u64, load: Option<f64>, came: &Arc<AtomicU64>) -> Result<Box<dyn Source>, LabError> {
        let plan = &self.scenario().traffic;
        if let (World::Demo(scene), Origin::Demo) = (&self.kind, &self.origin) {
            let mut scene = (**scene).clone();
            scene.seed = seed;
            return Ok(Box::new(demo::traffic(&scene, plan.seconds.unwrap_or(demo::PERIOD_S))));
        }
        let (cities, gateways) = (self.cities(), self.gateways());
        // Only a trace is played several times.
        let copies = if matches!(self.origin, Origin::Trace(_)) { plan.copies_hours.len() } else { 1 };
        let crowd = |share: f64, seed: u64| {
            ArrivalSource::new(&Wanted {
                plan,
                origin: &self.origin,
                rps: share * load.map_or(self.rps, |load| load * self.capacity_rps),
                data: self.options.data.clone(),
                users: Users::new(&cities, &gateways, copies, seed),
                seed,
                came: Arc::clone(came),
            })
        };
        let tenants = &self.scenario().tenants;
        if tenants.is_empty() {
            return Ok(Box::new(crowd(1.0, seed)?));
        }
        let each = tenants.iter().map(|t| crowd(t.share, hash(seed, label(&t.name))));
        Ok(Box::new(MergedArrivals::new(each.collect::<Result<_, _>>()?, plan.requests)))
    }

    /// What all GPUs cost in a second with so many engines at each site, USD.
    pub(crate) fn usd_per_s(&self, engines_per_site: u32) -> f64 {
        let usd_per_hour = match &self.kind {
            World::Demo(scene) => scene.gpus_usd_per_hour(),
            World::GeneratedGrid(_) => {
                let plan = &self.scenario().grid;
                f64::from(self.gpus_with(engines_per_site)) * plan.gpu_hour_usd
            }
            World::ConfiguredGrid(own) => own.usd_per_hour(),
        };
        usd_per_hour / 3_600.0
    }

    /// Runs one router on one seed while somebody looks on.
    ///
    /// # Errors
    /// A trace turns out wrong, or an invariant does not hold.
    pub fn watch<W: Watch>(&self, router: RouterName, seed: u64, watch: &mut W) -> Result<Ran, LabError> {
        let setup = self.setup(router, seed)?;
        self.run_setup(&setup, Job { router, seed, load: None }, &Arc::default(), watch)
    }

    fn run_setup<W: Watch>(
        &self,
        setup: &Setup,
        Job { router, seed, load }: Job,
        came: &Arc<AtomicU64>,
        watch: &mut W,
    ) -> Result<Ran, LabError> {
        let mut source = self.source(seed, load, came)?;
        run(setup, source.as_mut(), watch).map_err(|broken| {
            let replay = replay_command(&self.loaded.name, router, seed, broken.event);
            LabError::Broken { broken, replay }
        })
    }

    /// Runs, with every invariant checked where that is asked for.
    pub(crate) fn run_checked(&self, setup: &Setup, job: Job, came: &Arc<AtomicU64>) -> Result<Ran, LabError> {
        if self.options.check {
            self.run_setup(setup, job, came, &mut Checks::default())
        } else {
            self.run_setup(setup, job, came, &mut ())
        }
    }

    fn one(&self, job: Job, came: &Arc<AtomicU64>) -> Result<Run, LabError> {
        let setup = self.setup(job.router, job.seed)?;
        let ran = self.run_checked(&setup, job, came)?;
        let draw = job.load.is_none() && job.seed == self.options.seed;
        if ran.outcomes.is_empty() {
            return Err(LabError::NoTraffic { scenario: self.loaded.name.clone() });
        }
        let slo = &self.scenario().slo;
        let mut report = report(&setup, &ran, self.scenario(), self.usd_per_s(self.scenario().grid.engines_per_site));
        if let (None, Some(plan)) = (job.load, &self.scenario().least_gpus) {
            report.least_gpus = Some(self.least(plan, job, came)?);
        }
        let plots = draw.then(|| plots(&setup, &ran, slo));
        Ok(Run { report, plots })
    }

    /// Runs every router on every seed.
    ///
    /// # Errors
    /// The first run that cannot be finished: there is no partial report.
    pub fn run(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report, LabError> {
        let jobs = self.jobs();
        let (next, done, came) = (AtomicUsize::new(0), AtomicUsize::new(0), Arc::new(AtomicU64::new(0)));
        let results: Vec<Mutex<Option<Result<Run, LabError>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let (ended, bell) = (Mutex::new(0), Condvar::new());
        let threads = self.options.threads.clamp(1, jobs.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(at) else { break };
                        let result = self.one(*job, &came);
                        *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    *ended.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    bell.notify_all();
                });
            }
            let show = || {
                let (done, requests) = (done.load(Ordering::Relaxed), came.load(Ordering::Relaxed));
                progress(Progress { done, runs: jobs.len(), requests });
            };
            let mut count = ended.lock().unwrap_or_else(PoisonError::into_inner);
            while *count < threads {
                show();
                count = bell.wait_timeout(count, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
        });
        let mut runs: BTreeMap<RouterName, Vec<Run>> = BTreeMap::new();
        let mut load: BTreeMap<&'static str, Vec<(f64, f64)>> = BTreeMap::new();
        for (job, result) in jobs.iter().zip(results) {
            let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
            let run = result.expect("every job was taken and finished")?;
            match job.load {
                None => runs.entry(job.router).or_default().push(run),
                Some(share) => load.entry(job.router.name()).or_default().push((share, run.report.goodput_rps)),
            }
        }
        Ok(Report { load, ..self.assemble(runs) })
    }

    /// Every router on every seed, then on the first seed at every further load.
    fn jobs(&self) -> Vec<Job> {
        let routers = if self.options.routers.is_empty() { &self.scenario().routers } else { &self.options.routers };
        let mut jobs = Vec::new();
        for &router in routers {
            let seeds = (0..self.options.seeds.max(1)).map(|k| self.options.seed.wrapping_add(k));
            jobs.extend(seeds.map(|seed| Job { router, seed, load: None }));
            let loads = match self.kind {
                World::Demo(_) => &[][..],
                World::GeneratedGrid(_) | World::ConfiguredGrid(_) => &self.scenario().traffic.loads,
            };
            jobs.extend(loads.iter().map(|load| Job { router, seed: self.options.seed, load: Some(*load) }));
        }
        jobs
    }

    fn assemble(&self, runs: BTreeMap<RouterName, Vec<Run>>) -> Report {
        let scenario = self.scenario();
        let mut out = Report {
            scenario: self.loaded.name.clone(),
            about: scenario.about.clone(),
            seed: self.options.seed,
            seeds: self.options.seeds.max(1),
            commit: self.options.commit.clone(),
            capacity_rps: self.capacity_rps,
            engines: self.engines(),
            routers: BTreeMap::new(),
            ci95: BTreeMap::new(),
            pass: true,
            lines: Vec::new(),
            plots: BTreeMap::new(),
            places: self.cities().iter().map(|c| (c.location.latitude, c.location.longitude)).collect(),
            load: BTreeMap::new(),
            faults: self.faults(),
            slo: scenario.slo,
            command: crate::command::of(self.loaded, self.options),
        };
        for (router, runs) in runs {
            let reports: Vec<RouterReport> = runs.iter().map(|r| r.report.clone()).collect();
            let (mean, ci) = mean_and_ci(&reports);
            out.routers.insert(router.name(), mean);
            if self.options.seeds > 1 {
                out.ci95.insert(router.name(), ci);
            }
            let drawn = runs.into_iter().find_map(|r| r.plots);
            out.plots.extend(drawn.map(|plots| (router.name(), plots)));
        }
        // A line about a router that did not run says nothing.
        let ran = |r: RouterName| out.routers.contains_key(r.name());
        let plans = scenario.pass.iter().filter(|p| ran(p.router) && p.of.is_none_or(ran));
        out.lines = plans.map(|plan| line(plan, &out.routers)).collect();
        out.pass = out.lines.iter().all(|l| l.pass);
        out
    }

    /// Where users live.
    fn cities(&self) -> Vec<Spot> {
        match &self.kind {
            World::Demo(scene) => demo::cities(scene),
            World::GeneratedGrid(ground) => ground.cities.clone(),
            World::ConfiguredGrid(own) => own.cities.clone(),
        }
    }

    /// Where gateways stand, for every router but one that has all in one place.
    fn gateways(&self) -> Vec<Location> {
        match &self.kind {
            World::Demo(_) => Vec::new(),
            World::GeneratedGrid(ground) => ground.gateways(),
            World::ConfiguredGrid(own) => own.gateways(),
        }
    }

    /// Where the engine model of each GPU and model in use comes from.
    fn engines(&self) -> BTreeMap<String, &'static str> {
        match &self.kind {
            World::Demo(scene) => scene.atlas.sites.iter().map(demo::engine).collect(),
            World::ConfiguredGrid(own) => own.engines().collect(),
            World::GeneratedGrid(ground) => {
                let plan = &self.scenario().grid;
                let name = |i: usize| format!("{} × {}, {}", plan.gpus_per_engine, plan.gpus[i], plan.model);
                let perfs = ground.perfs.iter().take(plan.gpus.len()).enumerate();
                perfs.map(|(i, perf)| (name(i), perf.basis().describe())).collect()
            }
        }
    }

    fn faults(&self) -> Vec<(f64, f64, String)> {
        let own = if let World::Demo(scene) = &self.kind { Some(demo::failing(scene)) } else { None };
        own.into_iter().chain(faults::named(self.scenario())).collect()
    }
}
