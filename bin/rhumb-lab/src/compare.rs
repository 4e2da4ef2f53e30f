//! `rhumb-lab compare` and `rhumb-lab tune`: every router on every benchmark.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb_lab::{BENCHMARKS, Options, RouterName, Tuned};

use crate::commit;
use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::lab::{Data, cores, router};
use rhumb_cli::{Bar, out};

/// Requests of a benchmark, and seeds, where it is to be quick.
const QUICK: (u64, u64) = (4_000, 3);
/// Seeds of the whole comparison.
const SEEDS: u64 = 20;

/// Arguments of `rhumb-lab compare`.
#[derive(clap::Args)]
pub(crate) struct Compare {
    /// At most 4,000 requests and 3 seeds each: less than a minute
    #[arg(long)]
    quick: bool,
    /// The first seed: the same seeds give the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Runs of each router on successive seeds; default: 20, or 3 with --quick
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(2..=1000))]
    seeds: Option<u64>,
    /// Print all reports as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: Data,
    /// File to write instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `rhumb-lab tune`.
#[derive(clap::Args)]
pub(crate) struct Tune {
    /// Benchmark to tune for; default: all
    benchmarks: Vec<String>,
    /// Router; give it several times for several; default: those of the benchmark
    #[arg(long = "router", value_name = "NAME", value_parser = router)]
    routers: Vec<RouterName>,
    /// Settings tried of each, the defaults first
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    trials: u64,
    /// Requests of a trial at most, from the start of the first half; default: all of it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Runs of each setting on successive seeds, whose mean is judged: where one run is short, chance decides otherwise
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    #[command(flatten)]
    data: Data,
    /// File to write instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn options(data: Option<PathBuf>, seed: u64, seeds: u64, threads: usize) -> Options {
    Options { routers: Vec::new(), seed, seeds, data, check: false, threads, commit: commit() }
}

fn put(out: Option<&PathBuf>, text: &str) -> Outcome {
    match out {
        None => write!(std::io::stdout().lock(), "{text}")
            .map_err(|why| Failure::new(exit::USAGE, format!("cannot print the table: {why}")))?,
        Some(path) => std::fs::write(path, text)
            .map_err(|why| Failure::new(exit::USAGE, format!("cannot write `{}`: {why}", path.display())))?,
    }
    Ok(exit::DONE)
}

/// Runs the comparison.
pub(crate) fn compare(args: &Compare) -> Outcome {
    let data = args.data.required()?;
    let (requests, fewer) = QUICK;
    let seeds = args.seeds.unwrap_or(if args.quick { fewer } else { SEEDS });
    let bar = Bar::default();
    let now = Mutex::new(String::new());
    let comparison = rhumb_lab::comparison(
        &options(Some(data), args.seed, seeds, cores()),
        args.quick.then_some(requests),
        &|name, p| {
            let mut now = now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if *now != name {
                bar.end();
                name.clone_into(&mut now);
            }
            bar.show(p.done, p.runs, p);
        },
    );
    bar.end();
    let comparison = comparison?;
    let text = if args.json {
        serde_json::to_string_pretty(&comparison).expect("reports have string keys and finite numbers") + "\n"
    } else {
        let quick = if args.quick { " --quick" } else { "" };
        comparison.markdown(&format!("rhumb-lab compare{quick} --seed {} --seeds {seeds}", args.seed))
    };
    put(args.out.as_ref(), &text)
}

/// Tunes everyone, as many at a time as there are cores.
pub(crate) fn tune(args: &Tune) -> Outcome {
    let data = args.data.dir();
    let names: Vec<&str> = if args.benchmarks.is_empty() {
        BENCHMARKS.to_vec()
    } else {
        args.benchmarks.iter().map(String::as_str).collect()
    };
    let mut jobs = Vec::new();
    for name in names {
        let loaded = rhumb_lab::load(name)?;
        let routers = if args.routers.is_empty() { loaded.scenario.routers } else { args.routers.clone() };
        jobs.extend(routers.into_iter().map(|router| (name, router)));
    }
    let next = AtomicUsize::new(0);
    let found: Mutex<BTreeMap<&str, BTreeMap<RouterName, Tuned>>> = Mutex::default();
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..cores().min(jobs.len()) {
            scope.spawn(|| {
                while let Some((name, router)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tuned = one(args, data.clone(), name, *router);
                    match tuned {
                        Ok(tuned) => {
                            let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            let done = 1 + found.values().map(BTreeMap::len).sum::<usize>();
                            let (score, default_score) = (tuned.score, tuned.default_score);
                            let (router, of) = (*router, jobs.len());
                            out::note(format_args!(
                                "{done}/{of} {name} {}: {score:.4} from {default_score:.4}",
                                router.name()
                            ));
                            found.entry(name).or_default().insert(router, tuned);
                        }
                        Err(why) => *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(why),
                    }
                }
            });
        }
    });
    if let Some(why) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(why.into());
    }
    let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let table: BTreeMap<&str, BTreeMap<RouterName, &BTreeMap<String, f64>>> =
        found.iter().map(|(name, all)| (*name, all.iter().map(|(r, t)| (*r, &t.parameters)).collect())).collect();
    let text = serde_json::to_string_pretty(&table).expect("it has string keys and finite numbers") + "\n";
    put(args.out.as_ref(), &text)
}

fn one(args: &Tune, data: Option<PathBuf>, name: &str, router: RouterName) -> Result<Tuned, rhumb_lab::LabError> {
    let mut loaded = rhumb_lab::load(name)?;
    let plan = &mut loaded.scenario.traffic;
    // Tuning takes half of what the scenario does.
    if let Some(most) = args.requests.map(|r| 2 * r) {
        plan.requests = Some(plan.requests.map_or(most, |r| r.min(most)));
    }
    rhumb_lab::tune(&mut loaded, &options(data, 1, args.seeds, 1), router, args.trials)
}
