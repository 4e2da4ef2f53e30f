//! What a gateway knows of one endpoint.

use alloc::collections::BTreeMap;
use alloc::string::String;

use rhumb_flow::endpoint_health::{EndpointHealth, Found, Models};
use rhumb_flow::evidence::Source;
use rhumb_grid::config::Accepts;
use rhumb_route::pending::{PendingFirstToken, PendingFirstTokens};
use rhumb_route::row::CandidateHealth;
use rhumb_route::view::{EndpointState, LoadReport};

/// What readings, probes, canaries and requests have taught of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct EndpointTracker {
    /// Its load, its round trip, and how it departs from what is predicted.
    pub state: EndpointState,
    /// Whether it may be sent requests.
    pub health: EndpointHealth,
    /// By number, the models that it refuses although it should have them.
    pub models: Models,
    /// By model, whether its canary was answered rightly last time.
    pub canaries: BTreeMap<String, bool>,
    /// It answers one wrongly that nobody answers rightly.
    pub(crate) is_canary_doubted: bool,
    pending: PendingFirstTokens,
}

/// Whether and how an endpoint answered a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryAnswer {
    /// As it should.
    Right,
    /// In another way.
    Wrong,
    /// Not at all.
    None,
}

/// What is new after a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryNews {
    /// Nothing.
    None,
    /// That the endpoint is unhealthy, since it does not answer.
    Unhealthy,
    /// That it answers wrongly.
    Wrong,
}

impl EndpointTracker {
    /// Of an endpoint whose speed is modelled, or is not known before it is seen.
    #[must_use]
    pub fn new(is_modelled: bool) -> Self {
        Self { health: EndpointHealth::new(is_modelled), ..Self::default() }
    }

    /// A request leaves for it whose first content is predicted after so long.
    pub(crate) fn sent(&mut self, now_ms: u64, begins_ms: f64) -> PendingFirstToken {
        self.pending.sent(now_ms, begins_ms)
    }

    /// The first content of a request is not waited for any more.
    pub(crate) fn over(&mut self, due: PendingFirstToken) {
        self.pending.over(due);
    }

    /// An answer begins, of a request sent at `sent_ms` to which a second is worth so much.
    pub(crate) fn answered(&mut self, now_ms: u64, sent_ms: u64, source: Source, model: u32, second_usd: f64) {
        self.pending.began(now_ms);
        self.state.others_second_usd.add(second_usd);
        self.health.answered(now_ms, sent_ms, source);
        self.models.answered(model);
    }

    /// A reading of its load has arrived.
    pub fn reported(&mut self, report: LoadReport) {
        self.state.report(report);
    }

    /// A probe was answered after so long; the round trip as it is known now, ms.
    pub fn probe_answered(&mut self, now_ms: u64, ms: f64) -> f64 {
        self.state.rtt.add(ms);
        self.state.rtt_at_ms = Some(now_ms);
        self.health.probe_answered(now_ms);
        self.state.rtt.ms().unwrap_or(ms)
    }

    /// A probe failed. True when that is what confirms that the endpoint is unhealthy.
    pub fn probe_failed(&mut self, now_ms: u64) -> bool {
        self.health.probe_failed(now_ms)
    }

    /// The canary of a model has come to this.
    pub fn canary(&mut self, now_ms: u64, model: &str, answer: CanaryAnswer) -> CanaryNews {
        if answer == CanaryAnswer::None {
            let is_news = self.health.unreachable(now_ms);
            return if is_news { CanaryNews::Unhealthy } else { CanaryNews::None };
        }
        self.health.canary_answered(now_ms);
        let is_right = answer == CanaryAnswer::Right;
        let before = self.canaries.insert(model.into(), is_right);
        if !is_right && before != Some(false) { CanaryNews::Wrong } else { CanaryNews::None }
    }

    /// It as the next view shows it, but for [`missing`](Self::missing): with its learnt concurrency limit, where there is one,
    /// the requests of this gateway in flight there, and what an operator lets it take.
    pub fn snapshot(&self, now_ms: u64, window: Option<f64>, in_flight: f64, accepts: Accepts) -> EndpointState {
        EndpointState {
            window,
            accepts,
            health: health(self.health.found(now_ms)),
            own_in_flight: in_flight,
            stalled_ms: self.pending.stalled_ms(now_ms),
            ..self.state
        }
    }

    /// One bit for each of the models that it `serves`, in that order and by their stable numbers, which it is left alone for.
    pub fn missing(&self, now_ms: u64, serves: impl Iterator<Item = u32> + Clone) -> u128 {
        let place = |number: u32| serves.clone().take(u128::BITS as usize).position(|s| s == number);
        self.models.missing(now_ms).filter_map(place).fold(0, |bits, at| bits | 1 << at)
    }
}

/// What a way of being found unhealthy means for the candidates of an endpoint.
fn health(found: Option<Found>) -> CandidateHealth {
    match found {
        None => CandidateHealth::Healthy,
        Some(Found::ByCanary) => CandidateHealth::WrongAnswers,
        Some(Found::ByCredential) => CandidateHealth::CredentialRefused,
        Some(Found::ByRequests | Found::ByProbes | Found::ByPeers) => CandidateHealth::Unhealthy,
    }
}
