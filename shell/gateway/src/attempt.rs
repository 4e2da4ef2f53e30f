//! Targets in turn, until one sends content.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rhumb_flow::budget::RetryBudget;
use rhumb_flow::failover::Failover;
use rhumb_grid::index::NamedRates;
use rhumb_openai::error::ApiError;
use rhumb_openai::request::{Api, Scan, forward};
use rhumb_openai::response::{is_answer, usage};
use rhumb_openai::sse::Splitter;
use rhumb_route::decide::Target;
use rhumb_store::{Outcome, format_id};
use rhumb_upstream::{Conn, Error, Request, Response};

use crate::hold::Permit;
use crate::ledger::{Flight, Ledger};
use crate::live::lock;
use crate::place::Asking;
use crate::pool;
use crate::relay::{Relay, Scanner};
use crate::shared::Shared;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Most bytes held back before content begins.
const HELD_BYTES_MAX: usize = 256 << 10;

/// Longest plain answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// What a client gets.
pub(crate) enum Served {
    /// A plain answer.
    Plain(Target, Bytes),
    /// A stream whose first content has come.
    Stream(Target, Box<Relay>),
}

/// Why a target did not serve.
enum Fail {
    /// It is broken: this counts against its health.
    Broken,
    /// It took too long to begin: this counts against its health too.
    Timeout,
    /// It is busy and said when to come back.
    Busy(Option<u64>),
    /// It answers something that is no answer, for reasons of its own: others are tried, its health is left alone.
    Unsuitable,
    /// The request itself is at fault; no other target would take it either.
    Rejected(ApiError),
}

/// A request on its way.
pub(crate) struct Journey<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) api: Api,
    pub(crate) policy: &'a NamedRates,
    pub(crate) scan: &'a Scan,
    pub(crate) body: &'a Bytes,
    pub(crate) placed: &'a Asking<'a>,
    pub(crate) pool_base: usize,
}

impl Journey<'_> {
    /// Tries the ranked targets until one serves, from the one that admission has given a place at.
    pub(crate) async fn run(&self, mut ledger: Ledger, first: usize, permit: Permit) -> Result<Served, ApiError> {
        let (mut retry_after, mut busy, mut timed_out) = (None::<u64>, 0u32, 0u32);
        let targets = &self.placed.decision.targets;
        let mut failover = Failover::new(self.policy.rates.max_attempts);
        let mut place = failover.start(first).then_some((first, permit));
        let tenant = ledger.tenant;
        self.shared.budget(tenant, &targets[first], RetryBudget::first);
        while let Some((next, permit)) = place {
            let target = &targets[next];
            ledger.attempts += 1;
            let endpoint = target.endpoint;
            self.shared.metrics.sent(endpoint);
            ledger.flight = Some(Flight::new(self.shared, permit, *target, ledger.plain));
            let was_busy = match self.attempt(target, &mut ledger).await {
                Ok(opened) => return Ok(self.serve(*target, opened, ledger)),
                Err(fail) => {
                    let is_busy = matches!(fail, Fail::Busy(_));
                    if let Fail::Busy(after) = fail {
                        // Before its place is free: whoever waits is not to be called to it.
                        let now = self.shared.now_ms();
                        lock(&self.shared.hold).window_mut(endpoint as usize).busy(now, after);
                    }
                    ledger.flight = None;
                    ledger.first_content = None;
                    self.shared.metrics.failed(endpoint);
                    match fail {
                        Fail::Rejected(error) => {
                            (ledger.outcome, ledger.status) = (Outcome::Rejected, error.status);
                            return Err(error);
                        }
                        Fail::Busy(after) => {
                            busy += 1;
                            retry_after = retry_after.max(after);
                        }
                        Fail::Timeout => {
                            timed_out += 1;
                            self.fault(endpoint);
                        }
                        Fail::Broken => self.fault(endpoint),
                        Fail::Unsuitable => {}
                    }
                    is_busy
                }
            };
            let granted = !was_busy || self.shared.budget(tenant, &targets[next], |b| b.retry(self.shared.now_ms()));
            let next = if granted { failover.next(targets.len(), |i| targets[i].site) } else { None };
            place = next.map(|next| (next, Permit::take(self.shared, targets[next].endpoint)));
        }
        let error = if busy > 0 && busy == ledger.attempts {
            ApiError::overloaded("Every suitable site is busy.", retry_after.unwrap_or(1_000))
        } else if timed_out == ledger.attempts {
            ApiError::upstream_timeout()
        } else {
            ApiError::upstream_failed()
        };
        (ledger.outcome, ledger.status) = (Outcome::Failed, error.status);
        Err(error)
    }

    fn fault(&self, endpoint: u32) {
        let now = self.shared.now_ms();
        let mut learnt = lock(&self.shared.live[endpoint as usize].learnt);
        let before = learnt.health.is_ill(now);
        learnt.health.failed(now);
        let fell_ill = !before && learnt.health.is_ill(now);
        drop(learnt);
        if fell_ill {
            // The view is what decisions read: an illness that waits for the next one costs the requests until then.
            self.shared.publish();
        }
    }

    async fn attempt(&self, target: &Target, ledger: &mut Ledger) -> Result<Opened, Fail> {
        let wait = Duration::from_millis(self.policy.rates.first_token_timeout_ms);
        if self.scan.stream {
            let opened = tokio::time::timeout(wait, self.open_stream(target, ledger)).await;
            return opened.unwrap_or(Err(Fail::Timeout));
        }
        // A plain answer shows nothing until it is whole, so the time to generate it is granted too, generously.
        let longest = self.scan.max_tokens.map_or(self.placed.output_tokens() * 8.0, |m| m as f64);
        let generating = (longest * target.predicted.pace_ms * 4.0).min(3.6e6);
        let wait = wait + Duration::from_millis(generating as u64);
        let answer = tokio::time::timeout(wait, self.plain(target)).await;
        let opened = answer.unwrap_or(Err(Fail::Timeout))?;
        if let Opened::Plain(body) = &opened {
            ledger.content_began();
            ledger.usage = usage(body);
        }
        Ok(opened)
    }

    /// The connection used last, or a new one. A connection that had stood may have been closed just now: that is no
    /// failure of the target, and the request was not seen.
    async fn send(&self, target: &Target) -> Result<Response, Fail> {
        let upstream = &self.shared.upstreams[target.endpoint as usize];
        let model = upstream.served_as[target.model as usize].as_deref().unwrap_or(&self.scan.model);
        let body = forward(self.body, self.scan, model, upstream.states_usage, self.most_tokens());
        let headers = [upstream.headers.as_str(), "x-request-id: ", &format_id(self.placed.id), "\r\n"].concat();
        let request = Request { method: "POST", path: self.api.path(), headers: &headers, body: &body };
        let key = self.pool_base + target.endpoint as usize;
        let mut conn = match pool::take(key) {
            Some(conn) => conn,
            None => Conn::connect(&upstream.origin, CONNECT_TIMEOUT).await.map_err(|_| Fail::Broken)?,
        };
        loop {
            let used = conn.is_used();
            match conn.send(&upstream.origin, request).await {
                Ok(response) => return self.status(response),
                Err(Error::NoAnswer) if used => {
                    conn = Conn::connect(&upstream.origin, CONNECT_TIMEOUT).await.map_err(|_| Fail::Broken)?;
                }
                Err(_) => return Err(Fail::Broken),
            }
        }
    }

    /// What limits an answer that the client sets no length.
    fn most_tokens(&self) -> Option<u64> {
        self.policy.service.max_answer_tokens.filter(|_| self.api != Api::Embeddings)
    }

    fn status(&self, response: Response) -> Result<Response, Fail> {
        let head = &response.head;
        match head.status {
            200..=299 if !head.encoded => Ok(response),
            429 | 503 => Err(Fail::Busy(head.retry_after_ms)),
            // The gateway's own credential or path is wrong there: the client can do nothing about it.
            401 | 403 => Err(Fail::Unsuitable),
            // Some engines answer so to what they do not implement; no retry would help.
            501 => {
                Err(Fail::Rejected(ApiError::invalid("The model does not support this request.").with_param("model")))
            }
            400..=499 => Err(Fail::Rejected(rejected(head.status))),
            _ => Err(Fail::Broken),
        }
    }

    async fn plain(&self, target: &Target) -> Result<Opened, Fail> {
        let mut response = self.send(target).await?;
        let body = response.collect(ANSWER_BYTES_MAX).await.map_err(|_| Fail::Broken)?;
        if !is_answer(&body) {
            return Err(Fail::Broken);
        }
        if let Some(conn) = response.into_conn() {
            pool::give(self.pool_base + target.endpoint as usize, conn);
        }
        Ok(Opened::Plain(body))
    }

    /// Reads a stream until its first content; what comes before could as well be another target's.
    async fn open_stream(&self, target: &Target, ledger: &mut Ledger) -> Result<Opened, Fail> {
        let mut response = self.send(target).await?;
        if response.head.content_type != "text/event-stream" {
            return Err(Fail::Broken);
        }
        let upstream = &self.shared.upstreams[target.endpoint as usize];
        let mut scanner = Scanner::new(upstream.states_usage && !self.scan.include_usage);
        let (mut splitter, mut held) = (Splitter::default(), BytesMut::new());
        loop {
            let Ok(Some(new)) = response.piece().await else { return Err(Fail::Broken) };
            let run = splitter.push(new).map_err(|_| Fail::Broken)?;
            let passed = scanner.scan(run);
            if scanner.error && scanner.pieces == 0 {
                return Err(Fail::Broken);
            }
            if scanner.pieces > 0 || scanner.done {
                ledger.content_began();
                let held = if held.is_empty() {
                    passed
                } else {
                    held.extend_from_slice(&passed);
                    held.freeze()
                };
                return Ok(Opened::Stream(Box::new(Opening { response, splitter, scanner, held })));
            }
            held.extend_from_slice(&passed);
            if held.len() > HELD_BYTES_MAX {
                return Err(Fail::Broken);
            }
        }
    }

    /// The request is this target's from here on.
    fn serve(&self, target: Target, opened: Opened, mut ledger: Ledger) -> Served {
        ledger.status = 200;
        if let Some(session) = self.placed.session {
            lock(self.shared.pins_of(session)).insert(session, (target.endpoint, target.model));
        }
        if !self.placed.blocks.is_empty() {
            lock(&self.shared.prefixes).insert(&self.placed.blocks, target.endpoint);
        }
        match opened {
            Opened::Plain(body) => {
                ledger.outcome = Outcome::Complete;
                Served::Plain(target, body)
            }
            Opened::Stream(opening) => {
                let idle = Duration::from_millis(self.policy.rates.idle_timeout_ms);
                let key = self.pool_base + target.endpoint as usize;
                Served::Stream(target, Box::new(Relay::new(*opening, ledger, idle, key)))
            }
        }
    }
}

enum Opened {
    Plain(Bytes),
    Stream(Box<Opening>),
}

/// A stream whose first content has come.
pub(crate) struct Opening {
    pub(crate) response: Response,
    pub(crate) splitter: Splitter,
    pub(crate) scanner: Scanner,
    /// Everything up to and with the first content.
    pub(crate) held: Bytes,
}

/// The engine's own words are not passed on: they may name files, addresses or other people's text.
fn rejected(status: u16) -> ApiError {
    match status {
        404 => ApiError::invalid("The model does not offer this API.").with_param("model"),
        413 => ApiError::invalid("The engine refused the request as too large."),
        _ => ApiError::invalid("The engine refused the request as invalid: check its parameters against the model's."),
    }
}
