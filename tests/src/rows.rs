//! The decision and usage log as it lies on disk.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::gateway::{sample, value};

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
            id: rhumb_record::format_id(r.get::<_, i64>(0)? as u64),
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

/// Sums over rows.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    /// How many.
    pub rows: u64,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Generated tokens.
    pub completion_tokens: u64,
    /// The least money of a row.
    pub least_usd: f64,
}

impl Totals {
    /// Of these rows.
    pub fn of(rows: &[Row]) -> Self {
        Self {
            rows: rows.len() as u64,
            prompt_tokens: rows.iter().map(|r| r.prompt_tokens).sum(),
            completion_tokens: rows.iter().map(|r| r.completion_tokens).sum(),
            least_usd: rows.iter().map(|r| r.usd).fold(0.0, f64::min),
        }
    }

    /// Of a whole log.
    pub fn read(data_dir: &Path) -> Self {
        let db = Connection::open_with_flags(data_dir.join("rhumb.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let sums = "select count(*), sum(prompt_tokens), sum(completion_tokens), min(usd) from requests";
        let count = |r: &rusqlite::Row<'_>, i| r.get::<_, i64>(i).map(|n| n as u64);
        db.query_row(sums, [], |r| {
            let (rows, prompt_tokens, completion_tokens) = (count(r, 0)?, count(r, 1)?, count(r, 2)?);
            Ok(Self { rows, prompt_tokens, completion_tokens, least_usd: r.get(3)? })
        })
        .unwrap()
    }

    /// Holds them to be what the metrics say: one row for each accepted request, the same tokens; no money below zero.
    ///
    /// # Panics
    /// They are not.
    pub fn agree_with(&self, page: &str) {
        let accepted: f64 = page.lines().filter(|l| l.starts_with("rhumb_requests_total{")).map(value).sum();
        assert_eq!(self.rows as f64, accepted, "one row for each accepted request");
        let tokens = |kind: &str| sample(page, &format!("rhumb_tokens_total{{kind=\"{kind}\"}}"));
        assert_eq!(self.prompt_tokens as f64, tokens("prompt"));
        assert_eq!(self.completion_tokens as f64, tokens("completion"));
        assert!(self.least_usd >= 0.0);
    }
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
