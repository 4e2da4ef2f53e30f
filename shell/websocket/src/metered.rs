//! A client's connection, of which no more is read than there is room for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Has so many bytes counted as held, in place of those before; false where there is no room for them.
pub type Room = Box<dyn FnMut(usize) -> bool + Send>;

/// Bytes that need no room: a message is rarely longer.
const UNCOUNTED: usize = 64 << 10;

/// A connection whose unfinished message counts as held, with what waits to be worked on.
pub(crate) struct Metered<S> {
    stream: S,
    room: Room,
    /// Bytes read since the last message was whole.
    unfinished: usize,
    /// Bytes of messages that wait.
    waiting: usize,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, room: Room) -> Self {
        Self { stream, room, unfinished: 0, waiting: 0 }
    }

    /// A message is whole; from now on so many bytes of messages wait.
    pub(crate) fn taken(&mut self, waiting: usize) {
        (self.unfinished, self.waiting) = (0, waiting);
        self.count();
    }

    fn count(&mut self) -> bool {
        let held = self.unfinished + self.waiting;
        (self.room)(if held > UNCOUNTED { held } else { 0 })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let new = buf.filled().len() - before;
        if new > 0 {
            self.unfinished += new;
            if !self.count() {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn no_more_is_read_than_there_is_room_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = |waiting: usize| {
            let data = vec![0; 200 << 10];
            let mut metered = Metered::new(&data[..], Box::new(|held| held <= 100 << 10));
            metered.taken(waiting);
            let mut all = Vec::new();
            let mut piece = [0; 8 << 10];
            let end = runtime.block_on(async {
                loop {
                    match metered.read(&mut piece).await {
                        Ok(0) => return None,
                        Ok(n) => all.extend_from_slice(&piece[..n]),
                        Err(why) => return Some(why.kind()),
                    }
                }
            });
            (all.len() >> 10, end)
        };
        assert_eq!(read(0), (96, Some(io::ErrorKind::OutOfMemory)));
        assert_eq!(read(50 << 10), (48, Some(io::ErrorKind::OutOfMemory)));
    }
}
