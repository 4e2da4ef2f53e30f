//! An engine of tasks on one thread, that does what prompts tell it and notes when it sees a cancel.
//!
//! A prompt holds `id=N;do=WHAT;tokens=N;every=MS;`: `say` is a good answer, `fail` a 500, `cut` a stream that breaks
//! in the middle.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rhumb_tests::speech;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What clients and engines know of cancels.
#[derive(Default)]
pub(crate) struct Cancels {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    left: BTreeMap<u64, Instant>,
    reached_ms: Vec<f64>,
}

impl Cancels {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client of a request leaves now.
    pub(crate) fn left(&self, id: u64) {
        self.inner().left.insert(id, Instant::now());
    }

    /// The engine sees that the client of a request has left.
    fn seen(&self, id: u64) {
        let mut inner = self.inner();
        if let Some(at) = inner.left.remove(&id) {
            let ms = at.elapsed().as_secs_f64() * 1e3;
            inner.reached_ms.push(ms);
        }
    }

    /// Cancels that no engine has seen yet.
    pub(crate) fn unseen(&self) -> usize {
        self.inner().left.len()
    }

    /// How long each took from the client to the engine, ms; they are forgotten.
    pub(crate) fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.inner().reached_ms)
    }
}

/// Frames are the same each time, so they are made once.
struct Frames {
    open: String,
    token: String,
    end: String,
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn frames(name: &str, tokens: usize) -> Frames {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let end = speech::finish(name) + &speech::usage_frame(name, tokens) + &speech::done();
    Frames {
        open: format!("{head}{}", chunk(&speech::role(name))),
        token: chunk(&speech::said(name, "token ")),
        end: chunk(&end) + "0\r\n\r\n",
    }
}

/// Serves so many engines on a thread of their own until the process ends, and says where they listen.
pub(crate) fn start(count: usize, cancels: &Arc<Cancels>) -> Vec<SocketAddr> {
    let listeners: Vec<std::net::TcpListener> =
        (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let addresses = listeners.iter().map(|l| l.local_addr().expect("it is bound")).collect();
    let cancels = Arc::clone(cancels);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            for (number, listener) in listeners.into_iter().enumerate() {
                listener.set_nonblocking(true).expect("a socket can be");
                let listener = TcpListener::from_std(listener).expect("it listens");
                tokio::spawn(accept(listener, format!("engine-{number}"), Arc::clone(&cancels)));
            }
            std::future::pending::<()>().await;
        });
    });
    addresses
}

async fn accept(listener: TcpListener, name: String, cancels: Arc<Cancels>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (name, cancels) = (name.clone(), Arc::clone(&cancels));
        tokio::spawn(async move { serve(stream, &name, &cancels).await });
    }
}

/// Serves requests until the connection ends.
async fn serve(mut stream: TcpStream, name: &str, cancels: &Cancels) -> Option<()> {
    let mut read = Vec::with_capacity(4 << 10);
    loop {
        let request = request(&mut stream, &mut read).await?;
        if request.starts_with("GET ") {
            let page = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.0\n";
            plain(&mut stream, "200 OK", page).await?;
            continue;
        }
        let told = |name: &str| request.split(&format!("{name}=")).nth(1)?.split(';').next();
        let number = |name: &str| told(name)?.parse::<u64>().ok();
        let (id, tokens, every) = (number("id")?, number("tokens")? as usize, number("every")?);
        match (told("do")?, request.contains("\"stream\":true")) {
            ("fail", _) => plain(&mut stream, "500 Oh", "an engine's page").await?,
            (_, false) => {
                tokio::time::sleep(Duration::from_millis(every)).await;
                plain(&mut stream, "200 OK", &speech::plain(name, "/v1/chat/completions", tokens)).await?;
            }
            (what, true) => {
                let frames = frames(name, tokens);
                let is_cut = what == "cut";
                let told = if is_cut { tokens / 2 } else { tokens };
                let whole = say(&mut stream, &frames, told, Duration::from_millis(every)).await;
                if whole.is_none() {
                    cancels.seen(id);
                }
                whole.filter(|()| !is_cut)?;
                stream.write_all(frames.end.as_bytes()).await.ok()?;
            }
        }
    }
}

/// Says so many tokens; `None`: the other side has gone.
async fn say(stream: &mut TcpStream, frames: &Frames, tokens: usize, every: Duration) -> Option<()> {
    let (mut reading, mut writing) = stream.split();
    let mut byte = [0];
    let saying = async {
        writing.write_all(frames.open.as_bytes()).await.ok()?;
        for _ in 0..tokens {
            tokio::time::sleep(every).await;
            writing.write_all(frames.token.as_bytes()).await.ok()?;
        }
        Some(())
    };
    tokio::select! {
        biased;
        // Nothing comes before the answer has ended, but its end.
        _ = reading.read(&mut byte) => None,
        said = saying => said,
    }
}

async fn plain(stream: &mut TcpStream, status: &str, page: &str) -> Option<()> {
    let kind = if page.starts_with('{') { "application/json" } else { "text/plain" };
    let length = page.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{page}");
    stream.write_all(head.as_bytes()).await.ok()
}

/// A request as text, head and body.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let stated = head.split("content-length:").nth(1).and_then(|l| l.split('\r').next()?.trim().parse().ok());
            let whole = end + 4 + stated.unwrap_or(0);
            if read.len() >= whole {
                let rest = read.split_off(whole);
                return String::from_utf8(std::mem::replace(read, rest)).ok();
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
