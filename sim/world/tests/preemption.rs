//! Batch work is preempted before its first byte, and is done afterwards.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{asks, beside_programs, oracles, people_and_programs, setup};
use rhumb_grid::config::Router;
use rhumb_rng::Rng;
use rhumb_world::{Checks, End, Ran, run};

/// Two engines at a site, somebody each five seconds and a program with a long prompt as often; programs may be tried so
/// many times.
fn day(seed: u64, tries: u32) -> Ran {
    let mut setup = setup(1, 2, Router::Rhumb);
    setup.seed = seed;
    setup.tenants = beside_programs(&setup);
    setup.tenants[1].rates.max_attempts = tries;
    let mut rng = Rng::labelled(seed, "prompts");
    let asks = people_and_programs(asks(400, 0.4, 1, seed), &mut rng);
    let ran = run(&setup, &mut asks.into_iter(), &mut Checks::default()).unwrap();
    oracles(&ran).unwrap();
    ran
}

/// Share of the people that had their first token within a second.
fn met(ran: &Ran) -> f64 {
    let people = || ran.outcomes.iter().filter(|o| o.tenant == 0);
    people().filter(|o| o.end == End::Complete && o.ttft_ms <= 1_000.0).count() as f64 / people().count() as f64
}

fn answered(ran: &Ran) -> u64 {
    ran.outcomes.iter().filter(|o| o.end == End::Complete).count() as u64
}

#[test]
fn people_have_their_first_token_sooner_and_more_is_answered() {
    for seed in 1..=5 {
        // What may be tried once is not taken back.
        let (standing, giving) = (day(seed, 1), day(seed, 3));
        println!(
            "seed {seed}: {:.3} met, {:.3} where {} was preempted",
            met(&standing),
            met(&giving),
            giving.was_preempted
        );
        assert!(standing.was_preempted == 0 && giving.was_preempted > 0);
        assert!(met(&giving) > met(&standing), "seed {seed}");
        assert!(answered(&giving) > answered(&standing), "seed {seed}");
        let fine = |end| end == End::Complete || end == End::Shed;
        assert!(
            giving.outcomes.iter().all(|o| fine(o.end)),
            "whoever is preempted is answered, or rejected with Retry-After"
        );
        let tried = answered(&giving) + giving.was_preempted;
        assert_eq!(giving.attempts, tried, "nothing else is tried twice");
    }
}
