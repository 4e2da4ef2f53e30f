//! All users of a world, on a thread of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rhumb_grid::config::Location;
use rhumb_grid::geo::{distance_km, estimated_rtt_ms};
use rhumb_process::clock;
use tokio::task::JoinSet;

use crate::client::{Client, Outcome};
use crate::world::World;
use rhumb_scene::atlas::Atlas;
use rhumb_scene::economics::perf;
use rhumb_scene::traffic::{Arrival, nearest};

/// One request as its user saw it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// When it was sent, since the start.
    pub(crate) at_ms: f64,
    /// `None` when it failed.
    pub(crate) answer: Option<Answered>,
}

/// A request that was answered. The shares of its time to first token add up to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answered {
    /// Index of the site that served it.
    pub(crate) site: usize,
    pub(crate) ttft_ms: f64,
    /// Both legs: the user's estimated one, the gateway's measured one.
    pub(crate) network_ms: f64,
    /// What an idle engine of that kind takes for the prompt.
    pub(crate) prefill_ms: f64,
    pub(crate) tokens: u32,
}

impl Answered {
    /// Everything else: waiting for the engine, and for what else it computes.
    pub(crate) fn queue_ms(&self) -> f64 {
        (self.ttft_ms - self.network_ms - self.prefill_ms).max(0.0)
    }
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<Vec<Sample>>);

impl Samples {
    fn push(&self, sample: Sample) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }

    /// Takes what has come since the last time.
    pub(crate) fn take(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What turns an outcome into a sample.
#[derive(Debug)]
struct Ground {
    entries: Vec<(Location, Client)>,
    /// By entry and site, milliseconds.
    rtt_ms: Vec<Vec<f64>>,
    site_names: Vec<String>,
    perf: Vec<rhumb_engine::Perf>,
    samples: Arc<Samples>,
}

/// Users at work.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) samples: Arc<Samples>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Sends every arrival of `traffic` at its time after `start`.
    pub(crate) fn start(
        world: &World,
        atlas: &Atlas,
        traffic: impl Iterator<Item = Arrival> + Send + 'static,
        start: Instant,
    ) -> std::io::Result<Self> {
        let samples = Arc::new(Samples::default());
        let region = |site: usize| atlas.sites[site].region.as_str();
        let ground = Arc::new(Ground {
            entries: world.entries.iter().map(|e| (e.location, Client::new(e.address))).collect(),
            rtt_ms: world
                .entries
                .iter()
                .map(|e| (0..atlas.sites.len()).map(|s| atlas.rtt_ms(region(e.site), region(s))).collect())
                .collect(),
            site_names: atlas.sites.iter().map(|s| s.name.clone()).collect(),
            perf: atlas.sites.iter().map(perf).collect(),
            samples: Arc::clone(&samples),
        });
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = format!("demo-users-{}", world.kind.name());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || runtime.block_on(send_all(ground, traffic, start, until)))?;
        Ok(Self { samples, stop, thread: Some(thread) })
    }

    /// All traffic has been sent and answered.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Sends nothing more and gives up what is under way.
    pub(crate) fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// How often a waiting sender looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

async fn send_all(ground: Arc<Ground>, traffic: impl Iterator<Item = Arrival>, start: Instant, stop: Arc<AtomicBool>) {
    let mut under_way = JoinSet::new();
    for arrival in traffic {
        let at = start + Duration::from_secs_f64(arrival.at_ms / 1e3);
        while clock::now() < at {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep_until(at.min(clock::now() + LOOK).into()).await;
        }
        while under_way.try_join_next().is_some() {}
        under_way.spawn(send(Arc::clone(&ground), arrival));
    }
    while !under_way.is_empty() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Running out of patience here only means to look at the flag again.
        let _ = tokio::time::timeout(LOOK, under_way.join_next()).await;
    }
}

async fn send(ground: Arc<Ground>, arrival: Arrival) {
    let places: Vec<Location> = ground.entries.iter().map(|e| e.0).collect();
    let entry = nearest(&places, arrival.user);
    let (location, client) = &ground.entries[entry];
    let outcome = client.ask(&arrival).await;
    let client_ms = estimated_rtt_ms(distance_km(*location, arrival.user));
    let answer = match outcome {
        Outcome::Failed => None,
        Outcome::Answered { first_word_ms, site } => {
            ground.site_names.iter().position(|s| *s == site).map(|site| Answered {
                site,
                ttft_ms: client_ms + first_word_ms,
                network_ms: client_ms + ground.rtt_ms[entry][site],
                prefill_ms: ground.perf[site].prefill_ms(arrival.input_tokens, 0),
                tokens: arrival.input_tokens + arrival.output_tokens,
            })
        }
    };
    ground.samples.push(Sample { at_ms: arrival.at_ms, answer });
}
