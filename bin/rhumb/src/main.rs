//! `rhumb`: the command line, and nothing else.

// Printing to a reader who has left panics: `out` prints instead.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod add;
mod ask;
mod check;
mod data;
mod drain;
mod explain;
mod lab;
mod load;
mod local;
mod log;
mod replay;
mod sessions;
mod sim;
mod top;
mod up;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rhumb_cli::{exit, out};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One OpenAI-compatible endpoint in front of many GPU sites: each request goes where its bill is lowest.
#[derive(Parser)]
#[command(name = "rhumb", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show a grid at work: emulated sites, real prices and distances; no GPU, network or configuration needed
    Demo(rhumb_demo::DemoArgs),
    /// Run a gateway
    Up(up::Args),
    /// Look at an endpoint and write its lines into the configuration
    Add(add::Args),
    /// Check a configuration and report every problem at once
    Check(check::Args),
    /// Print the bill of a decision
    Explain(explain::Args),
    /// Drain a site or an endpoint, and show its requests in flight
    Drain(drain::Args),
    /// Show the sessions of agents: steps, tokens, money, where each was served, what stopped it
    Sessions(sessions::Args),
    /// Watch a running gateway: requests, queue, endpoints, configuration
    Top(top::Args),
    /// Repeat a logged decision and compare, bit for bit
    Replay(replay::Args),
    /// Show what the decision log holds, or delete its oldest rows
    Log(log::Args),
    /// Simulate a grid under a scenario and compare routers
    Sim(sim::Args),
    /// Run an emulated engine server: the real API with the timing of a GPU
    Engine(rhumb_emulator::cli::EngineArgs),
}

/// Thousands of idle streams hold small buffers that are mostly untouched. Backed by huge pages, which the allocator asks
/// for, they take half as much memory again, and what that saves in CPU is within the noise of the benchmark.
#[cfg(target_os = "linux")]
fn without_huge_pages() {
    // An old kernel that refuses costs memory and nothing else.
    let _ = nix::sys::prctl::set_thp_disable(true);
}

#[cfg(not(target_os = "linux"))]
fn without_huge_pages() {}

/// A connection takes a descriptor or two, and nothing here minds numbers above 1,024, for whose sake the soft limit is
/// low: the hard one counts.
#[cfg(target_os = "linux")]
fn with_all_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // If it may not be raised, the gateway makes do with what there is.
    let _ = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
}

#[cfg(not(target_os = "linux"))]
fn with_all_descriptors() {}

fn demo(args: rhumb_demo::DemoArgs) -> exit::Outcome {
    let failures = rhumb_demo::run(args).map_err(|e| exit::Failure::new(exit::USAGE, e))?;
    Ok(if failures == 0 { exit::DONE } else { exit::FAILED })
}

/// Where the address space is limited (`ulimit -v`), none of it may be kept for later: the C library reserves 64 MiB of it
/// for each thread that asks it for memory, as the log's do, and the allocator keeps what it has had. Both read
/// what to do instead when the program starts, so it starts again.
#[cfg(target_os = "linux")]
fn within_address_space() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    use std::os::unix::process::CommandExt as _;
    const SETTINGS: [(&str, &str); 2] =
        [("MALLOC_ARENA_MAX", "1"), ("_RJEM_MALLOC_CONF", "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0")];
    let is_limited = getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY);
    // What somebody has set is theirs.
    let missing = || SETTINGS.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    if !is_limited || missing().next().is_none() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    // It returns only where it fails, and then this start goes on as well as it can.
    let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(missing()).exec();
}

#[cfg(not(target_os = "linux"))]
fn within_address_space() {}

fn main() -> ExitCode {
    within_address_space();
    without_huge_pages();
    with_all_descriptors();
    let result = lab::hand_over().unwrap_or_else(|| run(Cli::parse().command));
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            out::note(format_args!("error: {}", failure.text));
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> exit::Outcome {
    match command {
        Command::Demo(args) => demo(args),
        Command::Up(args) => up::run(&args),
        Command::Add(args) => add::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Sessions(args) => sessions::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Engine(args) => {
            rhumb_emulator::cli::run(args).map(|()| exit::DONE).map_err(|e| exit::Failure::new(exit::USAGE, e))
        }
    }
}
