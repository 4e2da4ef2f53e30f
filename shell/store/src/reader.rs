//! Reading the log back.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::entry::Row;
use crate::writer::{FILE, StoreError, decode};

/// A log opened for reading, beside a gateway that may be writing it.
pub struct Reader {
    db: Connection,
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
        Ok(Self { db: Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)? })
    }

    /// The row of a decision.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn row(&self, id: u64) -> Result<Option<Row>, StoreError> {
        let sql = "select record, outcome, endpoint, policy from requests where id = ?1";
        let found = self
            .db
            .query_row(sql, [id as i64], |r| {
                Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, String>(3)?))
            })
            .optional()?;
        let Some((blob, outcome, endpoint, policy)) = found else { return Ok(None) };
        Ok(Some(Row { logged: decode(&blob)?, outcome, endpoint, policy }))
    }

    /// Rows by outcome.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn outcomes(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut q = self.db.prepare("select outcome, count(*) from requests group by outcome order by outcome")?;
        let rows = q.query_map([], |r| Ok((r.get(0)?, r.get::<_, i64>(1)? as u64)))?;
        Ok(rows.collect::<Result<_, _>>()?)
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
