//! What may be set of each competitor.

use rhumb_grid::config::Router;
use rhumb_grid::rates::Rates;
use rhumb_rivals::Knob;
use rhumb_world::Choosing;

use crate::file::Loaded;
use crate::problem::LabError;
use crate::scenario::{KnobPlan, RouterName, Scenario};

/// Requests are held at the gateway while no endpoint has room (1), or all sent on at once (0).
pub(crate) const HOLD: &str = "hold";
/// What a second and a missed objective are worth, over what the scenario's policy says.
const SECOND: &str = "second_worth";
const MISS: &str = "miss_worth";

/// What may be set of a router. Rivals are held by the same admission as Rhumb unless tuning finds them better without;
/// plain baselines send on at once, as plain load balancers do.
#[must_use]
pub(crate) fn knobs(router: RouterName) -> Vec<Knob> {
    let own = match router {
        RouterName::Rhumb => vec![Knob::log(SECOND, 1.0, 0.1, 10.0), Knob::log(MISS, 1.0, 0.1, 10.0)],
        _ => router.rival().map_or_else(Vec::new, |rival| rival.knobs().to_vec()),
    };
    let holds = f64::from(u8::from(router == RouterName::Rhumb || router.rival().is_some()));
    own.into_iter().chain([Knob::linear(HOLD, holds, 0.0, 1.0)]).collect()
}

/// A value of each knob: the scenario's, or the default.
pub(crate) struct Set<'a> {
    router: RouterName,
    stated: &'a [KnobPlan],
}

impl<'a> Set<'a> {
    pub(crate) fn of(scenario: &'a Scenario, router: RouterName) -> Self {
        Self { router, stated: &scenario.knobs }
    }

    fn value(&self, knob: &Knob) -> f64 {
        let stated = self.stated.iter().rev().find(|k| k.router == self.router && k.knob == knob.name);
        stated.map_or(knob.default, |k| k.value)
    }

    fn named(&self, name: &str) -> f64 {
        knobs(self.router).iter().find(|k| k.name == name).map_or(1.0, |k| self.value(k))
    }

    /// Its gateways hold requests back.
    pub(crate) fn holds(&self) -> bool {
        self.named(HOLD) >= 0.5
    }

    /// The policy of its requests.
    pub(crate) fn rates(&self, rates: Rates) -> Rates {
        let (second, miss) = (self.named(SECOND), self.named(MISS));
        Rates { second_usd: second * rates.second_usd, miss_usd: miss * rates.miss_usd, ..rates }
    }

    /// How it chooses.
    pub(crate) fn choosing(&self) -> Choosing {
        match self.router.rival() {
            Some(rival) => Choosing::Rival(rival, rival.knobs().iter().map(|k| self.value(k)).collect()),
            None => Choosing::Router(plain(self.router)),
        }
    }
}

/// How the router's own code chooses under this name.
pub(crate) fn plain(router: RouterName) -> Router {
    match router {
        RouterName::Rhumb => Router::Rhumb,
        RouterName::RoundRobin => Router::RoundRobin,
        RouterName::Random => Router::Random,
        RouterName::PowerOfTwo => Router::PowerOfTwo,
        RouterName::Nearest => Router::Nearest,
        _ => Router::LeastRequest,
    }
}

/// Every knob that a scenario sets exists and is in its range.
pub(crate) fn check(loaded: &Loaded) -> Result<(), LabError> {
    for (i, KnobPlan { router, knob: name, value }) in loaded.scenario.knobs.iter().enumerate() {
        let known = knobs(*router);
        let Some(knob) = known.iter().find(|k| k.name == name) else {
            let names: Vec<&str> = known.iter().map(|k| k.name).collect();
            let what = format!("`{}` has no knob `{name}`", router.name());
            return Err(loaded.wrong(&format!("knobs[{i}].knob"), what, format!("one of {}", names.join(", "))));
        };
        if !(knob.low..=knob.high).contains(value) {
            let right = format!("from {} to {}", knob.low, knob.high);
            return Err(loaded.wrong(&format!("knobs[{i}].value"), format!("`{name}` is {value}"), right));
        }
    }
    Ok(())
}
