//! The tables of conversations and their items.

use rusqlite::{Connection, OptionalExtension as _};

use crate::responses::history::Forgotten;

/// A conversation that responses go on with, without its items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Its identifier.
    pub id: String,
    /// Whose it is: nobody else finds it.
    pub tenant: String,
    /// When it began, seconds since 1970.
    pub created_s: u64,
    /// What its client notes of it: a JSON object.
    pub metadata: String,
}

const TABLES: &str = "
    create table if not exists conversations (
        id text primary key,
        tenant text not null,
        created_s integer not null,
        used_s integer not null,
        metadata text not null
    );
    create index if not exists conversations_by_use on conversations (used_s);
    create table if not exists items (
        conversation text not null,
        n integer not null,
        id text not null,
        item text not null,
        primary key (conversation, n)
    ) without rowid;";

pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(TABLES)
}

pub(super) fn begin(db: &mut Connection, conversation: &Conversation, items: &str) -> rusqlite::Result<()> {
    let all = db.transaction()?;
    let c = conversation;
    let sql = "insert into conversations values (?1,?2,?3,unixepoch(),?4)";
    all.prepare_cached(sql)?.execute((&c.id, &c.tenant, c.created_s as i64, &c.metadata))?;
    add(&all, &c.id, items)?;
    all.commit()
}

pub(super) fn note(db: &Connection, tenant: &str, id: &str, metadata: &str) -> rusqlite::Result<bool> {
    let sql = "update conversations set metadata = ?3, used_s = unixepoch() where id = ?1 and tenant = ?2";
    Ok(db.prepare_cached(sql)?.execute((id, tenant, metadata))? > 0)
}

pub(super) fn add_items(
    db: &mut Connection,
    tenant: &str,
    id: &str,
    items: &str,
    bytes_max: u64,
) -> rusqlite::Result<Result<(), Forgotten>> {
    let all = db.transaction()?;
    if find(&all, tenant, id)?.is_none() {
        return Ok(Err(Forgotten::Unknown));
    }
    if bytes(&all, id)? + items.len() as u64 > bytes_max {
        return Ok(Err(Forgotten::TooLong));
    }
    add(&all, id, items)?;
    all.commit()?;
    Ok(Ok(()))
}

/// The bytes of a conversation's items.
fn bytes(db: &Connection, id: &str) -> rusqlite::Result<u64> {
    let sql = "select coalesce(sum(length(cast(item as blob))), 0) from items where conversation = ?1";
    db.prepare_cached(sql)?.query_row([id], |row| row.get::<_, i64>(0)).map(|bytes| bytes.max(0) as u64)
}

pub(super) fn items(
    db: &Connection,
    tenant: &str,
    id: &str,
    bytes_max: u64,
) -> rusqlite::Result<Result<Vec<String>, Forgotten>> {
    if find(db, tenant, id)?.is_none() {
        return Ok(Err(Forgotten::Unknown));
    }
    if bytes(db, id)? > bytes_max {
        return Ok(Err(Forgotten::TooLong));
    }
    let mut items = db.prepare_cached("select item from items where conversation = ?1 order by n")?;
    let items = items.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(Ok(items))
}

/// Adds the items of a JSON array, if there is such a conversation.
pub(super) fn add(db: &Connection, conversation: &str, items: &str) -> rusqlite::Result<()> {
    let used = "update conversations set used_s = unixepoch() where id = ?1";
    if db.prepare_cached(used)?.execute([conversation])? == 0 {
        return Ok(());
    }
    let sql = "insert into items select ?1, \
               (select coalesce(max(n) + 1, 0) from items where conversation = ?1) + key, \
               coalesce(json_extract(value, '$.id'), ''), value from json_each(?2)";
    db.prepare_cached(sql)?.execute((conversation, items)).map(drop)
}

pub(super) fn find(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<Option<Conversation>> {
    let sql = "select created_s, metadata from conversations where id = ?1 and tenant = ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let Some((created_s, metadata)) = db.prepare_cached(sql)?.query_row((id, tenant), read).optional()? else {
        return Ok(None);
    };
    let (id, tenant, created_s) = (id.to_owned(), tenant.to_owned(), created_s.max(0) as u64);
    Ok(Some(Conversation { id, tenant, created_s, metadata }))
}

pub(super) fn forget(db: &mut Connection, tenant: &str, id: &str) -> rusqlite::Result<bool> {
    let all = db.transaction()?;
    let found = all.execute("delete from conversations where id = ?1 and tenant = ?2", (id, tenant))? > 0;
    if found {
        all.execute("delete from items where conversation = ?1", [id])?;
    }
    all.commit()?;
    Ok(found)
}

pub(super) fn forget_item(db: &Connection, conversation: &str, item: &str) -> rusqlite::Result<bool> {
    Ok(db.execute("delete from items where conversation = ?1 and id = ?2", (conversation, item))? > 0)
}

/// Forgets conversations that were not used since.
pub(super) fn forget_before(db: &Connection, before_s: u64) -> rusqlite::Result<()> {
    let of = "delete from items where conversation in (select id from conversations where used_s < ?1)";
    db.execute(of, [before_s as i64])?;
    db.execute("delete from conversations where used_s < ?1", [before_s as i64]).map(drop)
}
