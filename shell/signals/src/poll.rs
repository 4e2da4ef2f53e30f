//! The loops that ask endpoints.

use std::sync::Arc;
use std::time::Duration;

use rhumb_grid::config::EngineKind;
use rhumb_process::{Tasks, clock};
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
pub struct ProbeConfig {
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

/// Watches an endpoint on the current runtime until what it returns is dropped. A loop that panics is started again.
pub fn watch(target: Target, probe_config: &ProbeConfig, sink: &Arc<impl Sink>, tasks: &Tasks) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    let target = Arc::new(target);
    let (of, how, to) = (Arc::clone(&target), probe_config.clone(), Arc::clone(sink));
    keep(&mut loops, tasks, "probe", move || probe_loop(Arc::clone(&of), how.clone(), Arc::clone(&to)));
    if target.engine != EngineKind::Generic {
        let (of, every, to) = (Arc::clone(&target), probe_config.scrape_every, Arc::clone(sink));
        keep(&mut loops, tasks, "scrape", move || scrape_loop(Arc::clone(&of), every, Arc::clone(&to)));
    }
    if !probe_config.questions.is_empty() {
        let (questions, every, to) = (probe_config.questions.clone(), probe_config.canary_every, Arc::clone(sink));
        let begin = move || canary_loop(Arc::clone(&target), questions.clone(), every, Arc::clone(&to));
        keep(&mut loops, tasks, "canary", begin);
    }
    loops
}

fn keep<F>(loops: &mut JoinSet<()>, tasks: &Tasks, kind: &'static str, begin: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = tasks.clone();
    loops.spawn(async move { tasks.keep(kind, begin).await });
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

async fn probe_loop(target: Arc<Target>, probe_config: ProbeConfig, sink: Arc<impl Sink>) {
    let mut ticks = ticker(probe_config.probe_every);
    let (mut conn, mut list_at) = (None, clock::now());
    let path = if target.engine == EngineKind::Generic { MODELS } else { "/health" };
    loop {
        ticks.tick().await;
        // The round trip is taken on a connection that stands, without handshakes: as requests meet it.
        let warm = conn.is_some();
        match tokio::time::timeout(PROBE_TIMEOUT, get(&target, path, &mut conn)).await {
            Ok(Ok((status, body, took))) if status < 500 => {
                if list_at <= clock::now()
                    && let Some((status, body)) = list(&target, (path, status, body), &mut conn).await
                {
                    sink.models(compare(status, &body, &probe_config.served));
                    list_at = clock::now() + probe_config.list_every;
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
        let (used, start) = (conn.is_used(), clock::now());
        match conn.send(&target.origin, request).await {
            // A connection that had stood may have been closed just now.
            Err(Error::NoAnswer) if used => conn = Conn::connect(&target.origin, PROBE_TIMEOUT).await?,
            Err(e) => return Err(e),
            Ok(mut response) => {
                let took = clock::since(start);
                let body = response.collect(PAGE_BYTES_MAX).await?;
                let status = response.head.status;
                *slot = response.into_conn();
                return Ok((status, body.to_vec(), took));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Panics at the first of its failures.
    #[derive(Default)]
    struct Fragile(AtomicUsize);

    impl Sink for Fragile {
        fn load(&self, _: Reading) {}
        fn load_failed(&self, _: &str) {}
        fn round_trip(&self, _: f64) {}
        fn probe_failed(&self) {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first");
        }
        fn models(&self, _: Listed) {}
        fn canary(&self, _: &str, _: Answered) {}
    }

    #[test]
    fn h1_a_probe_that_panics_goes_on() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sink, tasks) = (Arc::new(Fragile::default()), Tasks::with_pause(Duration::from_millis(1)));
        // Port 0 of the own machine refuses connections.
        let origin = Origin::parse("http://127.0.0.1:0").unwrap();
        let target = Target { origin, engine: EngineKind::Generic, headers: String::new() };
        let every = Duration::from_millis(1);
        let probe_config = ProbeConfig {
            scrape_every: every,
            probe_every: every,
            list_every: every,
            served: Vec::new(),
            canary_every: every,
            questions: Vec::new(),
        };
        runtime.block_on(async {
            let _loops = watch(target, &probe_config, &sink, &tasks);
            while sink.0.load(Ordering::SeqCst) < 3 {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(tasks.restarts(), [("probe", 1)]);
    }
}
