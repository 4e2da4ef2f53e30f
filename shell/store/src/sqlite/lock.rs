//! One gateway for one data folder.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use crate::error::StoreError;

const FILE: &str = "rhumb.lock";

/// A data folder that no other process may write to. The system gives it up when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be written to.
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let unusable = |why| StoreError::Folder { path: folder.into(), why };
        let options = || File::options().read(true).write(true).create(true).truncate(false).open(folder.join(FILE));
        let mut file = options().map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(20).read_to_string(&mut holder);
                return Err(StoreError::InUse { path: folder.into(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(why)) if why.kind() == ErrorKind::Unsupported => {
                let folder = folder.display();
                tracing::warn!("the file system of `{folder}` has no locks: start no other gateway on this folder");
                return Ok(Self { _file: file });
            }
            Err(TryLockError::Error(why)) => return Err(unusable(why)),
        }
        // The number is for people; a full disk is no reason to do without the lock.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
