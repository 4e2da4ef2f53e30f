//! Being asked to end.

use std::time::Duration;

/// Ctrl-C, or a request to terminate.
pub struct Interrupt {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    #[cfg(unix)]
    /// Waits from now on; what comes sooner than it is asked for counts too.
    ///
    /// # Errors
    /// There is no runtime, or the system lets nobody wait for signals.
    pub fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(not(unix))]
    /// Waits from now on; what comes sooner than it is asked for counts too.
    ///
    /// # Errors
    /// There is no runtime, or the system lets nobody wait for signals.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    /// It has come, or comes within this time.
    pub async fn came_within(&mut self, time: Duration) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            () = tokio::time::sleep(time) => false,
        }
    }

    #[cfg(not(unix))]
    /// It has come, or comes within this time.
    pub async fn came_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, tokio::signal::ctrl_c()).await.is_ok()
    }
}
