//! Each fault as a client without mercy sees it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{chat, engine, engine_at, events, exchange, exchange_json, parse, read_all, send, settle, text};
use rhumb_emulator::Fault;
use std::io::ErrorKind;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const PATH: &str = "/v1/chat/completions";
const LONG: &str = "x-emulator-output-tokens: 60\r\n";

fn streamed() -> String {
    chat("on and on", r#","stream":true"#)
}

/// Reads until the stream has shown `tokens` tokens.
async fn read_tokens(client: &mut TcpStream, tokens: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let read = client.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "the stream ended early");
        // The role delta has empty content.
        if String::from_utf8_lossy(&bytes).matches("\"content\":\"").count() > tokens {
            return bytes;
        }
    }
}

#[tokio::test]
async fn an_http_error_strikes_inference_only_and_passes() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    engine.set_fault(Fault::Http { status: 503 });
    let (status, answer) = exchange_json(at, PATH, &streamed()).await;
    assert_eq!((status, answer["error"]["type"].as_str()), (503, Some("server_error")));
    assert_eq!(exchange(at, "GET", "/health", "", "").await.0, 200);
    engine.set_fault(Fault::None);
    assert_eq!(exchange_json(at, PATH, &chat("well again", "")).await.0, 200);
}

#[tokio::test]
async fn refusing_closes_without_a_byte() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    engine.set_fault(Fault::Refuse);
    let Ok(mut client) = TcpStream::connect(at).await else { return };
    let mut bytes = Vec::new();
    let outcome = client.read_to_end(&mut bytes).await;
    assert!(bytes.is_empty());
    assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_hanging_engine_takes_requests_and_says_nothing() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    engine.set_fault(Fault::Hang);
    let mut hung = [send(at, "POST", PATH, "", &streamed()).await, send(at, "GET", "/health", "", "").await];
    // The answer to a later request shows that the earlier ones had their chance.
    let (status, body) = exchange(at, "GET", "/emulator/stats", "", "").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""fault":{"fault":"hang"}"#), "{body}");
    for client in &mut hung {
        let mut byte = [0];
        assert_eq!(client.try_read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert_eq!(engine.stats().accepted, 0);
}

#[tokio::test]
async fn a_stalled_stream_stays_open_and_silent_while_the_engine_goes_on() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    engine.set_fault(Fault::Stall { after_tokens: 3 });
    let mut client = send(at, "POST", PATH, LONG, &streamed()).await;
    let mut bytes = read_tokens(&mut client, 3).await;
    settle(&engine, |stats| stats.finished == 1).await;
    while client.try_read_buf(&mut bytes).is_ok_and(|read| read > 0) {}
    assert_eq!(client.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "silent but not closed");
    let (_, body, complete) = parse(&bytes);
    assert_eq!((text(&events(&body)).split(' ').count(), complete), (3, false));
}

#[tokio::test]
async fn a_reset_shows_the_tokens_before_it_and_no_end() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    engine.set_fault(Fault::Reset { after_tokens: 4 });
    let (bytes, error) = read_all(send(at, "POST", PATH, LONG, &streamed()).await).await;
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    let (status, body, complete) = parse(&bytes);
    assert_eq!((status, text(&events(&body)).split(' ').count(), complete), (200, 4, false));
    let (bytes, error) = read_all(send(at, "POST", PATH, LONG, &chat("plain", "")).await).await;
    assert_eq!((bytes.len(), error), (0, Some(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_fault_strikes_a_stream_under_way() {
    let engine = engine_at(&[0], 1.0);
    let at = engine.addresses()[0];
    let mut client = send(at, "POST", PATH, "x-emulator-output-tokens: 4000\r\n", &streamed()).await;
    read_tokens(&mut client, 2).await;
    engine.set_fault(Fault::Reset { after_tokens: 0 });
    assert_eq!(read_all(client).await.1, Some(ErrorKind::ConnectionReset));
    settle(&engine, |stats| stats.cancelled == 1 && stats.running == 0).await;
}

#[tokio::test]
async fn a_clean_end_comes_without_done() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    engine.set_fault(Fault::Fin { after_tokens: 5 });
    let (bytes, error) = read_all(send(at, "POST", PATH, LONG, &streamed()).await).await;
    assert_eq!(error, None);
    let (_, body, complete) = parse(&bytes);
    assert!(complete && !body.contains("[DONE]") && !body.contains("stop"));
    assert_eq!(text(&events(&body)).split(' ').count(), 5);
    let (bytes, error) = read_all(send(at, "POST", PATH, LONG, &chat("plain", "")).await).await;
    assert_eq!((bytes.len(), error), (0, None));
}

#[tokio::test]
async fn faults_are_set_from_outside() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let (status, answer) = exchange_json(at, "/emulator/fault", r#"{"fault":"reset","after_tokens":17}"#).await;
    assert_eq!((status, &answer["fault"]["after_tokens"]), (200, &serde_json::json!(17)));
    assert_eq!(exchange_json(at, "/emulator/fault", r#"{"fault":"typo"}"#).await.0, 400);
    let (_, error) = read_all(send(at, "POST", PATH, LONG, &streamed()).await).await;
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    assert_eq!(exchange_json(at, "/emulator/fault", r#"{"fault":"hang","for_ms":0}"#).await.0, 200);
    assert_eq!(exchange(at, "GET", "/health", "", "").await.0, 200, "a fault set for no time is over");
}
