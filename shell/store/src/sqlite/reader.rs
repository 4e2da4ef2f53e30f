//! Reading the log back from its file.

use std::path::{Path, PathBuf};

use rhumb_record::Logged;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::database::{FILE, has_config};
use super::prune::Size;
use crate::error::StoreError;
use crate::store::{ReadStore, Row, Status};

/// A log opened for reading, beside a gateway that may be writing it.
pub struct Reader {
    db: Connection,
    wal: PathBuf,
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
        let db = open().map_err(|why: rusqlite::Error| StoreError::Database { path: path.clone(), why: why.into() })?;
        Ok(Self { db, wal: data_dir.join(format!("{FILE}-wal")) })
    }

    /// Puts a record and the rows it was made on together again.
    fn logged(&self, blob: &[u8]) -> Result<Logged, StoreError> {
        let sql = "select row from view_rows where run = ?1 and view = ?2 and endpoint = ?3 and model = ?4";
        let mut find = self.db.prepare(sql)?;
        Logged::decode(blob, |run, view, kept| {
            let key = (run as i64, view as i64, kept.endpoint.0, kept.model.0);
            Ok(find.query_row(key, |r| r.get::<_, Vec<u8>>(0))?)
        })
    }
}

impl ReadStore for Reader {
    fn row(&self, id: u64) -> Result<Option<Row>, StoreError> {
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

    fn status(&self) -> Result<Status, StoreError> {
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
