//! What a gateway keeps through every change of its configuration.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rhumb_flow::budget::RetryBudget;
use rhumb_flow::quarantine::Quarantine;
use rhumb_kept::Kept;
use rhumb_process::{Tasks, clock};
use rhumb_route::pins::Pins;
use rhumb_route::prefix::PrefixIndex;
use rhumb_sessions::Sessions;
use rhumb_store::Log;
use rhumb_upstream::Names;

use crate::admission_queue::AdmissionQueue;
use crate::drain::Drains;
use crate::ids::Ids;
use crate::numbers::{EndpointNumber, Known, ModelNumber, SiteNumber};
use crate::resource_limits::ResourceLimits;
use crate::salt::Secret;

/// Tenant, model and site: what a retry budget is for.
pub(crate) type Budgeted = (u32, ModelNumber, SiteNumber);

/// One gateway, whatever its configuration.
pub(crate) struct GatewayState {
    pub(crate) ids: Ids,
    pub(crate) log: Log,
    /// What is kept for clients, if anything is.
    pub(crate) kept: Option<Arc<Kept>>,
    pub(crate) tasks: Tasks,
    pub(crate) turn: AtomicU64,
    pub(crate) known: Mutex<Known>,
    pub(crate) queue: Mutex<AdmissionQueue>,
    pub(crate) limits: ResourceLimits,
    /// Where the names of endpoints are looked up.
    pub(crate) names: Names,
    /// What the salts of the engines' caches are made from.
    pub(crate) secret: Secret,
    pub(crate) quarantine: Mutex<Quarantine>,
    pub(crate) drains: Mutex<Drains>,
    /// Held while drains are written; requests never wait for it.
    pub(crate) draining: Mutex<()>,
    pub(crate) budgets: Mutex<BTreeMap<Budgeted, RetryBudget>>,
    /// Session to the numbers of endpoint and model.
    pub(crate) pins: Vec<Mutex<Pins<EndpointNumber, ModelNumber>>>,
    /// What the sessions of agents have come to.
    pub(crate) sessions: Sessions,
    /// Blocks to the numbers of endpoints.
    pub(crate) prefixes: Mutex<PrefixIndex>,
    views: AtomicU64,
    start: Instant,
}

/// Pins kept, and the shards they are kept in.
const PINS: usize = 1 << 18;
const PIN_SHARDS: usize = 16;

impl GatewayState {
    pub(crate) fn new(
        (log, kept): (Log, Option<Arc<Kept>>),
        tasks: Tasks,
        drains: Drains,
        limits: ResourceLimits,
        names: Names,
        secret: Secret,
    ) -> Self {
        Self {
            ids: Ids::new(),
            log,
            kept,
            tasks,
            turn: AtomicU64::new(0),
            known: Mutex::default(),
            queue: Mutex::new(AdmissionQueue::new()),
            limits,
            names,
            secret,
            quarantine: Mutex::default(),
            drains: Mutex::new(drains),
            draining: Mutex::new(()),
            budgets: Mutex::default(),
            pins: (0..PIN_SHARDS).map(|_| Mutex::new(Pins::new(PINS / PIN_SHARDS))).collect(),
            sessions: Sessions::default(),
            prefixes: Mutex::new(PrefixIndex::new(0)),
            views: AtomicU64::new(0),
            start: clock::now(),
        }
    }

    /// Milliseconds since this gateway started: the clock of every age.
    pub(crate) fn now_ms(&self) -> u64 {
        clock::since(self.start).as_millis() as u64
    }

    /// Microseconds since this gateway started, at a moment after that.
    pub(crate) fn us_at(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_micros() as u64
    }

    /// The version of the next view: no two views of a gateway share one.
    pub(crate) fn next_view(&self) -> u64 {
        self.views.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The pins that hold a session's.
    pub(crate) fn pins_of(&self, session: u64) -> &Mutex<Pins<EndpointNumber, ModelNumber>> {
        &self.pins[session as usize % PIN_SHARDS]
    }
}
