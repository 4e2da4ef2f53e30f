//! What may be set of each router.

use rhumb_baselines::Parameter;
use rhumb_grid::config::Router;
use rhumb_grid::rates::Rates;
use rhumb_world::Choosing;

use crate::scenario::{ParameterPlan, RouterName, Scenario};

/// Requests are held at the gateway while no endpoint has room (1), or all sent on at once (0).
pub(crate) const HOLD: &str = "hold";
/// What a second and a missed objective are worth, over what the scenario's policy says.
const SECOND: &str = "second_worth";
const MISS: &str = "miss_worth";

/// What may be set of a router. Baselines are held by the same admission as Rhumb unless tuning finds them better without;
/// plain baselines send on at once, as plain load balancers do.
#[must_use]
pub(crate) fn parameters(router: RouterName) -> Vec<Parameter> {
    let own = match router {
        RouterName::Rhumb => vec![Parameter::log(SECOND, 1.0, 0.1, 10.0), Parameter::log(MISS, 1.0, 0.1, 10.0)],
        _ => router.baseline().map_or_else(Vec::new, |baseline| baseline.parameters().to_vec()),
    };
    let holds = f64::from(u8::from(router == RouterName::Rhumb || router.baseline().is_some()));
    own.into_iter().chain([Parameter::linear(HOLD, holds, 0.0, 1.0)]).collect()
}

/// A value of each parameter: the scenario's, or the default.
pub(crate) struct Set<'a> {
    router: RouterName,
    stated: &'a [ParameterPlan],
}

impl<'a> Set<'a> {
    pub(crate) fn of(scenario: &'a Scenario, router: RouterName) -> Self {
        Self { router, stated: &scenario.parameters }
    }

    fn value(&self, parameter: &Parameter) -> f64 {
        let stated = self.stated.iter().rev().find(|k| k.router == self.router && k.parameter == parameter.name);
        stated.map_or(parameter.default, |k| k.value)
    }

    fn named(&self, name: &str) -> f64 {
        parameters(self.router).iter().find(|k| k.name == name).map_or(1.0, |k| self.value(k))
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
        match self.router.baseline() {
            Some(baseline) => {
                Choosing::Baseline(baseline, baseline.parameters().iter().map(|k| self.value(k)).collect())
            }
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
