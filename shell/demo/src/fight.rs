//! The comparison: four worlds at the same time, each with its own engines and gateways, under the same traffic.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb_process::clock;
use rhumb_scene::fleet::Kind;
use rhumb_scene::scene::Scene;
use rhumb_scene::traffic::Arrival;
use serde::Serialize;

use crate::args::{DemoArgs, DemoError};
use crate::load::{Load, Sample};
use crate::scratch::Scratch;
use crate::summary::{RouterReport, Spent, report};
use crate::world::{Listen, World};

/// Gateways take their first readings before users come.
const WARM_UP: Duration = Duration::from_secs(3);

/// Longest wait for the answers that are under way when the traffic ends; what is missing then is an error.
const DRAIN: Duration = Duration::from_secs(90);

/// How often the run looks at itself.
const LOOK: Duration = Duration::from_millis(50);

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    seed: u64,
    seconds: f64,
    rps: f64,
    failed_site: &'a str,
    failed_at_s: f64,
    single_region: &'a str,
    routers: BTreeMap<&'static str, RouterReport>,
}

/// One world in the fight.
struct Corner {
    world: World,
    load: Load,
    joules_before: f64,
    /// Energy when the traffic ended.
    joules_after: Option<f64>,
    samples: Vec<Sample>,
}

/// Checks that an address can be had, so that the message names the way out.
pub(crate) fn probe(option: &'static str, address: SocketAddr) -> Result<(), DemoError> {
    TcpListener::bind(address).map(drop).map_err(|why| DemoError::Listen { option, address, why })
}

/// Runs the fight and prints its report; the number of Rhumb's failed requests.
pub(crate) fn run(args: &DemoArgs, seconds: f64) -> Result<usize, DemoError> {
    let scene = args.scene(seconds)?;
    let first = match args.listen {
        Some(address) => {
            probe("--listen", address)?;
            Listen { data: address, ..Listen::ANY }
        }
        None => Listen::ANY,
    };
    let scratch = Scratch::new().map_err(DemoError::io("make a temporary folder"))?;
    let arrivals: Arc<[Arrival]> = scene.traffic().take_while(|a| a.at_ms < seconds * 1e3).collect();
    let mut worlds = Vec::with_capacity(Kind::ALL.len());
    for kind in Kind::ALL {
        let listen = if kind == Kind::Rhumb { first } else { Listen::ANY };
        worlds.push(World::start(kind, &scene.atlas, scene.single, scene.mean, listen, &scratch.0)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DemoError::io("start a runtime"))?;
    let corners = runtime.block_on(fight(worlds, &scene, &arrivals, seconds))?;
    let mut routers = BTreeMap::new();
    for corner in corners {
        let kind = corner.world.kind;
        routers.insert(kind.name(), corner.end(&scene, arrivals.len(), seconds));
    }
    let failures = routers.get(Kind::Rhumb.name()).map_or(0, |r| r.errors);
    print(&Report {
        seed: scene.seed,
        seconds,
        rps: (scene.mean_rps() * 10.0).round() / 10.0,
        failed_site: &scene.atlas.sites[scene.failure.site].name,
        failed_at_s: scene.failure.at_s,
        single_region: &scene.atlas.sites[scene.single].name,
        routers,
    })?;
    Ok(failures)
}

async fn fight(
    worlds: Vec<World>,
    scene: &Scene,
    arrivals: &Arc<[Arrival]>,
    seconds: f64,
) -> Result<Vec<Corner>, DemoError> {
    let start = clock::now() + WARM_UP;
    let mut corners = Vec::with_capacity(worlds.len());
    for world in worlds {
        let same = Arc::clone(arrivals);
        let load = Load::start(&world, &scene.atlas, (0..same.len()).map(move |i| same[i]), start);
        let load = load.map_err(DemoError::io("start a thread"))?;
        corners.push(Corner { world, load, joules_before: 0.0, joules_after: None, samples: Vec::new() });
    }
    tokio::time::sleep_until(start.into()).await;
    for corner in &mut corners {
        corner.joules_before = corner.world.joules();
    }
    let (mut failed, mut progress) = (false, Progress::new());
    loop {
        let now_s = clock::since(start).as_secs_f64();
        if !failed && now_s >= scene.failure.at_s {
            failed = true;
            corners.iter().for_each(|c| c.world.fail(scene.failure.site, true));
        }
        for corner in &mut corners {
            corner.samples.extend(corner.load.samples.take());
            if now_s >= seconds && corner.joules_after.is_none() {
                corner.joules_after = Some(corner.world.joules());
            }
        }
        let over = corners.iter().all(|c| c.load.is_over() && c.joules_after.is_some());
        if over || now_s > seconds + DRAIN.as_secs_f64() {
            progress.end();
            return Ok(corners);
        }
        progress.show(now_s, seconds, &corners);
        tokio::time::sleep(LOOK).await;
    }
}

impl Corner {
    fn end(mut self, scene: &Scene, sent: usize, seconds: f64) -> RouterReport {
        self.load.stop();
        let totals = self.world.totals();
        let spent = Spent {
            metered_usd: totals.usd,
            provisioned_usd: scene.gpus_usd_per_hour() * seconds / 3_600.0,
            tokens: totals.prompt_tokens + totals.completion_tokens,
            joules: self.joules_after.unwrap_or(self.joules_before) - self.joules_before,
            elapsed_s: seconds,
        };
        self.world.stop();
        self.samples.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        report(&self.samples, sent, &spent, &scene.site_names())
    }
}

fn print(report: &Report<'_>) -> Result<(), DemoError> {
    let text = serde_json::to_string_pretty(report).expect("the report has string keys and finite numbers");
    rhumb_screen::print(format_args!("{text}\n")).map_err(DemoError::io("print the report"))
}

/// One line on standard error, if somebody is there to read it.
struct Progress {
    shown: bool,
    last: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: None }
    }

    fn show(&mut self, now_s: f64, seconds: f64, corners: &[Corner]) {
        if !self.shown || self.last.is_some_and(|last| clock::since(last) < Duration::from_secs(1)) {
            return;
        }
        self.last = Some(clock::now());
        let mut line = format!("\r{now_s:.0} of {seconds:.0} s");
        for corner in corners {
            line += &format!(", {} {}", corner.world.kind.name(), corner.samples.len());
        }
        // A closed standard error is no reason to stop.
        let _ = write!(std::io::stderr().lock(), "{line} answered ");
    }

    fn end(&self) {
        if self.shown {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}
