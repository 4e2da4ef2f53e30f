//! The same seed twice gives the same bytes. Everything else that is tested with a simulation rests on this.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{asks, setup};
use rhumb_grid::config::Router;
use rhumb_grid::position::SiteIndex;
use rhumb_world::{Fault, FaultKind, run};

fn history(seed: u64) -> String {
    let mut setup = setup(6, 2, Router::Rhumb);
    setup.seed = seed;
    setup.telemetry.loss = 0.1;
    let fault = |site, kind| {
        let site = SiteIndex(site);
        Fault { from_us: 5_000_000, until_us: 15_000_000, site, endpoints: None, kind }
    };
    setup.faults = vec![fault(0, FaultKind::Loss), fault(1, FaultKind::BrownOut(3.0)), fault(2, FaultKind::Rtt(4.0))];
    let ran = run(&setup, &mut asks(1_500, 60.0, 6, seed).into_iter(), &mut ()).unwrap();
    format!("{ran:?}")
}

#[test]
fn the_same_seed_twice_gives_the_same_bytes_and_another_does_not() {
    let first = history(3);
    assert_eq!(first, history(3));
    assert_ne!(first, history(4));
}

#[test]
fn looking_on_changes_nothing() {
    let ran = |checked: bool| {
        let setup = setup(4, 2, Router::Rhumb);
        let mut source = asks(400, 40.0, 4, 1).into_iter();
        let ran = if checked {
            run(&setup, &mut source, &mut rhumb_world::Checks::default())
        } else {
            run(&setup, &mut source, &mut ())
        };
        format!("{:?}", ran.unwrap())
    };
    assert_eq!(ran(true), ran(false));
}
