//! More than the grid can serve must not make it serve less.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_lab::{ClientsPlan, Lab, Options, RouterName, load};

const LOADS: [f64; 6] = [0.6, 0.8, 1.0, 1.2, 1.5, 2.0];

/// Goodput a second at each load; clients try again so many times.
fn sweep(retries: u32, seed: u64) -> Vec<f64> {
    let mut loaded = load("edge-43").unwrap();
    let scenario = &mut loaded.scenario;
    (scenario.grid.count, scenario.grid.gateways) = (Some(8), 3);
    (scenario.traffic.requests, scenario.traffic.seconds) = (None, Some(60.0));
    scenario.traffic.loads = LOADS.to_vec();
    scenario.clients = ClientsPlan { retries, ..ClientsPlan::default() };
    let routers = vec![RouterName::Rhumb];
    let options = Options { routers, seed, seeds: 1, data: None, check: false, threads: 2, commit: "test".into() };
    let report = Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap();
    report.load["rhumb"].iter().map(|(_, goodput)| *goodput).collect()
}

/// What is kept of the peak at twice the capacity.
fn kept(retries: u32, seed: u64) -> f64 {
    let goodput = sweep(retries, seed);
    println!("{retries} retries, seed {seed}: {goodput:.1?}");
    goodput[LOADS.len() - 1] / goodput.iter().copied().fold(0.0, f64::max)
}

#[test]
fn goodput_at_twice_the_capacity_is_that_of_its_peak() {
    for seed in 1..=3 {
        let kept = kept(0, seed);
        assert!(kept >= 0.95, "seed {seed}: {kept:.3} of the peak");
    }
}

/// Whoever comes again after half a second or more has missed half a second as the objective already, and is served all
/// the same, in the place of somebody who has not: a gateway cannot tell.
#[test]
fn clients_that_try_again_cost_a_tenth_of_it_at_most() {
    for seed in 1..=3 {
        let kept = kept(2, seed);
        assert!(kept >= 0.9, "seed {seed}: {kept:.3} of the peak");
    }
}
