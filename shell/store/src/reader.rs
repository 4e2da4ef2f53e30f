//! Reading the log back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rhumb_route::decide::World;
use rhumb_route::record::{Kept, Record};
use rhumb_route::row::LocalLoad;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::database::{FILE, has_config};
use crate::entry::{Logged, Row};
use crate::error::StoreError;
use crate::prune::Size;
use crate::request::{decode_record, decode_row};

/// A log opened for reading, beside a gateway that may be writing it.
pub struct Reader {
    db: Connection,
    wal: PathBuf,
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Rows of requests, by how they ended.
    pub outcomes: BTreeMap<String, u64>,
    /// When the first and the last request of the log came; wall clock, ms since 1970.
    pub oldest_unix_ms: Option<u64>,
    /// As above.
    pub newest_unix_ms: Option<u64>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Those of them that hold nothing and are used again.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log beside it.
    pub wal_bytes: u64,
}

impl Reader {
    /// Opens the log in a data folder.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        if !path.exists() {
            return Err(StoreError::Missing(path));
        }
        let open = || Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let db = open().map_err(|why| StoreError::Database { path: path.clone(), why })?;
        Ok(Self { db, wal: data_dir.join(format!("{FILE}-wal")) })
    }

    /// The row of a decision.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn row(&self, id: u64) -> Result<Option<Row>, StoreError> {
        // A log that an earlier version wrote may be read before a gateway has gone on with it.
        let config = if has_config(&self.db)? { "config" } else { "''" };
        let sql = format!("select record, outcome, endpoint, policy, {config} from requests where id = ?1");
        let text = |r: &rusqlite::Row<'_>, column| r.get::<_, String>(column);
        let found = self
            .db
            .query_row(&sql, [id as i64], |r| {
                Ok((r.get::<_, Vec<u8>>(0)?, text(r, 1)?, text(r, 2)?, text(r, 3)?, text(r, 4)?))
            })
            .optional()?;
        let Some((blob, outcome, endpoint, policy, config)) = found else { return Ok(None) };
        Ok(Some(Row { logged: self.logged(&blob)?, outcome, endpoint, policy, config }))
    }

    /// Puts a record and the rows it was made on together again.
    fn logged(&self, blob: &[u8]) -> Result<Logged, StoreError> {
        let sql = "select row from view_rows where run = ?1 and view = ?2 and endpoint = ?3 and model = ?4";
        let mut find = self.db.prepare(sql)?;
        Logged::decode(blob, |run, view, kept| {
            let key = (run as i64, view as i64, kept.endpoint, kept.model);
            Ok(find.query_row(key, |r| r.get::<_, Vec<u8>>(0))?)
        })
    }

    /// What the log holds.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn status(&self) -> Result<Status, StoreError> {
        let mut q = self.db.prepare("select outcome, count(*) from requests group by outcome")?;
        let outcomes = q.query_map([], |r| Ok((r.get(0)?, r.get::<_, i64>(1)? as u64)))?;
        let at = |order: &str| {
            let sql = format!("select at_unix_ms from requests order by id {order} limit 1");
            self.db.query_row(&sql, [], |r| r.get::<_, i64>(0).map(|ms| ms as u64)).optional()
        };
        let size = Size::of(&self.db)?;
        Ok(Status {
            outcomes: outcomes.collect::<Result<_, _>>()?,
            oldest_unix_ms: at("asc")?,
            newest_unix_ms: at("desc")?,
            file_bytes: size.bytes,
            free_bytes: size.free,
            wal_bytes: self.wal.metadata().map_or(0, |file| file.len()),
        })
    }
}

impl Logged {
    /// Reads a record as it is stored; `row` finds the rows that it was made on, by run, view, and the candidate.
    ///
    /// # Errors
    /// It is of another version or damaged, or a row is.
    pub fn decode(
        blob: &[u8],
        mut row: impl FnMut(u64, u64, &Kept) -> Result<Vec<u8>, StoreError>,
    ) -> Result<Self, StoreError> {
        let stored = decode_record(blob)?;
        let (mut rows, mut names) = (Vec::new(), Vec::new());
        for kept in &stored.kept {
            let found = decode_row(&row(stored.run, stored.view, kept)?)?;
            rows.push(found.row);
            names.push(found.names);
        }
        // In the order they were met: a view holds the endpoints of a model in theirs.
        rows.sort_by_key(|r| (r.model, r.endpoint));
        let record = Record::new(stored.view, &Rows(rows), stored.facts, stored.choice, &stored.kept);
        Ok(Self { record, fingerprint: stored.fingerprint, names })
    }
}

struct Rows(Vec<rhumb_route::row::Row>);

impl World for Rows {
    fn rows(&self, model: u32) -> &[rhumb_route::row::Row] {
        let start = self.0.partition_point(|r| r.model < model);
        &self.0[start..self.0.partition_point(|r| r.model <= model)]
    }

    fn local_load(&self, _: u32) -> LocalLoad {
        LocalLoad::default()
    }
}

/// Crockford's base 32: no letter that looks like another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An id as people see it, 13 characters.
pub fn format_id(id: u64) -> String {
    (0..13).rev().map(|i| DIGITS[(id >> (i * 5)) as usize & 31] as char).collect()
}

/// The id that [`format_id`] wrote.
pub fn parse_id(text: &str) -> Option<u64> {
    if text.len() != 13 {
        return None;
    }
    text.bytes().try_fold(0u64, |id, b| {
        let digit = DIGITS.iter().position(|d| *d == b.to_ascii_lowercase())?;
        id.checked_mul(32)?.checked_add(digit as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of layout 3, which one gateway wrote for a prompt of a few tokens, and its row.
    const BEFORE: &[u8] = include_bytes!("../../../fuzz/corpus/record/before");

    #[test]
    fn records_of_the_layout_before_are_read_and_replay() {
        let (length, rest) = BEFORE.split_first_chunk::<4>().unwrap();
        let (record, row) = rest.split_at(u32::from_le_bytes(*length) as usize);
        assert_eq!((record[0], row[0]), (3, 3));
        let logged = Logged::decode(record, |_, _, _| Ok(row.to_vec())).unwrap();
        let facts = &logged.record.facts;
        assert_eq!((facts.longest_tokens, facts.certain_tokens), (facts.prompt_tokens, 1.0));
        assert!(facts.prompt_tokens >= 1.0 && !logged.record.replay().targets.is_empty());
        for damaged in [&record[..record.len() - 1], &[5, 0], &[]] {
            assert!(matches!(Logged::decode(damaged, |_, _, _| Ok(row.to_vec())), Err(StoreError::Layout)));
        }
    }

    #[test]
    fn ids_survive_being_written() {
        for id in [0, 1, 31, 32, 0x1234_5678_9abc_def0, u64::MAX >> 1, u64::MAX] {
            assert_eq!(parse_id(&format_id(id)), Some(id));
        }
        assert_eq!(parse_id("short"), None);
        assert_eq!(parse_id("uuuuuuuuuuuuu"), None);
        assert_eq!(parse_id("zzzzzzzzzzzzz"), None);
        assert_eq!(parse_id("000000000000A"), Some(10));
    }
}
