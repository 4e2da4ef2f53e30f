//! Stages 5 to 7: a place at a target, in turn; the request sent there, or elsewhere where it fails; the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Response};
use rhumb_api::ApiError;
use rhumb_flow::admission::AdmissionRequest;
use rhumb_grid::config::Priority;
use rhumb_process::clock;
use rhumb_record::Outcome;
use rhumb_route::decide::Target;

use crate::admission::{Admitted, Busy, admit};
use crate::answer::answer;
use crate::body::Answer;
use crate::epoch::ConfigEpoch;
use crate::failover::{FailoverDriver, Served, Unserved};
use crate::forms::Form;
use crate::pipeline::authenticate::Head;
use crate::request_record::RequestRecord;
use crate::routing::RoutingRequest;
use crate::translation::Reply;
use crate::waiting::{DROPPED, Refused};

/// A request on its way to a target.
pub(crate) struct Dispatch<'a> {
    pub(crate) epoch: &'a Arc<ConfigEpoch>,
    pub(crate) head: &'a Head<'a>,
    /// What it was decided by.
    pub(crate) form: &'a Form,
    /// As its client wrote it, where that is another form.
    pub(crate) own: Option<&'a Form>,
    /// How its answer is translated.
    pub(crate) reply: &'a Reply,
    /// What its translation leaves out.
    pub(crate) dropped: Option<HeaderValue>,
    pub(crate) priority: Priority,
    /// When it came.
    pub(crate) start: Instant,
}

impl Dispatch<'_> {
    /// Holds the request until a target has room and forwards it there; again from the start where it is preempted.
    ///
    /// # Errors
    /// No target answers it.
    pub(crate) async fn run(
        &self,
        mut routing: RoutingRequest<'_>,
        mut record: Box<RequestRecord>,
    ) -> Result<Response<Answer>, Refused> {
        let Self { epoch, head, priority, start, .. } = *self;
        let (id, chain) = (routing.id, head.headers.chain);
        // One beyond the clock's end is none.
        let deadline = head.headers.deadline_ms.and_then(|ms| start.checked_add(Duration::from_millis(ms)));
        let (mut waited, mut most) = (Duration::ZERO, chain.tries(head.policy.rates.max_attempts));
        loop {
            let left_ms = deadline.map(|d| d.saturating_duration_since(clock::now()).as_millis() as u64);
            let ask = routing.ask(priority, left_ms);
            let asked_at = clock::since(start);
            let admitted = self.place(&ask, &mut routing, &mut record).await;
            let Admitted { target, permit, .. } =
                admitted.map_err(|e| Refused::of(epoch, id, record.failed_last(), e))?;
            let admitted_at = clock::since(start);
            if record.has_waited() {
                waited += admitted_at - asked_at;
            }
            match self.driver(&routing, deadline).run(record, most, target, permit).await {
                Ok(served) => {
                    let timing = [("decide", admitted_at - waited), ("queue", waited), ("first", clock::since(start))];
                    let answered = self.answered(id, served, timing);
                    return answered.map_err(|at| Refused::of(epoch, id, Some(*at), ApiError::upstream_failed()));
                }
                Err(Unserved::Failed(failed)) => {
                    let (error, last) = *failed;
                    return Err(Refused::of(epoch, id, last, error));
                }
                Err(Unserved::Preempted(preempted, left)) => {
                    (record, most) = (preempted, left);
                    // It waits again, for all of it.
                    record.waits_again();
                    waited += clock::since(start) - admitted_at;
                }
            }
        }
    }

    /// What tries targets in turn.
    fn driver<'d>(&'d self, placed: &'d RoutingRequest<'d>, deadline: Option<Instant>) -> FailoverDriver<'d> {
        let Self { epoch, head, form, own, reply, priority, .. } = *self;
        FailoverDriver {
            epoch,
            policy: head.policy,
            scan: &form.scan,
            body: &form.body,
            own,
            reply,
            api: form.api,
            content_type: head.form.as_ref().and_then(|form| form.to_str().ok()).unwrap_or("application/json"),
            beta: head.headers.beta.as_deref(),
            placed,
            chain: head.headers.chain,
            priority,
            deadline,
        }
    }

    /// What the client gets of what a target serves.
    ///
    /// # Errors
    /// It cannot be read; where it came from.
    fn answered(
        &self,
        id: u64,
        served: Served,
        timing: [(&'static str, Duration); 3],
    ) -> Result<Response<Answer>, Box<Target>> {
        let Self { epoch, reply, .. } = *self;
        let dropped = self.dropped.clone().filter(|_| reply.translates(served.dialect()));
        let served = served.translated(reply)?;
        let mut response = answer(epoch, id, served, timing);
        if let Some(dropped) = dropped {
            response.headers_mut().insert(DROPPED, dropped);
        }
        Ok(response)
    }

    /// A place at a target of the request, among those ranked for it.
    async fn place(
        &self,
        ask: &AdmissionRequest,
        routing: &mut RoutingRequest<'_>,
        record: &mut RequestRecord,
    ) -> Result<Admitted, ApiError> {
        let was_preempted = record.attempts() > 0;
        let (outcome, error) = match admit(self.epoch, ask, routing, was_preempted).await {
            Ok(Some(admitted)) => {
                record.admitted(admitted.waited.then_some(*ask));
                return Ok(admitted);
            }
            Ok(None) => (Outcome::NothingEligible, routing.nothing_eligible()),
            Err(Busy(after_ms)) => {
                let text = "Every endpoint that may serve this request is busy.";
                (Outcome::Shed, ApiError::overloaded(text, after_ms))
            }
        };
        record.refused(outcome, error.status());
        Err(error)
    }
}
