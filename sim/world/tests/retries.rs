//! Clients that send again what failed, as the official SDKs do, and what that does to a grid in trouble.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Crowd, asks, fault, goodput, oracles, setup};
use rhumb_grid::config::Router;
use rhumb_world::{Checks, Clients, End, FaultKind, Ran, run};

const SLO_MS: f32 = 1_000.0;
const BEGIN_S: f64 = 40.0;
const CLEAR_S: f64 = 60.0;
const END_S: f64 = 130.0;

/// Two thousand clients with an SDK's retries. A tenth of everything fails all the time; at so many of the four sites
/// everything does for 20 s.
fn storm(sites: u32, kind: fn(f64) -> FaultKind, hold: bool) -> Ran {
    let mut setup = setup(4, 3, Router::Rhumb);
    setup.grid.config.gateway.hold = hold;
    setup.rates.ttft_slo_ms = f64::from(SLO_MS);
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
    ran
}

/// Upstream attempts over what clients send; goodput during the outage and half a minute after it, over that before.
fn figures(ran: &Ran) -> (f64, f64, f64) {
    let before = goodput(ran, SLO_MS, 10.0, BEGIN_S);
    let during = goodput(ran, SLO_MS, BEGIN_S, CLEAR_S);
    let after = goodput(ran, SLO_MS, CLEAR_S + 30.0, END_S);
    println!(
        "sent {}, attempts {}, requests {}, good {before:.1}/s before, {during:.1} during, {:.1} at once after, {after:.1} later",
        ran.sent,
        ran.attempts,
        ran.outcomes.len(),
        goodput(ran, SLO_MS, CLEAR_S, CLEAR_S + 10.0),
    );
    (ran.attempts as f64 / ran.sent as f64, during / before, after / before)
}

#[test]
fn f18_a_retry_storm_stays_small_and_ends_with_its_cause() {
    for kind in [FaultKind::Errors as fn(f64) -> FaultKind, FaultKind::Busy] {
        for sites in [1, 2, 4] {
            let (load, kept, back) = figures(&storm(sites, kind, true));
            assert!(load <= 1.2, "{sites} sites: {load:.3} attempts for each request that clients send");
            // Whoever fails fast must not draw what the others could serve.
            assert!(sites == 4 || kept >= 0.75, "{sites} sites: {kept:.3} of the goodput was left");
            assert!(back >= 0.95, "{sites} sites: {back:.3} of the goodput came back within 30 s");
        }
    }
}

/// Where nothing is held back from a site that says it is busy, the budget alone keeps retries at gateways few.
#[test]
fn f18_the_retry_budget_bounds_what_gateways_add() {
    for sites in [2, 4] {
        let (load, _, back) = figures(&storm(sites, FaultKind::Busy, false));
        assert!(load <= 1.2, "{sites} sites: {load:.3} attempts for each request that clients send");
        assert!(back >= 0.95, "{sites} sites: {back:.3} of the goodput came back within 30 s");
    }
}

#[test]
fn a_request_that_is_sent_again_is_one_request_from_its_first_sending() {
    let mut setup = setup(2, 1, Router::Rhumb);
    setup.clients = Clients { retries: 2, ..Clients::default() };
    // Nothing answers for four seconds: those sent then come back after a second, as they are told to.
    setup.faults = vec![fault(0, FaultKind::Errors(1.0), 0.0, 4.0), fault(1, FaultKind::Errors(1.0), 0.0, 4.0)];
    let ran = run(&setup, &mut asks(60, 5.0, 2, 3).into_iter(), &mut Checks::default()).unwrap();
    oracles(&ran).unwrap();
    assert_eq!(ran.outcomes.len(), 60);
    let again: Vec<_> = ran.outcomes.iter().filter(|o| o.sends > 1 && o.end == End::Complete).collect();
    assert!(!again.is_empty() && again.iter().all(|o| o.ttft_ms > 1_000.0 * (o.sends - 1) as f32), "{again:?}");
    let gone: Vec<_> = ran.outcomes.iter().filter(|o| o.end == End::Failed).collect();
    assert!(!gone.is_empty() && gone.iter().all(|o| o.sends == 3), "{gone:?}");
    assert_eq!(ran.sent, ran.outcomes.iter().map(|o| u64::from(o.sends)).sum::<u64>());
}

#[test]
fn a_client_that_retries_nothing_changes_nothing() {
    let text = |clients: Clients| {
        let mut setup = setup(3, 1, Router::Rhumb);
        setup.clients = clients;
        setup.faults = vec![fault(0, FaultKind::Refuse, 2.0, 6.0)];
        let ran = run(&setup, &mut asks(200, 15.0, 3, 3).into_iter(), &mut Checks::default()).unwrap();
        assert!(ran.outcomes.iter().all(|o| o.end == End::Complete));
        format!("{ran:?}")
    };
    assert_eq!(text(Clients::default()), text(Clients { retries: 2, ..Clients::default() }));
}
