//! The tables of batches and of their lines that have an answer.

use rusqlite::{Connection, OptionalExtension as _, Row};

/// A batch of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Its identifier.
    pub id: String,
    /// Whose it is: nobody else finds it.
    pub tenant: String,
    /// Name of the key that it was asked for with.
    pub key: String,
    /// When it was asked for, seconds since 1970.
    pub created_s: u64,
    /// `validating`, `in_progress`, `finalizing`, `cancelling`, or how it ended.
    pub status: String,
    /// The file of its requests.
    pub input_file: String,
    /// The path that all of them ask.
    pub endpoint: String,
    /// What its client notes of it: a JSON object.
    pub metadata: String,
    /// When it got each of its states, seconds since 1970: a JSON object.
    pub times: String,
    /// The file of its answers, once it has ended.
    pub output_file: Option<String>,
    /// The file of the lines that have none, once it has ended.
    pub error_file: Option<String>,
    /// Lines: all, those with an answer, and those with an error.
    pub counts: (u64, u64, u64),
    /// Why it could not be begun: a JSON array.
    pub errors: String,
}

impl Batch {
    /// Nothing more of it will come.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled" | "expired")
    }
}

/// What came of one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Its place in the file of requests, from 0.
    pub n: u64,
    /// It has an answer.
    pub is_answer: bool,
    /// The line of the file of answers, or of errors: a JSON object.
    pub text: String,
}

const TABLES: &str = "
    create table if not exists batches (
        id text primary key,
        tenant text not null,
        key text not null,
        created_s integer not null,
        status text not null,
        input_file text not null,
        endpoint text not null,
        metadata text not null,
        times text not null,
        output_file text,
        error_file text,
        total integer not null,
        completed integer not null,
        failed integer not null,
        errors text not null
    );
    create table if not exists lines (
        batch text not null,
        n integer not null,
        is_answer integer not null,
        text text not null,
        primary key (batch, n)
    ) without rowid;";

pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(TABLES)
}

pub(super) fn keep(db: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let sql = "insert or replace into batches values (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)";
    let (b, (total, completed, failed)) = (batch, batch.counts);
    db.prepare_cached(sql)?
        .execute(rusqlite::params![
            b.id,
            b.tenant,
            b.key,
            b.created_s as i64,
            b.status,
            b.input_file,
            b.endpoint,
            b.metadata,
            b.times,
            b.output_file,
            b.error_file,
            total as i64,
            completed as i64,
            failed as i64,
            b.errors,
        ])
        .map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Batch> {
    let count = |n: usize| row.get::<_, i64>(n).map(|n| n.max(0) as u64);
    Ok(Batch {
        id: row.get(0)?,
        tenant: row.get(1)?,
        key: row.get(2)?,
        created_s: count(3)?,
        status: row.get(4)?,
        input_file: row.get(5)?,
        endpoint: row.get(6)?,
        metadata: row.get(7)?,
        times: row.get(8)?,
        output_file: row.get(9)?,
        error_file: row.get(10)?,
        counts: (count(11)?, count(12)?, count(13)?),
        errors: row.get(14)?,
    })
}

pub(super) fn find(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<Option<Batch>> {
    db.prepare_cached("select * from batches where id = ?1 and tenant = ?2")?.query_row((id, tenant), read).optional()
}

/// All of a tenant, oldest first.
pub(super) fn all(db: &Connection, tenant: &str) -> rusqlite::Result<Vec<Batch>> {
    db.prepare_cached("select * from batches where tenant = ?1 order by id")?.query_map([tenant], read)?.collect()
}

/// Those that have not ended, of every tenant, oldest first.
pub(super) fn unfinished(db: &Connection) -> rusqlite::Result<Vec<Batch>> {
    let sql = "select * from batches where status not in ('completed', 'failed', 'cancelled', 'expired') order by id";
    db.prepare_cached(sql)?.query_map([], read)?.collect()
}

/// A batch begins, of so many lines. False: its client wants no more of it, or it has begun.
pub(super) fn begin(db: &Connection, id: &str, lines: u64) -> rusqlite::Result<bool> {
    let sql = "update batches set status = 'in_progress', total = ?2, \
               times = json_set(times, '$.in_progress_at', unixepoch()) where id = ?1 and status = 'validating'";
    Ok(db.execute(sql, (id, lines as i64))? > 0)
}

/// A client wants no more of a batch. False: there is none, or it has ended.
pub(super) fn cancel(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<bool> {
    let sql = "update batches set status = 'cancelling', times = json_set(times, '$.cancelling_at', unixepoch()) \
               where id = ?1 and tenant = ?2 and status in ('validating', 'in_progress')";
    Ok(db.execute(sql, (id, tenant))? > 0)
}

/// Keeps what came of a line, and counts it.
pub(super) fn add(db: &mut Connection, batch: &str, line: &Line) -> rusqlite::Result<()> {
    let all = db.transaction()?;
    let sql = "insert or ignore into lines values (?1,?2,?3,?4)";
    if all.prepare_cached(sql)?.execute((batch, line.n as i64, line.is_answer, &line.text))? > 0 {
        let sql = "update batches set completed = completed + ?2, failed = failed + ?3 where id = ?1";
        all.prepare_cached(sql)?.execute((batch, i64::from(line.is_answer), i64::from(!line.is_answer)))?;
    }
    all.commit()
}

/// Which lines have something already.
pub(super) fn done(db: &Connection, batch: &str) -> rusqlite::Result<Vec<u64>> {
    let mut lines = db.prepare_cached("select n from lines where batch = ?1")?;
    lines.query_map([batch], |row| row.get::<_, i64>(0).map(|n| n.max(0) as u64))?.collect()
}

/// The lines with an answer, or those with an error, as the text of a file.
pub(super) fn text(db: &Connection, batch: &str, is_answer: bool) -> rusqlite::Result<String> {
    let mut lines = db.prepare_cached("select text from lines where batch = ?1 and is_answer = ?2 order by n")?;
    let mut rows = lines.query((batch, is_answer))?;
    let mut text = String::new();
    while let Some(row) = rows.next()? {
        text.push_str(&row.get::<_, String>(0)?);
        text.push('\n');
    }
    Ok(text)
}

/// A batch has ended: what its lines came to stands in files.
pub(super) fn end(db: &mut Connection, batch: &Batch, files: &[(super::StoredFile, String)]) -> rusqlite::Result<()> {
    let all = db.transaction()?;
    for (file, text) in files {
        super::files::keep(&all, file, text.as_bytes())?;
    }
    keep(&all, batch)?;
    all.execute("delete from lines where batch = ?1", [&batch.id])?;
    all.commit()
}

pub(super) fn forget_before(db: &Connection, before_s: u64) -> rusqlite::Result<()> {
    let ended =
        "select id from batches where created_s < ?1 and status in ('completed', 'failed', 'cancelled', 'expired')";
    db.execute(&format!("delete from lines where batch in ({ended})"), [before_s as i64])?;
    db.execute(&format!("delete from batches where id in ({ended})"), [before_s as i64]).map(drop)
}
