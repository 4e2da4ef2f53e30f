//! The log in a file of SQLite.

mod database;
mod lock;
mod prune;
mod reader;

use std::path::{Path, PathBuf};

use self::database::{Database, Identity};
use crate::error::StoreError;
use crate::rows::{Batch, ViewNote};
use crate::store::{Pruned, Retention, Store};

pub use prune::{prunable, prune};
pub use reader::Reader;

/// The log of a folder, open or to be opened.
pub(crate) struct SqliteStore {
    folder: PathBuf,
    database: Option<Database>,
    /// The file that was written to last.
    file: Option<Identity>,
    /// That file is in its place no more, and no other has been opened yet.
    is_gone: bool,
}

impl SqliteStore {
    /// The log of this folder, not open yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), database: None, file: None, is_gone: false }
    }

    /// The open file.
    fn database(&mut self) -> Result<&mut Database, StoreError> {
        if self.database.is_none() {
            self.ready()?;
        }
        self.database.as_mut().ok_or_else(|| StoreError::Missing(self.folder.clone()))
    }
}

impl Store for SqliteStore {
    fn ready(&mut self) -> Result<bool, StoreError> {
        let before = self.database.take();
        self.is_gone |= before.as_ref().is_some_and(|database| !database.is_in_place());
        let database = match before.filter(|_| !self.is_gone) {
            Some(database) => database,
            None => Database::open(&self.folder)?,
        };
        let before = std::mem::replace(&mut self.file, database.identity());
        let is_new = std::mem::take(&mut self.is_gone) || before.is_some() && before != self.file;
        if is_new {
            let folder = self.folder.display();
            tracing::error!(
                "the decision log in `{folder}` was deleted or replaced while it was written: it begins anew"
            );
        }
        self.database = Some(database);
        Ok(is_new)
    }

    fn begin_run(&mut self, run: u64) -> Result<usize, StoreError> {
        Ok(self.database()?.begin_run(run)?)
    }

    fn write(&mut self, run: u64, batch: &Batch, note: Option<ViewNote>) -> Result<bool, StoreError> {
        let database = self.database()?;
        database.write(run, batch, note)?;
        Ok(database.is_in_place())
    }

    fn prune(&mut self, now_unix_ms: u64, keep: &Retention) -> Result<Pruned, StoreError> {
        let Some(database) = self.database.as_ref().filter(|d| d.is_in_place()) else { return Ok(Pruned::default()) };
        Ok(prune::step(&database.db, now_unix_ms, keep)?)
    }

    fn recover(&mut self, why: &StoreError) {
        if !why.leaves_it_open() {
            self.database = None;
        } else if let Some(database) = &self.database {
            let _ = database.empty_wal();
        }
    }

    fn close(&mut self) {
        self.database = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_store() {
        let number = std::sync::atomic::AtomicU32::new(0);
        crate::conformance::check(&|| {
            let n = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let folder = std::env::temp_dir().join(format!("rhumb-store-{}-{n}", std::process::id()));
            let store = SqliteStore::new(&folder);
            let reader = {
                let folder = folder.clone();
                move || Reader::open(&folder)
            };
            (store, reader, move || std::fs::remove_dir_all(&folder).unwrap())
        });
    }
}
