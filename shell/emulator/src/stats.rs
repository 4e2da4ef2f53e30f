//! What an engine reports about itself.

use crate::EmulatorConfig;
use crate::metrics::Histogram;
use rhumb_engine::{Counters, Engine};
use rhumb_process::clock;
use serde::Serialize;
use tokio::time::Instant;

/// Upper bounds of vLLM's time-to-first-token histogram, seconds.
const TTFT_BUCKETS_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
];
/// Upper bounds of vLLM's inter-token histogram, seconds.
const INTER_TOKEN_BUCKETS_S: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0];

/// A reading of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Stats {
    /// Sequences in the batch.
    pub running: u64,
    /// Requests in the queue.
    pub waiting: u64,
    /// Share of KV memory in use, 0 to 1.
    pub kv_use: f64,
    /// Power now, watts.
    pub watts: f64,
    /// Energy since the start, joules of the modelled engine (a speedup packs more of its time into ours).
    pub joules: f64,
    /// Prompt tokens of requests that got their first token.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Prompt tokens looked up in the prefix cache.
    pub prefix_query_tokens: u64,
    /// Of those, found.
    pub prefix_hit_tokens: u64,
    /// Sequences preempted for want of memory.
    pub preemptions: u64,
    /// Requests accepted.
    pub accepted: u64,
    /// Requests answered with an error, the client's or an injected one.
    pub refused: u64,
    /// Requests whose client left before the engine was done.
    pub cancelled: u64,
    /// Requests the engine ran to their end.
    pub finished: u64,
}

/// The latest state of the engine, written by the driver and read by everyone.
#[derive(Debug)]
pub(crate) struct Board {
    running: u64,
    waiting: u64,
    kv_use: f64,
    counters: Counters,
    watts: f64,
    joules: f64,
    as_of: Instant,
    speedup: f64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) cancelled: u64,
    pub(crate) ttft: Histogram,
    pub(crate) inter_token: Histogram,
}

impl Board {
    pub(crate) fn new(config: &EmulatorConfig) -> Self {
        Self {
            running: 0,
            waiting: 0,
            kv_use: 0.0,
            counters: Counters::default(),
            watts: config.perf.idle_watts(),
            joules: 0.0,
            as_of: clock::timer_now(),
            speedup: config.speedup,
            accepted: 0,
            refused: 0,
            cancelled: 0,
            ttft: Histogram::new(TTFT_BUCKETS_S),
            inter_token: Histogram::new(INTER_TOKEN_BUCKETS_S),
        }
    }

    pub(crate) fn update(&mut self, now: Instant, watts: f64, engine: &Engine) {
        self.joules = self.joules_at(now);
        self.as_of = now;
        self.watts = watts;
        self.running = engine.running() as u64;
        self.waiting = engine.waiting() as u64;
        self.kv_use = engine.kv_use();
        self.counters = engine.counters();
    }

    fn joules_at(&self, now: Instant) -> f64 {
        self.joules + self.watts * now.saturating_duration_since(self.as_of).as_secs_f64() * self.speedup
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            running: self.running,
            waiting: self.waiting,
            kv_use: self.kv_use,
            watts: self.watts,
            joules: self.joules_at(clock::timer_now()),
            prompt_tokens: self.counters.prompt_tokens,
            generation_tokens: self.counters.generation_tokens,
            prefix_query_tokens: self.counters.prefix_query_tokens,
            prefix_hit_tokens: self.counters.prefix_hit_tokens,
            preemptions: self.counters.preemptions,
            accepted: self.accepted,
            refused: self.refused,
            cancelled: self.cancelled,
            finished: self.counters.finished,
        }
    }
}
