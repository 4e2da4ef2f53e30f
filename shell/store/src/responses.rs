//! Responses and conversations that are kept for clients to go on with, their files, and batches of requests.
//!
//! They stand in a file of their own beside the log, since they hold what people wrote, and the log does not. One thread has
//! the file; whoever asks it for something waits without blocking a thread. A commit survives the death of the process.

mod batches;
mod conversations;
mod files;
mod history;
mod rows;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rhumb_process::{Tasks, clock};
use rusqlite::Connection;
use tokio::sync::oneshot;

pub use self::batches::{Batch, Line};
pub use self::conversations::Conversation;
pub use self::files::StoredFile;
pub use self::history::{Forgotten, History};
pub use self::rows::KeptResponse;
use crate::error::StoreError;

const FILE: &str = "kept.db";

/// What may wait for the thread at once. Beyond it the store is said to be unavailable.
const JOBS_MAX: usize = 4_096;

/// How often what is too old is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Longest wait for another process that reads the file.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on what is kept.
#[derive(Clone)]
pub struct ResponseStore {
    jobs: SyncSender<Job>,
}

/// The store cannot answer now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("responses cannot be kept or read now: {0}")]
pub struct Unavailable(String);

impl ResponseStore {
    /// Opens or creates the file in a data folder that this process has to itself, and starts its thread. Responses that an
    /// earlier process did not finish have failed. What is older than `max_age` is left out for good.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(data_dir: &Path, max_age: Duration, tasks: &Tasks) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        let open = || -> rusqlite::Result<Connection> {
            let mut db = Connection::open(&path)?;
            db.busy_timeout(BUSY_TIMEOUT)?;
            rows::prepare(&db)?;
            conversations::prepare(&db)?;
            files::prepare(&db)?;
            batches::prepare(&db)?;
            rows::fail_unfinished(&db)?;
            prune(&mut db, max_age)?;
            Ok(db)
        };
        let mut db = open().map_err(|why| StoreError::Responses { path: path.clone(), why: why.into() })?;
        let (jobs, next) = sync_channel(JOBS_MAX);
        let tasks = tasks.clone();
        let run = move || tasks.keep_here("responses", || serve(&mut db, &next, max_age));
        std::thread::Builder::new().name("rhumb-responses".into()).spawn(run).map_err(StoreError::Thread)?;
        Ok(Self { jobs })
    }

    /// Has the thread do some work on the file.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, done) = oneshot::channel();
        let job: Job = Box::new(move |db| drop(reply.send(work(db))));
        self.jobs.try_send(job).map_err(|_| Unavailable("too much waits for the disk".into()))?;
        match done.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(why)) => Err(Unavailable(why.to_string())),
            Err(_) => Err(Unavailable("the store has stopped".into())),
        }
    }

    /// Keeps a response, in place of an earlier state of the same. Once it has ended, its conversation has its input and
    /// output.
    ///
    /// # Errors
    /// It cannot be written; nothing has changed.
    pub async fn keep(&self, response: KeptResponse) -> Result<(), Unavailable> {
        self.ask(move |db| rows::keep(db, &response)).await
    }

    /// A response of a tenant.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn find(&self, tenant: &str, id: &str) -> Result<Option<KeptResponse>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| rows::find(db, &tenant, &id)).await
    }

    /// The events of a response of a tenant, where they are kept.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn events(&self, tenant: &str, id: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| rows::events(db, &tenant, &id)).await
    }

    /// Forgets a response of a tenant; false where there is none. What goes on with it has lost what came before.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn forget(&self, tenant: &str, id: &str) -> Result<bool, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| rows::forget(db, &tenant, &id)).await
    }

    /// What was said up to the end of a response of a tenant, in at most so many bytes.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn up_to(
        &self,
        tenant: &str,
        id: &str,
        bytes_max: u64,
    ) -> Result<Result<History, Forgotten>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| history::up_to(db, &tenant, &id, bytes_max)).await
    }

    /// What was said in a conversation of a tenant, in at most so many bytes.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn said_in(
        &self,
        tenant: &str,
        id: &str,
        bytes_max: u64,
    ) -> Result<Result<History, Forgotten>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| history::said_in(db, &tenant, &id, bytes_max)).await
    }

    /// Begins a conversation with items, a JSON array.
    ///
    /// # Errors
    /// It cannot be written; nothing has changed.
    pub async fn begin_conversation(&self, conversation: Conversation, items: String) -> Result<(), Unavailable> {
        self.ask(move |db| conversations::begin(db, &conversation, &items)).await
    }

    /// Gives a conversation of a tenant other metadata, a JSON object; false where there is none.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn note_conversation(&self, tenant: &str, id: &str, metadata: String) -> Result<bool, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| conversations::note(db, &tenant, &id, &metadata)).await
    }

    /// Adds items, a JSON array, to a conversation of a tenant, which may have so many bytes.
    ///
    /// # Errors
    /// It cannot be written; nothing has changed.
    pub async fn add_items(
        &self,
        tenant: &str,
        id: &str,
        items: String,
        bytes_max: u64,
    ) -> Result<Result<(), Forgotten>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| conversations::add_items(db, &tenant, &id, &items, bytes_max)).await
    }

    /// The items of a conversation of a tenant, oldest first, in at most so many bytes.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn items(
        &self,
        tenant: &str,
        id: &str,
        bytes_max: u64,
    ) -> Result<Result<Vec<String>, Forgotten>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| conversations::items(db, &tenant, &id, bytes_max)).await
    }

    /// A conversation of a tenant, without its items.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn find_conversation(&self, tenant: &str, id: &str) -> Result<Option<Conversation>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| conversations::find(db, &tenant, &id)).await
    }

    /// Forgets a conversation of a tenant with its items; false where there is none. Its responses stay.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn forget_conversation(&self, tenant: &str, id: &str) -> Result<bool, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| conversations::forget(db, &tenant, &id)).await
    }

    /// Forgets one item of a conversation; false where there is none.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn forget_item(&self, conversation: &str, item: &str) -> Result<bool, Unavailable> {
        let (conversation, item) = (conversation.to_owned(), item.to_owned());
        self.ask(move |db| conversations::forget_item(db, &conversation, &item)).await
    }
}

/// Files.
impl ResponseStore {
    /// Keeps a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_file(&self, file: StoredFile, content: Vec<u8>) -> Result<(), Unavailable> {
        self.ask(move |db| files::keep(db, &file, &content)).await
    }

    /// A file of a tenant, without its content.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn find_file(&self, tenant: &str, id: &str) -> Result<Option<StoredFile>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| files::find(db, &tenant, &id)).await
    }

    /// All files of a tenant, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn files(&self, tenant: &str) -> Result<Vec<StoredFile>, Unavailable> {
        let tenant = tenant.to_owned();
        self.ask(move |db| files::all(db, &tenant)).await
    }

    /// The content of a file of a tenant.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn file_content(&self, tenant: &str, id: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| files::content(db, &tenant, &id)).await
    }

    /// Forgets a file of a tenant; false where there is none.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn forget_file(&self, tenant: &str, id: &str) -> Result<bool, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| files::forget(db, &tenant, &id)).await
    }
}

/// Batches.
impl ResponseStore {
    /// Keeps a batch in a state.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_batch(&self, batch: Batch) -> Result<(), Unavailable> {
        self.ask(move |db| batches::keep(db, &batch)).await
    }

    /// A batch of a tenant.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn find_batch(&self, tenant: &str, id: &str) -> Result<Option<Batch>, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| batches::find(db, &tenant, &id)).await
    }

    /// All batches of a tenant, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn batches(&self, tenant: &str) -> Result<Vec<Batch>, Unavailable> {
        let tenant = tenant.to_owned();
        self.ask(move |db| batches::all(db, &tenant)).await
    }

    /// The batches of all tenants that have not ended, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn unfinished_batches(&self) -> Result<Vec<Batch>, Unavailable> {
        self.ask(|db| batches::unfinished(db)).await
    }

    /// A batch begins, of so many lines. False: its tenant wants no more of it, or it has begun.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn begin_batch(&self, id: &str, lines: u64) -> Result<bool, Unavailable> {
        let id = id.to_owned();
        self.ask(move |db| batches::begin(db, &id, lines)).await
    }

    /// A tenant wants no more of a batch. False: there is none, or it is ending or has ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn cancel_batch(&self, tenant: &str, id: &str) -> Result<bool, Unavailable> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.ask(move |db| batches::cancel(db, &tenant, &id)).await
    }

    /// Keeps what came of a line of a batch, once.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn add_line(&self, batch: &str, line: Line) -> Result<(), Unavailable> {
        let batch = batch.to_owned();
        self.ask(move |db| batches::add(db, &batch, &line)).await
    }

    /// The places of the lines of a batch that something has come of.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn lines_done(&self, batch: &str) -> Result<Vec<u64>, Unavailable> {
        let batch = batch.to_owned();
        self.ask(move |db| batches::done(db, &batch)).await
    }

    /// The answers of a batch, or its errors, line by line.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn lines_text(&self, batch: &str, is_answer: bool) -> Result<String, Unavailable> {
        let batch = batch.to_owned();
        self.ask(move |db| batches::text(db, &batch, is_answer)).await
    }

    /// A batch has ended, and what its lines came to stands in these files.
    ///
    /// # Errors
    /// It cannot be written; nothing has changed.
    pub async fn end_batch(&self, batch: Batch, files: Vec<(StoredFile, String)>) -> Result<(), Unavailable> {
        self.ask(move |db| batches::end(db, &batch, &files)).await
    }
}

/// Does what it is asked for until nobody can ask any more.
fn serve(db: &mut Connection, next: &Receiver<Job>, max_age: Duration) {
    let mut pruned_at = clock::now();
    loop {
        match next.recv_timeout(PRUNE_EVERY) {
            Ok(job) => job(db),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if clock::since(pruned_at) >= PRUNE_EVERY {
            pruned_at = clock::now();
            if let Err(why) = prune(db, max_age) {
                tracing::warn!("responses that are too old cannot be left out: {why}");
            }
        }
    }
}

fn prune(db: &mut Connection, max_age: Duration) -> rusqlite::Result<()> {
    let before_s = (clock::unix_ms() / 1_000).saturating_sub(max_age.as_secs());
    let all = db.transaction()?;
    rows::forget_before(&all, before_s)?;
    conversations::forget_before(&all, before_s)?;
    files::forget_before(&all, before_s)?;
    batches::forget_before(&all, before_s)?;
    all.commit()
}

#[cfg(test)]
mod tests;
