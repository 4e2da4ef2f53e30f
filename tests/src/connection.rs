//! One connection of a mock: requests in, scripts out.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::mock::{Inside, Seen, lock, page};
use crate::script::{Script, Step};
use crate::{speech, tag};

/// How a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It may carry another request.
    Next,
    /// It is to be closed.
    Close,
    /// It is to be closed with RST.
    Reset,
    /// The other side is gone.
    Gone,
}

const SSE_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
    transfer-encoding: chunked\r\nx-engine-note: canary-7f3a-must-not-leak\r\n\r\n";

/// Serves requests until the connection ends.
pub(crate) fn serve(inside: &Inside, stream: &TcpStream) -> Turn {
    let mut reader = BufReader::new(stream);
    loop {
        let Some(request) = read_request(&mut reader) else { return Turn::Gone };
        if request.method == "GET" && probe(inside, stream, &request).is_some() {
            continue;
        }
        let steps = marked(inside, &request).unwrap_or_else(|| {
            let mut once = lock(&inside.once);
            if once.is_empty() { lock(&inside.script).clone() } else { once.remove(0) }
        });
        if !inside.forgets.load(Ordering::SeqCst) {
            lock(&inside.seen).push(request.clone());
        }
        inside.running.fetch_add(1, Ordering::SeqCst);
        let turn = run(inside, stream, &request, &steps);
        inside.running.fetch_sub(1, Ordering::SeqCst);
        match turn {
            Turn::Next => {}
            Turn::Gone => {
                inside.cancels.fetch_add(1, Ordering::SeqCst);
                return Turn::Gone;
            }
            turn => return turn,
        }
    }
}

fn marked(inside: &Inside, request: &Seen) -> Option<Script> {
    let when = lock(&inside.when);
    let (text, script) = when.as_ref()?;
    String::from_utf8_lossy(&request.body).contains(text.as_str()).then(|| script.clone())
}

/// The gateway's own questions are always answered well.
fn probe(inside: &Inside, mut stream: &TcpStream, request: &Seen) -> Option<()> {
    let answer = match request.path.as_str() {
        "/health" => String::new(),
        "/metrics" => {
            let running = || page(&inside.running.load(Ordering::SeqCst).to_string(), "0", "0.0");
            lock(&inside.load).clone().unwrap_or_else(running)
        }
        path if path.split('?').next().is_some_and(|p| p.ends_with("/models")) => {
            lock(&inside.probed).push(request.clone());
            let (status, list) = lock(&inside.models).clone();
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{list}", list.len());
            return stream.write_all(answer.as_bytes()).ok();
        }
        _ => return None,
    };
    lock(&inside.probes).push(request.path.clone());
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    stream.write_all(answer.as_bytes()).ok()
}

fn read_request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.strip_suffix("\r\n").map(str::to_owned)
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen { method, path, headers, body: Vec::new() };
    seen.body = vec![0; seen.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

/// Whether a stream is wanted, and a usage frame in it.
fn wishes(body: &[u8]) -> (bool, bool) {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(asked) => (asked["stream"] == true, asked["stream_options"]["include_usage"] == true),
        // Some JSON (a number beyond all floats, say) this reader does not take.
        Err(_) => {
            let text: String = String::from_utf8_lossy(body).split_whitespace().collect();
            (text.contains("\"stream\":true"), text.contains("\"include_usage\":true"))
        }
    }
}

struct Actor<'a> {
    inside: &'a Inside,
    stream: &'a TcpStream,
    said: usize,
    held_up: bool,
}

fn run(inside: &Inside, stream: &TcpStream, request: &Seen, steps: &[Step]) -> Turn {
    let mut actor = Actor { inside, stream, said: 0, held_up: false };
    for step in steps {
        match actor.step(request, step) {
            Ok(Turn::Next) => {}
            Ok(turn) => return turn,
            Err(_) => return Turn::Gone,
        }
    }
    Turn::Next
}

impl Actor<'_> {
    fn step(&mut self, request: &Seen, step: &Step) -> std::io::Result<Turn> {
        match step {
            Step::Answer(n) => self.answer(request, *n)?,
            Step::Echo(n) => self.echo(request, *n)?,
            Step::Head => self.write(SSE_HEAD.as_bytes())?,
            Step::Role => self.chunk(speech::role(&self.inside.name).as_bytes())?,
            Step::Tokens(n) => (0..*n).try_for_each(|_| self.token())?,
            Step::Slowly(n, ms) => {
                for _ in 0..*n {
                    if self.is_gone(Some(Duration::from_millis(*ms))) {
                        return Ok(Turn::Gone);
                    }
                    self.token()?;
                }
            }
            Step::Trickle => loop {
                self.token()?;
                if self.is_gone(Some(Duration::from_millis(1))) {
                    return Ok(Turn::Gone);
                }
            },
            Step::Beat(bytes) => loop {
                self.chunk(bytes)?;
                if self.is_gone(Some(Duration::from_millis(1))) {
                    return Ok(Turn::Gone);
                }
            },
            Step::Flood => {
                socket2::SockRef::from(self.stream).set_send_buffer_size(32 << 10)?;
                self.stream.set_write_timeout(Some(Duration::from_millis(50)))?;
                loop {
                    self.token()?;
                }
            }
            Step::Chunk(bytes) => self.chunk(bytes)?,
            Step::Chunks(bytes, times) => (0..*times).try_for_each(|_| self.chunk(bytes))?,
            Step::ZeroChunk => self.write(b"0\r\n\r\n")?,
            Step::Raw(bytes) => self.write(bytes)?,
            Step::RawOften(bytes, times) => (0..*times).try_for_each(|_| self.write(bytes))?,
            Step::Gate => {
                let (open, changed) = &self.inside.gate;
                let _open = changed.wait_while(lock(open), |open| !*open).unwrap();
            }
            Step::Hang => {
                self.is_gone(None);
                return Ok(Turn::Gone);
            }
            Step::Reset => return Ok(Turn::Reset),
            Step::Fin => return Ok(Turn::Close),
        }
        Ok(Turn::Next)
    }

    fn answer(&mut self, request: &Seen, n: usize) -> std::io::Result<()> {
        let (streamed, with_usage) = wishes(&request.body);
        if streamed {
            self.write(SSE_HEAD.as_bytes())?;
            self.chunk(speech::role(&self.inside.name).as_bytes())?;
            (0..n).try_for_each(|_| self.token())?;
            self.chunk(speech::finish(&self.inside.name).as_bytes())?;
            if with_usage {
                self.chunk(speech::usage_frame(&self.inside.name, n).as_bytes())?;
            }
            // One write, so that whoever has seen the end marker has the end of the body too, and keeps the connection.
            let done = speech::done();
            self.write(format!("{:x}\r\n{done}\r\n0\r\n\r\n", done.len()).as_bytes())?;
        } else {
            let body = speech::plain(&self.inside.name, &request.path, n);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: canary-7f3a-must-not-leak\r\n";
            self.write(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        }
        self.inside.answered.fetch_add(1, Ordering::SeqCst);
        let mut usage = lock(&self.inside.usage);
        let completion = if request.path == "/v1/embeddings" { 0 } else { n as u64 };
        *usage = (usage.0 + speech::PROMPT_TOKENS, usage.1 + completion);
        Ok(())
    }

    fn echo(&mut self, request: &Seen, n: usize) -> std::io::Result<()> {
        let body = String::from_utf8_lossy(&request.body);
        let piece = format!("{} ", tag::in_text(&body).unwrap_or("untagged"));
        let name = &self.inside.name;
        if wishes(&request.body).0 {
            self.write(SSE_HEAD.as_bytes())?;
            // One in four takes its time, so that clients leave in the middle.
            let slow = piece.bytes().map(u64::from).sum::<u64>() % 4 == 0;
            for _ in 0..n {
                self.chunk(speech::said(name, &piece).as_bytes())?;
                if slow && self.is_gone(Some(Duration::from_millis(1))) {
                    return Err(ErrorKind::BrokenPipe.into());
                }
            }
            let end = speech::finish(name) + &speech::done();
            self.write(format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len()).as_bytes())?;
        } else {
            let body = speech::plain_saying(name, &piece.repeat(n), n);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
            self.write(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        }
        Ok(())
    }

    fn token(&mut self) -> std::io::Result<()> {
        self.said += 1;
        self.chunk(speech::said(&self.inside.name, &speech::token(self.said)).as_bytes())?;
        self.inside.tokens.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn chunk(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }

    fn write(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            match (&mut self.stream).write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let first = !std::mem::replace(&mut self.held_up, true);
                    self.inside.held_up.fetch_add(usize::from(first), Ordering::SeqCst);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The other side has closed; looks for so long, or until it has.
    fn is_gone(&mut self, wait: Option<Duration>) -> bool {
        self.stream.set_read_timeout(wait).unwrap();
        let read = (&mut self.stream).read(&mut [0; 64]);
        self.stream.set_read_timeout(None).unwrap();
        match read {
            // Nothing is sent on a connection whose answer is not over.
            Ok(n) => n == 0,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}
