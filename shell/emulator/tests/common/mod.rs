//! An engine on a free port and a client that sees raw bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rhumb_emulator::{Emulator, EmulatorConfig, Link, Stats, spawn};
use rhumb_engine::{Limits, Perf, gpu, shape};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The model name the test engine serves.
pub(crate) const MODEL: &str = "tiny-test";

/// A tiny model, fifty times faster than real, behind one listener per round trip given.
pub(crate) fn engine(rtts_ms: &[u64]) -> Emulator {
    engine_at(rtts_ms, 50.0)
}

/// The same at a chosen speed.
pub(crate) fn engine_at(rtts_ms: &[u64], speedup: f64) -> Emulator {
    let config = EmulatorConfig {
        name: "test".to_owned(),
        model: MODEL.to_owned(),
        perf: Perf::new(gpu("h100").unwrap(), 1, shape("tiny").unwrap(), 2.0).unwrap(),
        limits: Limits::default(),
        context_tokens: 4096,
        default_output_tokens: 20,
        seed: 7,
        speedup,
    };
    let link = |rtt_ms: &u64| Link {
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        rtt: Duration::from_millis(*rtt_ms),
    };
    spawn(config, rtts_ms.iter().map(link).collect()).unwrap()
}

/// Sends a request and leaves the connection open for reading; the server closes it after its answer.
pub(crate) async fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A request for a chat answer to `content`, with more fields.
pub(crate) fn chat(content: &str, more: &str) -> String {
    format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"{content}"}}]{more}}}"#)
}

/// Everything the server sends, and the error that ended it, if any.
pub(crate) async fn read_all(mut stream: TcpStream) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => (bytes, None),
        Err(error) => (bytes, Some(error.kind())),
    }
}

/// Status and body of a complete answer.
pub(crate) async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let (bytes, error) = read_all(send(address, method, path, headers, body).await).await;
    assert_eq!(error, None);
    let (status, body, complete) = parse(&bytes);
    assert!(complete, "{}", String::from_utf8_lossy(&bytes));
    (status, body)
}

/// The same for a body of JSON.
pub(crate) async fn exchange_json(address: SocketAddr, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = exchange(address, "POST", path, "", body).await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Status, body with its transfer encoding undone, and whether the body came to its proper end.
pub(crate) fn parse(bytes: &[u8]) -> (u16, String, bool) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head[9..12].parse().unwrap();
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return (status, body.to_owned(), true);
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (status, whole, true);
        }
        let Some(data) = after.get(..size) else { break };
        whole += data;
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (status, whole, false)
}

/// The events of a stream, `[DONE]` as null.
pub(crate) fn events(body: &str) -> Vec<Value> {
    let payloads = body.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    payloads.map(|text| if text == "[DONE]" { Value::Null } else { serde_json::from_str(text).unwrap() }).collect()
}

/// The text of a streamed chat answer.
pub(crate) fn text(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

/// Waits until the engine's reading satisfies `wanted`.
pub(crate) async fn settle(engine: &Emulator, wanted: impl Fn(&Stats) -> bool) -> Stats {
    for _ in 0..2000 {
        let stats = engine.stats();
        if wanted(&stats) {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never settled: {:?}", engine.stats());
}
