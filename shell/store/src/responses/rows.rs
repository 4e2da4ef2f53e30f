//! The table of responses.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::responses::conversations;

/// A response with what it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptResponse {
    /// Its identifier.
    pub id: String,
    /// Whose it is: nobody else finds it.
    pub tenant: String,
    /// The response that it goes on with.
    pub previous: Option<String>,
    /// The conversation that it belongs to.
    pub conversation: Option<String>,
    /// When it was asked for, seconds since 1970.
    pub created_s: u64,
    /// `queued`, `in_progress`, or how it ended.
    pub status: String,
    /// The items of its own input: a JSON array.
    pub input: String,
    /// The response as clients get it: a JSON object.
    pub object: String,
    /// Its events as they were sent, where it can be followed again. They are looked up by themselves.
    pub events: Option<Vec<u8>>,
}

impl KeptResponse {
    /// Nothing more of it will come.
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "queued" | "in_progress")
    }
}

const TABLE: &str = "
    create table if not exists responses (
        id text primary key,
        tenant text not null,
        previous text,
        conversation text,
        created_s integer not null,
        status text not null,
        input text not null,
        object text not null,
        events blob
    );
    create index if not exists responses_by_age on responses (created_s);";

pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "auto_vacuum", "incremental")?;
    // With a write-ahead log a commit survives the death of the process; power loss may cost the last commits.
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "normal")?;
    // What is forgotten is overwritten.
    db.pragma_update(None, "secure_delete", "on")?;
    db.execute_batch(TABLE)
}

/// Responses that the last process was at work on have failed.
pub(super) fn fail_unfinished(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        "update responses set status = 'failed', object = json_set(object, '$.status', 'failed', '$.error', \
         json_object('code', 'server_error', 'message', \
         'The gateway stopped while this response was made. Ask for it again.')) \
         where status in ('queued', 'in_progress')",
        [],
    )
}

pub(super) fn keep(db: &mut Connection, response: &KeptResponse) -> rusqlite::Result<()> {
    let all = db.transaction()?;
    let r = response;
    all.prepare_cached("insert or replace into responses values (?1,?2,?3,?4,?5,?6,?7,?8,?9)")?.execute((
        &r.id,
        &r.tenant,
        &r.previous,
        &r.conversation,
        r.created_s as i64,
        &r.status,
        &r.input,
        &r.object,
        &r.events,
    ))?;
    if let Some(conversation) = &r.conversation
        && matches!(r.status.as_str(), "completed" | "incomplete")
    {
        conversations::add(&all, conversation, &r.input)?;
        let output = "select json_extract(?1, '$.output')";
        let output: Option<String> = all.query_row(output, [&r.object], |row| row.get(0))?;
        conversations::add(&all, conversation, output.as_deref().unwrap_or("[]"))?;
    }
    all.commit()
}

pub(super) fn find(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<Option<KeptResponse>> {
    let sql = "select id, tenant, previous, conversation, created_s, status, input, object \
               from responses where id = ?1 and tenant = ?2";
    db.prepare_cached(sql)?.query_row((id, tenant), read).optional()
}

pub(super) fn events(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut found = db.prepare_cached("select events from responses where id = ?1 and tenant = ?2")?;
    Ok(found.query_row((id, tenant), |row| row.get(0)).optional()?.flatten())
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeptResponse> {
    Ok(KeptResponse {
        id: row.get(0)?,
        tenant: row.get(1)?,
        previous: row.get(2)?,
        conversation: row.get(3)?,
        created_s: row.get::<_, i64>(4)?.max(0) as u64,
        status: row.get(5)?,
        input: row.get(6)?,
        object: row.get(7)?,
        events: None,
    })
}

pub(super) fn forget(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<bool> {
    let forgotten = db.execute("delete from responses where id = ?1 and tenant = ?2", (id, tenant))?;
    free_pages(db)?;
    Ok(forgotten > 0)
}

pub(super) fn forget_before(db: &Connection, before_s: u64) -> rusqlite::Result<()> {
    if db.execute("delete from responses where created_s < ?1", [before_s as i64])? > 0 {
        free_pages(db)?;
    }
    Ok(())
}

/// Gives pages that hold nothing back to the file system.
fn free_pages(db: &Connection) -> rusqlite::Result<()> {
    let mut step = db.prepare_cached("pragma incremental_vacuum(256)")?;
    let mut pages = step.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}
