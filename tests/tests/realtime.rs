//! Sessions of the Realtime API: passed on to an engine that carries them, as they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::{MODEL, wait};
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// An engine that says everything back, and states a usage when it is told to respond.
struct Engine {
    address: SocketAddr,
    /// Heads of the handshakes.
    heads: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

/// What an engine does with a session.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Serves,
    /// It refuses it with this status.
    Refuses(u16),
}

impl Engine {
    fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let engine = Self { address: listener.local_addr().unwrap(), heads: Arc::default(), open: Arc::default() };
        let (heads, open) = (Arc::clone(&engine.heads), Arc::clone(&engine.open));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (heads, open) = (Arc::clone(&heads), Arc::clone(&open));
                std::thread::spawn(move || serve(stream, does, &heads, &open));
            }
        });
        engine
    }

    fn handshakes(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn serve(mut stream: TcpStream, does: Does, heads: &Mutex<Vec<String>>, open: &AtomicUsize) {
    let mut seen = [0; 4_096];
    let Ok(length) = stream.peek(&mut seen) else { return };
    let head = String::from_utf8_lossy(&seen[..length]).into_owned();
    if !head.contains("upgrade: websocket") {
        let _ = stream.write_all(b"HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        return;
    }
    heads.lock().unwrap().push(head);
    if let Does::Refuses(status) = does {
        let _ = stream.read(&mut seen);
        let _ = write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
        return;
    }
    let mut socket = tungstenite::accept(stream).unwrap();
    open.fetch_add(1, Ordering::SeqCst);
    let _ = socket.send(Message::text(json!({"type": "session.created"}).to_string()));
    while let Ok(message) = socket.read() {
        let said = match message {
            Message::Text(text) if text.contains("response.create") => {
                let usage = json!({"input_tokens": 9, "output_tokens": 3, "input_token_details": {"cached_tokens": 4}});
                Message::text(json!({"type": "response.done", "response": {"usage": usage}}).to_string())
            }
            Message::Text(text) if text.contains("die") => break,
            message @ (Message::Text(_) | Message::Binary(_)) => message,
            _ => continue,
        };
        let _ = socket.send(said);
    }
    open.fetch_sub(1, Ordering::SeqCst);
}

fn over(engines: &[&Engine]) -> Config {
    let names = ["a", "b"];
    let config =
        engines.iter().zip(names).rev().fold(Config::over(&[]), |c, (engine, name)| c.through(name, engine.address));
    config.model("realtime: true")
}

struct Client(WebSocket<TcpStream>);

impl Client {
    /// The socket, or the status and body of the answer that refuses it.
    fn open(gateway: &Gateway, query: &str, headers: &[(&str, &str)]) -> Result<Self, (u16, String)> {
        let mut request = tungstenite::http::Request::get(format!("ws://{}/v1/realtime{query}", gateway.address))
            .header("host", "g")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", tungstenite::handshake::client::generate_key());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_read_timeout(Some(wait::LONGEST)).unwrap();
        match tungstenite::client(request.body(()).unwrap(), stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                let body = String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into_owned();
                Err((answer.status().as_u16(), body))
            }
            Err(why) => panic!("{why}"),
        }
    }

    fn begun(gateway: &Gateway) -> Self {
        let mut client = Self::open(gateway, &format!("?model={MODEL}"), &[]).unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(client.said(), Message::text(r#"{"type":"session.created"}"#));
        client
    }

    fn say(&mut self, message: Message) {
        self.0.send(message).unwrap();
    }

    fn said(&mut self) -> Message {
        loop {
            match self.0.read().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    fn end(&mut self) -> CloseCode {
        match self.said() {
            Message::Close(frame) => frame.unwrap().code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_session_passes_as_it_is_and_is_counted_once() {
    let engine = Engine::start(Does::Serves);
    let gateway = over(&[&engine]).start();
    let mut client = Client::begun(&gateway);
    let odd = r#"{ "type":"x",  "audio" : "AA==" }"#;
    for message in [Message::text(odd), Message::binary(vec![0xff, 0, 1])] {
        client.say(message.clone());
        assert_eq!(client.said(), message);
    }
    for _ in 0..2 {
        client.say(Message::text(r#"{"type":"response.create"}"#));
        let Message::Text(done) = client.said() else { panic!() };
        assert_eq!(serde_json::from_str::<Value>(&done).unwrap()["type"], "response.done");
    }
    let head = engine.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.starts_with(&format!("get /v1/realtime?model={MODEL} http/1.1\r\n")), "{head}");
    assert!(head.contains("x-request-id: ") && !head.contains("permessage-deflate"));
    client.0.close(None).unwrap();
    wait::until_true("the engine's side ends", || engine.open.load(Ordering::SeqCst) == 0);
    drop(client);
    let rows = gateway.stop().rows;
    let row = &rows[0];
    assert_eq!((rows.len(), row.outcome.as_str(), row.prompt_tokens, row.completion_tokens), (1, "complete", 18, 6));
}

#[test]
fn an_engine_that_refuses_is_passed_over_and_a_refusal_is_an_answer_of_http() {
    let (a, b) = (Engine::start(Does::Refuses(503)), Engine::start(Does::Serves));
    let gateway = over(&[&a, &b]).start();
    let client = Client::begun(&gateway);
    assert_eq!((a.handshakes(), b.handshakes()), (1, 1));
    drop(client);
    for (query, headers, status, says) in [
        ("", &[][..], 400, "`model` is missing"),
        ("?model=nope", &[], 404, "does not exist"),
        ("?model=tiny", &[("origin", "https://elsewhere.example")], 403, "cors_origins"),
        ("?model=tiny", &[("x-rhumb-policy", "nope")], 400, "x-rhumb-policy"),
    ] {
        let (found, body) = Client::open(&gateway, query, headers).err().unwrap();
        assert!(found == status && body.contains(says), "{query}: {found} {body}");
    }
    let none = Engine::start(Does::Refuses(500));
    let alone = over(&[&none]).start();
    let (status, body) = Client::open(&alone, "?model=tiny", &[]).err().unwrap();
    assert!(status >= 500, "{status} {body}");
    // A model that generates text carries no sessions; where none does, whoever asks goes on with HTTP.
    let mixed = over(&[&a, &b]).other_model("{name: chat}").endpoint(0, |e| e.model = "chat");
    let chat = Config::over(&[]).through("a", b.address).start();
    let (status, body) = Client::open(&chat, "?model=tiny", &[]).err().unwrap();
    assert!(status == 426 && body.contains("stream"), "{status} {body}");
    let (status, body) = Client::open(&mixed.start(), "?model=chat", &[]).err().unwrap();
    assert!(status == 400 && body.contains("`realtime: true`"), "{status} {body}");
}

#[test]
fn whoever_leaves_ends_the_session_on_both_sides() {
    let engine = Engine::start(Does::Serves);
    let gateway = over(&[&engine]).start();
    // The client, without a word.
    drop(Client::begun(&gateway));
    wait::until_true("the engine's side ends", || engine.open.load(Ordering::SeqCst) == 0);
    // The engine.
    let mut client = Client::begun(&gateway);
    client.say(Message::text("die"));
    assert_eq!(client.end(), CloseCode::Error);
    drop(client);
    let rows = gateway.stop().rows;
    let outcomes: Vec<&str> = rows.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(outcomes, ["client_gone", "broken"]);
}

#[test]
fn f41_a_message_over_the_limit_ends_its_own_session_alone() {
    let engine = Engine::start(Does::Serves);
    let gateway = over(&[&engine]).gateway("max_body_bytes: 2000").start();
    let (mut good, mut bad) = (Client::begun(&gateway), Client::begun(&gateway));
    bad.say(Message::binary(vec![0; 2_001]));
    assert_eq!(bad.end(), CloseCode::Size);
    good.say(Message::text("still here"));
    assert_eq!(good.said(), Message::text("still here"));
}

#[test]
fn f60_a_gateway_that_stops_ends_its_sessions_with_a_word() {
    let engine = Engine::start(Does::Serves);
    let gateway = over(&[&engine]).start();
    let mut client = Client::begun(&gateway);
    gateway.terminate();
    assert_eq!(client.end(), CloseCode::Away);
    drop(client);
    assert_eq!(gateway.await_exit().rows[0].outcome, "complete");
    wait::until_true("the engine's side ends", || engine.open.load(Ordering::SeqCst) == 0);
}

#[test]
fn a_session_takes_a_place_of_its_endpoint() {
    let engine = Engine::start(Does::Serves);
    let config = over(&[&engine]).policy("max_wait_ms: 50").endpoint(0, |e| e.concurrency = 1);
    let gateway = config.start();
    let first = Client::begun(&gateway);
    let (status, body) = Client::open(&gateway, "?model=tiny", &[]).err().unwrap();
    assert_eq!(status, 429, "{body}");
    drop(first);
    wait::until_true("its place is free", || Client::open(&gateway, "?model=tiny", &[]).is_ok());
}
