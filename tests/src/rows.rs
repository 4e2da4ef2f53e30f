//! The decision and usage log as it lies on disk.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// What is compared of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The id as clients see it.
    pub id: String,
    /// Who asked.
    pub tenant: String,
    /// How it ended.
    pub outcome: String,
    /// HTTP status sent.
    pub status: u16,
    /// Targets tried.
    pub attempts: u32,
    /// The endpoint that served it; empty when none did.
    pub endpoint: String,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Generated tokens.
    pub completion_tokens: u64,
    /// The tokens are the gateway's estimate.
    pub estimated: bool,
    /// Metered money.
    pub usd: f64,
    /// Version of the configuration it was decided under.
    pub config: String,
}

/// Every row, oldest first. Reads beside a gateway that may be writing.
pub fn read(data_dir: &Path) -> Vec<Row> {
    let db = Connection::open_with_flags(data_dir.join("rhumb.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut query = db
        .prepare(
            "select id, tenant, outcome, status, attempts, endpoint, prompt_tokens, completion_tokens, estimated, usd, config
             from requests order by id",
        )
        .unwrap();
    let row = |r: &rusqlite::Row<'_>| {
        Ok(Row {
            id: rhumb_store::format_id(r.get::<_, i64>(0)? as u64),
            tenant: r.get(1)?,
            outcome: r.get(2)?,
            status: r.get(3)?,
            attempts: r.get(4)?,
            endpoint: r.get(5)?,
            prompt_tokens: r.get::<_, i64>(6)? as u64,
            completion_tokens: r.get::<_, i64>(7)? as u64,
            estimated: r.get(8)?,
            usd: r.get(9)?,
            config: r.get(10)?,
        })
    };
    query.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// How many rows there are.
pub fn count(data_dir: &Path) -> usize {
    let db = Connection::open_with_flags(data_dir.join("rhumb.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.query_row("select count(*) from requests", [], |r| r.get::<_, i64>(0)).unwrap() as usize
}

/// Makes the log one that was begun before versions of the configuration were kept.
pub fn forget_versions(data_dir: &Path) {
    let db = Connection::open(data_dir.join("rhumb.db")).unwrap();
    db.execute_batch("alter table requests drop column config").unwrap();
}

/// SQLite's own check of the file.
pub fn is_sound(data_dir: &Path) -> bool {
    let db = Connection::open(data_dir.join("rhumb.db")).unwrap();
    db.query_row("pragma integrity_check", [], |r| r.get::<_, String>(0)).unwrap() == "ok"
}
