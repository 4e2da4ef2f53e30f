//! Engines that answer wrongly, and requests that engines die of: found as live gateways find them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{asks, fault, oracles, setup};
use rhumb_flow::blame::Failure;
use rhumb_grid::config::Router;
use rhumb_world::{Checks, End, FaultKind, Poison, Ran, Setup, Tenant, run};

fn ran(setup: &Setup) -> Ran {
    let ran = run(setup, &mut asks(2_400, 20.0, 4, setup.seed).into_iter(), &mut Checks::default()).unwrap();
    oracles(&ran).unwrap();
    ran
}

/// So many of four sites answer wrongly for a minute and a half of the two that the traffic lasts.
fn wrong(sites: u32, canaries: bool) -> Ran {
    let mut setup = setup(4, 2, Router::Rhumb);
    setup.canaries = canaries;
    setup.grid.config.gateway.canary_interval_ms = 10_000;
    setup.faults = (0..sites).map(|site| fault(site, FaultKind::WrongAnswers, 15.0, 105.0)).collect();
    ran(&setup)
}

#[test]
fn f27_wrong_answers_end_with_the_next_canary_unless_nobody_answers_it_rightly() {
    for sites in [1, 3] {
        let (unseen, seen) = (wrong(sites, false).wrong_answers, wrong(sites, true).wrong_answers);
        println!("{sites} sites: {unseen} wrong answers without canaries, {seen} with");
        // Ten seconds of ninety, and what was under way.
        assert!(unseen > 100 && (seen as f64) < 0.2 * unseen as f64, "{seen} of {unseen}");
    }
    let all = wrong(4, true);
    assert!(all.outcomes.iter().all(|o| o.end == End::Complete), "an outage would be the worse failure");
}

#[test]
fn a_request_that_engines_die_of_takes_three_and_no_more_however_often_its_client_sends_it() {
    let mut setup = setup(6, 1, Router::Rhumb);
    let tenant = |name: &str| Tenant { name: name.into(), rates: setup.rates, service: setup.service, weight: 1.0 };
    setup.tenants = vec![tenant("one")];
    setup.clients.poison = Some(Poison { tenant: 0, share: 0.02, failure: Failure::Died, served_by: None });
    setup.clients.retries = 5;
    let ran = ran(&setup);
    let dead: Vec<u32> = ran.outcomes.iter().filter(|o| o.end != End::Complete).map(|o| o.attempts).collect();
    println!("tries of requests that engines died of: {dead:?}");
    assert!(!dead.is_empty() && dead.iter().all(|tries| *tries <= 3), "{dead:?}");
    let rejected = ran.outcomes.iter().filter(|o| o.end == End::Rejected).count();
    assert_eq!(rejected, dead.len());
}
