//! The table of files that clients have sent, or that were made for them.

use rusqlite::{Connection, OptionalExtension as _, Row};

/// A file without its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredFile {
    /// Its identifier.
    pub id: String,
    /// Whose it is: nobody else finds it.
    pub tenant: String,
    /// When it came, seconds since 1970.
    pub created_s: u64,
    /// What it is for.
    pub purpose: String,
    /// Its name, as its client gave it.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

const TABLE: &str = "
    create table if not exists files (
        id text primary key,
        tenant text not null,
        created_s integer not null,
        purpose text not null,
        name text not null,
        bytes integer not null,
        content blob not null
    );
    create index if not exists files_by_age on files (created_s);";

pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(TABLE)
}

pub(super) fn keep(db: &Connection, file: &StoredFile, content: &[u8]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("insert into files values (?1,?2,?3,?4,?5,?6,?7)")?;
    let f = file;
    insert.execute((&f.id, &f.tenant, f.created_s as i64, &f.purpose, &f.name, f.bytes as i64, content)).map(drop)
}

const COLUMNS: &str = "id, tenant, created_s, purpose, name, bytes";

fn read(row: &Row<'_>) -> rusqlite::Result<StoredFile> {
    let count = |n: i64| n.max(0) as u64;
    Ok(StoredFile {
        id: row.get(0)?,
        tenant: row.get(1)?,
        created_s: count(row.get(2)?),
        purpose: row.get(3)?,
        name: row.get(4)?,
        bytes: count(row.get(5)?),
    })
}

pub(super) fn find(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<Option<StoredFile>> {
    let sql = format!("select {COLUMNS} from files where id = ?1 and tenant = ?2");
    db.prepare_cached(&sql)?.query_row((id, tenant), read).optional()
}

/// All of a tenant, oldest first.
pub(super) fn all(db: &Connection, tenant: &str) -> rusqlite::Result<Vec<StoredFile>> {
    let sql = format!("select {COLUMNS} from files where tenant = ?1 order by id");
    db.prepare_cached(&sql)?.query_map([tenant], read)?.collect()
}

pub(super) fn content(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "select content from files where id = ?1 and tenant = ?2";
    db.prepare_cached(sql)?.query_row((id, tenant), |row| row.get(0)).optional()
}

pub(super) fn forget(db: &Connection, tenant: &str, id: &str) -> rusqlite::Result<bool> {
    Ok(db.execute("delete from files where id = ?1 and tenant = ?2", (id, tenant))? > 0)
}

pub(super) fn forget_before(db: &Connection, before_s: u64) -> rusqlite::Result<()> {
    db.execute("delete from files where created_s < ?1", [before_s as i64]).map(drop)
}
