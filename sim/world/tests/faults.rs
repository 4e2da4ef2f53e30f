//! What each fault does to users, and what it does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{asks, setup};
use rhumb_grid::config::Router;
use rhumb_grid::position::SiteIndex;
use rhumb_world::{Checks, End, Energy, Fault, FaultKind, Ran, Setup, run};

fn during(kind: FaultKind) -> (Setup, Ran) {
    let mut setup = setup(4, 2, Router::Rhumb);
    setup.faults = vec![Fault { from_us: 5_000_000, until_us: 15_000_000, site: SiteIndex(0), endpoints: None, kind }];
    let ran = run(&setup, &mut asks(900, 40.0, 4, 5).into_iter(), &mut Checks::default()).unwrap();
    (setup, ran)
}

fn count(ran: &Ran, end: End) -> usize {
    ran.outcomes.iter().filter(|o| o.end == end).count()
}

/// Answers from the first site to requests sent well inside the fault.
fn served_there(ran: &Ran) -> usize {
    let inside = |at_us: u64| (8_000_000..14_000_000).contains(&at_us);
    ran.outcomes.iter().filter(|o| inside(o.at_us) && o.end == End::Complete && o.endpoint.0 < 2).count()
}

#[test]
fn a_site_that_refuses_loses_nobody_and_gets_nothing() {
    let (_, ran) = during(FaultKind::Refuse);
    assert_eq!((count(&ran, End::Complete), served_there(&ran)), (900, 0));
    assert!(ran.outcomes.iter().any(|o| o.attempts > 1));
}

#[test]
fn a_site_that_dies_breaks_only_streams_that_had_begun() {
    let (_, ran) = during(FaultKind::Loss);
    assert_eq!((count(&ran, End::Failed), count(&ran, End::Rejected), served_there(&ran)), (0, 0, 0));
    let broken = count(&ran, End::Broken);
    assert!(broken > 0 && broken < 40, "{broken} streams broke");
    assert!(ran.outcomes.iter().filter(|o| o.end == End::Broken).all(|o| o.endpoint.0 < 2 && o.ttft_ms.is_finite()));
}

#[test]
fn a_broken_stream_counts_and_costs_what_had_come_of_it() {
    let mut setup = setup(4, 2, Router::Rhumb);
    setup.faults = vec![Fault {
        from_us: 5_000_000,
        until_us: 15_000_000,
        site: SiteIndex(0),
        endpoints: None,
        kind: FaultKind::Loss,
    }];
    // Only tokens of answers cost anything: what a gateway takes a prompt for is an estimate.
    let config = &mut setup.grid.config;
    for site in &mut config.sites {
        (site.energy_usd_per_kwh, site.carbon_g_per_kwh, site.egress_usd_per_gb) = (0.0, 0.0, 0.0);
    }
    for price in config.endpoints.iter_mut().filter_map(|e| e.models[0].price.as_mut()) {
        (price.input_usd_per_mtok, price.output_usd_per_mtok) = (0.0, 2.0);
    }
    let sent = asks(900, 40.0, 4, 5);
    // The check that tokens are conserved counts what comes out of engines.
    let ran = run(&setup, &mut sent.clone().into_iter(), &mut Checks::default()).unwrap();
    let broken: Vec<_> = ran.outcomes.iter().filter(|o| o.end == End::Broken).collect();
    for o in &broken {
        let whole = sent.iter().find(|ask| ask.at_us == o.at_us).unwrap().output_tokens;
        assert!((1..whole).contains(&o.output_tokens), "{} of {whole} tokens came", o.output_tokens);
        assert!((o.usd / (f64::from(o.output_tokens) * 2e-6) - 1.0).abs() < 1e-9, "{o:?}");
    }
    assert!(broken.iter().any(|o| o.output_tokens > 10), "{broken:?}");
}

#[test]
fn what_an_engine_counted_outlives_it() {
    let (_, ran) = during(FaultKind::Loss);
    let served = |o: &&rhumb_world::Outcome| matches!(o.end, End::Complete | End::Broken);
    let sum = |of: fn(&rhumb_world::Outcome) -> u32| ran.outcomes.iter().filter(served).map(|o| u64::from(of(o))).sum();
    let (looked_up, found): (u64, u64) = (sum(|o| o.input_tokens), sum(|o| o.cached_tokens));
    assert!(found > 0 && ran.prefix_tokens.0 >= looked_up && ran.prefix_tokens.1 >= found, "{:?}", ran.prefix_tokens);
}

#[test]
fn a_site_that_is_silent_costs_a_timeout_and_then_nothing() {
    let (_, ran) = during(FaultKind::BlackHole);
    assert_eq!(count(&ran, End::Complete), 900);
    // The policy waits four seconds for a first token.
    let late = ran.outcomes.iter().filter(|o| o.ttft_ms > 4_000.0).count();
    assert!(late > 0 && late < 250, "{late} waited for a timeout");
}

#[test]
fn a_cut_from_one_gateway_leaves_the_other_its_site() {
    let (setup, ran) = during(FaultKind::Partition(Some(0)));
    assert_eq!(count(&ran, End::Complete), 900);
    let by = |gateway: u32| {
        let here = |o: &&rhumb_world::Outcome| setup.places[o.place as usize].gateway == gateway;
        let inside = |o: &&rhumb_world::Outcome| (12_500_000..14_500_000).contains(&o.at_us) && o.endpoint.0 < 2;
        ran.outcomes.iter().filter(here).filter(inside).count()
    };
    assert_eq!(by(0), 0, "the gateway that is cut off");
}

#[test]
fn a_brown_out_is_noticed_and_left() {
    let (_, slow) = during(FaultKind::BrownOut(6.0));
    let (_, well) = during(FaultKind::BrownOut(1.0));
    assert!(served_there(&slow) * 2 < served_there(&well), "{} of {}", served_there(&slow), served_there(&well));
}

#[test]
fn a_far_site_gets_less_and_lies_do_not_break_anything() {
    let (_, far) = during(FaultKind::Rtt(20.0));
    let (_, well) = during(FaultKind::Rtt(1.0));
    assert!(served_there(&far) < served_there(&well));
    for kind in [FaultKind::LyingTelemetry(0.0), FaultKind::LyingTelemetry(400.0), FaultKind::StaleTelemetry] {
        assert_eq!(count(&during(kind).1, End::Complete), 900, "{kind:?}");
    }
}

#[test]
fn a_power_cap_is_never_exceeded_and_slows_what_runs() {
    let mut setup = setup(1, 2, Router::Rhumb);
    let board_watts = 72.0;
    // The router believes in twice the envelope, or its gate would refuse work before the boards slow down.
    let mut believed = setup.clone();
    believed.faults = vec![Fault {
        from_us: 0,
        until_us: u64::MAX / 2,
        site: SiteIndex(0),
        endpoints: None,
        kind: FaultKind::PowerCap(0.5),
    }];
    believed.grid.config.sites[0].power_kw = Some(4.0 * board_watts * 0.75 / 1e3);
    let capped = run(&believed, &mut asks(300, 6.0, 1, 5).into_iter(), &mut Checks::default()).unwrap();
    assert!(capped.sites[0].watts_max <= 2.0 * board_watts * 0.75 + 1e-6, "{}", capped.sites[0].watts_max);
    assert!(capped.sites[0].throttled_s > 0.0);
    setup.grid.config.sites[0].power_kw = None;
    let free = run(&setup, &mut asks(300, 6.0, 1, 5).into_iter(), &mut Checks::default()).unwrap();
    assert!(free.sites[0].watts_max > capped.sites[0].watts_max && free.sites[0].throttled_s == 0.0);
    let pace = |r: &Ran| {
        assert_eq!(count(r, End::Complete), 300);
        r.outcomes.iter().filter_map(|o| o.tpot_ms()).map(f64::from).sum::<f64>()
    };
    assert!(pace(&capped) > pace(&free), "{} {}", pace(&capped), pace(&free));
}

#[test]
fn energy_is_billed_by_the_hour_it_was_drawn_in() {
    let mut setup = setup(1, 1, Router::Rhumb);
    setup.grid.config.sites[0].pue = 1.0;
    let at = |usd_per_kwh| Energy { usd_per_kwh, carbon_g_per_kwh: 100.0 };
    setup.energy = vec![vec![at(0.1), at(0.9)]];
    // One request now, one 90 minutes later: the board idles between, one hour cheap and half an hour dear.
    let mut two = asks(2, 1.0, 1, 1);
    (two[0].at_us, two[1].at_us) = (0, 5_400_000_000);
    let ran = run(&setup, &mut two.into_iter(), &mut ()).unwrap();
    let kwh = ran.sites[0].joules / 3.6e6;
    let mean_usd = (0.1 + 0.9 * 0.5) / 1.5;
    assert!((ran.sites[0].energy_usd / (kwh * mean_usd) - 1.0).abs() < 0.02, "{:?}", ran.sites[0]);
    assert!((ran.sites[0].carbon_g / (kwh * 100.0) - 1.0).abs() < 1e-9);
}
