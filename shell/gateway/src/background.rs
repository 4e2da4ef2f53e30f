//! Responses that are made in the background: accepted at once, and made by a task of their own.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use rhumb_api::ApiError;
use rhumb_kept::{Following, Keep, Kept, Making, Recalled, Run};
use rhumb_process::clock;
use tokio::sync::oneshot;

use crate::answer::{event_stream, id_header, text};
use crate::body::Answer;
use crate::epoch::ConfigEpoch;
use crate::operation::Operation;
use crate::pipeline::authenticate::Head;
use crate::pipeline::{Accepted, Asked, answer};
use crate::relay::BrokenOff;
use crate::waiting::{DROPPED, Refused};

/// A request that is to be accepted, and who waits to hear that it is.
pub(crate) struct Begin {
    run: Arc<Run>,
    accepted: oneshot::Sender<(u64, Option<HeaderValue>)>,
}

impl Begin {
    /// The request with this id is accepted: its response begins as `queued`, JSON. What of it is not carried on is told.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(crate) async fn accept(
        self,
        (id, dropped): (u64, Option<HeaderValue>),
        kept: &Kept,
        keep: &Keep,
        queued: String,
    ) -> Result<(), ApiError> {
        kept.accept(&self.run, keep, queued).await?;
        // One who has left asks for it later.
        let _ = self.accepted.send((id, dropped));
        Ok(())
    }
}

/// Has a response made in the background. What its client gets at once: the response as it begins, or its events.
///
/// # Errors
/// The request is refused.
pub(crate) async fn begin(
    epoch: Arc<ConfigEpoch>,
    kept: Arc<Kept>,
    headers: HeaderMap,
    body: Bytes,
    recalled: Box<Recalled>,
) -> Result<Response<Answer>, Refused> {
    kept.room()?;
    let (run, stream) = (Arc::new(Run::default()), recalled.wanted.stream);
    let (tell, accepted) = oneshot::channel();
    let begin = Begin { run: Arc::clone(&run), accepted: tell };
    #[expect(clippy::disallowed_methods, reason = "it ends with its response")]
    let task = tokio::spawn(make(epoch, kept, headers, body, recalled, begin));
    let Ok((id, dropped)) = accepted.await else {
        let refused = task.await.ok().and_then(Result::err);
        return Err(refused.unwrap_or_else(|| ApiError::store_unavailable().into()));
    };
    let mut response = if stream {
        event_stream(Answer::Following(Box::new(Following::new(run, 0))))
    } else {
        text("application/json", run.queued().unwrap_or_default().to_owned().into())
    };
    let headers = response.headers_mut();
    headers.insert("x-rhumb-decision", id_header(id));
    headers.insert("x-request-id", id_header(id));
    if let Some(dropped) = dropped {
        headers.insert(DROPPED, dropped);
    }
    Ok(response)
}

/// Takes the request through its stages and keeps what comes of it.
async fn make(
    epoch: Arc<ConfigEpoch>,
    kept: Arc<Kept>,
    headers: HeaderMap,
    body: Bytes,
    recalled: Box<Recalled>,
    begin: Begin,
) -> Result<(), Refused> {
    let start = clock::now();
    let head = Head::read(&epoch, &headers)?;
    let mut held = epoch.state.limits.holding();
    held.grow(body.len() + recalled.bytes())?;
    let Some(keep) = kept.keep(&head.caller.tenant_name, clock::unix_ms() / 1_000, &recalled) else { return Ok(()) };
    let id = keep.id().to_owned();
    let making = Making::new(Arc::clone(&begin.run), keep);
    let asked = Asked { operation: Operation::Responses, head: &head, body, held, recalled: Some(recalled), start };
    let made = async {
        let mut answer = answer(&epoch, asked, Accepted::Background(Box::new(begin))).await?.into_body();
        let next = move |cx: &mut std::task::Context<'_>| {
            answer.poll_bytes(cx).map(|next| next.map(|(Ok(piece) | Err(BrokenOff(piece)))| piece))
        };
        making.follow(next).await;
        Ok::<_, Refused>(())
    };
    let outcome = tokio::select! {
        biased;
        () = making.called_off() => {
            making.call_off().await;
            Ok(())
        }
        outcome = made => outcome,
    };
    let outcome = match outcome {
        Err(refused) if !making.fail(&refused.error).await => Err(refused),
        _ => Ok(()),
    };
    kept.made(&id);
    outcome
}
