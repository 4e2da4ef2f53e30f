//! One line of a batch, asked like a request of a client that has all the time of the batch.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use rhumb_api::ApiError;
use rhumb_kept::{Answered, Asked};
use rhumb_process::clock;
use rhumb_record::format_id;
use tokio::sync::oneshot;

use crate::epoch::ConfigEpoch;
use crate::operation::Operation;
use crate::pipeline;
use crate::pipeline::authenticate::Head;
use crate::pipeline::{Accepted, answer};
use crate::reload::Gateway;
use crate::waiting::Refused;

/// Works on the batches of a gateway for as long as it runs.
pub(crate) async fn work(gateway: Arc<Gateway>) {
    let Some(kept) = gateway.now().state.kept.clone() else { return std::future::pending().await };
    kept.work(move |asked| ask(Arc::clone(&gateway), asked)).await;
}

/// Has a line answered, under the configuration of now.
async fn ask(gateway: Arc<Gateway>, asked: Asked) -> Answered {
    let epoch = gateway.now();
    let Some(operation) = Operation::of(&asked.endpoint) else {
        return refused(&epoch, None, ApiError::not_found("There is no such path."));
    };
    match answered(&epoch, operation, asked).await {
        Ok(answered) => answered,
        Err(Refused { error, id, .. }) => refused(&epoch, id, error),
    }
}

async fn answered(epoch: &Arc<ConfigEpoch>, operation: Operation, asked: Asked) -> Result<Answered, Refused> {
    let caller = epoch.keys.named(&epoch.grid, &asked.tenant, &asked.key).ok_or_else(ApiError::unauthorized)?;
    let head = Head::of_batch(epoch, caller)?;
    let mut held = epoch.state.limits.holding();
    held.grow(asked.body.len())?;
    let request =
        pipeline::Asked { operation, head: &head, body: asked.body, held, recalled: None, start: clock::now() };
    // Nobody waits to hear that it is at work.
    let (tell, _) = oneshot::channel();
    let response = answer(epoch, request, Accepted::Client(tell)).await?;
    let request_id =
        response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let (status, mut body) = (response.status().as_u16(), response.into_body());
    let mut all = BytesMut::new();
    while let Some(piece) = poll_fn(|cx| body.poll_bytes(cx)).await {
        // What breaks off ends with what says so, and what is no stream does not.
        let Ok(piece) = piece else { return Err(ApiError::stream_broken().into()) };
        all.extend_from_slice(&piece);
    }
    Ok(Answered { status, request_id, body: String::from_utf8_lossy(&all).into_owned() })
}

fn refused(epoch: &ConfigEpoch, id: Option<u64>, error: ApiError) -> Answered {
    if id.is_none() {
        epoch.metrics.refused();
    }
    let request_id = format_id(id.unwrap_or_else(|| epoch.state.ids.next().0));
    Answered { status: error.status(), request_id, body: rhumb_openai::error::body(&error) }
}
