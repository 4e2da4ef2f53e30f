//! Leaving out the oldest rows, in steps that are short enough for others to write in between.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::database::{FILE, SMALL_TABLES, empty_wal};
use crate::error::StoreError;
use crate::store::{Pruned, Retention};

/// Rows in one step.
const STEP: u32 = 500;

/// Pages given back to the file system in one step.
const STEP_PAGES: u32 = 500;

/// Longest wait of `rhumb log prune` for the gateway that writes to the same file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Size of the file: of all of it, and of what is not used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) free: u64,
}

impl Size {
    pub(crate) fn of(db: &Connection) -> rusqlite::Result<Self> {
        let pragma = |name: &str| db.pragma_query_value(None, name, |r| r.get::<_, i64>(0)).map(|n| n as u64);
        let page = pragma("page_size")?;
        Ok(Self { bytes: pragma("page_count")? * page, free: pragma("freelist_count")? * page })
    }
}

/// Leaves out some of the oldest rows, if there are any too many. Nothing is left out: all is as it should be.
pub(crate) fn step(db: &Connection, now_ms: u64, keep: &Retention) -> rusqlite::Result<Pruned> {
    let size = Size::of(db)?;
    let is_too_large = keep.bytes.is_some_and(|most| size.bytes - size.free > most);
    let requests = if is_too_large {
        let sql = "delete from requests where id in
                   (select id from requests where outcome <> 'running' order by id limit ?1)";
        db.execute(sql, [STEP])?
    } else if let Some(age) = keep.age {
        // Ids grow with time, so the oldest rows come first.
        let sql = "delete from requests where id in
                   (select id from (select id, at_unix_ms, outcome from requests order by id limit ?1)
                    where at_unix_ms < ?2 and outcome <> 'running')";
        db.execute(sql, (STEP, now_ms.saturating_sub(age.as_millis() as u64) as i64))?
    } else {
        0
    };
    let view_rows = unused_views(db, now_ms)?;
    if requests == 0 && keep.bytes.is_some_and(|most| size.bytes > most) && size.free > 0 {
        give_back(db, STEP_PAGES)?;
    }
    Ok(Pruned { requests: requests as u64, view_rows })
}

/// Leaves out rows of views older than the oldest request. That was decided on no view that had been replaced before it
/// came.
fn unused_views(db: &Connection, now_ms: u64) -> rusqlite::Result<u64> {
    let oldest: Option<i64> =
        db.query_row("select at_unix_ms from requests order by id limit 1", [], |r| r.get(0)).optional()?;
    let since = oldest.unwrap_or(now_ms as i64);
    let sql = "select at_unix_ms, run, view from view_times where at_unix_ms <= ?1 order by at_unix_ms desc limit 1";
    let first: Option<(i64, i64, i64)> =
        db.query_row(sql, [since], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional()?;
    let Some((at, run, view)) = first else { return Ok(0) };
    let sql = "delete from view_rows where (run, view, endpoint, model) in
               (select run, view, endpoint, model from view_rows where (run, view) < (?1, ?2) limit ?3)";
    let gone = db.execute(sql, (run, view, STEP))?;
    if gone == 0 {
        db.execute("delete from view_times where at_unix_ms < ?1", [at])?;
    }
    Ok(gone as u64)
}

/// Cuts pages that hold nothing off the file. In a file that an earlier version began there is nothing to cut: its pages
/// are used again.
fn give_back(db: &Connection, pages: u32) -> rusqlite::Result<()> {
    // Each page is a step of the statement.
    let mut statement = db.prepare(&format!("pragma incremental_vacuum({pages})"))?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// Opens the log in a folder beside a gateway that may be writing it.
fn open(data_dir: &Path) -> Result<Connection, StoreError> {
    let path = data_dir.join(FILE);
    if !path.exists() {
        return Err(StoreError::Missing(path));
    }
    let open = || {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(PATIENCE)?;
        Ok(db)
    };
    open().map_err(|why: rusqlite::Error| StoreError::Database { path: path.clone(), why: why.into() })
}

/// Leaves out every row older than this, and gives the room back to the file system. Bytes of the file afterwards are those
/// of the second number; before, of the first.
///
/// # Errors
/// There is no log, or it cannot be written.
pub fn prune(data_dir: &Path, age: Duration, now_ms: u64) -> Result<(Pruned, [u64; 2]), StoreError> {
    let db = open(data_dir)?;
    // A log that an earlier version wrote may be pruned before a gateway has gone on with it.
    db.execute_batch(SMALL_TABLES)?;
    let before = Size::of(&db)?.bytes;
    let keep = Retention { age: Some(age), bytes: None };
    let mut all = Pruned::default();
    loop {
        let some = step(&db, now_ms, &keep)?;
        if some == Pruned::default() {
            break;
        }
        all.requests += some.requests;
        all.view_rows += some.view_rows;
    }
    let mut free = Size::of(&db)?.free;
    while free > 0 {
        give_back(&db, STEP_PAGES)?;
        if Size::of(&db)?.free >= free {
            break;
        }
        free = Size::of(&db)?.free;
    }
    // Whoever reads the log keeps it from being emptied; that is no failure.
    let _ = empty_wal(&db);
    Ok((all, [before, Size::of(&db)?.bytes]))
}

/// Rows that [`prune`] would leave out.
///
/// # Errors
/// There is no log, or it cannot be read.
pub fn prunable(data_dir: &Path, age: Duration, now_ms: u64) -> Result<u64, StoreError> {
    let db = open(data_dir)?;
    let before = now_ms.saturating_sub(age.as_millis() as u64) as i64;
    let sql = "select count(*) from requests where at_unix_ms < ?1 and outcome <> 'running'";
    Ok(db.query_row(sql, [before], |r| r.get::<_, i64>(0))? as u64)
}
