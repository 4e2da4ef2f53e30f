//! Every invariant after every event, under faults drawn by chance.

mod common;

use common::{asks, setup};
use proptest::prelude::*;
use rhumb_engine::Limits;
use rhumb_grid::config::Router;
use rhumb_grid::position::SiteIndex;
use rhumb_world::{Breach, Checks, Decided, End, Fault, FaultKind, Moment, Watch, run};

fn kind() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        Just(FaultKind::Refuse),
        Just(FaultKind::Loss),
        Just(FaultKind::BlackHole),
        (1.5..6.0f64).prop_map(FaultKind::BrownOut),
        (1.5..6.0f64).prop_map(FaultKind::Rtt),
        prop::option::of(0u32..2).prop_map(FaultKind::Partition),
        Just(FaultKind::StaleTelemetry),
        (0.0..500.0f64).prop_map(FaultKind::LyingTelemetry),
        (0.3..0.9f64).prop_map(FaultKind::PowerCap),
    ]
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = (0u64..12_000_000, 100_000u64..8_000_000, 0u32..4, kind()).prop_map(|(from_us, lasts, site, kind)| {
        Fault { from_us, until_us: from_us + lasts, site: SiteIndex(site), endpoints: None, kind }
    });
    // One fault of a kind at a site at a time: two that overlap would end with the first.
    prop::collection::vec(fault, 0..6).prop_map(|mut faults| {
        let mut seen = Vec::new();
        faults.retain(|f| {
            let new = !seen.contains(&f.site);
            seen.push(f.site);
            new
        });
        faults
    })
}

fn router() -> impl Strategy<Value = Router> {
    prop_oneof![
        4 => Just(Router::Rhumb), 1 => Just(Router::RoundRobin), 1 => Just(Router::Nearest),
        1 => Just(Router::LeastRequest), 1 => Just(Router::Random), 1 => Just(Router::PowerOfTwo)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_hold_whatever_goes_wrong(
        faults in faults(), router in router(), seed: u64, rps in 5.0..90.0f64, seqs in 2u32..64, loss in 0.0..0.5f64,
    ) {
        let mut setup = setup(4, 2, router);
        setup.faults = faults;
        setup.seed = seed;
        setup.telemetry.loss = loss;
        setup.grid.config.sites.iter_mut().for_each(|s| s.power_kw = Some(0.2));
        for spec in &mut setup.engines {
            spec.limits = Limits { max_num_seqs: seqs, ..Limits::default() };
            spec.perf = spec.perf.with_kv_capacity_tokens(20_000);
        }
        let mut checks = Checks::default();
        let ran = run(&setup, &mut asks(250, rps, 4, seed).into_iter(), &mut checks);
        let ran = ran.map_err(|broken| TestCaseError::fail(broken.to_string()))?;
        prop_assert_eq!(ran.outcomes.len(), 250);
        prop_assert!(checks.made == ran.events);
        for o in &ran.outcomes {
            prop_assert!((o.output_tokens > 0) == matches!(o.end, End::Complete | End::Broken), "{:?}", o);
            if o.end == End::Complete {
                prop_assert!(o.ttft_ms > 0.0 && o.e2e_ms >= o.ttft_ms, "{:?}", o);
                let parts = o.network_ms + o.queue_ms + o.prefill_ms;
                // Without a retry the shares are all there is.
                prop_assert!(o.attempts > 1 || (parts / o.ttft_ms - 1.0).abs() < 0.01, "{:?}", o);
                prop_assert!(parts <= o.ttft_ms * 1.01, "{:?}", o);
            }
        }
        for (site, totals) in setup.grid.config.sites.iter().zip(&ran.sites) {
            prop_assert!(totals.joules >= 0.0, "{}", site.name);
        }
    }
}

/// Fails at an event, as a broken invariant would.
struct Canary(u64);

impl Watch for Canary {
    fn decided(&mut self, _: &Decided<'_>) -> Result<(), Breach> {
        Ok(())
    }

    fn happened(&mut self, m: &Moment<'_>) -> Result<(), Breach> {
        if m.number == self.0 {
            return Err(Breach { invariant: "Canary", detail: "as it must".into() });
        }
        Ok(())
    }
}

#[test]
fn a_broken_invariant_is_named_with_its_event_and_time() {
    let setup = setup(2, 1, Router::Rhumb);
    let broken = run(&setup, &mut asks(20, 5.0, 2, 1).into_iter(), &mut Canary(300)).unwrap_err();
    assert_eq!((broken.event, broken.breach.invariant), (300, "Canary"));
    let text = broken.to_string();
    assert!(text.starts_with("invariant Canary broken at ") && text.ends_with("(event 300): as it must"), "{text}");
}
