//! The file of the log, open for writing.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::lock::Lock;
use crate::error::StoreError;
use crate::rows::{Batch, RequestRow, ViewNote, ViewRow};

pub(crate) const FILE: &str = "rhumb.db";

/// Longest wait for another process that writes to the file. Then it is tried again.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Beyond this the write-ahead log is cut when it begins anew, bytes.
const WAL_BYTES: u32 = 64 << 20;

/// The log of a folder that no other gateway writes to.
pub(crate) struct Database {
    pub(crate) db: Connection,
    path: PathBuf,
    /// Tells the open file from another that stands in its place.
    file: Option<Identity>,
    _lock: Lock,
}

/// Device, inode, and when it was made where the file system knows: a new file may have the number of a deleted one.
pub(crate) type Identity = (u64, u64, Option<SystemTime>);

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let found = path.metadata().ok()?;
    Some((found.dev(), found.ino(), found.created().ok()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
}

impl Database {
    /// Opens or creates the log in a folder.
    ///
    /// # Errors
    /// The folder or the file cannot be used, or another gateway has them.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|why| StoreError::Folder { path: folder.into(), why })?;
        let lock = Lock::take(folder)?;
        let path = folder.join(FILE);
        let open = || -> rusqlite::Result<Connection> {
            let db = Connection::open(&path)?;
            db.busy_timeout(BUSY_TIMEOUT)?;
            prepare(&db)?;
            Ok(db)
        };
        let db = open().map_err(|why: rusqlite::Error| StoreError::Database { path: path.clone(), why: why.into() })?;
        Ok(Self { file: identity(&path), db, path, _lock: lock })
    }

    /// What tells the open file from others.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.file
    }

    /// The file that is written to is the one in the folder: it was not deleted or replaced.
    pub(crate) fn is_in_place(&self) -> bool {
        self.file == identity(&self.path)
    }

    /// Begins a run: closes the rows of requests that an earlier gateway did not see the end of. How many there were.
    ///
    /// # Errors
    /// They cannot be written; nothing has changed.
    pub(crate) fn begin_run(&mut self, run: u64) -> rusqlite::Result<usize> {
        let all = self.begin()?;
        let sql = "update requests set outcome = 'lost' where outcome = 'running' and id in (select id from running)";
        let lost = all.execute(sql, [])?;
        all.execute("delete from running", [])?;
        insert_note(&all, run, ViewNote { at_unix_ms: run, view: 0 })?;
        all.commit()?;
        Ok(lost)
    }

    /// Writes rows, all of them or none. The same rows may be written again.
    ///
    /// # Errors
    /// They cannot be written; nothing has changed.
    pub(crate) fn write(&mut self, run: u64, batch: &Batch, note: Option<ViewNote>) -> rusqlite::Result<()> {
        let all = self.begin()?;
        if let Some(note) = note {
            insert_note(&all, run, note)?;
        }
        for row in &batch.views {
            insert_view(&all, run, row)?;
        }
        for row in &batch.running {
            insert(&all, row)?;
            all.prepare_cached("insert or ignore into running values (?1)")?.execute([row.id as i64])?;
        }
        for row in &batch.ended {
            insert(&all, row)?;
            if row.was_running {
                all.prepare_cached("delete from running where id = ?1")?.execute([row.id as i64])?;
            }
        }
        all.commit()
    }

    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        // The right to write is taken at once, so that another process is waited for here and nowhere else.
        self.db.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Moves what the write-ahead log holds to where it belongs and empties it: on a full disk that is where room comes
    /// from.
    pub(crate) fn empty_wal(&self) -> rusqlite::Result<()> {
        empty_wal(&self.db)
    }
}

pub(crate) fn empty_wal(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
}

fn insert_note(db: &Connection, run: u64, note: ViewNote) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("insert or replace into view_times values (?1,?2,?3)")?;
    insert.execute((note.at_unix_ms as i64, run as i64, note.view as i64)).map(drop)
}

/// Columns of a request's row. A log that an earlier version began may have them in another order.
const COLUMNS: &str = "id, at_unix_ms, tenant, key, api, model, policy, outcome, status, attempts, site, endpoint, \
                       served_model, prompt_tokens, cached_tokens, completion_tokens, estimated, usd, ttft_ms, total_ms, \
                       record, config";

fn insert(db: &Connection, row: &RequestRow) -> rusqlite::Result<()> {
    let (e, [site, endpoint, model]) = (&row.end, &row.served);
    // The row may say so far that the request runs.
    let sql = format!(
        "insert or replace into requests ({COLUMNS}) values \
         (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)"
    );
    db.prepare_cached(&sql)?.execute(params![
        row.id as i64,
        row.at_unix_ms as i64,
        row.tenant,
        row.key,
        row.api,
        row.model,
        row.policy,
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
        row.record,
        row.config
    ])?;
    Ok(())
}

fn insert_view(db: &Connection, run: u64, row: &ViewRow) -> rusqlite::Result<()> {
    let (view, endpoint, model) = row.key;
    let mut insert = db.prepare_cached("insert or ignore into view_rows values (?1,?2,?3,?4,?5)")?;
    insert.execute(params![run as i64, view as i64, endpoint.0, model.0, row.row])?;
    Ok(())
}

/// The rows of requests, and those of the views that they were decided on.
const TABLES: &str = "
    create table if not exists requests (
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
    ) without rowid;";

/// The requests whose row says that they run, and since when decisions are made on which view.
pub(crate) const SMALL_TABLES: &str = "
    create table if not exists running (id integer primary key);
    create table if not exists view_times (
        at_unix_ms integer primary key,
        run integer not null,
        view integer not null
    );";

fn prepare(db: &Connection) -> rusqlite::Result<()> {
    // Pages of rows that were pruned can be given back to the file system. It has to be said before the first table.
    db.pragma_update(None, "auto_vacuum", "incremental")?;
    // With a write-ahead log a commit survives the death of the process; power loss may cost the last commits.
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    db.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    db.execute_batch(TABLES)?;
    db.execute_batch(SMALL_TABLES)?;
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
