//! An HTTP/1.1 client that sends exactly what it is told and shows exactly what came.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::{sse, wait};

/// A connection.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    asked: Instant,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The content, unframed.
    pub body: Vec<u8>,
    /// The framing says that nothing is missing.
    pub whole: bool,
}

impl Answer {
    /// The value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The data of the body's events.
    pub fn events(&self) -> Vec<String> {
        sse::data(&self.body)
    }

    /// Holds it to be an error in OpenAI's shape with these properties, and gives its message.
    ///
    /// # Panics
    /// It is not.
    pub fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        let error = body["error"].as_object().unwrap();
        let keys: Vec<&str> = error.keys().map(String::as_str).collect();
        assert_eq!(keys, ["code", "message", "param", "type"], "all four keys and no more");
        assert_eq!(error["code"], code);
        assert!(error["type"].is_string() && (error["param"].is_string() || error["param"].is_null()));
        let retry = self.header("x-should-retry");
        let final_code = ["deadline_exceeded", "loop_detected"].contains(&code);
        assert_eq!(retry, if (status == 429 || status >= 500) && !final_code { "true" } else { "false" });
        error["message"].as_str().unwrap().to_owned()
    }
}

/// A POST with a body whose length is stated.
pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: grid\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(wait::LONGEST)).unwrap();
        stream.set_write_timeout(Some(wait::LONGEST)).unwrap();
        Self { stream, unread: Vec::new(), asked: Instant::now() }
    }

    /// Connects with room for about so many bytes that are not read.
    pub fn connect_narrow(address: SocketAddr, room: usize) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(room).unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(wait::LONGEST)).unwrap();
        Self { stream, unread: Vec::new(), asked: Instant::now() }
    }

    /// Reads so many bytes or fewer, and forgets them; false at the end.
    pub fn sip(&mut self, most: usize) -> bool {
        let mut buffer = vec![0; most];
        matches!(self.stream.read(&mut buffer), Ok(1..))
    }

    /// Reads so many bytes, or to the end.
    pub fn sip_all(&mut self, bytes: usize) {
        let mut buffer = vec![0; bytes];
        let _ = self.stream.read_exact(&mut buffer);
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.asked = Instant::now();
        self.stream.write_all(bytes).unwrap();
    }

    /// Something of an answer has come.
    pub fn is_answered(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let has_come = matches!(self.stream.peek(&mut [0]), Ok(1..));
        self.stream.set_nonblocking(false).unwrap();
        has_come
    }

    /// Sends bytes as far as the other side takes them.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a request and reads its answer.
    pub fn exchange(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Reads what has come; false at the end.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        assert!(self.asked.elapsed() < wait::LONGEST, "the answer does not end");
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.unread.extend_from_slice(&buffer[..n]);
                true
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer came: {:?}", self.unread_text()),
            Err(_) => false,
        }
    }

    /// What has come and was not taken as part of an answer.
    pub fn unread_text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Reads until the text has come; it stays unread.
    pub fn read_until(&mut self, text: &str) {
        while !self.unread_text().contains(text) {
            assert!(self.more(), "the connection ended before `{text}`: {}", self.unread_text());
        }
    }

    /// Reads a head (an interim one, too). None: the connection ended first.
    pub fn head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more() {
                return None;
            }
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |l: &str| l.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).unwrap();
        Some(Answer { status, headers: lines.map(header).collect(), body: Vec::new(), whole: false })
    }

    /// Reads an answer to its end, or to the connection's.
    ///
    /// # Panics
    /// No head came.
    pub fn answer(&mut self) -> Answer {
        // It may have been asked long before anybody reads.
        self.asked = Instant::now();
        let mut answer = self.head().expect("an answer, not the end of the connection");
        if answer.header("transfer-encoding") == "chunked" {
            answer.whole = self.chunks(&mut answer.body);
        } else if let Ok(length) = answer.header("content-length").parse::<usize>() {
            answer.whole = self.take(length, &mut answer.body);
        } else if answer.status >= 200 {
            while self.more() {}
            answer.body = std::mem::take(&mut self.unread);
            answer.whole = true;
        }
        answer
    }

    fn take(&mut self, length: usize, to: &mut Vec<u8>) -> bool {
        while self.unread.len() < length {
            if !self.more() {
                to.append(&mut self.unread);
                return false;
            }
        }
        to.extend(self.unread.drain(..length));
        true
    }

    fn chunks(&mut self, to: &mut Vec<u8>) -> bool {
        loop {
            let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") else {
                if self.more() {
                    continue;
                }
                return false;
            };
            let line: Vec<u8> = self.unread.drain(..end + 2).collect();
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            if !self.take(size, to) {
                return false;
            }
            let mut crlf = Vec::new();
            if !self.take(2, &mut crlf) {
                return false;
            }
            assert_eq!(crlf, b"\r\n");
            if size == 0 {
                return true;
            }
        }
    }

    /// The other side closes without another byte.
    pub fn is_closed(&mut self) -> bool {
        !self.more() && self.unread.is_empty()
    }

    /// The other side has closed by now, whatever it said before. Returns at once.
    pub fn is_closed_by_now(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.stream.read(&mut [0; 4096]);
        self.stream.set_nonblocking(false).unwrap();
        match read {
            Ok(n) => n == 0,
            Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Everything that comes until the connection ends, and whether a reset ended it.
    pub fn to_the_end(&mut self) -> (Vec<u8>, bool) {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return (std::mem::take(&mut self.unread), false),
                Ok(n) => self.unread.extend_from_slice(&buffer[..n]),
                Err(e) => {
                    assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "the connection ends");
                    return (std::mem::take(&mut self.unread), true);
                }
            }
        }
    }

    /// Says that nothing more will be sent, and still listens.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
