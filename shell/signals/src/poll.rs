//! The loops that ask endpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb_grid::config::EngineKind;
use rhumb_upstream::{Conn, Error, Origin, Request};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::adapter::{Reading, read};
use crate::canary::{Answered, Question, canary_loop};
use crate::models::{Listed, compare};

/// Who receives the readings of an endpoint.
pub trait Sink: Send + Sync + 'static {
    /// The engine said this of its load.
    fn load(&self, reading: Reading);
    /// The engine's load could not be read.
    fn load_failed(&self, why: &str);
    /// A round trip took so long; the endpoint answers.
    fn round_trip(&self, ms: f64);
    /// A probe got no answer, or one that says the engine is broken.
    fn probe_failed(&self);
    /// The endpoint was asked which models it serves.
    fn models(&self, listed: Listed);
    /// The endpoint was asked the canary of a model.
    fn canary(&self, model: &str, answered: Answered);
}

/// What an endpoint is asked, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// Period of the scrapes.
    pub scrape_every: Duration,
    /// Period of the round-trip probes.
    pub probe_every: Duration,
    /// Period in which it is asked for its models.
    pub list_every: Duration,
    /// The models that it should serve, by the names that it knows them by.
    pub served: Vec<String>,
    /// Period of the canaries.
    pub canary_every: Duration,
    /// The canaries of its models.
    pub questions: Vec<Question>,
}

/// An endpoint to watch.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub origin: Origin,
    /// What it is.
    pub engine: EngineKind,
    /// Whole header lines to send (authorization).
    pub headers: String,
}

/// No probe may outlast this: a slow answer is no reading.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest metrics page read.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Watches an endpoint on the current runtime until what it returns is dropped.
pub fn watch(target: Target, manner: &Manner, sink: &Arc<impl Sink>) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    let target = Arc::new(target);
    loops.spawn(probe_loop(Arc::clone(&target), manner.clone(), Arc::clone(sink)));
    if target.engine != EngineKind::Generic {
        loops.spawn(scrape_loop(Arc::clone(&target), manner.scrape_every, Arc::clone(sink)));
    }
    if !manner.questions.is_empty() {
        loops.spawn(canary_loop(target, manner.questions.clone(), manner.canary_every, Arc::clone(sink)));
    }
    loops
}

pub(crate) fn ticker(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    // After a stall one reading is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn scrape_loop(target: Arc<Target>, every: Duration, sink: Arc<impl Sink>) {
    let mut ticks = ticker(every);
    let mut conn = None;
    loop {
        ticks.tick().await;
        let page = tokio::time::timeout(PROBE_TIMEOUT, get(&target, "/metrics", &mut conn)).await;
        let reading = match page {
            Ok(Ok((200, page, _))) => {
                String::from_utf8(page).map_err(|_| "not text").and_then(|p| read(target.engine, &p))
            }
            // Metrics are off by default in some engines: not found is no health and no load.
            Ok(Ok(_)) => Err("the engine serves no metrics"),
            Ok(Err(_)) | Err(_) => Err("no answer"),
        };
        match reading {
            Ok(r) => sink.load(r),
            Err(why) => sink.load_failed(why),
        }
    }
}

/// Where an endpoint lists its models. Of engines that are not known it is the one path that they all have.
const MODELS: &str = "/v1/models";

async fn probe_loop(target: Arc<Target>, manner: Manner, sink: Arc<impl Sink>) {
    let mut ticks = ticker(manner.probe_every);
    let (mut conn, mut list_at) = (None, Instant::now());
    let path = if target.engine == EngineKind::Generic { MODELS } else { "/health" };
    loop {
        ticks.tick().await;
        // The round trip is taken on a connection that stands, without handshakes: as requests meet it.
        let warm = conn.is_some();
        match tokio::time::timeout(PROBE_TIMEOUT, get(&target, path, &mut conn)).await {
            Ok(Ok((status, body, took))) if status < 500 => {
                if list_at <= Instant::now()
                    && let Some((status, body)) = list(&target, (path, status, body), &mut conn).await
                {
                    sink.models(compare(status, &body, &manner.served));
                    list_at = Instant::now() + manner.list_every;
                }
                if warm {
                    sink.round_trip(took.as_secs_f64() * 1e3);
                } else if let Ok(Ok((_, _, took))) =
                    tokio::time::timeout(PROBE_TIMEOUT, get(&target, path, &mut conn)).await
                {
                    sink.round_trip(took.as_secs_f64() * 1e3);
                }
            }
            // What is missing here says nothing of the endpoint.
            Ok(Err(Error::Exhausted)) => conn = None,
            _ => {
                conn = None;
                sink.probe_failed();
            }
        }
    }
}

/// The endpoint's list of models, which a probe may just have asked for. Without an answer, the next probe asks again.
async fn list(target: &Target, probed: (&str, u16, Vec<u8>), conn: &mut Option<Conn>) -> Option<(u16, Vec<u8>)> {
    if probed.0 == MODELS {
        return Some((probed.1, probed.2));
    }
    let answer = tokio::time::timeout(PROBE_TIMEOUT, get(target, MODELS, conn)).await;
    answer.ok()?.ok().map(|(status, body, _)| (status, body)).filter(|(status, _)| *status < 500)
}

/// Status, body, and the time until the head of the answer.
async fn get(target: &Target, path: &str, slot: &mut Option<Conn>) -> Result<(u16, Vec<u8>, Duration), Error> {
    let request = Request { method: "GET", path, headers: &target.headers, body: &[] };
    let standing = slot.take().and_then(|mut c| c.is_idle().then_some(c));
    let mut conn = match standing {
        Some(conn) => conn,
        None => Conn::connect(&target.origin, PROBE_TIMEOUT).await?,
    };
    loop {
        let (used, start) = (conn.is_used(), Instant::now());
        match conn.send(&target.origin, request).await {
            // A connection that had stood may have been closed just now.
            Err(Error::NoAnswer) if used => conn = Conn::connect(&target.origin, PROBE_TIMEOUT).await?,
            Err(e) => return Err(e),
            Ok(mut response) => {
                let took = start.elapsed();
                let body = response.collect(PAGE_BYTES_MAX).await?;
                let status = response.head.status;
                *slot = response.into_conn();
                return Ok((status, body.to_vec(), took));
            }
        }
    }
}
