//! Clients of the gateway as tasks: many of them are cheap.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use rhumb_tests::MODEL;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// A chat request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    /// Names and values, without those every request has.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON.
    pub(crate) body: String,
}

impl Ask {
    /// For an answer to this prompt, streamed or plain.
    pub(crate) fn chat(prompt: &str, stream: bool, max_tokens: u32) -> Self {
        let body = format!(
            "{{\"model\":\"{MODEL}\",\"stream\":{stream},\"max_tokens\":{max_tokens},\
             \"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]}}"
        );
        Self { headers: Vec::new(), body }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn h1(&self) -> String {
        let more: String = self.headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        let length = self.body.len();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: grid\r\ncontent-type: application/json\r\n{more}\
             content-length: {length}\r\n\r\n{}",
            self.body
        )
    }
}

/// How a client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It closes the connection. (HTTP/2: the stream is cancelled.)
    Close,
    /// It closes the connection with RST. (HTTP/2: the stream is cancelled.)
    Reset,
}

/// A request under way, from the head of its answer on.
pub(crate) struct Call {
    way: Way,
    /// Status of the answer.
    pub(crate) status: u16,
    /// Content so far, with HTTP/1.1's framing.
    pub(crate) read: Vec<u8>,
    /// Bytes that are left of a content of known length.
    left: Option<usize>,
    /// Nothing is missing.
    pub(crate) whole: bool,
    /// The connection takes no other request.
    closes: bool,
}

enum Way {
    H1(TcpStream),
    H2(SendStream<Bytes>, RecvStream),
}

/// A connection for HTTP/1.1; `room`: bytes that may wait unread.
pub(crate) async fn connect(address: SocketAddr, room: Option<u32>) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(room) = room {
        socket.set_recv_buffer_size(room)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection for HTTP/2.
pub(crate) async fn connect_h2(address: SocketAddr) -> Result<SendRequest<Bytes>> {
    let (client, connection) = h2::client::handshake(connect(address, None).await?).await.map_err(Error::other)?;
    tokio::spawn(connection);
    Ok(client)
}

impl Call {
    /// Asks over HTTP/1.1 and reads the head.
    pub(crate) async fn h1(mut stream: TcpStream, ask: &Ask) -> Result<Self> {
        stream.write_all(ask.h1().as_bytes()).await?;
        let mut read = Vec::with_capacity(4 << 10);
        let end = loop {
            if stream.read_buf(&mut read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = find(&read, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|s| s.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let length = head.split("content-length: ").nth(1).and_then(|l| l.split('\r').next()?.parse().ok());
        read.drain(..end);
        let closes = head.contains("\r\nconnection: close");
        let mut call = Self { way: Way::H1(stream), status, left: length, read, whole: false, closes };
        call.left = length.map(|l| l.saturating_sub(call.read.len()));
        call.look();
        Ok(call)
    }

    /// Asks over HTTP/2 and reads the head.
    pub(crate) async fn h2(client: SendRequest<Bytes>, ask: &Ask) -> Result<Self> {
        let mut request =
            http::Request::post("http://grid/v1/chat/completions").header("content-type", "application/json");
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let mut client = client.ready().await.map_err(Error::other)?;
        let request = request.body(()).map_err(Error::other)?;
        let (answer, mut upload) = client.send_request(request, false).map_err(Error::other)?;
        upload.send_data(Bytes::copy_from_slice(ask.body.as_bytes()), true).map_err(Error::other)?;
        let (head, body) = answer.await.map_err(Error::other)?.into_parts();
        let (way, status) = (Way::H2(upload, body), head.status.as_u16());
        Ok(Self { way, status, read: Vec::with_capacity(4 << 10), left: None, whole: false, closes: false })
    }

    fn look(&mut self) {
        self.whole = match self.left {
            Some(left) => left == 0,
            None => self.read.ends_with(b"\r\n0\r\n\r\n"),
        };
    }

    /// Reads what comes next; false: that was all.
    pub(crate) async fn more(&mut self) -> Result<bool> {
        if self.whole {
            return Ok(false);
        }
        match &mut self.way {
            Way::H1(stream) => {
                let n = stream.read_buf(&mut self.read).await?;
                self.left = self.left.map(|left| left.saturating_sub(n));
                self.look();
                Ok(n > 0)
            }
            Way::H2(_, body) => match body.data().await {
                Some(data) => {
                    let data = data.map_err(Error::other)?;
                    let _ = body.flow_control().release_capacity(data.len());
                    self.read.extend_from_slice(&data);
                    Ok(true)
                }
                None => {
                    self.whole = true;
                    Ok(false)
                }
            },
        }
    }

    /// Reads to the end.
    pub(crate) async fn all(&mut self) -> Result<()> {
        while self.more().await? {}
        Ok(())
    }

    /// Reads, and forgets, until then.
    pub(crate) async fn read_for(&mut self, time: Duration) {
        let reading = async {
            while matches!(self.more().await, Ok(true)) {
                let keep = self.read.len().saturating_sub(16);
                self.read.drain(..keep);
            }
        };
        let _ = tokio::time::timeout(time, reading).await;
    }

    /// Reads until there is content; false: there was none.
    pub(crate) async fn content(&mut self) -> Result<bool> {
        loop {
            // The frame that opens a stream has an empty one.
            let opened = |at: usize| self.read.get(at + 11).is_some_and(|next| *next != b'"');
            let mut from = 0;
            while let Some(at) = find(&self.read[from..], b"\"content\":\"") {
                if opened(from + at) {
                    return Ok(true);
                }
                from += at + 1;
            }
            if !self.more().await? {
                return Ok(false);
            }
        }
    }

    /// The stream came to the end that its protocol has.
    pub(crate) fn is_done(&self) -> bool {
        self.whole && find(&self.read[self.read.len().saturating_sub(64)..], b"data: [DONE]").is_some()
    }

    /// The connection, if it may carry another request.
    pub(crate) fn connection(self) -> Option<TcpStream> {
        match self.way {
            Way::H1(stream) if self.whole && !self.closes => Some(stream),
            _ => None,
        }
    }

    /// Goes away.
    pub(crate) fn leave(self, how: Leave) {
        match self.way {
            Way::H1(stream) => {
                if how == Leave::Reset {
                    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
            }
            Way::H2(mut upload, _) => upload.send_reset(Reason::CANCEL),
        }
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|w| w == word)
}
