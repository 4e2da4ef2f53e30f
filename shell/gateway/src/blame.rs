//! What operators see of failures: those that the core has noted, in the log and at the endpoint.

use std::sync::Arc;

use rhumb_api::fault::scrub;
use rhumb_core::failover::{self, Failover, Noted};
use rhumb_flow::blame::{Failure, Whose};
use rhumb_flow::evidence::Source;
use rhumb_route::decide::Target;
use rhumb_route::explain::Names as _;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::opening::Failed;
use crate::parts::LiveParts;

impl ConfigEpoch {
    /// An attempt has failed: what that says of its endpoint, also in the log.
    pub(crate) fn note_failure(
        self: &Arc<Self>,
        source: Source,
        target: &Target,
        failed: &Failed,
        of: &failover::Failed,
        now_ms: u64,
    ) -> Noted {
        let failure = failed.failure;
        let noted = failover::note_failure(&mut LiveParts(self), source, target, of, now_ms);
        // A request's own fault is its client's to see.
        let whose = failure.rule().whose;
        let is_requests = whose == Whose::Request || noted.is_proven && failure == Failure::Invalid;
        if !is_requests && whose != Whose::Nobody {
            let said = scrub(&failed.said.message);
            let mut learnt = lock(&self.live[target.endpoint].learnt);
            let count = learnt.troubles.note(now_ms, failure, failed.status, &said);
            drop(learnt);
            if let Some(count) = count {
                self.say(target, failed, count, &said);
            }
        }
        if noted.is_unhealthy {
            self.fell_ill(target, failure);
        }
        noted
    }

    /// A request has been served: what it met before at other endpoints was not its own fault.
    pub(crate) fn served(self: &Arc<Self>, source: Source, failover: &Failover) {
        let mut is_news = false;
        failover.served(&mut LiveParts(self), source, self.now_ms(), |attempt, whose| {
            is_news = true;
            let (endpoint, model) = (self.names.endpoint(attempt.endpoint), self.names.model(attempt.model));
            let why = attempt.failure.code();
            if whose == Whose::EndpointModel {
                tracing::warn!("endpoint `{endpoint}` is left alone for model `{model}`: {why}, where others serve it");
            } else {
                tracing::warn!("endpoint `{endpoint}` is unhealthy: {why}, where others serve the same requests");
            }
        });
        if is_news {
            self.publish();
        }
    }

    fn fell_ill(self: &Arc<Self>, target: &Target, failure: Failure) {
        let (name, why) = (self.names.endpoint(target.endpoint), failure.code());
        if failure == Failure::Credential {
            tracing::error!("endpoint `{name}` is left alone: it refuses the gateway's credential again and again");
        } else {
            tracing::warn!("endpoint `{name}` is unhealthy: {why}");
        }
        // The view is what decisions read: an illness that waits for the next one costs the requests until then.
        self.publish();
    }

    /// Says a failure in the log, with how many there were since it was last said.
    fn say(&self, target: &Target, failed: &Failed, count: u64, said: &str) {
        let (endpoint, model) = (self.names.endpoint(target.endpoint), self.names.model(target.model));
        let why = failed.failure.code();
        let status = if failed.status > 0 { format!(" {}", failed.status) } else { String::new() };
        let words = if said.is_empty() { String::new() } else { format!(": {said}") };
        if failed.failure.rule().whose == Whose::Credential {
            tracing::error!(
                "endpoint `{endpoint}` does not accept the gateway's credential:{status} ({count} times){words}"
            );
        } else {
            tracing::warn!("endpoint `{endpoint}`, model `{model}`: {why}{status} ({count} times){words}");
        }
    }
}
