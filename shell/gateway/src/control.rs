//! The control thread: collects readings, publishes views.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rhumb_core::endpoint::{CanaryAnswer, CanaryNews};
use rhumb_grid::config::{Dialect, Model};
use rhumb_grid::position::EndpointIndex;
use rhumb_process::clock;
use rhumb_route::view::LoadReport;
use rhumb_signals::{Answered, Listed, ProbeConfig, Question, Reading, Sink, Target, watch};
use rhumb_upstream::Tls;
use tokio::task::JoinSet;

use crate::admission_queue::look_again;
use crate::epoch::ConfigEpoch;
use crate::live::Live;
use crate::lock::lock;
use crate::numbers::EndpointNumber;
use crate::publish::VIEW_MS;
use crate::reload::Gateway;
use crate::state::GatewayState;

/// Shortest period between two views.
const PUBLISH_EVERY: Duration = Duration::from_millis(VIEW_MS);

/// Receives the readings of an endpoint and stamps them with the gateway's own clock.
struct Readings {
    state: Arc<GatewayState>,
    number: EndpointNumber,
    name: String,
    live: Arc<Live>,
}

impl Sink for Readings {
    fn load(&self, r: Reading) {
        let own_in_flight = self.live.local_load().in_flight;
        let mut learnt = lock(&self.live.learnt);
        learnt.load_error = None;
        let at_ms = self.state.now_ms();
        let Reading { running, waiting, kv_use, watts } = r;
        learnt.tracker.reported(LoadReport { running, waiting, kv_use, watts, own_in_flight, at_ms });
        drop(learnt);
        lock(&self.state.queue).window_mut(self.number).report(at_ms, own_in_flight, running, waiting, kv_use);
    }

    fn load_failed(&self, why: &str) {
        let mut learnt = lock(&self.live.learnt);
        if learnt.load_error.as_deref() != Some(why) {
            tracing::warn!("endpoint `{}`: its load is not known: {why}", self.name);
            learnt.load_error = Some(why.to_owned());
        }
    }

    fn round_trip(&self, ms: f64) {
        let now = self.state.now_ms();
        let rtt_ms = lock(&self.live.learnt).tracker.probe_answered(now, ms);
        lock(&self.state.queue).window_mut(self.number).round_trip(rtt_ms);
    }

    fn probe_failed(&self) {
        let now = self.state.now_ms();
        if lock(&self.live.learnt).tracker.probe_failed(now) {
            tracing::warn!("endpoint `{}` is unhealthy: probes fail", self.name);
        }
    }

    fn models(&self, listed: Listed) {
        let name = &self.name;
        let mut learnt = lock(&self.live.learnt);
        let error = match listed {
            Listed::Unreadable => return,
            Listed::Refused(status) => Some(format!("the key of endpoint `{name}` is refused: {status}")),
            Listed::Models { missing, some } => {
                if !missing.is_empty() && missing != learnt.models_missing {
                    let (missing, some) = (missing.join("`, `"), some.join("`, `"));
                    tracing::error!(
                        "endpoint `{name}` does not list `{missing}` among its models, it lists `{some}`: is \
                         `served_as` right?"
                    );
                } else if missing.is_empty() && !learnt.models_missing.is_empty() {
                    tracing::info!("endpoint `{name}` lists all its models");
                }
                learnt.models_missing = missing;
                None
            }
        };
        match &error {
            Some(error) if learnt.probe_error.as_ref() != Some(error) => {
                tracing::error!("{error}: is `api_key` right?")
            }
            None if learnt.probe_error.is_some() => tracing::info!("the key of endpoint `{name}` is taken again"),
            _ => {}
        }
        learnt.probe_error = error;
    }

    fn canary(&self, model: &str, answered: Answered) {
        let now = self.state.now_ms();
        let answer = match answered {
            Answered::Rightly => CanaryAnswer::Right,
            Answered::Wrongly => CanaryAnswer::Wrong,
            Answered::Not => CanaryAnswer::None,
        };
        match lock(&self.live.learnt).tracker.canary(now, model, answer) {
            CanaryNews::None => {}
            CanaryNews::Unhealthy => {
                tracing::warn!("endpoint `{}` is unhealthy: it does not answer its canary", self.name);
            }
            CanaryNews::Wrong => tracing::error!("endpoint `{}` answers the canary of `{model}` wrongly", self.name),
        }
    }
}

/// The loops that ask endpoints. One that a new configuration leaves as it was goes on undisturbed.
#[derive(Default)]
struct Watched {
    /// The configuration they are of.
    ordinal: u64,
    loops: BTreeMap<EndpointNumber, (Polled, JoinSet<()>)>,
}

/// The headers of what an endpoint is asked, the TLS that it is asked over, and what it is asked.
type Polled = (String, Tls, ProbeConfig);

impl Watched {
    /// Watches the endpoints of a configuration and no others.
    fn follow(&mut self, epoch: &ConfigEpoch) {
        if self.ordinal == epoch.version.ordinal {
            return;
        }
        self.ordinal = epoch.version.ordinal;
        let config = &epoch.grid.config;
        let mut before = std::mem::take(&mut self.loops);
        for (i, endpoint) in EndpointIndex::all().zip(&config.endpoints) {
            let (upstream, number) = (&epoch.upstreams[i], epoch.numbers.endpoints[i]);
            let asked = (upstream.headers.clone(), upstream.tls.clone(), probe_config(epoch, i));
            let as_before = before.remove(&number).filter(|(before, _)| *before == asked);
            let loops = as_before.unwrap_or_else(|| {
                // What was answered to other questions counts no more.
                lock(&epoch.live[i].learnt).tracker.canaries.clear();
                let readings = Readings {
                    state: Arc::clone(&epoch.state),
                    number,
                    name: endpoint.name.clone(),
                    live: Arc::clone(&epoch.live[i]),
                };
                let origin = upstream.origin.clone();
                let target = Target { origin, engine: endpoint.engine, headers: asked.0.clone() };
                let loops = watch(target, &asked.2, &Arc::new(readings), &epoch.state.tasks);
                (asked, loops)
            });
            self.loops.insert(number, loops);
        }
    }
}

/// What an endpoint is asked, and how often.
fn probe_config(epoch: &ConfigEpoch, endpoint: EndpointIndex) -> ProbeConfig {
    let config = &epoch.grid.config;
    let every = Duration::from_millis;
    // A canary is asked in chat completions.
    let is_asked = epoch.upstreams[endpoint].speaks.has(Dialect::Chat);
    let question = |(model, served_as): (&Model, &Option<String>)| {
        let (canary, served_as) = (model.canary.as_ref().filter(|_| is_asked)?, served_as.clone()?);
        Some(Question {
            model: model.name.clone(),
            served_as,
            prompt: canary.prompt.clone(),
            contains: canary.contains.clone(),
            max_tokens: canary.max_tokens,
        })
    };
    ProbeConfig {
        scrape_every: every(config.gateway.scrape_interval_ms),
        probe_every: every(config.gateway.probe_interval_ms),
        list_every: every(config.gateway.model_list_interval_ms),
        served: epoch.upstreams[endpoint].served_as.iter().flatten().cloned().collect(),
        canary_every: every(config.gateway.canary_interval_ms),
        questions: config.models.iter().zip(&epoch.upstreams[endpoint].served_as).filter_map(question).collect(),
    }
}

/// Watches endpoints and publishes views until the runtime ends.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let mut watched = Watched::default();
    loop {
        let start = clock::now();
        {
            let epoch = gateway.now();
            watched.follow(&epoch);
            epoch.publish();
            look_again(&epoch.state.queue, epoch.now_ms());
        }
        // A large grid is published less often, so that it never takes more than a twentieth of a core.
        tokio::time::sleep(PUBLISH_EVERY.max(clock::since(start) * 20)).await;
    }
}
