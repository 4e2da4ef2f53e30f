//! Runs the drawn schedules of one fault and holds the oracles against them.

use std::collections::BTreeMap;
use std::fmt::Write;

use rhumb_grid::position::{EndpointIndex, SiteIndex};
use rhumb_rng::Rng;
use rhumb_world::{Arrival, Breach, Checks, End, Event, Moment, Outcome, Ran, Setup, Watch, run};

use crate::common::{oracles, seeds};

/// Seeds of each fault where nothing else is said: all faults together take half a minute of two cores.
const SEEDS: u64 = 15;

/// The fault has cleared for so long when goodput is to be back (O6), seconds.
pub(crate) const BACK_S: f64 = 30.0;

/// Goodput is measured over so long, seconds.
pub(crate) const LOOK_S: f64 = 15.0;

/// A world with a schedule of what goes wrong in it.
pub(crate) struct Case {
    pub(crate) setup: Setup,
    pub(crate) asks: Vec<Arrival>,
    /// When the fault begins and when it has cleared, seconds; nothing where there is no such time.
    pub(crate) fault_s: Option<(f64, f64)>,
    /// What was drawn, to be read.
    pub(crate) drawn: String,
    /// No request may end so.
    pub(crate) never: Vec<End>,
    /// The site whose share of the attempts is bounded while the fault lasts, and the bound.
    pub(crate) share: Option<(SiteIndex, Share)>,
}

/// A bound on a share of the attempts.
pub(crate) enum Share {
    /// So much of all.
    OfAll(f64),
    /// So many times what it was before the fault.
    OfBefore(f64),
}

/// Fewer attempts than this tell no share.
const ENOUGH: f64 = 100.0;

/// So many tell it no better than this.
const CHANCE: f64 = 0.08;

/// Counts the attempts that reach each endpoint, by second.
#[derive(Default)]
struct Attempts(BTreeMap<(u64, EndpointIndex), u64>);

impl Watch for Attempts {
    fn happened(&mut self, m: &Moment<'_>) -> Result<(), Breach> {
        if let (Event::AtEndpoint { .. }, Some((endpoint, ..))) = (m.event, m.engine) {
            let second = m.now_us.saturating_sub(rhumb_world::WARM_UP_US) / 1_000_000;
            *self.0.entry((second, endpoint)).or_insert(0) += 1;
        }
        Ok(())
    }
}

/// Good answers of the requests asked for in a time.
fn good_share(ran: &Ran, slo_ms: f64, from_s: f64, until_s: f64) -> f64 {
    let asked = (from_s * 1e6) as u64..(until_s * 1e6) as u64;
    let here: Vec<&Outcome> = ran.outcomes.iter().filter(|o| asked.contains(&o.at_us)).collect();
    // Whoever leaves is no failure of the grid.
    let good = |o: &&&Outcome| o.end == End::Left || o.end == End::Complete && f64::from(o.ttft_ms) <= slo_ms;
    here.iter().filter(good).count() as f64 / (here.len() as f64).max(1.0)
}

fn check(case: Case) -> Result<(), String> {
    let Case { setup, asks, fault_s, never, share, .. } = case;
    let mut sent: Vec<u64> = asks.iter().map(|a| a.at_us).collect();
    let (mut checks, mut attempts) = (Checks::default(), Attempts::default());
    let ran = run(&setup, &mut asks.into_iter(), &mut (&mut checks, &mut attempts)).map_err(|b| b.to_string())?;
    let mut ended: Vec<u64> = ran.outcomes.iter().map(|o| o.at_us).collect();
    sent.sort_unstable();
    ended.sort_unstable();
    if sent != ended {
        return Err(format!("{} requests were sent and {} ended, not the same ones", sent.len(), ended.len()));
    }
    oracles(&ran)?;
    if let Some(o) = ran.outcomes.iter().find(|o| never.contains(&o.end)) {
        return Err(format!("no request may end so: {o:?}"));
    }
    let Some((begin_s, clear_s)) = fault_s else { return Ok(()) };
    if let Some((site, bound)) = share {
        let there = |from_s: f64, until_s: f64| {
            let then = |(second, _): &(u64, EndpointIndex)| (from_s..until_s).contains(&(*second as f64));
            let count = |test: &dyn Fn(EndpointIndex) -> bool| -> f64 {
                attempts.0.iter().filter(|(at, _)| then(at) && test(at.1)).map(|(_, n)| *n as f64).sum()
            };
            let all = count(&|_| true);
            (count(&|e| setup.grid.endpoint_site[e] == site) / all.max(1.0), all)
        };
        let bound = match bound {
            Share::OfAll(share) => share,
            Share::OfBefore(times) => times * there(1.0, begin_s).0 + CHANCE,
        };
        let (share, all) = there(begin_s + 2.0, clear_s);
        if all >= ENOUGH && share > bound {
            return Err(format!("{share:.3} of the attempts went to the site at fault, at most {bound:.3} may"));
        }
    }
    let slo_ms = setup.rates.ttft_slo_ms;
    let before = good_share(&ran, slo_ms, 2.0, begin_s);
    let after = good_share(&ran, slo_ms, clear_s + BACK_S, clear_s + BACK_S + LOOK_S);
    if after < 0.95 * before {
        return Err(format!(
            "{after:.3} of the requests are answered well 30 s after the fault, {before:.3} before it"
        ));
    }
    Ok(())
}

/// Seeds that once failed.
fn regressions(name: &str) -> impl Iterator<Item = u64> + '_ {
    let lines = include_str!("../regressions.txt").lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    lines.filter_map(move |line| {
        let (fault, seed) = line.split_once(' ').expect("a line is a fault and a seed");
        (fault == name).then(|| seed.split_whitespace().next().unwrap().parse().expect("a seed is a number"))
    })
}

/// Draws a fault by every seed; panics with all that fail and how to see each again.
pub(crate) fn hold(name: &str, draw: fn(&mut Rng, u64) -> Case) {
    let mut failed = String::new();
    for seed in regressions(name).chain(seeds(SEEDS)) {
        let case = draw(&mut Rng::labelled(seed, name), seed);
        let drawn = case.drawn.clone();
        if let Err(why) = check(case) {
            let _ = write!(
                failed,
                "\n{name}, seed {seed} ({drawn}): {why}\nsee it again: RHUMB_SEEDS={seed}..{} cargo test -p rhumb-world \
                 --test schedules {name} -- --exact\n",
                seed + 1
            );
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
