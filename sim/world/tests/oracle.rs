//! A router decides on what a live one could know: swapping what lies in the future changes no decision before it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write;

use common::{asks, setup};
use rhumb_baselines::Baseline;
use rhumb_grid::config::Router;
use rhumb_world::{Arrival, Breach, Choosing, Decided, Moment, Watch, run};

/// Writes down every decision made up to a time, to the last bit.
#[derive(Default)]
struct Decisions {
    until_us: u64,
    text: String,
    first_end_us: Option<u64>,
}

impl Watch for Decisions {
    fn decided(&mut self, d: &Decided<'_>) -> Result<(), Breach> {
        if d.now_us < self.until_us {
            let _ = writeln!(self.text, "{} {} {:?} {:?}", d.now_us, d.gateway, d.facts, d.decision);
        }
        Ok(())
    }

    fn happened(&mut self, m: &Moment<'_>) -> Result<(), Breach> {
        if m.left > 0 {
            self.first_end_us.get_or_insert(m.now_us);
        }
        Ok(())
    }
}

fn decisions(asks: Vec<Arrival>, until_us: u64, choosing: &Choosing) -> Decisions {
    let mut watch = Decisions { until_us, ..Decisions::default() };
    run(&setup(5, 2, choosing.clone()), &mut asks.into_iter(), &mut watch).unwrap();
    watch
}

/// Every way of choosing: ours, the plain ones, and every baseline at its defaults.
fn all() -> Vec<Choosing> {
    let routers =
        [Router::Rhumb, Router::RoundRobin, Router::Nearest, Router::LeastRequest, Router::Random, Router::PowerOfTwo];
    let defaults =
        |baseline: Baseline| Choosing::Baseline(baseline, baseline.parameters().iter().map(|k| k.default).collect());
    routers.into_iter().map(Choosing::from).chain(Baseline::ALL.into_iter().map(defaults)).collect()
}

#[test]
fn answers_that_have_not_ended_look_the_same_however_long_they_will_be() {
    for choosing in all() {
        // Long enough that none ends while the decisions compared are made.
        let with = |tokens: u32| -> Vec<Arrival> {
            asks(150, 30.0, 5, 2)
                .into_iter()
                .map(|a| Arrival { output_tokens: tokens + a.output_tokens, ..a })
                .collect()
        };
        let until_us = 9_000_000;
        let (short, long) = (decisions(with(400), until_us, &choosing), decisions(with(900), until_us, &choosing));
        assert!(short.first_end_us.unwrap() > until_us && long.first_end_us.unwrap() > until_us);
        assert!(short.text.lines().count() > 100, "{} decisions compared", short.text.lines().count());
        assert!(short.text == long.text, "{choosing:?} looked into the future");
    }
}

#[test]
fn requests_still_to_come_change_no_decision() {
    for choosing in all() {
        let all = asks(300, 40.0, 5, 4);
        let cut_us = all[150].at_us;
        let other: Vec<Arrival> =
            all.iter()
                .cloned()
                .map(|a| {
                    if a.at_us >= cut_us {
                        Arrival { input_tokens: 5_000, blocks: Vec::new(), place: 0, ..a }
                    } else {
                        a
                    }
                })
                .collect();
        let until_us = rhumb_world::WARM_UP_US + cut_us;
        let (a, b) = (decisions(all, until_us, &choosing), decisions(other, until_us, &choosing));
        assert!(a.text.lines().count() > 100 && a.text == b.text, "{choosing:?}");
    }
}

/// A canary: the same look notices a difference that is in the past.
#[test]
fn the_look_would_notice() {
    let all = asks(200, 40.0, 5, 4);
    let mut other = all.clone();
    other[10].input_tokens += 500;
    assert_ne!(
        decisions(all, 20_000_000, &Router::Rhumb.into()).text,
        decisions(other, 20_000_000, &Router::Rhumb.into()).text
    );
}
