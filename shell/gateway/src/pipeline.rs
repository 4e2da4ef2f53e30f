//! The way of a completion request, stage by stage:
//!
//! 1. `authenticate`: whose it is, its headers, its policy;
//! 2. receive: the body, within the limits of size and time, decoded, and translated where endpoints speak another dialect;
//! 3. `permit`: what policy and tenant allow of what it asks for;
//! 4. `guard`: guards that may end an accepted request before it is sent anywhere;
//! 5. `dispatch`: placed (decided on), held until there is room, forwarded with failover, streamed or answered whole.
//!
//! The record of the request settles when it is dropped, however the request ends.

pub(crate) mod authenticate;
mod dispatch;
mod guard;
mod permit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use rhumb_api::ApiError;
use rhumb_flow::overload::Level;
use rhumb_grid::config::{Dialect, SessionLimits};
use rhumb_grid::steering::STEERING;
use rhumb_json::Limits;
use rhumb_kept::{Keep, Kept, Recalled};
use rhumb_openai::realtime::session;
use rhumb_openai::request::{Api, Scan, boundary, scan, scan_form};
use rhumb_process::clock;
use rhumb_record::{Outcome, format_id};
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_64;

use crate::answer::{id_header, text};
use crate::background;
use crate::body::{Answer, kept_as, read};
use crate::epoch::ConfigEpoch;
use crate::forms::{Form, Forms};
use crate::inflate::{Coding, inflate};
use crate::load_shedding::LoadShed;
use crate::operation::Operation;
use crate::pipeline::authenticate::Head;
use crate::pipeline::dispatch::Dispatch;
use crate::pipeline::guard::Guarded;
use crate::pipeline::permit::{permit, within_limits};
use crate::request_headers::SESSION_LIMIT;
use crate::request_record::RequestRecord;
use crate::resource_limits::Held;
use crate::routing::RoutingRequest;
use crate::translation::Reply;
use crate::waiting::{Refused, Waits};

/// Takes a request through every stage. A client that streams is told through `tell` that its request is accepted, where it
/// is to hear while it waits.
///
/// # Errors
/// A stage refuses it, or no target answers it.
pub(crate) async fn complete(
    epoch: Arc<ConfigEpoch>,
    operation: Operation,
    request: Request<Incoming>,
    tell: oneshot::Sender<Waits>,
) -> Result<Response<Answer>, Refused> {
    let start = clock::now();
    if request.method() != Method::POST {
        return Err(ApiError::method_not_allowed("POST").into());
    }
    let (parts, body) = request.into_parts();
    let head = Head::read(&epoch, &parts.headers)?;
    let kept = epoch.state.kept.as_ref().filter(|_| operation.dialect() == Dialect::Responses);
    let headers = kept.map(|_| parts.headers);
    let mut held = epoch.state.limits.holding();
    let body = receive(&epoch, body, head.coding, &mut held).await?;
    let recalled = match kept {
        Some(kept) => Some(Box::pin(recall(&epoch, kept, &head, &body, &mut held)).await?),
        None => None,
    };
    let recalled = match (recalled, kept, headers) {
        (Some(recalled), Some(kept), Some(headers))
            if recalled.wanted.background && operation == Operation::Responses =>
        {
            return Box::pin(background::begin(Arc::clone(&epoch), Arc::clone(kept), headers, body, recalled)).await;
        }
        (recalled, ..) => recalled,
    };
    let asked = Asked { operation, head: &head, body, held, recalled, start };
    answer(&epoch, asked, Accepted::Client(tell)).await
}

/// A request that was received whole.
pub(crate) struct Asked<'a> {
    pub(crate) operation: Operation,
    pub(crate) head: &'a Head<'a>,
    pub(crate) body: Bytes,
    pub(crate) held: Held<'a>,
    /// What was kept for it, where responses are.
    pub(crate) recalled: Option<Box<Recalled>>,
    pub(crate) start: Instant,
}

/// Who hears that a request is accepted.
pub(crate) enum Accepted {
    Client(oneshot::Sender<Waits>),
    Background(Box<background::Begin>),
}

impl Accepted {
    /// The request is accepted. A client hears it where it `waits` to; what is made in the background is kept from now on.
    ///
    /// # Errors
    /// It is to be kept and cannot.
    async fn hear(
        self,
        waits: Waits,
        is_told: bool,
        kept: Option<(&Kept, &Keep)>,
        reply: &Reply,
    ) -> Result<(), ApiError> {
        match self {
            Self::Client(tell) => {
                // One who has left does not hear it.
                let _ = is_told.then(|| tell.send(waits));
            }
            Self::Background(begin) => {
                if let (Some((kept, keep)), Some(queued)) = (kept, reply.queued()) {
                    Box::pin(begin.accept((waits.id, waits.dropped), kept, keep, queued)).await?;
                }
            }
        }
        Ok(())
    }
}

/// Takes a request that was received through the stages that are left.
///
/// # Errors
/// A stage refuses it, or no target answers it.
pub(crate) async fn answer(
    epoch: &Arc<ConfigEpoch>,
    asked: Asked<'_>,
    accepted: Accepted,
) -> Result<Response<Answer>, Refused> {
    let Asked { operation, head, body, mut held, recalled, start } = asked;
    let forms = Forms::new(epoch, operation, body, recalled.as_deref(), &mut held)?;
    let dialects = forms.dialects();
    let Forms { mut translated, own } = forms;
    let (named, api) = (translated.session.take(), translated.api);
    let (body, dropped) = (translated.body.clone(), translated.dropped.clone());
    let mut form = Form { api, scan: scanned(api, head, &body)?, body };
    if let Some(session) = &named {
        form.scan.request.conversation_hash = Some(xxh3_64(session.as_bytes()));
    }
    let Form { body, scan, .. } = &form;
    if let Some(own) = &own {
        within_limits(own.api, &head.policy.service, &own.scan.request)?;
    }
    let permitted = permit(epoch, api, head, scan)?;
    let mut routing = RoutingRequest::new(epoch, operation, head, permitted.models, (body, dialects), scan);
    let reply = Reply::new(translated, routing.id, &scan.request.model, routing.prompt_tokens());
    // The tokens of a prompt are told as far as the gateway has learnt how this tenant's texts count.
    if let Some(count) = operation.token_count(routing.prompt_tokens().ceil() as u64) {
        let mut response = text("application/json", count.into());
        response.headers_mut().insert("x-request-id", id_header(routing.id));
        return Ok(response);
    }
    let guarded = guarded(epoch, head, body, scan, &routing, named.as_deref())?;
    let mut record = Box::new(RequestRecord::new(&routing, start, scan, body));
    if let Err(refusal) = guard::ask(&guarded) {
        let (outcome, error) = *refusal;
        routing.decide();
        routing.record();
        record.refused(outcome, error.status());
        return Err(Refused::of(epoch, routing.id, None, error));
    }
    record.in_session(routing.session);
    let kept = epoch.state.kept.as_ref().zip(recalled);
    let keep =
        kept.as_ref().and_then(|(kept, r)| kept.keep(&head.caller.tenant_name, reply.created_s(), r).map(Box::new));
    let in_background = matches!(accepted, Accepted::Background(_));
    let waits = Waits {
        id: routing.id,
        keep_alive: Duration::from_millis(head.policy.service.keep_alive_ms),
        dropped: dropped.clone(),
    };
    let is_told = scan.request.stream && !waits.keep_alive.is_zero();
    let kept = kept.as_ref().map(|(kept, _)| &***kept).zip(keep.as_deref());
    if let Err(error) = accepted.hear(waits, is_told, kept, &reply).await {
        routing.decide();
        routing.record();
        record.refused(Outcome::Failed, error.status());
        return Err(Refused::of(epoch, routing.id, None, error));
    }
    let (form, reply, priority) = (&form, &reply, permitted.priority);
    let dispatch = Dispatch { epoch, head, form, own: own.as_ref(), reply, dropped, priority, start };
    let mut response = dispatch.run(routing, record).await?;
    if let Some(keep) = keep.filter(|_| !in_background) {
        response = Box::pin(kept_as(response, *keep)).await;
    }
    Ok(response)
}

/// What guards look at. A session has the name that its header gives it, or that its body does.
fn guarded<'a>(
    epoch: &'a ConfigEpoch,
    head: &'a Head<'_>,
    body: &'a [u8],
    scan: &Scan,
    routing: &RoutingRequest<'_>,
    named: Option<&'a str>,
) -> Result<Guarded<'a>, ApiError> {
    let own = head.headers.session_limits;
    if own.needs_a_session() && routing.session.is_none() {
        let text = "`x-rhumb-session-limit` needs a session: name it in `x-rhumb-session`.";
        return Err(ApiError::invalid(text).with_param(SESSION_LIMIT));
    }
    let of_tenant = head.tenant(epoch).map_or(SessionLimits::default(), |tenant| tenant.session_limits);
    let limits = epoch.grid.config.gateway.session_limits.and(of_tenant).and(own);
    let name = head.headers.session_name.as_deref().or(named).unwrap_or("(without a name)");
    let session = routing.session.map(|session| (session, name));
    Ok(Guarded { epoch, caller: &head.caller, body, limits, session, repeats: scan.request.repeats })
}

/// What the body says.
fn scanned(api: Api, head: &Head<'_>, body: &[u8]) -> Result<Scan, ApiError> {
    if api == Api::Realtime {
        // It is made of the model's name, and of what tells this session from others.
        let name = body.split(|b| *b == b'\n').next().unwrap_or_default();
        return Ok(session(&String::from_utf8_lossy(name)));
    }
    if !api.is_form() {
        return Ok(scan(api, body, Limits::default(), STEERING)?);
    }
    let form = head.form.as_ref().and_then(|form| boundary(form.to_str().ok()?)).ok_or_else(ApiError::no_form)?;
    Ok(scan_form(api, body, form)?)
}

/// What a request for a response goes on with, which counts as held.
pub(crate) async fn recall(
    epoch: &ConfigEpoch,
    kept: &Kept,
    head: &Head<'_>,
    body: &[u8],
    held: &mut Held<'_>,
) -> Result<Box<Recalled>, ApiError> {
    let number = format_id(epoch.state.ids.next().0);
    let most = epoch.grid.config.gateway.max_body_bytes;
    let recalled = kept.recall(&head.caller.tenant_name, body, &number, most).await?;
    held.grow(recalled.bytes())?;
    Ok(recalled)
}

/// Stage 2: the body, read and decoded.
async fn receive(
    epoch: &ConfigEpoch,
    body: Incoming,
    coding: Option<Coding>,
    held: &mut Held<'_>,
) -> Result<Bytes, ApiError> {
    let limits = &epoch.state.limits;
    if limits.level() == Level::All {
        return Err(limits.turn_away(LoadShed::All));
    }
    let gateway = &epoch.grid.config.gateway;
    let within = Duration::from_millis(gateway.request_timeout_ms);
    let body = read(body, gateway.max_body_bytes, within, held).await?;
    inflate(coding, body, gateway.max_body_bytes, held).await
}
