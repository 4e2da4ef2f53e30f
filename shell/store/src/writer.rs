//! The thread that writes the log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use crate::entry::{Ended, Intent, Named, StoredRecord, StoredRow};
use crate::inbox::Inbox;
use crate::recent::Recent;

pub(crate) const FILE: &str = "rhumb.db";

/// First byte of a stored record: which layout follows.
const LAYOUT: u8 = 4;

/// The layout before, which is still read: its facts knew one length of a prompt.
const LAYOUT_BEFORE: u8 = 3;

/// Rows are committed together, at least this often.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// Rows remembered as stored, those of the newest views: forgetting one costs a write that the database ignores, and what
/// is remembered should not grow for half an hour.
const STORED_MAX: usize = 4_096;

/// What may go wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no log.
    #[error("there is no decision log at `{}`", .0.display())]
    Missing(PathBuf),
    /// The folder cannot be used.
    #[error("the data folder `{}` cannot be used: {why}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// SQLite refused.
    #[error("the decision log: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A record is of another version, or damaged.
    #[error("a record of the decision log cannot be read by this version")]
    Layout,
}

enum Message {
    Decided(Box<Intent>),
    Ended(Ended),
    Find(u64, Sender<Option<Intent>>),
    Stop,
}

/// A handle that the data plane writes through. It never waits.
#[derive(Clone)]
pub struct Log {
    inbox: Arc<Inbox<Message>>,
}

impl Log {
    /// Opens or creates the log in a data folder and starts its thread; join the handle after [`Log::stop`].
    ///
    /// # Errors
    /// The folder or the database cannot be used.
    pub fn open(data_dir: &Path) -> Result<(Self, JoinHandle<()>), StoreError> {
        std::fs::create_dir_all(data_dir).map_err(|why| StoreError::Folder { path: data_dir.into(), why })?;
        let db = Connection::open(data_dir.join(FILE))?;
        prepare(&db)?;
        let inbox = Arc::new(Inbox::new());
        let read = Arc::clone(&inbox);
        let run = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let (stored, pending) = (BTreeSet::new(), BTreeMap::new());
        let work = move || {
            let recent = Recent::default();
            Writer { db, run, stored, pending, recent, buffer: Vec::new() }.run(&read);
        };
        let thread = std::thread::Builder::new()
            .name("rhumb-log".into())
            .spawn(work)
            .map_err(|why| StoreError::Folder { path: data_dir.into(), why })?;
        Ok((Self { inbox }, thread))
    }

    /// Records a decision.
    pub fn decided(&self, intent: Box<Intent>) {
        self.inbox.push(Message::Decided(intent), false);
    }

    /// Records the end of a request.
    pub fn ended(&self, ended: Ended) {
        self.inbox.push(Message::Ended(ended), false);
    }

    /// The decision of that id, if it is recent. Blocks for the log's thread: not for the data plane.
    pub fn find(&self, id: u64) -> Option<Intent> {
        let (reply, answer) = channel();
        self.inbox.push(Message::Find(id, reply), true);
        answer.recv_timeout(Duration::from_secs(5)).ok().flatten()
    }

    /// Writes everything and ends the thread.
    pub fn stop(&self) {
        self.inbox.push(Message::Stop, true);
    }

    /// Messages not yet taken by the thread.
    pub fn backlog(&self) -> usize {
        self.inbox.len()
    }
}

fn prepare(db: &Connection) -> Result<(), StoreError> {
    // With a write-ahead log a commit survives the death of the process; power loss may cost the last commits.
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    db.execute_batch(
        "create table if not exists requests (
            id integer primary key,
            at_unix_ms integer not null,
            tenant text not null,
            key text not null,
            api text not null,
            model text not null,
            policy text not null,
            outcome text not null,
            status integer not null,
            attempts integer not null,
            site text not null,
            endpoint text not null,
            served_model text not null,
            prompt_tokens integer not null,
            cached_tokens integer not null,
            completion_tokens integer not null,
            estimated integer not null,
            usd real not null,
            ttft_ms real,
            total_ms real not null,
            record blob not null,
            config text not null default ''
        );
        create table if not exists view_rows (
            run integer not null,
            view integer not null,
            endpoint integer not null,
            model integer not null,
            row blob not null,
            primary key (run, view, endpoint, model)
        ) without rowid;",
    )?;
    // A log that an earlier version began does not have it yet.
    if !has_config(db)? {
        db.execute_batch("alter table requests add column config text not null default ''")?;
    }
    Ok(())
}

/// The log keeps versions of the configuration.
pub(crate) fn has_config(db: &Connection) -> rusqlite::Result<bool> {
    let sql = "select count(*) from pragma_table_info('requests') where name = 'config'";
    db.query_row(sql, [], |r| r.get(0))
}

struct Writer {
    db: Connection,
    /// This run of the gateway, by its start.
    run: u64,
    /// Rows of views that are in the database: view, endpoint, model.
    stored: BTreeSet<(u64, u32, u32)>,
    /// Decisions whose request has not ended.
    pending: BTreeMap<u64, Box<Intent>>,
    recent: Recent,
    /// Memory of the last record's encoding.
    buffer: Vec<u8>,
}

impl Writer {
    fn run(mut self, inbox: &Inbox<Message>) {
        let mut batch = Vec::new();
        // When the open transaction began.
        let mut open: Option<Instant> = None;
        loop {
            let idle = Duration::from_secs(3_600);
            inbox.take(&mut batch, open.map_or(idle, |at| COMMIT_EVERY.saturating_sub(at.elapsed())));
            for message in batch.drain(..) {
                match message {
                    Message::Decided(intent) => {
                        self.pending.insert(intent.id, intent);
                    }
                    Message::Ended(ended) => {
                        if open.is_none() && self.log("begin", |w| w.db.execute_batch("begin")) {
                            open = Some(Instant::now());
                        }
                        self.end(ended);
                    }
                    Message::Find(id, reply) => {
                        let _ = reply.send(self.find(id));
                    }
                    Message::Stop => {
                        self.commit(&mut open);
                        return;
                    }
                }
            }
            if open.is_some_and(|at| at.elapsed() >= COMMIT_EVERY) {
                self.commit(&mut open);
            }
        }
    }

    fn commit(&mut self, open: &mut Option<Instant>) {
        if open.take().is_some() {
            self.log("commit", |w| w.db.execute_batch("commit"));
        }
    }

    fn find(&self, id: u64) -> Option<Intent> {
        self.pending.get(&id).map(|i| &**i).or_else(|| self.recent.find(id)).cloned()
    }

    fn end(&mut self, ended: Ended) {
        // The end of a request that was refused before a decision, or ended twice, has nothing to be written to.
        let Some(intent) = self.pending.remove(&ended.id) else { return };
        self.log("insert", |w| w.insert(&intent, &ended));
        self.recent.push(intent);
    }

    fn insert(&mut self, i: &Intent, e: &Ended) -> rusqlite::Result<()> {
        self.rows(i)?;
        // The fields of a `StoredRecord` in their order, which postcard writes like the struct, without copying them.
        let stored = (self.run, i.view.version, &i.facts, i.choice, &i.kept, i.fingerprint);
        let blob = encode(&stored, std::mem::take(&mut self.buffer));
        let site = |endpoint: u32, model: u32| {
            let row = i.view.rows(model).iter().find(|r| r.endpoint == endpoint);
            row.map_or("", |r| i.names.site(r.site))
        };
        let (site, endpoint, model) = match e.served {
            Some((e, m)) => (site(e, m), i.names.endpoint(e), i.names.model(m)),
            None => ("", "", ""),
        };
        let mut insert = self.db.prepare_cached(
            "insert into requests values (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)",
        )?;
        insert.execute(params![
            i.id as i64,
            i.at_unix_ms as i64,
            i.tenant,
            i.key,
            i.api,
            i.model,
            i.policy,
            e.outcome.code(),
            e.status,
            e.attempts,
            site,
            endpoint,
            model,
            e.prompt_tokens as i64,
            e.cached_tokens as i64,
            e.completion_tokens as i64,
            e.estimated,
            e.usd,
            e.ttft_ms,
            e.total_ms,
            blob,
            i.names.config()
        ])?;
        drop(insert);
        self.buffer = blob;
        Ok(())
    }

    /// Stores the rows that a decision was made on, each once for all decisions of its view.
    fn rows(&mut self, i: &Intent) -> rusqlite::Result<()> {
        let view = i.view.version;
        for k in &i.kept {
            let key = (view, k.endpoint, k.model);
            if self.stored.contains(&key) {
                continue;
            }
            let Some(row) = i.view.rows(k.model).iter().find(|r| r.endpoint == k.endpoint) else { continue };
            let names = Named {
                endpoint: row.endpoint,
                endpoint_name: i.names.endpoint(row.endpoint).into(),
                site: row.site,
                site_name: i.names.site(row.site).into(),
                model: row.model,
                model_name: i.names.model(row.model).into(),
            };
            let blob = encode(&StoredRow { row: *row, names }, Vec::new());
            let mut insert = self.db.prepare_cached("insert or ignore into view_rows values (?1,?2,?3,?4,?5)")?;
            insert.execute(params![self.run as i64, view as i64, k.endpoint, k.model, blob])?;
            self.stored.insert(key);
            if self.stored.len() > STORED_MAX {
                self.stored.pop_first();
            }
        }
        Ok(())
    }

    fn log(&mut self, what: &str, act: impl FnOnce(&mut Self) -> rusqlite::Result<()>) -> bool {
        let done = act(self);
        if let Err(e) = &done {
            tracing::error!("decision log: {what} failed: {e}");
        }
        done.is_ok()
    }
}

fn encode(value: &impl serde::Serialize, mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.push(LAYOUT);
    // A vector takes whatever is written to it.
    postcard::to_extend(value, buffer).unwrap_or_default()
}

/// What a request's own record says, in the layout of this version or of the one before.
pub(crate) fn decode_record(blob: &[u8]) -> Result<StoredRecord, StoreError> {
    let record = match blob.split_first() {
        Some((&LAYOUT, body)) => postcard::from_bytes(body),
        Some((&LAYOUT_BEFORE, body)) => postcard::from_bytes(body).map(StoredRecord::from_before),
        _ => return Err(StoreError::Layout),
    };
    record.map_err(|_| StoreError::Layout)
}

/// What a row of a view says: both layouts write it alike.
pub(crate) fn decode_row(blob: &[u8]) -> Result<StoredRow, StoreError> {
    match blob.split_first() {
        Some((&(LAYOUT | LAYOUT_BEFORE), body)) => postcard::from_bytes(body).map_err(|_| StoreError::Layout),
        _ => Err(StoreError::Layout),
    }
}
