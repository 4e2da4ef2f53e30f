//! The opening of a session of the Realtime API: it is decided on once, like a request.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use hyper::body::Incoming;
use rhumb_openai::realtime::model;
use rhumb_process::clock;
use rhumb_websocket::accept;
use tokio::sync::oneshot;

use crate::body::Answer;
use crate::epoch::ConfigEpoch;
use crate::operation::Operation;
use crate::pipeline::authenticate::Head;
use crate::pipeline::{Accepted, Asked, answer};
use crate::upgrade::from_own_page;
use crate::waiting::Refused;

/// Opens a session at an endpoint, and then towards the client.
///
/// # Errors
/// The handshake is not one, the request is refused, or no endpoint opens it.
pub(crate) async fn open(epoch: &Arc<ConfigEpoch>, request: &Request<Incoming>) -> Result<Response<Answer>, Refused> {
    from_own_page(epoch, request)?;
    let head = Head::read(epoch, request.headers())?;
    let accepted = accept(request)?;
    let model = model(request.uri().query().unwrap_or_default())?;
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map_or(&b""[..], |key| key.as_bytes());
    let body = Bytes::from([model.as_bytes(), b"\n", key].concat());
    let held = epoch.state.limits.holding();
    let asked = Asked { operation: Operation::Realtime, head: &head, body, held, recalled: None, start: clock::now() };
    // Nothing can be said before it is open.
    let (tell, _) = oneshot::channel();
    let mut response = Box::pin(answer(epoch, asked, Accepted::Client(tell))).await?;
    response.headers_mut().extend(accepted);
    Ok(response)
}
