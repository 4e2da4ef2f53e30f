//! Second attempts beside a late first, as live gateways make them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{asks, fault, oracles, setup};
use rhumb_grid::config::{Preset, Router};
use rhumb_grid::service::Service;
use rhumb_world::{Checks, End, FaultKind, Ran, Setup, run};

/// Four sites with room to spare, at one of which something goes wrong for a while.
fn world(seed: u64, hedges: bool, kind: FaultKind) -> Setup {
    let mut setup = setup(4, 2, Router::Rhumb);
    setup.service = Service::preset(Preset::Interactive);
    (setup.hedges, setup.seed) = (hedges, seed);
    setup.faults = vec![fault(0, kind, 20.0, 60.0)];
    setup
}

fn ran(setup: &Setup, seed: u64) -> Ran {
    let ran = run(setup, &mut asks(1_800, 20.0, 4, seed).into_iter(), &mut Checks::default()).unwrap();
    oracles(&ran).unwrap();
    ran
}

fn p99_ms(ran: &Ran) -> f32 {
    let mut ttft: Vec<f32> = ran.outcomes.iter().filter(|o| o.end == End::Complete).map(|o| o.ttft_ms).collect();
    ttft.sort_by(f32::total_cmp);
    ttft[ttft.len() * 99 / 100]
}

#[test]
fn where_a_site_falls_silent_or_slow_second_attempts_save_the_wait_and_stay_few() {
    for kind in [FaultKind::BlackHole, FaultKind::BrownOut(20.0)] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for seed in 1..=5 {
            let (alone, hedged) = (ran(&world(seed, false, kind), seed), ran(&world(seed, true, kind), seed));
            assert_eq!(alone.hedges, (0, 0));
            println!(
                "{kind:?}, seed {seed}: p99 {:.0} ms alone, {:.0} with {:?} of {} requests",
                p99_ms(&alone),
                p99_ms(&hedged),
                hedged.hedges,
                hedged.sent
            );
            let (made, won) = hedged.hedges;
            assert!(made > 0 && won > 0, "some are late");
            // A twentieth of the requests, and what was saved up for each of two gateways.
            assert!(made as f64 <= 0.05 * hedged.sent as f64 + 10.0, "{made} of {}", hedged.sent);
            assert!(hedged.outcomes.iter().all(|o| o.end == End::Complete), "nothing is lost");
            without.push(p99_ms(&alone));
            with.push(p99_ms(&hedged));
        }
        let mean = |of: &[f32]| of.iter().sum::<f32>() / of.len() as f32;
        assert!(mean(&with) <= mean(&without), "{kind:?}: {with:.0?} against {without:.0?}");
    }
}

#[test]
fn clients_that_leave_and_sites_that_die_leave_nothing_of_two_attempts_behind() {
    for seed in 0..12 {
        let mut setup = world(seed, true, FaultKind::BrownOut(30.0));
        setup.clients.leaving = 0.3;
        setup.clients.leave_after_us = 700_000.0;
        setup.clients.retries = 2;
        setup.faults.push(fault(1, FaultKind::Loss, 30.0, 40.0));
        setup.faults.push(fault(2, FaultKind::Errors(0.3), 30.0, 50.0));
        setup.faults.push(fault(0, FaultKind::Loss, 45.0, 50.0));
        let ran = ran(&setup, seed);
        assert!(ran.hedges.0 > 0, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let of = |seed| format!("{:?}", ran(&world(seed, true, FaultKind::BlackHole), seed).outcomes);
    assert_eq!(of(3), of(3));
}
