//! What is known of an endpoint right now: counters that requests move, and readings that others bring.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rhumb_core::endpoint::EndpointTracker;
use rhumb_route::row::LocalLoad;

use crate::pool::PoolKey;
use crate::troubles::Troubles;

/// One endpoint, under every configuration that has it.
pub(crate) struct Live {
    /// Where connections to it are kept.
    pub(crate) pool_key: PoolKey,
    in_flight: AtomicU32,
    /// The bits of a number of tokens, which is no whole one where it is expected.
    backlog_tokens: AtomicU64,
    /// When content last came from it, by the gateway's clock.
    heard_ms: AtomicU64,
    /// It is being loaded slowly after an absence.
    pub(crate) is_slow_starting: AtomicBool,
    /// Apart from the counters: a decision over thousands of endpoints reads those of all and nothing else.
    pub(crate) learnt: Box<Mutex<Learnt>>,
}

/// What readings and requests taught.
#[derive(Default)]
pub(crate) struct Learnt {
    pub(crate) tracker: EndpointTracker,
    /// What failed there lately, by cause.
    pub(crate) troubles: Troubles,
    /// Why the load could not be read, last time.
    pub(crate) load_error: Option<String>,
    /// Models that it should serve and does not list.
    pub(crate) models_missing: Vec<String>,
    /// Why it could not be asked for its models.
    pub(crate) probe_error: Option<String>,
}

impl Live {
    pub(crate) fn new(pool_key: PoolKey) -> Self {
        Self {
            pool_key,
            in_flight: AtomicU32::new(0),
            backlog_tokens: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            is_slow_starting: AtomicBool::new(false),
            learnt: Box::default(),
        }
    }

    pub(crate) fn local_load(&self) -> LocalLoad {
        LocalLoad {
            in_flight: f64::from(self.in_flight.load(Ordering::Relaxed)),
            backlog_tokens: f64::from_bits(self.backlog_tokens.load(Ordering::Relaxed)),
        }
    }

    /// Content has come from it.
    pub(crate) fn heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When content last came from it.
    pub(crate) fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// A request is on its way there.
    pub(crate) fn depart(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// So many prompt tokens more are to be computed there, or fewer.
    pub(crate) fn backlog_add(&self, prompt_tokens: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + prompt_tokens).max(0.0).to_bits());
        // The closure always has a value.
        let _ = self.backlog_tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }

    /// It is over.
    pub(crate) fn depart_end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
