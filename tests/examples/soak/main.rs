//! The live half of `make soak`: what is promised of the gateway under load, measured on this machine. Clients, gateway
//! and engines share it. `cargo run --release --example soak -- [cancel] [overload] [tenants] [memory]`; nothing: all.

mod cancel;
mod client;
mod engine;
mod load;
mod memory;
mod overload;
mod report;
mod tenants;

use std::net::SocketAddr;
use std::process::ExitCode;

use rhumb_tests::config::Config;

/// A gateway over engines that cost the same.
fn config(engines: &[SocketAddr]) -> Config {
    let over = Config::over(&[]).alike();
    engines.iter().enumerate().fold(over, |config, (n, address)| config.through(&format!("engine-{n}"), *address))
}

fn main() -> ExitCode {
    let minutes = std::env::var("SOAK_MINUTES").map_or(30.0, |m| m.parse().expect("SOAK_MINUTES is a number"));
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wants = |part: &str| asked.is_empty() || asked.iter().any(|a| a == part);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("clients, gateway and engines on {cores} cores");
    let mut report = report::Report::default();
    if wants("cancel") {
        cancel::run(&mut report);
    }
    if wants("overload") || wants("tenants") {
        let engines = overload::engines();
        let capacity = overload::capacity(&engines);
        report.note("capacity of the emulated engines", &format!("{capacity:.1} answers a second"));
        if wants("overload") {
            overload::run(&mut report, &engines, capacity);
        }
        if wants("tenants") {
            tenants::run(&mut report, &engines, capacity);
        }
    }
    if wants("memory") {
        memory::run(&mut report, minutes);
    }
    ExitCode::from(u8::from(report.missed))
}
