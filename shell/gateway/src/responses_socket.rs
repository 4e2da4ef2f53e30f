//! A WebSocket on which responses are asked for: each request is taken as one that came by HTTP. What was said on the socket can be
//! gone on with there, also where nothing is kept.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http::{Request, Response};
use hyper::body::Incoming;
use rhumb_api::ApiError;
use rhumb_kept::Recalled;
use rhumb_process::clock;
use rhumb_record::format_id;
use rhumb_responses::kept::{input, output, wanted};
use rhumb_responses::socket::Create;
use rhumb_store::responses::History;
use rhumb_websocket::{Events, Made, Responder, accept};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::body::Answer;
use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::operation::Operation;
use crate::pipeline::authenticate::{Head, caller};
use crate::pipeline::{Accepted, Asked, answer, recall};
use crate::relay::BrokenOff;
use crate::reload::Gateway;
use crate::resource_limits::Held;
use crate::routing::models;
use crate::translation::{Reply, translate};
use crate::upgrade::{Opened, from_own_page};

/// Opens a socket.
///
/// # Errors
/// The handshake is not one, there is no valid key, or a page of another origin asks.
pub(crate) fn open(epoch: &ConfigEpoch, request: &Request<Incoming>) -> Result<Response<Answer>, ApiError> {
    let headers = request.headers();
    from_own_page(epoch, request)?;
    caller(epoch, headers)?;
    let accepted = accept(request)?;
    let mut response = Response::new(Answer::Whole(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend(accepted);
    response.extensions_mut().insert(Opened::Responses(Arc::new(headers.clone())));
    Ok(response)
}

/// Whoever makes the responses of one socket.
#[derive(Clone)]
pub(crate) struct SocketResponder {
    gateway: Arc<Gateway>,
    /// Of the handshake: they are those of every request.
    headers: Arc<HeaderMap>,
    said: Arc<Mutex<Said>>,
}

/// What was said last on a socket.
#[derive(Default)]
struct Said {
    /// The last responses, oldest first.
    responses: Vec<(String, History)>,
    /// What they take counts as held.
    account: Option<OwnedSemaphorePermit>,
}

/// Responses that can be gone on with on the socket that they were made on.
const RESPONSES_MAX: usize = 8;

impl Said {
    fn find(&self, id: &str) -> Option<History> {
        self.responses.iter().find(|(known, _)| known == id).map(|(_, history)| history.clone())
    }

    /// Remembers a response, within what the gateway may hold and no more than the longest body.
    fn remember(&mut self, epoch: &ConfigEpoch, id: String, history: History) {
        self.responses.push((id, history));
        let bytes =
            |said: &[(String, History)]| said.iter().flat_map(|(_, h)| &h.items).map(String::len).sum::<usize>();
        let most = usize::try_from(epoch.grid.config.gateway.max_body_bytes).unwrap_or(usize::MAX);
        while self.responses.len() > RESPONSES_MAX || bytes(&self.responses) > most {
            self.responses.remove(0);
        }
        if !epoch.state.limits.hold(&mut self.account, bytes(&self.responses)) {
            *self = Self::default();
        }
    }
}

impl SocketResponder {
    pub(crate) fn new(gateway: Arc<Gateway>, headers: Arc<HeaderMap>) -> Self {
        Self { gateway, headers, said: Arc::default() }
    }

    /// What a request goes on with: what was said here, or what is kept.
    async fn recalled(
        &self,
        epoch: &ConfigEpoch,
        head: &Head<'_>,
        body: &[u8],
        held: &mut Held<'_>,
    ) -> Result<Box<Recalled>, ApiError> {
        let number = format_id(epoch.state.ids.next().0);
        let mut wants = wanted(body, &number)?;
        let here = wants.previous.as_deref().and_then(|id| lock(&self.said).find(id));
        if here.is_none() {
            if let Some(kept) = &epoch.state.kept {
                let mut recalled = recall(epoch, kept, head, body, held).await?;
                recalled.wanted.input = input(body, &number)?;
                return Ok(recalled);
            }
            let field = if wants.conversation.is_some() { "conversation" } else { "previous_response_id" };
            if wants.previous.is_some() || wants.conversation.is_some() {
                return Err(ApiError::previous_not_found(field));
            }
        }
        wants.store &= epoch.state.kept.is_some();
        wants.input = input(body, &number)?;
        let recalled = Recalled { id: format!("resp_{number}"), wanted: wants, history: here.unwrap_or_default() };
        held.grow(recalled.bytes())?;
        Ok(Box::new(recalled))
    }

    /// What remembers the response when it has ended.
    fn remembering(&self, epoch: &Arc<ConfigEpoch>, recalled: &Recalled) -> Box<dyn FnOnce(&str) + Send> {
        let (said, epoch, id) = (Arc::clone(&self.said), Arc::clone(epoch), recalled.id.clone());
        let mut history = recalled.history.clone();
        history.items.push(recalled.wanted.input.to_string());
        Box::new(move |object: &str| {
            let Some(output) = output(object) else { return };
            history.items.push(output);
            if history.root.is_empty() {
                history.root.clone_from(&id);
            }
            lock(&said).remember(&epoch, id, history);
        })
    }
}

impl Responder for SocketResponder {
    async fn respond(&self, create: Create) -> Result<Made, ApiError> {
        // A request is served under the configuration of its time, also on a socket that is older.
        let epoch = self.gateway.now();
        let head = Head::read(&epoch, &self.headers)?;
        let mut held = epoch.state.limits.holding();
        held.grow(create.body.len())?;
        let body = Bytes::from(create.body);
        let recalled = self.recalled(&epoch, &head, &body, &mut held).await?;
        let ended = self.remembering(&epoch, &recalled);
        if create.warms_up {
            return Ok(Made { events: warmed_up(&epoch, &head, body, &recalled, &mut held)?, ended });
        }
        let (operation, recalled) = (Operation::Responses, Some(recalled));
        let asked = Asked { operation, head: &head, body, held, recalled, start: clock::now() };
        // The socket itself shows that the gateway is there.
        let (tell, _) = oneshot::channel();
        let made = answer(&epoch, asked, Accepted::Client(tell)).await;
        let mut answer = made.map_err(|refused| refused.error)?.into_body();
        let events: Events =
            Box::new(move |cx| answer.poll_bytes(cx).map(|next| next.map(|(Ok(piece) | Err(BrokenOff(piece)))| piece)));
        Ok(Made { events, ended })
    }
}

/// A response without an answer, which can be gone on with.
fn warmed_up(
    epoch: &ConfigEpoch,
    head: &Head<'_>,
    body: Bytes,
    recalled: &Recalled,
    held: &mut Held<'_>,
) -> Result<Events, ApiError> {
    let translated = translate(Operation::Responses, body.clone(), Some(recalled), held)?;
    let model =
        rhumb_responses::read(&body, None).map_or_else(|_| String::new(), |read| read.conversation.model.into_owned());
    models(epoch, &head.caller, &model)?;
    let reply = Reply::new(translated, epoch.state.ids.next().0, &model, 0.0);
    let mut all = reply.warmed_up();
    Ok(Box::new(move |_| std::task::Poll::Ready(all.take())))
}
