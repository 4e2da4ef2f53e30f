//! A client's socket, given up when it has taken nothing for too long.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rhumb_process::clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

/// What the requests of one connection have in common. Each holds it until its answer has been sent.
#[derive(Default)]
pub struct Standing {
    stalled: AtomicBool,
    begun: AtomicU32,
    old: AtomicBool,
    broken: AtomicBool,
}

impl Standing {
    /// A request begins; it is one of HTTP/1.0, or not.
    pub fn begins(&self, is_old: bool) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.old.store(is_old, Ordering::Relaxed);
    }

    /// Requests that have begun.
    pub fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The last request was one of HTTP/1.0.
    pub fn is_old(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    /// A stream ends without being complete.
    pub fn breaks_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// One has.
    pub fn has_broken_off(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// The connection ends because its client reads nothing.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}

/// A socket whose writes fail once the kernel has taken no byte for so long. A write that succeeds costs nothing more.
pub struct Socket {
    stream: TcpStream,
    patience: Duration,
    standing: Weak<Standing>,
    blocked: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// The socket of a client that may take nothing for so long.
    pub fn new(stream: TcpStream, patience: Duration, standing: Weak<Standing>) -> Self {
        Self { stream, patience, standing, blocked: false, timer: None }
    }

    /// Ends a connection after a stream that broke off, once its client has all of it, or has taken nothing of it for as
    /// long as it may. Then the client `stays` for a while, unless it closes sooner: many drop what they have not read when
    /// they see the end. An `old` one takes every end but a reset for a clean one.
    pub async fn break_off(mut self, old: bool, stall: Duration, stays: Duration) {
        // From now on the socket is ready when nothing of it is unsent.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&self.stream).set_tcp_notsent_lowat(1);
        let sent = async {
            while !self.is_writable() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let all_sent = tokio::time::timeout(stall, sent).await.is_ok();
        if all_sent {
            let closed = async {
                let mut unwanted = [0; 1 << 10];
                while matches!(self.stream.read(&mut unwanted).await, Ok(1..)) {}
            };
            let _ = tokio::time::timeout(stays, closed).await;
        }
        if old || !all_sent {
            let _ = self.stream.set_zero_linger();
        }
    }

    fn is_writable(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
        // One that cannot be asked is not waited for.
        poll(&mut fds, PollTimeout::ZERO).map_or(true, |ready| ready > 0)
    }

    fn bounded<T>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.blocked = false;
            return wrote;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(clock::timer_now() + self.patience)));
        if !self.blocked {
            self.blocked = true;
            timer.as_mut().reset(clock::timer_now() + self.patience);
        }
        ready!(timer.as_mut().poll(cx));
        if let Some(standing) = self.standing.upgrade() {
            standing.stalled.store(true, Ordering::Relaxed);
        }
        // What the kernel still holds for this client is dropped with the connection.
        let _ = self.stream.set_zero_linger();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Between two looks at whether all has been sent.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
