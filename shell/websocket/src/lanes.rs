//! Requests in lanes: one after the other within a lane, lanes beside each other.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb_api::ApiError;
use rhumb_responses::kept::{Noted, note};
use rhumb_responses::socket::{Create, error, event, limit};
use rhumb_sse::{Splitter, events};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::{Made, Responder};

/// Lanes of one socket that may be at work at once.
const LANES_MAX: usize = 16;

/// Requests that may wait in one lane.
const WAITING_MAX: usize = 32;

/// The lanes of one socket. Dropping them calls off what is being made.
pub(crate) struct Lanes<R> {
    responder: R,
    /// Messages for the client. A lane waits while the client does not take them.
    out: mpsc::Sender<String>,
    lanes: BTreeMap<Option<String>, mpsc::Sender<Create>>,
    /// Bytes of the requests that wait, and the most of them.
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    working: JoinSet<Option<String>>,
}

impl<R: Responder> Lanes<R> {
    /// None yet.
    pub(crate) fn new(responder: R, out: mpsc::Sender<String>, waiting_max: usize) -> Self {
        let (lanes, waiting) = (BTreeMap::new(), Arc::default());
        Self { responder, out, lanes, waiting, waiting_max, working: JoinSet::new() }
    }

    /// Bytes of the requests that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a request.
    ///
    /// # Errors
    /// There is no room for it: the message that says so.
    pub(crate) fn take(&mut self, create: Create) -> Result<(), String> {
        let (lane, bytes) = (create.lane.clone(), create.body.len());
        if self.waiting_bytes() + bytes > self.waiting_max {
            return Err(full(lane.as_deref(), "those that wait are too long together"));
        }
        let create = match self.lanes.get(&lane) {
            Some(requests) => match requests.try_send(create) {
                Ok(()) => {
                    self.waiting.fetch_add(bytes, Ordering::Relaxed);
                    return Ok(());
                }
                Err(mpsc::error::TrySendError::Closed(create)) => create,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    return Err(full(lane.as_deref(), &format!("{WAITING_MAX} requests wait in it")));
                }
            },
            None if self.lanes.len() >= LANES_MAX => {
                return Err(full(lane.as_deref(), &format!("the socket has {LANES_MAX} of them")));
            }
            None => create,
        };
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        // It has room for the first.
        let _ = requests.try_send(create);
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.lanes.insert(lane.clone(), requests);
        self.working.spawn(work(self.responder.clone(), lane, waiting, self.out.clone(), Arc::clone(&self.waiting)));
        Ok(())
    }

    /// Waits until a lane has nothing left to do, which then is none any more.
    pub(crate) async fn rest(&mut self) {
        match self.working.join_next().await {
            Some(Ok(lane)) => {
                // A request may have come to it since; then it is at work again.
                if self.lanes.get(&lane).is_some_and(mpsc::Sender::is_closed) {
                    self.lanes.remove(&lane);
                }
            }
            Some(Err(_)) => self.lanes.retain(|_, requests| !requests.is_closed()),
            None => std::future::pending().await,
        }
    }

    /// Nothing is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.working.is_empty()
    }
}

fn full(lane: Option<&str>, why: &str) -> String {
    let error = ApiError::overloaded(format!("There is no room for another request in a `stream_id`: {why}."), 1_000);
    limit(&error, lane, "websocket_stream_limit_reached")
}

/// Works on the requests of a lane until none waits.
async fn work<R: Responder>(
    responder: R,
    lane: Option<String>,
    mut waiting: mpsc::Receiver<Create>,
    out: mpsc::Sender<String>,
    waiting_bytes: Arc<AtomicUsize>,
) -> Option<String> {
    let name = lane.as_deref();
    loop {
        let Ok(create) = waiting.try_recv().or_else(|_| {
            // What came until it was closed is still to be worked on.
            waiting.close();
            waiting.try_recv()
        }) else {
            return lane;
        };
        // What is worked on counts where that is done.
        waiting_bytes.fetch_sub(create.body.len(), Ordering::Relaxed);
        match responder.respond(create).await {
            // Nobody is there any more where it cannot be sent.
            Err(refused) => drop(out.send(error(&refused, name)).await),
            Ok(made) => tell(made, name, &out).await,
        }
    }
}

/// Passes the events of a response on, each as a message.
async fn tell(made: Made, lane: Option<&str>, out: &mpsc::Sender<String>) {
    let Made { events: mut next, ended } = made;
    let (mut splitter, mut ended) = (Splitter::default(), Some(ended));
    while let Some(piece) = poll_fn(|cx| next(cx)).await {
        // What the gateway writes itself is within the limit.
        let Ok(run) = splitter.push(piece) else { return };
        for said in events(&run) {
            let Some(data) = said.data else { continue };
            if let Some(Noted::Ended(object)) = note(&data)
                && let Some(ended) = ended.take()
            {
                ended(object);
            }
            if out.send(event(&data, lane)).await.is_err() {
                return;
            }
        }
    }
}
