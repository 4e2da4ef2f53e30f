//! A folder for what the gateways of a run write.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder for the logs of the gateways, removed at the end.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// A new folder among the system's temporary ones.
    pub(crate) fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rhumb-demo-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now the system removes some day.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
