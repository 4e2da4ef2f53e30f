//! Runs a scenario: every router on every seed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rhumb_scene::scene::{Options as SceneOptions, Scene};
use rhumb_world::{Checks, Ran, Setup, Source, Watch, run};

use crate::atlas::Spot;
use crate::build::{Ground, ground};
use crate::file::Loaded;
use crate::measure::{RouterReport, report};
use crate::places::Users;
use crate::plots::{Plots, plots};
use crate::problem::LabError;
use crate::report::{Report, line, mean_and_ci};
use crate::scenario::{RouterName, Scenario, SitesFrom};
use crate::trace::replay_command;
use crate::traffic::{Crowd, Origin, Wanted};
use crate::{demo, faults};

/// How a scenario is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Competitors; empty means those of the scenario.
    pub routers: Vec<RouterName>,
    /// The first seed.
    pub seed: u64,
    /// Runs of each router, on successive seeds.
    pub seeds: u64,
    /// The folder of traces, prices and the like.
    pub data: Option<PathBuf>,
    /// Check every invariant after every event.
    pub check: bool,
    /// Runs at the same time.
    pub threads: usize,
    /// The commit that runs it.
    pub commit: String,
}

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
    Ground(Box<Ground>),
}

struct Run {
    report: RouterReport,
    plots: Option<(Plots, Setup)>,
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
        let (kind, capacity_rps) = if scenario.grid.sites == SitesFrom::Demo {
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
            (World::Ground(Box::new(ground)), capacity_rps)
        };
        let rps = plan.rps.unwrap_or(capacity_rps * plan.utilisation);
        let lab = Self { loaded, options, kind, origin, rps, capacity_rps };
        // A fault at a place that does not exist shows before anything runs.
        faults::check(loaded, &lab.setup(RouterName::Rhumb, options.seed)?)?;
        Ok(lab)
    }

    fn scenario(&self) -> &Scenario {
        &self.loaded.scenario
    }

    /// The world of a router.
    pub(crate) fn setup(&self, router: RouterName, seed: u64) -> Result<Setup, LabError> {
        let mut setup = match &self.kind {
            World::Demo(scene) => demo::setup(scene, router, seed),
            World::Ground(ground) => ground.setup(self.scenario(), router, seed),
        };
        setup.faults.extend(faults::of(self.scenario(), &setup));
        if self.scenario().energy.hourly {
            setup.energy = crate::energy::hourly(self.scenario(), &setup.grid, self.options.data.as_deref())?;
        }
        Ok(setup)
    }

    fn source(&self, seed: u64, came: &Arc<AtomicU64>) -> Result<Box<dyn Source>, LabError> {
        let plan = &self.scenario().traffic;
        if let (World::Demo(scene), Origin::Demo) = (&self.kind, &self.origin) {
            let mut scene = (**scene).clone();
            scene.seed = seed;
            return Ok(Box::new(demo::traffic(&scene, plan.seconds.unwrap_or(demo::PERIOD_S))));
        }
        let crowd = Crowd::new(&Wanted {
            plan,
            origin: &self.origin,
            rps: self.rps,
            data: self.options.data.clone(),
            users: Users::new(&self.cities(), seed),
            seed,
            came: Arc::clone(came),
        })?;
        Ok(Box::new(crowd))
    }

    /// What all GPUs cost in a second, USD.
    fn usd_per_s(&self) -> f64 {
        let usd_per_hour = match &self.kind {
            World::Demo(scene) => scene.gpus_usd_per_hour(),
            World::Ground(ground) => {
                let plan = &self.scenario().grid;
                let gpus = ground.spots.len() as f64 * f64::from(plan.engines_per_site * plan.gpus_per_engine);
                gpus * plan.gpu_hour_usd
            }
        };
        usd_per_hour / 3_600.0
    }

    /// Runs one router on one seed while somebody looks on.
    ///
    /// # Errors
    /// A trace turns out wrong, or an invariant does not hold.
    pub fn watch<W: Watch>(&self, router: RouterName, seed: u64, watch: &mut W) -> Result<Ran, LabError> {
        let setup = self.setup(router, seed)?;
        self.run_setup(&setup, router, seed, &Arc::default(), watch)
    }

    fn run_setup<W: Watch>(
        &self,
        setup: &Setup,
        router: RouterName,
        seed: u64,
        came: &Arc<AtomicU64>,
        watch: &mut W,
    ) -> Result<Ran, LabError> {
        let mut source = self.source(seed, came)?;
        run(setup, source.as_mut(), watch).map_err(|broken| {
            let replay = replay_command(&self.loaded.name, router, seed, broken.event);
            LabError::Broken { broken, replay }
        })
    }

    fn one(&self, router: RouterName, seed: u64, draw: bool, came: &Arc<AtomicU64>) -> Result<Run, LabError> {
        let setup = self.setup(router, seed)?;
        let ran = if self.options.check {
            self.run_setup(&setup, router, seed, came, &mut Checks::default())?
        } else {
            self.run_setup(&setup, router, seed, came, &mut ())?
        };
        if ran.outcomes.is_empty() {
            return Err(LabError::NoTraffic { scenario: self.loaded.name.clone() });
        }
        let slo = &self.scenario().slo;
        let report = report(&setup, &ran, slo, self.usd_per_s());
        let plots = draw.then(|| (plots(&setup, &ran, slo), setup));
        Ok(Run { report, plots })
    }

    /// Runs every router on every seed.
    ///
    /// # Errors
    /// The first run that cannot be finished: there is no partial report.
    pub fn run(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<Report, LabError> {
        let routers = if self.options.routers.is_empty() { &self.scenario().routers } else { &self.options.routers };
        let seeds: Vec<u64> = (0..self.options.seeds.max(1)).map(|k| self.options.seed.wrapping_add(k)).collect();
        let jobs: Vec<(RouterName, u64)> =
            routers.iter().flat_map(|r| seeds.iter().map(move |seed| (*r, *seed))).collect();
        let (next, done, came) = (AtomicUsize::new(0), AtomicUsize::new(0), Arc::new(AtomicU64::new(0)));
        let results: Vec<Mutex<Option<Result<Run, LabError>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let (ended, bell) = (Mutex::new(0), Condvar::new());
        let threads = self.options.threads.clamp(1, jobs.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((router, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let at = jobs.iter().position(|job| job == &(*router, *seed)).unwrap_or(0);
                        let result = self.one(*router, *seed, *seed == self.options.seed, &came);
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
        for ((router, _), result) in jobs.iter().zip(results) {
            let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
            runs.entry(*router).or_default().push(result.expect("every job was taken and finished")?);
        }
        Ok(self.assemble(runs))
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
            let drawn = runs.into_iter().find_map(|r| r.plots).map(|(plots, _)| plots);
            out.plots.extend(drawn.map(|plots| (router.name(), plots)));
        }
        // A line about a router that did not run says nothing.
        let ran = |r: RouterName| out.routers.contains_key(r.name());
        let plans = scenario.pass.iter().filter(|p| ran(p.router) && p.of.is_none_or(ran));
        out.lines = plans.map(|plan| line(plan, &out.routers)).collect();
        out.pass = out.lines.iter().all(|l| l.pass);
        out
    }

    fn cities(&self) -> Vec<Spot> {
        match &self.kind {
            World::Demo(scene) => demo::cities(scene),
            World::Ground(ground) => ground.cities.clone(),
        }
    }

    fn faults(&self) -> Vec<(f64, f64, String)> {
        let own = if let World::Demo(scene) = &self.kind { Some(demo::failing(scene)) } else { None };
        own.into_iter().chain(faults::named(self.scenario())).collect()
    }
}
