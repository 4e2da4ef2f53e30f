//! Responses and conversations that clients can come back to: what comes before a request is recalled, what it comes to is kept,
//! and what is kept is shown, followed, called off and deleted. Files, and batches of requests that are worked on. Nothing here
//! knows where a response is made.

mod batches;
mod files;
mod following;
mod keep;
mod keeping;
mod making;
mod paths;
mod run;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rhumb_api::ApiError;
use rhumb_process::Tasks;
use rhumb_responses::kept::{Wanted, wanted};
use rhumb_store::StoreError;
use rhumb_store::responses::{Forgotten, History, ResponseStore, Unavailable};
use tokio::sync::Notify;

pub use self::following::Following;
pub use self::keep::Keep;
pub use self::keeping::Keeping;
pub use self::making::Making;
pub use self::paths::{Found, Question, are_at, nothing};
pub use self::run::Run;
pub use self::work::{Answered, Asked};

/// What is kept, and what is being made in the background.
pub struct Kept {
    store: ResponseStore,
    /// By identifier.
    runs: Mutex<BTreeMap<String, Arc<Run>>>,
    /// Batches that their clients want no more of, while they are worked on.
    cancelled: Mutex<BTreeSet<String>>,
    /// There may be a batch to work on.
    batches: Notify,
}

/// Responses that may be made in the background at once.
const RUNS_MAX: usize = 1_024;

/// The store failed. Its operator hears why, its client only that it did.
fn unavailable(why: &Unavailable) -> ApiError {
    tracing::error!("{why}");
    ApiError::store_unavailable()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request for a response, with what was kept for it.
pub struct Recalled {
    /// The identifier of its response.
    pub id: String,
    /// What it wants.
    pub wanted: Wanted,
    /// What was said before.
    pub history: History,
}

impl Recalled {
    /// What all requests of one conversation have in common, from its second on: of most responses there is no second.
    pub fn session(&self) -> Option<&str> {
        Some(self.history.root.as_str()).filter(|root| !root.is_empty())
    }

    /// The bytes that it takes beside the body.
    pub fn bytes(&self) -> usize {
        self.wanted.input.len() + self.history.items.iter().map(String::len).sum::<usize>()
    }
}

impl Kept {
    /// Opens what is kept in a data folder that this process has to itself, for so many days.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(data_dir: &Path, days: u32, tasks: &Tasks) -> Result<Self, StoreError> {
        let age = Duration::from_secs(u64::from(days) * 24 * 3_600);
        let store = ResponseStore::open(data_dir, age, tasks)?;
        Ok(Self { store, runs: Mutex::default(), cancelled: Mutex::default(), batches: Notify::new() })
    }

    /// Looks up what a request of a tenant goes on with, in at most so many bytes. Its response gets this number.
    ///
    /// # Errors
    /// The body cannot be read, or it goes on with what is not kept for this tenant.
    pub async fn recall(
        &self,
        tenant: &str,
        body: &[u8],
        number: &str,
        bytes_max: u64,
    ) -> Result<Box<Recalled>, ApiError> {
        let wanted = wanted(body, number)?;
        let (found, field) = match (&wanted.previous, &wanted.conversation) {
            (Some(id), _) => (self.store.up_to(tenant, id, bytes_max).await, "previous_response_id"),
            (None, Some(id)) => (self.store.said_in(tenant, id, bytes_max).await, "conversation"),
            (None, None) => (Ok(Ok(History::default())), ""),
        };
        let history = found.map_err(|why| unavailable(&why))?.map_err(|why| match why {
            Forgotten::Unknown => ApiError::previous_not_found(field),
            Forgotten::Unfinished(status) => ApiError::previous_unfinished(&status),
            Forgotten::TooLong => ApiError::too_large(bytes_max).with_param(field),
        })?;
        Ok(Box::new(Recalled { id: format!("resp_{number}"), wanted, history }))
    }

    /// How the response to a request of a tenant, made at this time (seconds since 1970), is kept; `None` where its client does
    /// not want that.
    pub fn keep(&self, tenant: &Arc<str>, created_s: u64, recalled: &Recalled) -> Option<Keep> {
        recalled.wanted.store.then(|| Keep::new(&self.store, tenant, created_s, recalled))
    }

    /// There is room for one more response that is made in the background.
    ///
    /// # Errors
    /// There is none.
    pub fn room(&self) -> Result<(), ApiError> {
        if lock(&self.runs).len() < RUNS_MAX {
            return Ok(());
        }
        Err(ApiError::overloaded("Too many responses are being made in the background.", 1_000))
    }

    /// A response is made in the background from now on, which begins as `queued`, JSON: whoever asks for it finds it.
    ///
    /// # Errors
    /// It cannot be kept, so that nobody could find it.
    pub async fn accept(&self, run: &Arc<Run>, keep: &Keep, queued: String) -> Result<(), ApiError> {
        keep.put(&queued, None).await.map_err(|why| unavailable(&why))?;
        lock(&self.runs).insert(keep.id().to_owned(), Arc::clone(run));
        run.accept(queued);
        Ok(())
    }

    /// A response that was made in the background has ended and is kept.
    pub fn made(&self, id: &str) {
        lock(&self.runs).remove(id);
    }

    fn run(&self, id: &str) -> Option<Arc<Run>> {
        lock(&self.runs).get(id).cloned()
    }
}
