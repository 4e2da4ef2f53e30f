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
    /// Waits from now on.
    ///
    /// # Errors
    /// There is no runtime, or the system lets nobody wait for signals.
    pub fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// It has come, or comes within this time.
    pub async fn came_within(&mut self, time: Duration) -> bool {
        #[cfg(unix)]
        let came = async {
            tokio::select! {
                _ = self.terminate.recv() => (),
                _ = self.interrupt.recv() => (),
            }
        };
        #[cfg(not(unix))]
        let came = tokio::signal::ctrl_c();
        tokio::time::timeout(time, came).await.is_ok()
    }
}
