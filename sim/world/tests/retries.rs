//! Clients that send again what failed, as the official SDKs do, and what that does to a grid in trouble.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Crowd, goodput, oracles, setup};
use rhumb_grid::config::Router;
use rhumb_world::{Checks, Clients, Fault, FaultKind, Ran, Setup, run};

const SLO_MS: f32 = 1_000.0;
const BEGIN_S: f64 = 40.0;
const CLEAR_S: f64 = 60.0;
const END_S: f64 = 130.0;

fn fault(site: u32, kind: FaultKind, from_s: f64, until_s: f64) -> Fault {
    Fault { from_us: (from_s * 1e6) as u64, until_us: (until_s * 1e6) as u64, site, endpoints: None, kind }
}

/// Two thousand clients with an SDK's retries. A tenth of everything fails all the time; at so many of the four sites
/// everything does for 20 s.
fn storm(sites: u32, kind: fn(f64) -> FaultKind) -> (Setup, Ran) {
    let mut setup = setup(4, 3, Router::Rhumb);
    setup.clients = Clients { retries: 2, ..Clients::default() };
    for site in 0..4 {
        let worst = if site < sites { 1.0 } else { 0.1 };
        setup.faults.extend([
            fault(site, kind(0.1), 0.0, BEGIN_S),
            fault(site, kind(worst), BEGIN_S, CLEAR_S),
            fault(site, kind(0.1), CLEAR_S, END_S + 600.0),
        ]);
    }
    let mut crowd = Crowd::new(2_000, 40.0, END_S, 4, 5);
    let ran = run(&setup, &mut crowd, &mut Checks::default()).unwrap();
    oracles(&ran).unwrap();
    (setup, ran)
}

/// Upstream attempts over what clients send, and goodput after over goodput before.
fn figures(ran: &Ran) -> (f64, f64) {
    let before = goodput(ran, SLO_MS, 10.0, BEGIN_S);
    let after = goodput(ran, SLO_MS, CLEAR_S + 30.0, END_S);
    println!(
        "sent {}, attempts {}, requests {}, good {before:.1}/s before, {:.1} during, {:.1} at once after, {after:.1} later",
        ran.sent,
        ran.attempts,
        ran.outcomes.len(),
        goodput(ran, SLO_MS, BEGIN_S, CLEAR_S),
        goodput(ran, SLO_MS, CLEAR_S, CLEAR_S + 10.0),
    );
    (ran.attempts as f64 / ran.sent as f64, after / before)
}

#[test]
fn f18_a_retry_storm_stays_small_and_ends_with_its_cause() {
    for kind in [FaultKind::Errors as fn(f64) -> FaultKind, FaultKind::Busy] {
        for sites in [1, 2, 4] {
            let (_, ran) = storm(sites, kind);
            let (load, back) = figures(&ran);
            assert!(load <= 1.2, "{sites} sites: {load:.3} attempts for each request that clients send");
            assert!(back >= 0.95, "{sites} sites: {back:.3} of the goodput came back within 30 s");
        }
    }
}
