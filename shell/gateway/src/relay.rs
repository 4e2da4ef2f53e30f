//! A stream on its way through: whole events in, the same bytes out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rhumb_api::ApiError;
use rhumb_api::fault::EngineError;
use rhumb_grid::config::{Dialect, EngineErrors};
use rhumb_passing::{Scanner, ending};
use rhumb_process::clock;
use rhumb_record::Outcome;
use rhumb_sse::Splitter;
use rhumb_upstream::Response;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use crate::dialect;
use crate::opening::{HELD_UNCOUNTED, Opening};
use crate::pace::Pace;
use crate::pool::{self, PoolKey};
use crate::request_record::RequestRecord;
use crate::translation::Rewriter;

/// A stream ends without being complete: the event that says so to its client, which is the last. The connection is
/// closed after it, so that nothing takes the stream for a whole one.
#[derive(Debug, thiserror::Error)]
#[error("the stream broke off")]
pub(crate) struct BrokenOff(pub(crate) Bytes);

impl From<Infallible> for BrokenOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Most that is handed over at once. Only an answer whose client has fallen behind has more to hand over, and then each
/// piece taken is a sign that its client still reads.
pub(crate) const PIECE_BYTES_MAX: usize = 16 << 10;

/// A stream being relayed. It reads when it is asked, and it is asked while the client's side has room: what a client
/// does not read stays with the endpoint. Dropping it cancels it at the endpoint.
pub(crate) struct Relay {
    response: Option<Response>,
    splitter: Splitter,
    scanner: Scanner,
    /// Where the client speaks another dialect than the endpoint.
    rewriter: Option<Box<Rewriter>>,
    held: Bytes,
    /// What a long event that has not ended takes counts so much.
    account: Option<OwnedSemaphorePermit>,
    record: Box<RequestRecord>,
    pool_key: PoolKey,
    idle: Idle,
    /// When the endpoint last sent content. Heartbeats and the like show that it lives, not that it works.
    progress: Instant,
    pace: Pace,
    /// How often it has been waited on since, because others are served there.
    extended: u32,
    /// When a pause was last reported.
    paused: Instant,
    /// Something else has come since.
    quiet: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// It ends because the client takes nothing.
    pub(crate) stalled: bool,
    state: State,
}

/// How long an answer may stand still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    /// So long.
    pub(crate) limit: Duration,
    /// Engines hold the arguments of a tool call back until they are whole: while others are served there, so many times
    /// as long.
    pub(crate) extensions: u32,
}

/// Why an answer that has begun does not go on.
enum Broken {
    /// The endpoint fell silent, closed, or sent what cannot be read.
    Endpoint,
    /// It said so.
    Said(EngineError),
    /// One event of it is larger than the gateway holds.
    TooLarge,
}

#[derive(PartialEq)]
enum State {
    Flowing,
    Ended,
}

impl Relay {
    pub(crate) fn new(
        opening: Opening,
        record: Box<RequestRecord>,
        mut rewriter: Option<Box<Rewriter>>,
        idle: Idle,
        pool_key: PoolKey,
    ) -> Self {
        let Opening { response, splitter, scanner, held, account } = opening;
        let held = rewritten(&mut rewriter, held);
        let now = clock::now();
        Self {
            pace: Pace::new(record.in_flight().map_or(0.0, |f| f.attempt.modelled_pace_ms())),
            paused: now,
            response: Some(response),
            splitter,
            scanner,
            rewriter,
            held,
            account,
            record,
            pool_key,
            idle,
            extended: 0,
            progress: now,
            quiet: false,
            timer: None,
            stalled: false,
            state: State::Flowing,
        }
    }

    /// The dialect that the endpoint answers in.
    pub(crate) fn dialect(&self) -> Dialect {
        self.scanner.dialect()
    }

    /// The next bytes for the client.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        loop {
            if !self.held.is_empty() {
                let next = self.held.len().min(PIECE_BYTES_MAX);
                return Poll::Ready(Some(Ok(self.held.split_to(next))));
            }
            if self.scanner.done {
                self.complete(cx);
                return Poll::Ready(None);
            }
            if let Some(said) = self.scanner.error.take() {
                return self.break_off(Broken::Said(said));
            }
            match self.poll_upstream(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(run)) => {
                    let before = self.scanner.pieces;
                    let passed = self.scanner.scan(run);
                    self.held = rewritten(&mut self.rewriter, passed);
                    self.quiet = self.scanner.pieces == before;
                    if !self.quiet {
                        (self.progress, self.extended) = (clock::now(), 0);
                        self.heard();
                        let pace = self.pace.came(self.progress, self.scanner.pieces - before);
                        self.teach(pace);
                    } else if clock::since(self.progress) >= self.idle.limit * (1 + self.idle.extensions) {
                        return self.break_off(Broken::Endpoint);
                    }
                }
                Poll::Ready(Err(broken)) => return self.break_off(broken),
            }
        }
    }

    /// The next run of whole events.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Broken>> {
        loop {
            let Some(response) = &mut self.response else { return Poll::Ready(Err(Broken::Endpoint)) };
            match response.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => match self.splitter.push(piece) {
                    Ok(run) => {
                        if !self.count_held() {
                            return Poll::Ready(Err(Broken::TooLarge));
                        }
                        if !run.is_empty() {
                            return Poll::Ready(Ok(run));
                        }
                        self.quiet = true;
                    }
                    Err(_) => return Poll::Ready(Err(Broken::TooLarge)),
                },
                Poll::Ready(Ok(None)) => {
                    return Poll::Ready(ending(&self.scanner, self.splitter.rest()).ok_or(Broken::Endpoint));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Endpoint)),
                Poll::Pending if self.idled(cx) => return Poll::Ready(Err(Broken::Endpoint)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What a long event takes that has not ended counts as held; false when there is no room for it.
    fn count_held(&mut self) -> bool {
        let held = self.splitter.held();
        if held > HELD_UNCOUNTED {
            return self.record.epoch().state.limits.hold(&mut self.account, held);
        }
        self.account = None;
        true
    }

    /// Content has come from the endpoint: whoever waits for more there knows that it is at work.
    fn heard(&self) {
        if let Some(in_flight) = self.record.in_flight() {
            let epoch = self.record.epoch();
            epoch.live[in_flight.target().endpoint].heard(epoch.now_ms());
        }
    }

    /// Others have had content from the endpoint in the last part of the wait.
    fn serves_others(&self) -> bool {
        let Some(in_flight) = self.record.in_flight() else { return false };
        let epoch = self.record.epoch();
        let silent_ms = epoch.now_ms().saturating_sub(epoch.live[in_flight.target().endpoint].heard_ms());
        u128::from(silent_ms) < self.idle.limit.as_millis() / 2
    }

    /// The endpoint has said nothing that counts for too long. The timer is set once and looks again when it fires, so
    /// that a flowing stream costs no timer work.
    fn idled(&mut self, cx: &mut Context<'_>) -> bool {
        self.pace.waits();
        let mut idle_at = self.progress + self.idle.limit * (1 + self.extended);
        // A flood of heartbeats uses up the task's turn, and then no timer fires in it.
        if self.quiet && clock::now() >= idle_at && self.extended >= self.idle.extensions {
            return true;
        }
        loop {
            let pause_at = self.progress.max(self.paused) + self.pace.pause;
            let next = tokio::time::Instant::from_std(idle_at.min(pause_at));
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            timer.as_mut().reset(next);
            let now = clock::now();
            if now >= idle_at {
                if self.extended >= self.idle.extensions || !self.serves_others() {
                    return true;
                }
                self.extended += 1;
                idle_at = self.progress + self.idle.limit * (1 + self.extended);
            }
            if now >= pause_at {
                self.paused = now;
                let pause = self.pace.pauses(now);
                self.teach(pause);
            }
        }
    }

    /// What is seen of the endpoint's pace is learnt while the answer lasts: a slow one lasts long.
    fn teach(&self, token_ms: Option<f64>) {
        if let (Some(ms), Some(in_flight)) = (token_ms, self.record.in_flight()) {
            in_flight.paced(ms);
        }
    }

    fn account(&mut self, outcome: Outcome) {
        self.record.streamed(outcome, self.scanner.usage, self.scanner.pieces);
    }

    fn complete(&mut self, cx: &mut Context<'_>) {
        self.state = State::Ended;
        self.account(Outcome::Complete);
        let Some(mut response) = self.response.take() else { return };
        // What follows the end marker is the framing's own end, usually already here; then the connection is good for
        // another request.
        if let Poll::Ready(Ok(None)) = response.poll_piece(cx)
            && let Some(conn) = response.into_conn()
        {
            pool::give(self.pool_key, conn);
        }
    }

    fn break_off(&mut self, broken: Broken) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.response = None;
        self.account(Outcome::Broken);
        let errors = self.record.engine_errors();
        let error = match broken {
            Broken::TooLarge => ApiError::answer_too_large(),
            // The engine calls the request itself wrong, later than others would.
            Broken::Said(said) if said.status.is_some_and(|s| s < 500) && errors != EngineErrors::Hide => {
                ApiError::engine_refused(said.status.unwrap_or(400), &said, errors == EngineErrors::Pass)
            }
            Broken::Endpoint | Broken::Said(_) => {
                self.record.broke_off();
                ApiError::stream_broken()
            }
        };
        self.state = State::Ended;
        let end = match &mut self.rewriter {
            None => dialect::error_event(self.dialect(), &error, self.record.id()),
            Some(rewriter) => rewriter.broken(&error, self.record.id()),
        };
        Poll::Ready(Some(Err(BrokenOff(end))))
    }
}

/// Events as the client gets them.
fn rewritten(rewriter: &mut Option<Box<Rewriter>>, run: Bytes) -> Bytes {
    match rewriter {
        None => run,
        Some(rewriter) => rewriter.rewrite(&run),
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.state == State::Flowing {
            self.account(if self.stalled { Outcome::ClientStalled } else { Outcome::ClientGone });
        }
    }
}
