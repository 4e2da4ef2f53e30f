//! `rhumb sim`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;

use rhumb_lab::{Checks, Lab, LabError, Options, Progress, RouterName, Tracer};

use crate::exit::{self, Failure, Outcome};
use crate::{comparison, data, decisions, out};

/// Arguments of `rhumb sim`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Name of a scenario (`rhumb sim list`) or a file
    scenario: Option<String>,
    /// Router, in place of the scenario's own; give it several times for several
    #[arg(long = "router", value_name = "NAME", value_parser = router)]
    routers: Vec<RouterName>,
    /// Decides every draw: the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Runs of each router on successive seeds; figures are then means with 95 % confidence intervals
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Requests at most, in place of the scenario's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Leave out the further loads and the search for the fewest GPUs that the scenario asks for
    #[arg(long)]
    no_loads: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report with pictures as one self-contained page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Check every invariant after every event (slower)
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    data: Data,
    /// Runs at the same time; default: one for each core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(clap::Args)]
pub(crate) struct Data {
    /// Folder of traces, prices and measurements; default: RHUMB_DATA_DIR
    #[arg(long = "data", value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Data {
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        self.dir.clone().or_else(|| std::env::var_os("RHUMB_DATA_DIR").map(PathBuf::from))
    }
}

#[derive(clap::Subcommand)]
enum Command {
    /// Name the scenarios that are built in
    List,
    /// Say which data the scenarios, the comparison and the benchmarks need, from where, under which licence, and which run
    /// without
    Data(Data),
    /// Run one router on one seed again and show what happens around an event
    Replay(Replay),
    /// Say how far the engine model is from measurements that its fit did not see (some minutes)
    Fidelity(Fidelity),
    /// Fit the engine model to a data folder and print its table of coefficients
    Fit(Fit),
    /// Run every router on every benchmark and print the table (some minutes; --quick: less than one)
    Comparison(comparison::Comparison),
    /// Search the routers' parameters on the first half of each benchmark's traffic and print what is best
    Tune(comparison::Tune),
}

#[derive(clap::Args)]
struct Fidelity {
    /// Folder of measurements; give it several times for several. What the model was fitted to is judged by fits that
    /// leave it out, all else by the model as it is; default: RHUMB_DATA_DIR
    #[arg(long = "data", value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Print the page that stands in docs/fidelity.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

#[derive(clap::Args)]
struct Fit {
    #[command(flatten)]
    data: Data,
    /// File to write instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Replay {
    /// Seed of the run
    seed: u64,
    /// Name of a scenario or a file
    #[arg(long, value_name = "NAME", default_value = "demo")]
    scenario: String,
    /// Router
    #[arg(long, value_name = "NAME", value_parser = router, default_value = "rhumb")]
    router: RouterName,
    /// Number of the event to look at
    #[arg(long, value_name = "EVENT")]
    at: u64,
    /// Show decisions and engines too
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    data: Data,
}

impl Args {
    /// What is no simulation takes few of the options that one does: the others would change nothing.
    fn only(&self, name: &str, these: &str, alone: bool) -> Result<(), Failure> {
        let plain = self.routers.is_empty() && (self.seed, self.seeds) == (1, 1) && self.threads.is_none();
        let bare = !self.no_loads && !self.check && self.html.is_none();
        if alone && plain && bare {
            return Ok(());
        }
        Err(Failure::new(exit::USAGE, format!("`{name}` is no simulation: of the options it takes {these} alone")))
    }
}

pub(crate) fn router(text: &str) -> Result<RouterName, String> {
    let known = || RouterName::ALL.map(RouterName::name).join(", ");
    RouterName::ALL.into_iter().find(|r| r.name() == text).ok_or_else(|| format!("the routers are {}", known()))
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Some(Command::List) => list(),
        Some(Command::Data(args)) => data::run(args),
        Some(Command::Replay(replay)) => again(replay),
        Some(Command::Fidelity(args)) => fidelity(args),
        Some(Command::Fit(args)) => fit(args),
        Some(Command::Comparison(args)) => comparison::comparison(args),
        Some(Command::Tune(args)) => comparison::tune(args),
        None => match args.scenario.as_deref() {
            Some("b9") => {
                args.only("b9", "`--data` and `--json`", args.requests.is_none())?;
                let dirs = args.data.dir.iter().cloned().collect();
                fidelity(&Fidelity { dirs, json: args.json, markdown: false })
            }
            Some("b10") => {
                args.only("b10", "`--requests` and `--json`", args.data.dir.is_none())?;
                decisions::run(args.requests, args.json)
            }
            _ => simulate(args),
        },
    }
}

pub(crate) fn failure(error: LabError) -> Failure {
    let code = if matches!(error, LabError::Broken { .. }) { exit::BROKEN } else { exit::USAGE };
    Failure::new(code, error)
}

fn list() -> Outcome {
    for (name, about) in rhumb_lab::list().map_err(failure)? {
        out::line(format_args!("{name:<14}  {about}"))?;
    }
    out::line(format_args!("{:<14}  is the engine model true: the same as `rhumb sim fidelity`", "b9"))?;
    out::line(format_args!(
        "{:<14}  what a decision takes: every router over 10 to 1,000 endpoints, timed on this machine",
        "b10"
    ))?;
    Ok(exit::DONE)
}

pub(crate) fn commit() -> String {
    option_env!("RHUMB_COMMIT").unwrap_or("unknown").to_owned()
}

fn simulate(args: &Args) -> Outcome {
    let Some(name) = &args.scenario else {
        return Err(Failure::new(exit::USAGE, "name a scenario: `rhumb sim list` shows those there are"));
    };
    let mut loaded = rhumb_lab::load(name).map_err(failure)?;
    if args.requests.is_some() {
        loaded.scenario.traffic.requests = args.requests;
    }
    if args.no_loads {
        loaded.alone();
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = Options {
        routers: args.routers.clone(),
        seed: args.seed,
        seeds: args.seeds,
        data: args.data.dir(),
        check: args.check,
        threads: args.threads.unwrap_or(cores),
        commit: commit(),
    };
    let lab = Lab::new(&loaded, &options).map_err(failure)?;
    let bar = Bar::new();
    let report = lab.run(&|progress| bar.show(progress));
    bar.end();
    let report = report.map_err(failure)?;
    if args.json {
        out::line(serde_json::to_string_pretty(&report).expect("the report has string keys and finite numbers"))?;
    } else {
        out::print(report.terminal())?;
    }
    if let Some(path) = &args.html {
        let page = report.html();
        std::fs::write(path, page)
            .map_err(|why| Failure::new(exit::USAGE, format!("cannot write `{}`: {why}", path.display())))?;
        out::note(format_args!("wrote {}", path.display()));
    }
    Ok(if report.pass { exit::DONE } else { exit::FOUND })
}

fn again(args: &Replay) -> Outcome {
    let loaded = rhumb_lab::load(&args.scenario).map_err(failure)?;
    let options = Options {
        routers: vec![args.router],
        seed: args.seed,
        seeds: 1,
        data: args.data.dir(),
        check: true,
        threads: 1,
        commit: commit(),
    };
    let lab = Lab::new(&loaded, &options).map_err(failure)?;
    let mut watch = (Tracer::new(args.at, args.trace), Checks::default());
    let ran = lab.watch(args.router, args.seed, &mut watch);
    out::print(watch.0.text)?;
    let ran = ran.map_err(failure)?;
    if args.at > ran.events {
        let text = format!("the run has {} events: give --at a number up to that", ran.events);
        return Err(Failure::new(exit::USAGE, text));
    }
    out::line(format_args!("every invariant held over {} events", ran.events))?;
    Ok(exit::DONE)
}

pub(crate) fn no_data() -> Failure {
    Failure::new(
        exit::USAGE,
        "no data folder is given: set RHUMB_DATA_DIR or pass `--data DIR`; `rhumb sim data` says what is needed and from where",
    )
}

fn fidelity(args: &Fidelity) -> Outcome {
    let mut data = args.dirs.clone();
    data.extend(std::env::var_os("RHUMB_DATA_DIR").filter(|_| data.is_empty()).map(PathBuf::from));
    if data.is_empty() {
        return Err(no_data());
    }
    if std::io::stderr().is_terminal() {
        out::note("fitting the model once for each group it is judged on: some minutes");
    }
    let report =
        rhumb_fidelity::run_report(&rhumb_fidelity::Options { data }).map_err(|e| Failure::new(exit::USAGE, e))?;
    if args.json {
        out::line(serde_json::to_string_pretty(&report).expect("the report has string keys and finite numbers"))?;
    } else if args.markdown {
        out::print(report.markdown())?;
    } else {
        out::print(report.terminal())?;
    }
    Ok(if report.targets.iter().all(|t| t.met) { exit::DONE } else { exit::FOUND })
}

fn fit(args: &Fit) -> Outcome {
    let data = args.data.dir().ok_or_else(no_data)?;
    let fitted = rhumb_fidelity::run_fit(&data).map_err(|e| Failure::new(exit::USAGE, e))?;
    out::note(format_args!("{} coefficients from {} measurements", fitted.entries, fitted.points));
    match &args.out {
        None => out::print(fitted.source)?,
        Some(path) => std::fs::write(path, &fitted.source)
            .map_err(|why| Failure::new(exit::USAGE, format!("cannot write `{}`: {why}", path.display())))?,
    }
    Ok(exit::DONE)
}

/// One line on standard error, if somebody is there to read it.
pub(crate) struct Bar {
    shown: bool,
    last: Mutex<Option<Progress>>,
}

/// Characters of the bar.
const BAR: usize = 30;

impl Bar {
    pub(crate) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: Mutex::new(None) }
    }

    pub(crate) fn show(&self, progress: Progress) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !self.shown || *last == Some(progress) {
            return;
        }
        *last = Some(progress);
        let Progress { done, runs, requests } = progress;
        let full = BAR * done / runs.max(1);
        // A closed standard error is no reason to stop.
        let _ = write!(
            std::io::stderr().lock(),
            "\r[{}{}] {done} of {runs} runs, {requests} requests ",
            "#".repeat(full),
            "-".repeat(BAR - full)
        );
    }

    pub(crate) fn end(&self) {
        if self.shown {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}
