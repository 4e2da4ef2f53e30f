//! `rhumb sim`.

use std::path::PathBuf;

use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::lab::{Data, cores, router};
use rhumb_cli::{Bar, out};
use rhumb_lab::{Checks, Lab, Options, RouterName, Tracer};

use crate::{data, lab};

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

#[derive(clap::Subcommand)]
enum Command {
    /// Name the scenarios that are built in
    List,
    /// Say which data the scenarios and benchmarks need, from where, under which licence, and which run without
    Data(Data),
    /// Run one router on one seed again and show what happens around an event
    Replay(Replay),
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

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Some(Command::List) => list(),
        Some(Command::Data(args)) => data::run(args),
        Some(Command::Replay(replay)) => again(replay),
        None => simulate(args),
    }
}

fn list() -> Outcome {
    for (name, about) in rhumb_lab::list()? {
        out::line(format_args!("{name:<14}  {about}"))?;
    }
    for (name, about) in lab::BENCHMARKS {
        out::line(format_args!("{name:<14}  {about}"))?;
    }
    Ok(exit::DONE)
}

fn commit() -> String {
    option_env!("RHUMB_COMMIT").unwrap_or("unknown").to_owned()
}

fn simulate(args: &Args) -> Outcome {
    let Some(name) = &args.scenario else {
        return Err(Failure::new(exit::USAGE, "name a scenario: `rhumb sim list` shows those there are"));
    };
    if lab::is_lab(name.as_ref()) {
        let text =
            format!("`{name}` is a command of `rhumb-lab`: write it directly after `rhumb sim`, options behind it");
        return Err(Failure::new(exit::USAGE, text));
    }
    let mut loaded = rhumb_lab::load(name)?;
    if args.requests.is_some() {
        loaded.scenario.traffic.requests = args.requests;
    }
    if args.no_loads {
        loaded.alone();
    }
    let options = Options {
        routers: args.routers.clone(),
        seed: args.seed,
        seeds: args.seeds,
        data: args.data.dir(),
        check: args.check,
        threads: args.threads.unwrap_or_else(cores),
        commit: commit(),
    };
    let lab = Lab::new(&loaded, &options)?;
    let bar = Bar::default();
    let report = lab.run(&|p| bar.show(p.done, p.runs, p));
    bar.end();
    let report = report?;
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
    let loaded = rhumb_lab::load(&args.scenario)?;
    let options = Options {
        routers: vec![args.router],
        seed: args.seed,
        seeds: 1,
        data: args.data.dir(),
        check: true,
        threads: 1,
        commit: commit(),
    };
    let lab = Lab::new(&loaded, &options)?;
    let mut watch = (Tracer::new(args.at, args.trace), Checks::default());
    let ran = lab.watch(args.router, args.seed, &mut watch);
    out::print(watch.0.text)?;
    let ran = ran?;
    if args.at > ran.events {
        let text = format!("the run has {} events: give --at a number up to that", ran.events);
        return Err(Failure::new(exit::USAGE, text));
    }
    out::line(format_args!("every invariant held over {} events", ran.events))?;
    Ok(exit::DONE)
}
