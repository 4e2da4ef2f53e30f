//! One connection: a request out, a response in, and again.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::body::Body;
use crate::error::Error;
use crate::head::{self, Framing, Head};
use crate::inflate::Inflate;
use crate::origin::Origin;

/// A request, all but the connection's own headers.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Path: `/v1/…` is below the API of the origin, anything else below its root.
    pub path: &'a str,
    /// Whole header lines, each with its CRLF.
    pub headers: &'a str,
    /// The body in parts.
    pub body: &'a [Bytes],
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// A connection that can carry one request at a time. Dropping it closes it, which is what cancels a request.
pub struct Conn {
    stream: Stream,
    /// What was read beyond a response's head.
    ahead: Bytes,
    used: bool,
    /// The next request asks for another protocol.
    upgrades: bool,
    /// What it takes up elsewhere, given back when it closes.
    place: Option<OwnedSemaphorePermit>,
}

/// Bytes read at once. One buffer per thread serves every connection, so that a waiting one holds none.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

impl Conn {
    /// Connects, TLS included: the certificate must be for the name, whatever address it led to.
    ///
    /// # Errors
    /// [`Error::Connect`], also when it takes longer than `timeout`; [`Error::Exhausted`].
    pub async fn connect(origin: &Origin, timeout: Duration) -> Result<Self, Error> {
        let connect = async {
            let tcp = origin.dial().await?;
            tcp.set_nodelay(true)?;
            Ok::<_, io::Error>(match &origin.tls {
                None => Stream::Plain(tcp),
                Some((name, config)) => {
                    let tls = tokio_rustls::TlsConnector::from(config.clone()).connect(name.clone(), tcp).await?;
                    Stream::Tls(Box::new(tls))
                }
            })
        };
        match tokio::time::timeout(timeout, connect).await {
            Ok(Ok(stream)) => Ok(Self { stream, ahead: Bytes::new(), used: false, upgrades: false, place: None }),
            Ok(Err(e)) if is_own(&e) => Err(Error::Exhausted),
            _ => Err(Error::Connect),
        }
    }

    /// Keeps a place until it closes.
    #[must_use]
    pub fn at(mut self, place: OwnedSemaphorePermit) -> Self {
        self.place = Some(place);
        self
    }

    /// Asks for another protocol with its next request: an answer with status 101 is one.
    #[must_use]
    pub fn to_upgrade(mut self) -> Self {
        self.upgrades = true;
        self
    }

    /// It has carried a request before, so the other side may have closed it meanwhile.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// The other side is still there and has said nothing unasked.
    pub fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut byte = [0];
        self.ahead.is_empty() && self.poll_read_into(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Sends a request and reads the head of its response.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] when the connection ended before any byte of a response, which on a used connection may
    /// mean that the request was never seen.
    pub async fn send(mut self, origin: &Origin, request: Request<'_>) -> Result<Response, Error> {
        let length: usize = request.body.iter().map(Bytes::len).sum();
        let mut out = BytesMut::with_capacity(256 + request.headers.len() + length.min(INLINE_BODY_BYTES));
        let [base, path, mark, query] = origin.target(request.path);
        for part in [request.method, " ", base, path, mark, query, " HTTP/1.1\r\nhost: ", &origin.authority] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(request.headers.as_bytes());
        if request.method != "GET" {
            out.extend_from_slice(b"content-length: ");
            push_number(&mut out, length);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        let mut parts: Vec<&[u8]> = request.body.iter().map(|part| &part[..]).collect();
        if length <= INLINE_BODY_BYTES {
            parts.drain(..).for_each(|part| out.extend_from_slice(part));
        }
        parts.insert(0, &out);
        let (mut rest, mut coming) = (Rest { parts: &parts, at: 0 }, Coming::default());
        self.used = true;
        match std::future::poll_fn(|cx| self.poll_send(cx, &mut rest, &mut coming)).await {
            Sent::All => {
                let (head, ahead) = std::future::poll_fn(|cx| self.poll_answer(cx, &mut coming)).await?;
                Ok(self.response(head, ahead))
            }
            // The answer is wanted (say, 413), and nothing can follow it on this connection.
            Sent::Answered(head, ahead) => {
                let mut response = self.response(head, ahead);
                response.reusable = false;
                Ok(response)
            }
            Sent::Failed(error) => Err(error),
        }
    }

    /// Writes a request as far as the other side takes it. While it takes nothing, an answer may come: some endpoints say
    /// what is wrong before they have read everything.
    fn poll_send(&mut self, cx: &mut Context<'_>, rest: &mut Rest<'_>, coming: &mut Coming) -> Poll<Sent> {
        let written = self.poll_write_all(cx, rest);
        if let Poll::Ready(Ok(())) = written {
            return Poll::Ready(Sent::All);
        }
        if coming.early.is_some() && written.is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(match ready!(self.poll_answer(cx, coming)) {
            // Whoever begins to answer well may read on.
            Ok((head, ahead)) if head.status < 400 && written.is_pending() => {
                coming.early = Some((head, ahead));
                return Poll::Pending;
            }
            Ok((head, ahead)) => Sent::Answered(head, ahead),
            Err(_) if written.is_ready() => Sent::Failed(Error::NoAnswer),
            Err(error) => Sent::Failed(error),
        })
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>, rest: &mut Rest<'_>) -> Poll<io::Result<()>> {
        while let Some((part, behind)) = rest.parts.split_first() {
            while rest.at < part.len() {
                rest.at += match ready!(self.stream.poll_write(cx, &part[rest.at..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    n => n,
                };
            }
            *rest = Rest { parts: behind, at: 0 };
        }
        self.stream.poll_flush(cx)
    }

    /// The head of the answer, and what was read beyond it.
    fn poll_answer(&mut self, cx: &mut Context<'_>, coming: &mut Coming) -> Poll<Result<(Head, Bytes), Error>> {
        if let Some(early) = coming.early.take() {
            return Poll::Ready(Ok(early));
        }
        loop {
            let found = match head::parse(&coming.seen)? {
                Some((head, len)) => Some((head, coming.seen.split_off(len).freeze())),
                None => ready!(self.poll_head(cx, &mut coming.seen))?,
            };
            let Some((head, ahead)) = found else { continue };
            if head.status == 101 && self.upgrades {
                return Poll::Ready(Ok((head, ahead)));
            }
            if head.status == 101 {
                return Poll::Ready(Err(Error::Malformed("another protocol, which was not asked for")));
            }
            if !(100..200).contains(&head.status) {
                return Poll::Ready(Ok((head, ahead)));
            }
            // An interim answer (100 Continue, 103 Early Hints) precedes the real one.
            coming.interim += 1;
            if coming.interim >= INTERIM_MAX {
                return Poll::Ready(Err(Error::Malformed("too many interim answers")));
            }
            coming.seen = BytesMut::from(&ahead[..]);
        }
    }

    fn response(mut self, head: Head, ahead: Bytes) -> Response {
        self.ahead = ahead;
        let body = Body::new(head.framing);
        let inflate = head.gzip.then(Inflate::new);
        Response { reusable: head.keep_alive, head, body, inflate, conn: Some(self) }
    }

    /// One read; the head and what follows it once it is complete.
    fn poll_head(&mut self, cx: &mut Context<'_>, seen: &mut BytesMut) -> Poll<Result<Option<(Head, Bytes)>, Error>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            let read = ready!(self.poll_read_into(cx, &mut buf));
            let new = buf.filled();
            if read.is_err() || new.is_empty() {
                return Poll::Ready(Err(if seen.is_empty() { Error::NoAnswer } else { Error::Truncated }));
            }
            if seen.is_empty() {
                // Nearly always the whole head comes at once and needs no copy.
                if let Some((head, len)) = head::parse(new)? {
                    return Poll::Ready(Ok(Some((head, Bytes::copy_from_slice(&new[len..])))));
                }
            }
            seen.extend_from_slice(new);
            let found = head::parse(seen)?.map(|(head, len)| (head, Bytes::copy_from_slice(&seen[len..])));
            Poll::Ready(Ok(found))
        })
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tls(s) => Pin::new(s.as_mut()).poll_read(cx, buf),
        }
    }
}

/// Whether connecting failed for want of descriptors or ports on this side. The numbers of `ENFILE` and `EMFILE` are those of every Unix.
fn is_own(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(23 | 24)) || e.kind() == io::ErrorKind::AddrNotAvailable
}

/// Answers read for one request, interim ones included.
const INTERIM_MAX: usize = 16;

/// A body up to this size goes out in one write with the head.
const INLINE_BODY_BYTES: usize = 16 << 10;

fn push_number(out: &mut BytesMut, mut n: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

impl Stream {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(s) => Pin::new(s).poll_write(cx, bytes),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s.as_mut()).poll_flush(cx),
        }
    }
}

/// What of a request has yet to be written.
struct Rest<'a> {
    parts: &'a [&'a [u8]],
    /// Bytes of the first part that have been.
    at: usize,
}

/// What has come of an answer.
#[derive(Default)]
struct Coming {
    seen: BytesMut,
    interim: usize,
    /// Its head, where it came before the request had all been taken.
    early: Option<(Head, Bytes)>,
}

/// How sending a request ends.
enum Sent {
    /// All of it was taken.
    All,
    /// The answer is here, and it was not all taken.
    Answered(Head, Bytes),
    /// The connection is lost.
    Failed(Error),
}

/// A response whose head has come. Dropping it before its end closes the connection and so cancels the request.
pub struct Response {
    /// The head.
    pub head: Head,
    body: Body,
    inflate: Option<Box<Inflate>>,
    conn: Option<Conn>,
    reusable: bool,
}

impl Response {
    /// The next piece of the body's content: all that has arrived, a little at a time where it is compressed; `None` at
    /// its end.
    ///
    /// # Errors
    /// The body was cut short or is malformed. After an error there is nothing more to read.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            if let Some(inflate) = &mut self.inflate {
                let content = inflate.next()?;
                if !content.is_empty() {
                    return Poll::Ready(Ok(Some(content)));
                }
            }
            let piece = ready!(self.poll_body(cx))?;
            match (&mut self.inflate, piece) {
                (None, piece) => return Poll::Ready(Ok(piece)),
                (Some(inflate), Some(piece)) => inflate.push(piece),
                (Some(inflate), None) => {
                    let last = inflate.end()?;
                    return Poll::Ready(Ok((!last.is_empty()).then_some(last)));
                }
            }
        }
    }

    /// The next piece of the body as it came.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let Some(conn) = &mut self.conn else { return Poll::Ready(Ok(None)) };
        loop {
            if let Some(e) = self.body.take_failure() {
                return Poll::Ready(Err(e));
            }
            if self.body.is_end() {
                return Poll::Ready(Ok(None));
            }
            if !conn.ahead.is_empty() {
                let ahead = std::mem::take(&mut conn.ahead);
                let piece = self.body.unframe(&ahead)?;
                if piece.is_empty() {
                    continue;
                }
                return Poll::Ready(Ok(Some(piece)));
            }
            let piece = SCRATCH.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                let read = ready!(conn.poll_read_into(cx, &mut buf));
                if read.is_err() {
                    return Poll::Ready(Err(Error::Truncated));
                }
                if buf.filled().is_empty() {
                    self.reusable = false;
                    return Poll::Ready(self.body.eof().map(|()| Bytes::new()));
                }
                Poll::Ready(self.body.unframe(buf.filled()))
            });
            let piece = ready!(piece)?;
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
    }

    /// Awaits [`Self::poll_piece`].
    ///
    /// # Errors
    /// As there.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// As [`Self::poll_piece`], and when it is longer than `limit` bytes.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, Error> {
        let Some(first) = self.piece().await? else { return Ok(Bytes::new()) };
        if self.body.is_end() && self.inflate.is_none() {
            return if first.len() > limit { Err(Error::Malformed("body too long")) } else { Ok(first) };
        }
        let mut all = BytesMut::from(&first[..]);
        while let Some(piece) = self.piece().await? {
            all.extend_from_slice(&piece);
            if all.len() > limit {
                return Err(Error::Malformed("body too long"));
            }
        }
        Ok(all.freeze())
    }

    /// The connection, if the response ended in a way that lets it carry another request.
    pub fn into_conn(mut self) -> Option<Conn> {
        let whole = self.body.is_clean_end() && self.reusable;
        self.conn.take().filter(|c| whole && c.ahead.is_empty())
    }

    /// What the connection carries from now on, and what was read of it ahead, where it is to carry another protocol.
    pub fn upgraded(mut self) -> Option<(Upgraded, Bytes)> {
        let mut conn = self.conn.take().filter(|conn| conn.upgrades && self.head.status == 101)?;
        let ahead = std::mem::take(&mut conn.ahead);
        Some((Upgraded(conn), ahead))
    }

    /// Bytes of the body, where the head says it.
    pub fn length(&self) -> Option<u64> {
        match self.head.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        }
    }

    /// The whole body has come.
    pub fn is_end(&self) -> bool {
        self.body.is_end()
    }
}

/// A connection that carries another protocol than HTTP. Dropping it closes it.
pub struct Upgraded(Conn);

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_into(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.stream.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.stream {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
        }
    }
}
