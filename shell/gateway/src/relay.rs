//! A stream on its way through: whole events in, the same bytes out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rhumb_flow::condition::By;
use rhumb_openai::error::ApiError;
use rhumb_openai::response::{Piece, Usage, piece, usage_event};
use rhumb_openai::sse::{Event, Splitter, events};
use rhumb_store::Outcome;
use rhumb_upstream::Response;
use tokio::time::Sleep;

use crate::body::{BrokenOff, PIECE_BYTES_MAX};
use crate::ledger::{Flight, Ledger};
use crate::live::lock;
use crate::pace::Pace;
use crate::pool::{self, PoolKey};
use crate::tries::Opening;

/// What is read of the events that pass.
pub(crate) struct Scanner {
    /// Usage was asked for by the gateway and not by the client, so the client must not see it.
    drop_usage: bool,
    usage: Option<Usage>,
    /// Events that carried content.
    pub(crate) pieces: u64,
    pub(crate) done: bool,
    pub(crate) error: bool,
    /// Bytes of comments since the last content.
    comments: usize,
}

/// Most that is passed on of comments between two pieces of content: heartbeats for an hour, and less than would fill the
/// way to a slow client, behind which nothing more is read and no time runs.
const COMMENT_BYTES_MAX: usize = 4 << 10;

impl Scanner {
    pub(crate) fn new(drop_usage: bool) -> Self {
        Self { drop_usage, usage: None, pieces: 0, done: false, error: false, comments: 0 }
    }

    /// Reads a run of whole events and returns what the client gets of it: the same bytes, unless an event is the
    /// gateway's own business. After the end or an error nothing more is passed on.
    pub(crate) fn scan(&mut self, run: Bytes) -> Bytes {
        let mut cut: Option<BytesMut> = None;
        let mut at = 0;
        for event in events(&run) {
            let end = at + event.raw.len();
            let keep = self.read(&event);
            if keep {
                if let Some(out) = &mut cut {
                    out.extend_from_slice(event.raw);
                }
            } else if cut.is_none() {
                cut = Some(BytesMut::from(&run[..at]));
            }
            at = end;
            if self.done || self.error {
                break;
            }
        }
        match cut {
            Some(out) => out.freeze(),
            None => run.slice(..at),
        }
    }

    /// Whether the client gets the event.
    fn read(&mut self, event: &Event<'_>) -> bool {
        match piece(event) {
            Piece::Done => self.done = true,
            Piece::Error => self.error = true,
            Piece::Content => (self.pieces, self.comments) = (self.pieces + 1, 0),
            Piece::Lifecycle => {}
        }
        if self.done || self.error {
            return self.done;
        }
        if event.data.is_none() && self.pieces > 0 {
            self.comments += event.raw.len();
            return self.comments <= COMMENT_BYTES_MAX;
        }
        let Some((usage, alone)) = event.data.as_deref().and_then(usage_event) else { return true };
        self.usage = Some(usage);
        !(alone && self.drop_usage)
    }
}

/// A stream being relayed. It reads when it is asked, and it is asked while the client's side has room: what a client
/// does not read stays with the endpoint. Dropping it cancels it at the endpoint.
pub(crate) struct Relay {
    response: Option<Response>,
    splitter: Splitter,
    scanner: Scanner,
    held: Bytes,
    ledger: Ledger,
    pool_key: PoolKey,
    idle: Duration,
    /// When the endpoint last sent content. Heartbeats and the like show that it lives, not that it works.
    progress: Instant,
    pace: Pace,
    /// When a pause was last reported.
    paused: Instant,
    /// Something else has come since.
    quiet: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// It ends because the client takes nothing.
    pub(crate) stalled: bool,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Flowing,
    Ended,
}

impl Relay {
    pub(crate) fn new(opening: Opening, ledger: Ledger, idle: Duration, pool_key: PoolKey) -> Self {
        let Opening { response, splitter, scanner, held } = opening;
        let now = Instant::now();
        Self {
            pace: Pace::new(ledger.flight.as_ref().map_or(0.0, Flight::modelled_pace_ms)),
            paused: now,
            response: Some(response),
            splitter,
            scanner,
            held,
            ledger,
            pool_key,
            idle,
            progress: now,
            quiet: false,
            timer: None,
            stalled: false,
            state: State::Flowing,
        }
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
            if self.scanner.error {
                return self.break_off();
            }
            match self.poll_upstream(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(run)) => {
                    let before = self.scanner.pieces;
                    self.held = self.scanner.scan(run);
                    self.quiet = self.scanner.pieces == before;
                    if !self.quiet {
                        self.progress = Instant::now();
                        let pace = self.pace.came(self.progress, self.scanner.pieces - before);
                        self.teach(pace);
                    } else if self.progress.elapsed() >= self.idle {
                        return self.break_off();
                    }
                }
                Poll::Ready(None) => return self.break_off(),
            }
        }
    }

    /// The next run of whole events; `None` when there will be none.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(response) = &mut self.response else { return Poll::Ready(None) };
        loop {
            match response.poll_piece(cx) {
                Poll::Ready(Ok(Some(piece))) => match self.splitter.push(piece) {
                    Ok(run) if run.is_empty() => self.quiet = true,
                    Ok(run) => return Poll::Ready(Some(run)),
                    Err(_) => return Poll::Ready(None),
                },
                Poll::Ready(Ok(None)) => {
                    // The end marker may lack its empty line when it is the very last thing.
                    let rest = self.splitter.rest().trim_ascii_end();
                    if rest == b"data: [DONE]" || rest == b"data:[DONE]" {
                        return Poll::Ready(Some(Bytes::from_static(b"data: [DONE]\n\n")));
                    }
                    return Poll::Ready(None);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => return if self.idled(cx) { Poll::Ready(None) } else { Poll::Pending },
            }
        }
    }

    /// The endpoint has said nothing that counts for too long. The timer is set once and looks again when it fires, so
    /// that a flowing stream costs no timer work.
    fn idled(&mut self, cx: &mut Context<'_>) -> bool {
        self.pace.waits();
        let idle_at = self.progress + self.idle;
        // A flood of heartbeats uses up the task's turn, and then no timer fires in it.
        if self.quiet && Instant::now() >= idle_at {
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
            let now = Instant::now();
            if now >= idle_at {
                return true;
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
        if let (Some(ms), Some(flight)) = (token_ms, &self.ledger.flight) {
            flight.pace(ms);
        }
    }

    fn account(&mut self, outcome: Outcome) {
        self.ledger.outcome = outcome;
        self.ledger.usage = self.scanner.usage;
        self.ledger.pieces = self.scanner.pieces;
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

    fn break_off(&mut self) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.response = None;
        self.account(Outcome::Broken);
        let endpoint = self.ledger.flight.as_ref().map(|f| f.target.endpoint);
        if let Some(endpoint) = endpoint {
            let shared = &self.ledger.shared;
            lock(&shared.live[endpoint as usize].learnt).condition.failed(By::Request, shared.now_ms());
        }
        self.state = State::Ended;
        Poll::Ready(Some(Err(BrokenOff(ApiError::stream_broken().to_event().into()))))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.state == State::Flowing {
            self.account(if self.stalled { Outcome::ClientStalled } else { Outcome::ClientGone });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(drop_usage: bool, text: &'static str) -> (String, Scanner) {
        let mut s = Scanner::new(drop_usage);
        let out = s.scan(Bytes::from_static(text.as_bytes()));
        (String::from_utf8(out.to_vec()).unwrap(), s)
    }

    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
    const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}]}\n\n";

    #[test]
    fn a_usage_chunk_that_the_client_did_not_ask_for_is_kept_from_it() {
        let text: &'static str = Box::leak(format!("{TEXT}{USAGE}{TEXT}data: [DONE]\n\n").into_boxed_str());
        let (out, s) = scan(true, text);
        assert_eq!(out, format!("{TEXT}{TEXT}data: [DONE]\n\n"));
        assert_eq!((s.usage.unwrap().completion_tokens, s.pieces, s.done), (2, 2, true));
        assert_eq!(scan(false, text).0, text);
    }

    #[test]
    fn nothing_follows_the_end_or_an_error() {
        let (out, s) = scan(false, "data: [DONE]\n\ndata: {\"x\":1}\n\n");
        assert_eq!((out.as_str(), s.done), ("data: [DONE]\n\n", true));
        let (out, s) = scan(false, ": hi\n\ndata: {\"error\":{\"message\":\"/secret/path\"}}\n\ndata: [DONE]\n\n");
        assert_eq!((out.as_str(), s.error, s.done), (": hi\n\n", true, false));
    }

    #[test]
    fn a_run_is_passed_on_without_a_copy() {
        let run = Bytes::from_static(TEXT.as_bytes());
        let at = run.as_ptr();
        assert_eq!(Scanner::new(true).scan(run).as_ptr(), at);
    }
}
