//! One try at one target: until it has sent content, or has failed in one of the ways that are told apart.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rhumb_openai::error::ApiError;
use rhumb_openai::request::{Api, forward};
use rhumb_openai::response::is_answer;
use rhumb_openai::sse::Splitter;
use rhumb_route::decide::Target;
use rhumb_store::format_id;
use rhumb_upstream::{Conn, Error, Origin, Request, Response};

use crate::attempt::Journey;
use crate::pool;
use crate::relay::Scanner;
use crate::shed::Shed;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A deadline that is passed on in whole milliseconds may end so much earlier there than here.
const ROUNDING: Duration = Duration::from_millis(5);

/// Most bytes held back before content begins.
const HELD_BYTES_MAX: usize = 256 << 10;

/// Longest plain answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Why a target did not serve.
pub(crate) enum Fail {
    /// It is broken: this counts against its health.
    Broken,
    /// It is broken, and the connection broke while it had the request: the request may be why.
    Died,
    /// It took too long to begin: this counts against its health too.
    Timeout,
    /// It did not begin within the client's deadline. How short that is says nothing of the target.
    Deadline,
    /// It is busy and said when to come back.
    Busy(Option<u64>),
    /// It answers something that is no answer, for reasons of its own: others are tried, its health is left alone.
    Unsuitable,
    /// It leads back to a gateway that the request has come through.
    Looped,
    /// This gateway cannot reach any target now, for want of its own means.
    Shed(ApiError),
    /// The request itself is at fault; no other target would take it either.
    Rejected(ApiError),
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        match error {
            Error::NoAnswer | Error::Truncated => Self::Died,
            Error::Connect | Error::Exhausted | Error::Malformed(_) => Self::Broken,
        }
    }
}

/// A target that serves.
pub(crate) enum Opened {
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

impl Journey<'_> {
    /// One try. A target that is a gateway itself may make so many `tries`; `before` were made until the request gave way.
    /// Dropping the future cancels it.
    pub(crate) async fn attempt(&self, target: &Target, tries: u32, before: u32) -> Result<Opened, Fail> {
        let until = Instant::now() + self.patience(target);
        let deadline = self.deadline.filter(|d| *d < until);
        let opened = tokio::time::timeout_at(deadline.unwrap_or(until).into(), self.open(target, tries, before)).await;
        opened.unwrap_or(Err(if deadline.is_some() { Fail::Deadline } else { Fail::Timeout }))
    }

    /// Longest wait for the first content.
    fn patience(&self, target: &Target) -> Duration {
        let wait = Duration::from_millis(self.policy.rates.first_token_timeout_ms);
        if self.scan.stream {
            return wait;
        }
        // A plain answer shows nothing until it is whole, so the time to generate it is granted too, generously.
        let longest = self.scan.max_tokens.map_or(self.placed.output_tokens() * 8.0, |m| m as f64);
        let generating = (longest * target.predicted.pace_ms * 4.0).min(3.6e6);
        wait + Duration::from_millis(generating as u64)
    }

    async fn open(&self, target: &Target, tries: u32, before: u32) -> Result<Opened, Fail> {
        let response = self.send(target, tries, before).await?;
        if self.scan.stream { self.open_stream(target, response).await } else { self.plain(target, response).await }
    }

    /// The connection used last, or a new one. A connection that had stood may have been closed just now: that is no
    /// failure of the target, and the request was not seen.
    async fn send(&self, target: &Target, tries: u32, before: u32) -> Result<Response, Fail> {
        let upstream = &self.shared.upstreams[target.endpoint as usize];
        let model = upstream.served_as[target.model as usize].as_deref().unwrap_or(&self.scan.model);
        let body = forward(self.body, self.scan, model, upstream.states_usage, self.most_tokens());
        let chain = self.chain.lines(tries, self.deadline);
        // An engine that has yet to let go of it would refuse the same name.
        let again = if before > 0 { format!("-{}", before + 1) } else { String::new() };
        let id = format_id(self.placed.id);
        let headers = [upstream.headers.as_str(), "x-request-id: ", &id, &again, "\r\n", &chain].concat();
        let request = Request { method: "POST", path: self.api.path(), headers: &headers, body: &body };
        let mut conn = match pool::take(self.shared.live[target.endpoint as usize].pool_key) {
            Some(conn) => conn,
            None => self.connect(&upstream.origin).await?,
        };
        loop {
            let used = conn.is_used();
            match conn.send(&upstream.origin, request).await {
                Ok(response) => return self.status(response),
                // Where it cannot be connected to again, it died, and the request may well have been seen.
                Err(Error::NoAnswer) if used => {
                    conn = self.connect(&upstream.origin).await.map_err(|fail| match fail {
                        Fail::Broken => Fail::Died,
                        other => other,
                    })?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A new connection, if there is a descriptor for it: those that stand idle give theirs up.
    async fn connect(&self, origin: &Origin) -> Result<Conn, Fail> {
        let guard = &self.shared.lasting.guard;
        let place = guard.upstream().or_else(|| {
            pool::clear();
            guard.upstream()
        });
        let Some(place) = place else { return Err(Fail::Shed(guard.turn_away(Shed::Descriptors))) };
        match Conn::connect(origin, CONNECT_TIMEOUT).await {
            Ok(conn) => Ok(conn.at(place)),
            Err(Error::Exhausted) => Err(Fail::Shed(guard.turn_away(Shed::Descriptors))),
            Err(_) => Err(Fail::Broken),
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
            // A gateway keeps to the deadline that was passed on to it, and no endpoint is ill for that.
            504 if self.deadline.is_some_and(|d| d <= Instant::now() + ROUNDING) => Err(Fail::Deadline),
            504 if self.deadline.is_some() => Err(Fail::Unsuitable),
            508 => Err(Fail::Looped),
            // Some engines answer so to what they do not implement; no retry would help.
            501 => {
                Err(Fail::Rejected(ApiError::invalid("The model does not support this request.").with_param("model")))
            }
            400..=499 => Err(Fail::Rejected(rejected(head.status))),
            _ => Err(Fail::Broken),
        }
    }

    async fn plain(&self, target: &Target, mut response: Response) -> Result<Opened, Fail> {
        let body = self.collect(&mut response).await?;
        if !is_answer(&body) {
            return Err(Fail::Broken);
        }
        if let Some(conn) = response.into_conn() {
            pool::give(self.shared.live[target.endpoint as usize].pool_key, conn);
        }
        Ok(Opened::Plain(body))
    }

    /// Reads a plain answer, which counts as held until its client has the last of it. Where there is no room for it, this
    /// gateway is at fault and nobody else.
    async fn collect(&self, response: &mut Response) -> Result<Bytes, Fail> {
        let mut held = self.shared.lasting.guard.holding();
        let (mut all, mut counted) = (BytesMut::new(), 0);
        while let Some(piece) = response.piece().await? {
            let length = all.len() + piece.len();
            if length > ANSWER_BYTES_MAX {
                return Err(Fail::Broken);
            }
            if length > counted {
                // As much as the memory grows by, and no further ahead of what has come than what was declared.
                let declared = response.length().map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
                let wanted = (counted * 2).min(declared).max(length);
                held.grow(wanted - counted).map_err(Fail::Shed)?;
                counted = wanted;
            }
            all.extend_from_slice(&piece);
        }
        Ok(held.keep(all.freeze()))
    }

    /// Reads a stream until its first content; what comes before could as well be another target's.
    async fn open_stream(&self, target: &Target, mut response: Response) -> Result<Opened, Fail> {
        if response.head.content_type != "text/event-stream" {
            return Err(Fail::Broken);
        }
        let upstream = &self.shared.upstreams[target.endpoint as usize];
        let mut scanner = Scanner::new(upstream.states_usage && !self.scan.include_usage);
        let (mut splitter, mut held) = (Splitter::default(), BytesMut::new());
        loop {
            let Some(new) = response.piece().await? else { return Err(Fail::Broken) };
            let run = splitter.push(new).map_err(|_| Fail::Broken)?;
            let passed = scanner.scan(run);
            if scanner.error && scanner.pieces == 0 {
                return Err(Fail::Broken);
            }
            if scanner.pieces > 0 || scanner.done {
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
}

/// The engine's own words are not passed on: they may name files, addresses or other people's text.
fn rejected(status: u16) -> ApiError {
    match status {
        404 => ApiError::invalid("The model does not offer this API.").with_param("model"),
        413 => ApiError::invalid("The engine refused the request as too large."),
        _ => ApiError::invalid("The engine refused the request as invalid: check its parameters against the model's."),
    }
}
