//! One try at one target: until it has sent content, or has failed in one of the ways that are told apart.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use rhumb_api::fault::EngineError;
use rhumb_core::Parts as _;
use rhumb_flow::blame::Failure;
use rhumb_flow::patience::first_content_ms;
use rhumb_grid::config::Dialect;
use rhumb_openai::realtime::encoded;
use rhumb_openai::request::{Api, Edits, Scan, forward};
use rhumb_openai::response::is_result;
use rhumb_passing::{Scanner, is_answer};
use rhumb_process::clock;
use rhumb_record::format_id;
use rhumb_route::decide::Target;
use rhumb_sse::{EVENT_BYTES_MAX, Splitter};
use rhumb_upstream::{Conn, Error, Origin, Request, Response};
use rhumb_websocket::asking;

use crate::failover::FailoverDriver;
use crate::load_shedding::LoadShed;
use crate::opening::{Fail, Failed, HELD_UNCOUNTED, Opened, Opening};
use crate::parts::LiveParts;
use crate::patience::Patience;
use crate::pool;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A deadline that is passed on in whole milliseconds may end so much earlier there than here.
const ROUNDING: Duration = Duration::from_millis(5);

/// Longest plain answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Most that is read of an engine's error, and the longest wait for it.
const ERROR_BYTES_MAX: usize = 64 << 10;
const ERROR_TIMEOUT: Duration = Duration::from_secs(2);

/// Tokens that a plain answer is granted whose length nobody states: an essay.
const UNSTATED_TOKENS: f64 = 2_048.0;

impl FailoverDriver<'_> {
    /// One try. A target that is a gateway itself may make so many `tries`; `before` were made until the request was preempted.
    /// Dropping the future cancels it.
    pub(crate) async fn attempt(&self, target: &Target, tries: u32, before: u32) -> Result<Opened, Fail> {
        let mut patience = Patience::new(self.patience(target), self.deadline);
        if self.api == Api::Realtime {
            return Box::pin(self.open_session(target, tries, &patience)).await;
        }
        let response = patience.wait(pin!(self.send(target, tries, before))).await?;
        if !(200..=299).contains(&response.head.status) {
            return patience.wait(Box::pin(self.refused(target, response))).await;
        }
        if let Some(for_ms) = response.head.used_up_ms {
            let now_ms = self.epoch.now_ms();
            LiveParts(self.epoch).window(target.endpoint, |window| window.used_up(now_ms, for_ms));
        }
        if response.head.encoded {
            // Something before it encodes what nobody asked to be encoded: that is no fault of the engine.
            return Err(Failure::Other.into());
        }
        patience.sign();
        if self.scan.request.stream {
            self.open_stream(target, response, &mut patience).await
        } else {
            patience.wait(pin!(self.plain(target, response))).await
        }
    }

    /// How long the target is given until its first content: what the policy grants, or a multiple of what is predicted.
    pub(crate) fn patience(&self, target: &Target) -> Duration {
        let p = &target.predicted;
        let granted_ms = self.policy.rates.first_token_timeout_ms;
        let wait = Duration::from_secs_f64(first_content_ms(granted_ms, p.begins_ms() - p.stalled_ms) / 1e3);
        if self.scan.request.stream {
            return wait;
        }
        // A plain answer shows nothing until it is whole, so the time to generate it is granted too, generously.
        let unstated = || (self.placed.output_tokens() * 8.0).max(UNSTATED_TOKENS);
        let longest = self.scan.request.max_tokens.map_or_else(unstated, |m| m as f64);
        let generating = (longest * p.pace_ms * 4.0).min(3.6e6);
        wait + Duration::from_millis(generating as u64)
    }

    /// The form of the request that a target gets: the client's own where its endpoint speaks that dialect.
    fn form(&self, target: &Target) -> (Api, &Bytes, &Scan) {
        let speaks = self.epoch.upstreams[target.endpoint].speaks;
        match self.own.filter(|own| speaks.has(own.api.dialect())) {
            Some(own) => (own.api, &own.body, &own.scan),
            None => (self.api, self.body, self.scan),
        }
    }

    /// Header lines that a dialect wants.
    fn headers_of(&self, dialect: Dialect) -> String {
        match (dialect, self.beta) {
            (Dialect::Messages, Some(beta)) => format!("anthropic-beta: {beta}\r\n"),
            _ => String::new(),
        }
    }

    /// The connection used last, or a new one, whose making is rare and large and boxed therefore. A connection that had stood
    /// may have been closed just now: that is no failure of the target, and the request was not seen.
    async fn send(&self, target: &Target, tries: u32, before: u32) -> Result<Response, Fail> {
        let upstream = &self.epoch.upstreams[target.endpoint];
        let (api, body, scan) = self.form(target);
        let model = upstream.served_as[target.model].as_deref().unwrap_or(&scan.request.model);
        let edits = Edits {
            model,
            ask_usage: upstream.states_usage && api.dialect() == Dialect::Chat,
            most_tokens: self.most_tokens().map(|most| (api.length_field(), most)),
            allowed: upstream.allowed,
            cache_salt: self.placed.salt(target.endpoint),
        };
        let body = forward(body, scan, &edits);
        let chain = self.chain.lines(tries, self.deadline);
        // An engine that has yet to let go of it would refuse the same name.
        let again = if before > 0 { format!("-{}", before + 1) } else { String::new() };
        let id = format_id(self.placed.id);
        let own = self.headers_of(api.dialect());
        let kind = self.content_type;
        let headers =
            [&upstream.headers, "content-type: ", kind, "\r\nx-request-id: ", &id, &again, "\r\n", &own, &chain]
                .concat();
        let request = Request { method: "POST", path: api.path(), headers: &headers, body: &body };
        let mut conn = match pool::take(self.epoch.live[target.endpoint].pool_key) {
            Some(conn) => conn,
            None => Box::pin(self.connect(&upstream.origin)).await?,
        };
        loop {
            let used = conn.is_used();
            match conn.send(&upstream.origin, request).await {
                Ok(response) => return Ok(response),
                // Where it cannot be connected to again, it died, and the request may well have been seen.
                Err(Error::NoAnswer) if used => {
                    conn = Box::pin(self.connect(&upstream.origin)).await.map_err(|fail| match fail {
                        Fail::Failed(_) => Failure::Died.into(),
                        other => other,
                    })?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens a session at a target.
    async fn open_session(&self, target: &Target, tries: u32, patience: &Patience) -> Result<Opened, Fail> {
        let upstream = &self.epoch.upstreams[target.endpoint];
        let model = upstream.served_as[target.model].as_deref().unwrap_or(&self.scan.request.model);
        let path = format!("{}?model={}", self.api.path(), encoded(model));
        let chain = self.chain.lines(tries, self.deadline);
        let id = format_id(self.placed.id);
        let headers = [&upstream.headers, "x-request-id: ", &id, "\r\n", &chain, &asking()].concat();
        let request = Request { method: "GET", path: &path, headers: &headers, body: &[] };
        let asked = async {
            let conn = self.connect(&upstream.origin).await?.to_upgrade();
            Ok(conn.send(&upstream.origin, request).await?)
        };
        let response = patience.wait(pin!(asked)).await?;
        if response.head.status != 101 {
            return patience.wait(Box::pin(self.refused(target, response))).await;
        }
        response.upgraded().map(|session| Opened::Session(Box::new(session))).ok_or_else(|| Failure::Unreadable.into())
    }

    /// A new connection, if there is a descriptor for it: those that stand idle give theirs up.
    async fn connect(&self, origin: &Origin) -> Result<Conn, Fail> {
        let limits = &self.epoch.state.limits;
        let place = limits.upstream().or_else(|| {
            pool::clear();
            limits.upstream()
        });
        let Some(place) = place else { return Err(Fail::LoadShed(limits.turn_away(LoadShed::Descriptors))) };
        match Conn::connect(origin, CONNECT_TIMEOUT).await {
            Ok(conn) => Ok(conn.at(place)),
            Err(Error::Exhausted) => Err(Fail::LoadShed(limits.turn_away(LoadShed::Descriptors))),
            Err(_) => Err(Failure::Unreachable.into()),
        }
    }

    /// What limits an answer that the client sets no length.
    fn most_tokens(&self) -> Option<u64> {
        self.policy.service.max_answer_tokens.filter(|_| self.api.generates())
    }

    /// A response whose status says that it is no answer.
    async fn refused(&self, target: &Target, response: Response) -> Result<Opened, Fail> {
        let status = response.head.status;
        // A gateway keeps to the deadline that was passed on to it, and no endpoint is unhealthy for that.
        if status == 504 && self.deadline.is_some_and(|d| d <= clock::now() + ROUNDING) {
            return Err(Fail::Deadline);
        }
        let after_ms = response.head.retry_after_ms;
        let said = self.error_of(target, response).await;
        let failed = Failed::said(status, after_ms, said);
        if status == 504 && self.deadline.is_some() {
            return Err(Fail::Failed(Box::new(Failed { failure: Failure::Other, ..failed })));
        }
        Err(Fail::Failed(Box::new(failed)))
    }

    /// What an engine says beside a status, as far as it comes soon and is short. Its connection is kept then.
    async fn error_of(&self, target: &Target, mut response: Response) -> EngineError {
        let body = tokio::time::timeout(ERROR_TIMEOUT, response.collect(ERROR_BYTES_MAX)).await;
        let Ok(Ok(body)) = body else { return EngineError::default() };
        if let Some(conn) = response.into_conn() {
            pool::give(self.epoch.live[target.endpoint].pool_key, conn);
        }
        EngineError::read(&body).unwrap_or_default()
    }

    async fn plain(&self, target: &Target, mut response: Response) -> Result<Opened, Fail> {
        let body = self.collect(&mut response).await?;
        // What generates text answers in JSON, whatever its head says, and so does what says nothing of it.
        const JSON: &str = "application/json";
        let dialect = self.form(target).0.dialect();
        let said = std::mem::take(&mut response.head.content_type);
        let media_type = if self.is_text() || said.is_empty() { JSON } else { &said };
        let is_whole = if self.is_text() { is_answer(dialect, &body) } else { is_result(media_type, &body) };
        if !is_whole {
            return Err(match EngineError::read(&body) {
                Some(said) => Fail::Failed(Box::new(Failed::inside(said))),
                None => Failure::Unreadable.into(),
            });
        }
        let content_type = if media_type == JSON {
            HeaderValue::from_static(JSON)
        } else {
            let whole = [media_type, &response.head.content_parameters].concat();
            HeaderValue::try_from(whole).unwrap_or(HeaderValue::from_static("application/octet-stream"))
        };
        if let Some(conn) = response.into_conn() {
            pool::give(self.epoch.live[target.endpoint].pool_key, conn);
        }
        Ok(Opened::Plain(body, content_type, dialect))
    }

    /// Texts or vectors are asked for, which come in the lists that the API promises.
    fn is_text(&self) -> bool {
        self.api.generates() || self.api == Api::Embeddings
    }

    /// Reads a plain answer, which counts as held until its client has the last of it. Where there is no room for it, this
    /// gateway is at fault and nobody else.
    async fn collect(&self, response: &mut Response) -> Result<Bytes, Fail> {
        let mut held = self.epoch.state.limits.holding();
        let (mut all, mut counted) = (BytesMut::new(), 0);
        while let Some(piece) = response.piece().await? {
            let length = all.len() + piece.len();
            if length > ANSWER_BYTES_MAX {
                return Err(Failure::TooLarge.into());
            }
            if length > counted {
                // As much as the memory grows by, and no further ahead of what has come than what was declared.
                let declared = response.length().map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
                let wanted = (counted * 2).min(declared).max(length);
                held.grow(wanted - counted).map_err(Fail::LoadShed)?;
                counted = wanted;
            }
            all.extend_from_slice(&piece);
        }
        Ok(held.keep(all.freeze()))
    }

    /// Reads a stream until its first content; what comes before could as well be another target's.
    async fn open_stream(
        &self,
        target: &Target,
        mut response: Response,
        patience: &mut Patience,
    ) -> Result<Opened, Fail> {
        if response.head.content_type != "text/event-stream" {
            return Box::pin(self.no_stream(target, response, patience)).await;
        }
        let upstream = &self.epoch.upstreams[target.endpoint];
        let dialect = self.form(target).0.dialect();
        let passes_usage = self.scan.include_usage || self.reply.translates(dialect);
        let hides_usage = upstream.states_usage && !passes_usage;
        let mut scanner = Scanner::new(dialect, hides_usage, self.scan.request.sequences());
        let (mut splitter, mut held, mut account) = (Splitter::default(), BytesMut::new(), None);
        loop {
            let next = patience.wait(pin!(async { response.piece().await.map_err(Fail::from) })).await?;
            let Some(new) = next else { return Err(Failure::Unreadable.into()) };
            let run = splitter.push(new).map_err(|_| Failure::TooLarge)?;
            let came = !run.is_empty();
            let passed = scanner.scan(run);
            if scanner.error.is_some() && scanner.pieces == 0 {
                return Err(Fail::Failed(Box::new(Failed::inside(scanner.error.unwrap_or_default()))));
            }
            if scanner.pieces > 0 {
                let held = if held.is_empty() {
                    passed
                } else {
                    held.extend_from_slice(&passed);
                    held.freeze()
                };
                return Ok(Opened::Stream(Box::new(Opening { response, splitter, scanner, held, account })));
            }
            if scanner.done {
                // An end marker without an answer before it.
                return Err(Failure::Unreadable.into());
            }
            held.extend_from_slice(&passed);
            let bytes = held.len() + splitter.held();
            if bytes > EVENT_BYTES_MAX {
                return Err(Failure::TooLarge.into());
            }
            if bytes > HELD_UNCOUNTED && !self.epoch.state.limits.hold(&mut account, bytes) {
                return Err(Fail::LoadShed(self.epoch.state.limits.turn_away(LoadShed::Held)));
            }
            if came {
                patience.sign();
            }
        }
    }

    /// What came in place of a stream: an error, or something that is no answer.
    async fn no_stream(&self, target: &Target, response: Response, patience: &Patience) -> Result<Opened, Fail> {
        let said = patience.wait(pin!(async { Ok(self.error_of(target, response).await) })).await?;
        if said == EngineError::default() {
            return Err(Failure::Unreadable.into());
        }
        Err(Fail::Failed(Box::new(Failed::inside(said))))
    }
}
