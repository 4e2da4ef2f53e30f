//! What failures and answers teach of endpoints: the table of [`rhumb_flow::blame`], applied.

use rhumb_flow::blame::{Counts, Failure, Inquiry, Whose};
use rhumb_flow::evidence::Source;
use rhumb_openai::fault::scrub;
use rhumb_route::decide::Target;
use rhumb_route::explain::Names as _;

use crate::live::lock;
use crate::shared::Shared;
use crate::tries::Failed;

impl Shared {
    /// An attempt has failed. What counts at once does so; whether the endpoint serves others is the answer.
    pub(crate) fn note_failure(&self, source: Source, target: &Target, failed: &Failed, now_ms: u64) -> bool {
        let (failure, number) = (failed.failure, self.numbers.endpoint(target.endpoint));
        let rule = failure.rule();
        let said = scrub(&failed.said.message);
        let mut learnt = lock(&self.live[target.endpoint as usize].learnt);
        let is_proven =
            learnt.condition.is_proven(now_ms) && learnt.models.is_proven(self.numbers.models[target.model as usize].0);
        let is_ill = match (rule.counts, rule.whose) {
            (Counts::AtOnce, Whose::Credential) => learnt.condition.credential_refused(now_ms),
            (Counts::AtOnce, _) => learnt.condition.unreachable(now_ms),
            _ => false,
        };
        let is_unavailable = failure == Failure::Unavailable && learnt.condition.unavailable(now_ms, source);
        if let Some(limit) = failed.said.context.and_then(|c| c.limit) {
            learnt.state.context = Some((target.model, u32::try_from(limit).unwrap_or(u32::MAX)));
        }
        // A request's own fault is its client's to see.
        let is_requests = rule.whose == Whose::Request || is_proven && failure == Failure::Invalid;
        let say = if !is_requests && rule.whose != Whose::Nobody {
            learnt.troubles.note(now_ms, failure, failed.status, &said)
        } else {
            None
        };
        drop(learnt);
        if failure == Failure::Busy {
            lock(&self.lasting.hold).window_mut(number).busy(now_ms, failed.after_ms);
        } else if is_unavailable {
            lock(&self.lasting.hold).window_mut(number).unavailable(now_ms);
        }
        if let Some(count) = say {
            self.say(target, failed, count, &said);
        }
        if is_ill {
            self.fell_ill(target, failure);
        }
        is_proven
    }

    /// A request has been served: what it met before at other endpoints was not its own fault.
    pub(crate) fn charge(&self, source: Source, inquiry: &Inquiry) {
        let now_ms = self.now_ms();
        for (attempt, whose) in inquiry.served() {
            let mut learnt = lock(&self.live[attempt.endpoint as usize].learnt);
            let is_ill = match whose {
                Whose::EndpointModel => {
                    let model = self.numbers.models[attempt.model as usize].0;
                    learnt.models.refused(model, now_ms, source)
                }
                Whose::Credential => learnt.condition.credential_refused(now_ms),
                Whose::Endpoint | Whose::Request | Whose::Nobody => learnt.condition.charged(now_ms, source),
            };
            drop(learnt);
            if is_ill {
                let (endpoint, model) = (self.names.endpoint(attempt.endpoint), self.names.model(attempt.model));
                let why = attempt.failure.code();
                if whose == Whose::EndpointModel {
                    tracing::warn!(
                        "endpoint `{endpoint}` is left alone for model `{model}`: {why}, where others serve it"
                    );
                } else {
                    tracing::warn!("endpoint `{endpoint}` is ill: {why}, where others serve the same requests");
                }
                self.publish();
            }
        }
    }

    fn fell_ill(&self, target: &Target, failure: Failure) {
        let (name, why) = (self.names.endpoint(target.endpoint), failure.code());
        if failure == Failure::Credential {
            tracing::error!("endpoint `{name}` is left alone: it refuses the gateway's credential again and again");
        } else {
            tracing::warn!("endpoint `{name}` is ill: {why}");
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
