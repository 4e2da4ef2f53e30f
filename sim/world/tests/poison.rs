//! One client's requests that every engine fails on, by drawn schedules: nobody else is harmed, and no engine that
//! answers others is called unhealthy, unless another serves what it fails on. `RHUMB_SEEDS` is how many schedules are drawn, or a
//! range of them.

mod common;

use common::{asks, oracles, seeds, setup};
use rhumb_flow::blame::Failure;
use rhumb_grid::config::Router;
use rhumb_grid::position::EndpointIndex;
use rhumb_rng::Rng;
use rhumb_route::decide::Drop;
use rhumb_world::{Arrival, Breach, Decided, End, Event, Moment, Poison, Setup, Tenant, Watch, run};

/// Schedules where nothing else is said: half a minute of two cores.
const SCHEDULES: u64 = 500;

/// Traffic lasts so long, seconds.
const LENGTH_S: f64 = 20.0;

/// An engine whose last step is no older than this serves somebody.
const SERVES_US: u64 = 1_000_000;

const POISONER: u32 = 1;

/// How an engine may fail on a request of its own accord.
const FAILURES: [Failure; 5] =
    [Failure::Server, Failure::Died, Failure::Unreadable, Failure::Unavailable, Failure::TooLarge];

struct Case {
    setup: Setup,
    asks: Vec<Arrival>,
    drawn: String,
}

/// Two to five engines at a fifth to a half of what they can serve, and one client among the others whose requests, all
/// or some of them, fail; it asks as often as all others together, or a tenth of that.
fn draw(seed: u64) -> Case {
    let mut rng = Rng::labelled(seed, "poison");
    let engines = 2 + rng.below(4);
    let (good_rps, poison_rps) = (engines as f64 * (1.5 + 2.0 * rng.unit()), engines as f64 * (0.3 + 3.0 * rng.unit()));
    let (share, failure) = (if rng.unit() < 0.5 { 1.0 } else { rng.unit() }, FAILURES[rng.below(FAILURES.len())]);
    // On half of the schedules one engine serves what the others fail on.
    let served_by = (rng.unit() < 0.5).then(|| EndpointIndex::new(rng.below(engines)));
    let mut setup = setup(engines, 1, Router::Rhumb);
    setup.seed = seed;
    let tenant = |name: &str| Tenant { name: name.into(), rates: setup.rates, service: setup.service, weight: 1.0 };
    setup.tenants = vec![tenant("others"), tenant("poisoner")];
    setup.clients.poison = Some(Poison { tenant: POISONER, share, failure, served_by });
    setup.clients.retries = rng.below(3) as u32;
    let mut all = asks((good_rps * LENGTH_S) as usize, good_rps, engines, seed);
    let bad = asks((poison_rps * LENGTH_S) as usize, poison_rps, engines, seed + 1);
    let count = all.len() as u64;
    all.extend(bad.into_iter().map(|ask| Arrival { tenant: POISONER, tag: count + ask.tag, ..ask }));
    all.sort_by_key(|ask| ask.at_us);
    let drawn = format!(
        "{engines} engines, {good_rps:.1} good a second, {poison_rps:.1} others of which {share:.2} end with {failure:?}, \
         but for engine {served_by:?}"
    );
    Case { setup, asks: all, drawn }
}

/// Holds the engines that are called unhealthy against those that serve.
struct Wronged {
    stepped_us: Vec<Option<u64>>,
    decisions: u64,
    wrong: u64,
}

impl Watch for Wronged {
    fn decided(&mut self, decided: &Decided<'_>) -> Result<(), Breach> {
        let serving = |at: &&Option<u64>| at.is_some_and(|at| decided.now_us - at < SERVES_US);
        let serving = self.stepped_us.iter().filter(serving).count();
        let ill = decided.decision.drops[Drop::Unhealthy as usize] as usize;
        self.decisions += 1;
        self.wrong += u64::from(ill > self.stepped_us.len() - serving);
        Ok(())
    }

    fn happened(&mut self, m: &Moment<'_>) -> Result<(), Breach> {
        if let Event::Step { endpoint, .. } = m.event {
            self.stepped_us[endpoint] = Some(m.now_us);
        }
        Ok(())
    }
}

#[test]
fn nobody_else_is_harmed_and_no_engine_that_answers_others_is_ill() {
    let (mut asked, mut answered, mut attempts, mut decisions, mut wrong, mut served) = (0, 0, 0, 0, 0, 0);
    let mut failed = Vec::new();
    for seed in seeds(SCHEDULES) {
        let Case { setup, asks, drawn } = draw(seed);
        let mut watch = Wronged { stepped_us: vec![None; setup.engines.len()], decisions: 0, wrong: 0 };
        let ran = run(&setup, &mut asks.into_iter(), &mut watch).unwrap();
        oracles(&ran).unwrap();
        let others: Vec<_> = ran.outcomes.iter().filter(|o| o.tenant != POISONER).collect();
        let whole = others.iter().filter(|o| o.end == End::Complete).count();
        // Where one engine serves what the others fail on, that counts against them: of those that have answered nobody for a
        // few seconds it is all that is known, and they rest for a while.
        let is_served = setup.clients.poison.is_some_and(|p| p.served_by.is_some());
        served += if is_served { watch.wrong } else { 0 };
        if whole * 100 < others.len() * 99 || (watch.wrong > 0 && !is_served) {
            failed.push(format!(
                "seed {seed}, {drawn}: {whole} of {} answered, {} wrongly unhealthy",
                others.len(),
                watch.wrong
            ));
        }
        (asked, answered) = (asked + others.len(), answered + whole);
        (attempts, decisions, wrong) = (attempts + ran.attempts, decisions + watch.decisions, wrong + watch.wrong);
    }
    println!(
        "{answered} of {asked} of the others answered; {attempts} attempts; {wrong} of {decisions} decisions without an engine that served, \
         {served} of them where one engine serves what the others fail on"
    );
    assert!(served * 50 <= decisions, "{served} of {decisions} where an engine serves what others fail on");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
