//! Responses over a WebSocket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpStream;

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::{MODEL, speech, wait};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

const KEPT: &str = "kept_max_age_days: 30";

/// A client's socket.
struct Socket(WebSocket<TcpStream>);

impl Socket {
    fn open(gateway: &Gateway) -> Self {
        let request = format!("ws://{}/v1/responses", gateway.address).into_client_request().unwrap();
        let stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_read_timeout(Some(wait::LONGEST)).unwrap();
        Self(tungstenite::client(request, stream).unwrap().0)
    }

    fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// Asks for a response that goes on with another.
    fn create(&mut self, input: &str, previous: Option<&str>) {
        self.say(&json!({"type": "response.create", "model": MODEL, "input": input, "previous_response_id": previous}));
    }

    /// The next event.
    fn event(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Events up to the one of this type.
    fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut out = Vec::new();
        while out.last().is_none_or(|event: &Value| event["type"] != kind) {
            out.push(self.event());
        }
        out
    }

    /// A whole response: its identifier and its text.
    fn response(&mut self) -> (String, String) {
        let events = self.until("response.completed");
        let numbers: Vec<u64> = events.iter().map(|e| e["sequence_number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
        assert_eq!(events[0]["type"], "response.created");
        let text = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        (events.last().unwrap()["response"]["id"].as_str().unwrap().to_owned(), text)
    }

    /// The error that it says next: status, code and message.
    fn error(&mut self) -> (u64, String, String) {
        let event = self.event();
        assert_eq!(event["type"], "error", "{event}");
        let text = |key: &str| event["error"][key].as_str().unwrap().to_owned();
        (event["status"].as_u64().unwrap(), text("code"), text("message"))
    }

    /// How the gateway ends it.
    fn end(&mut self) -> CloseCode {
        loop {
            match self.0.read() {
                Ok(Message::Close(frame)) => return frame.unwrap().code,
                Ok(_) => {}
                Err(why) => panic!("{why}"),
            }
        }
    }
}

/// The texts of a request's messages. What one side says in several turns is one message of several parts.
fn messages(mock: &Mock) -> Vec<String> {
    let seen = mock.seen().last().unwrap().json();
    let texts = |content: &Value| match content.as_array() {
        Some(parts) => parts.iter().map(|part| part["text"].as_str().unwrap().to_owned()).collect(),
        None => vec![content.as_str().unwrap().to_owned()],
    };
    seen["messages"].as_array().unwrap().iter().flat_map(|m| texts(&m["content"])).collect()
}

fn one(script: Vec<Step>) -> (Mock, Gateway) {
    let mock = Mock::start("a", script);
    let gateway = Config::over(&[&mock]).start();
    (mock, gateway)
}

#[test]
fn a_conversation_goes_on_although_nothing_is_kept() {
    let (mock, gateway) = one(vec![Step::Answer(3)]);
    let mut socket = Socket::open(&gateway);
    socket.create("first", None);
    let (first, text) = socket.response();
    assert_eq!(text, speech::text(3));
    socket.create("second", Some(&first));
    let (second, _) = socket.response();
    assert_eq!(messages(&mock), ["first", speech::text(3).as_str(), "second"]);
    // From any of them, not from the last alone.
    socket.create("other", Some(&first));
    socket.response();
    assert_eq!(messages(&mock), ["first", speech::text(3).as_str(), "other"]);
    // Another socket knows nothing of it.
    let mut other = Socket::open(&gateway);
    other.create("third", Some(&second));
    assert_eq!(other.error().1, "previous_response_not_found");
    drop((socket, other));
    let rows = gateway.stop().rows;
    assert_eq!((rows.len(), rows.iter().all(|r| r.outcome == "complete" && r.completion_tokens == 3)), (3, true));
}

#[test]
fn what_is_kept_is_one_with_what_comes_by_http() {
    let mock = Mock::answering("a", 2);
    let gateway = Config::over(&[&mock]).gateway(KEPT).start();
    let body = json!({"model": MODEL, "input": "by http"}).to_string();
    let before = gateway.client().exchange(&post("/v1/responses", "", body.as_bytes())).json();
    let mut socket = Socket::open(&gateway);
    socket.create("by socket", before["id"].as_str());
    let (id, _) = socket.response();
    assert_eq!(messages(&mock)[0], "by http");
    let shown = gateway.client().exchange(format!("GET /v1/responses/{id} HTTP/1.1\r\nhost: g\r\n\r\n").as_bytes());
    assert_eq!((shown.status, &shown.json()["previous_response_id"]), (200, &before["id"]));
    // What is not to be kept can be gone on with on its socket alone.
    socket.say(&json!({"type": "response.create", "model": MODEL, "input": "a secret", "store": false}));
    let (id, _) = socket.response();
    let shown = gateway.client().exchange(format!("GET /v1/responses/{id} HTTP/1.1\r\nhost: g\r\n\r\n").as_bytes());
    assert_eq!(shown.status, 404);
    socket.create("and on", Some(&id));
    socket.response();
    assert_eq!(messages(&mock)[0], "a secret");
}

#[test]
fn lanes_go_beside_each_other_and_each_keeps_its_order() {
    let mock = Mock::start("a", vec![Step::Answer(2)]);
    mock.when("slow", vec![Step::Gate, Step::Answer(2)]);
    let gateway = Config::over(&[&mock]).start();
    let mut socket = Socket::open(&gateway);
    let ask = |socket: &mut Socket, lane: &str, input: &str| {
        socket.say(&json!({"type": "response.create", "model": MODEL, "input": input, "stream_id": lane}));
    };
    ask(&mut socket, "a", "slow");
    ask(&mut socket, "a", "behind it");
    mock.await_requests(1);
    ask(&mut socket, "b", "quick");
    let events = socket.until("response.completed");
    assert!(events.iter().all(|event| event["stream_id"] == "b"), "{events:?}");
    assert_eq!(mock.requests(), 2, "a lane's second waits for its first");
    mock.release();
    for _ in 0..2 {
        let events = socket.until("response.completed");
        assert!(events.iter().all(|event| event["stream_id"] == "a"));
    }
    assert_eq!(messages(&mock), ["behind it"]);
}

#[test]
fn a_lane_and_a_socket_have_a_limit_that_is_named() {
    let (mock, gateway) = one(vec![Step::Gate, Step::Answer(1)]);
    let mut socket = Socket::open(&gateway);
    for lane in 0..17 {
        let message = json!({"type": "response.create", "model": MODEL, "input": "x", "stream_id": lane.to_string()});
        socket.say(&message);
    }
    let (status, code, message) = socket.error();
    assert_eq!((status, code.as_str()), (429, "websocket_stream_limit_reached"), "{message}");
    mock.await_requests(16);
    mock.release();
    (0..16).for_each(|_| drop(socket.until("response.completed")));
    socket.create("there is room again", None);
    socket.response();
}

#[test]
fn a_warm_up_asks_no_engine_and_can_be_gone_on_with() {
    let (mock, gateway) = one(vec![Step::Answer(3)]);
    let mut socket = Socket::open(&gateway);
    socket.say(&json!({"type": "response.create", "model": MODEL, "generate": false, "input": "the tools are these"}));
    let (id, text) = socket.response();
    assert_eq!((mock.requests(), text.as_str()), (0, ""));
    socket.create("go", Some(&id));
    socket.response();
    assert_eq!(messages(&mock), ["the tools are these", "go"]);
    socket.say(&json!({"type": "response.create", "model": "nope", "generate": false, "input": "x"}));
    assert_eq!(socket.error().1, "model_not_found");
}

#[test]
fn f41_what_is_wrong_is_named_and_the_socket_stays() {
    let (_mock, gateway) = one(vec![Step::Answer(1)]);
    let mut socket = Socket::open(&gateway);
    for (text, status, says) in [
        ("{", 400, "JSON"),
        ("[]", 400, "JSON object"),
        (r#"{"type":"response.steer"}"#, 400, "`response.steer` is not spoken here"),
        (r#"{"type":"response.create","background":true}"#, 400, "`background`"),
        (r#"{"type":"response.create","input":"x"}"#, 400, "`model`"),
        (r#"{"type":"response.create","model":"tiny","input":7}"#, 400, "`input`"),
        (r#"{"type":"response.create","model":"tiny","input":"x","conversation":"c"}"#, 404, "conversation"),
        (r#"{"type":"response.create","model":"tiny","input":"x","a":1,"a":2}"#, 400, ""),
    ] {
        socket.0.send(Message::text(text)).unwrap();
        let (found, _, message) = socket.error();
        assert!(found == status && message.contains(says), "{text}: {found} {message}");
    }
    socket.0.send(Message::binary(vec![0xff; 9])).unwrap();
    assert!(socket.error().2.contains("must be text"));
    socket.0.send(Message::Ping(vec![7].into())).unwrap();
    assert!(matches!(socket.0.read().unwrap(), Message::Pong(data) if data[..] == [7]));
    socket.create("well", None);
    socket.response();
}

/// A frame of a client: its first byte, and a payload that is masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[first, 0x80 | 126][..], &length, &[0; 4], payload].concat()
}

#[test]
fn f41_frames_that_break_the_protocol_end_their_own_socket_alone() {
    let mock = Mock::start("a", vec![Step::Answer(1)]);
    let gateway = Config::over(&[&mock]).gateway("max_body_bytes: 2000").start();
    let mut good = Socket::open(&gateway);
    for (bytes, want) in [
        (frame(0x81, &[b'x'; 2_001]), CloseCode::Size),
        (frame(0x81, b"\xff\xfe"), CloseCode::Invalid),
        // Not masked, a bit that means nothing, a text that goes on without having begun.
        (vec![0x81, 1, b'x'], CloseCode::Protocol),
        (frame(0xf1, b"x"), CloseCode::Protocol),
        (frame(0x80, b"x"), CloseCode::Protocol),
    ] {
        let mut bad = Socket::open(&gateway);
        std::io::Write::write_all(bad.0.get_mut(), &bytes).unwrap();
        assert_eq!(bad.end(), want);
    }
    good.create("still here", None);
    good.response();
}

#[test]
fn a_handshake_is_refused_by_name() {
    let mock = Mock::start("a", vec![Step::Answer(1)]);
    let tail = "tenants:\n  - {name: t, keys: [{name: k, key: secret-of-t}]}\n";
    let gateway = Config::over(&[&mock]).tail(tail).start();
    let ask = |path: &str, headers: &str| {
        let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nupgrade: websocket\r\n";
        let head = format!("GET {path} HTTP/1.1\r\nhost: g\r\n{key}{headers}\r\n");
        gateway.client().exchange(head.as_bytes())
    };
    let (whole, key) =
        ("connection: Upgrade\r\nsec-websocket-version: 13\r\n", "authorization: Bearer secret-of-t\r\n");
    for (path, headers, status) in [
        ("/v1/responses", whole.to_owned(), 401),
        ("/v1/responses", format!("{whole}{key}origin: https://elsewhere.example\r\n"), 403),
        ("/v1/responses", format!("connection: Upgrade\r\n{key}"), 400),
        ("/v1/responses", format!("{whole}{key}").replace("13", "8"), 400),
        ("/v1/chat/completions", format!("{whole}{key}"), 426),
    ] {
        let answer = ask(path, &headers);
        assert_eq!(answer.status, status, "{headers}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string());
    }
    // One that is right is answered, and the key of its tenant is that of all its requests.
    let request = tungstenite::http::Request::get(format!("ws://{}/v1/responses", gateway.address))
        .header("host", "g")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("authorization", "Bearer secret-of-t")
        .body(())
        .unwrap();
    let mut socket = Socket(tungstenite::client(request, TcpStream::connect(gateway.address).unwrap()).unwrap().0);
    socket.create("x", None);
    socket.response();
    drop(socket);
    assert_eq!(gateway.stop().rows[0].tenant, "t");
}

#[test]
fn f13_a_client_that_leaves_cancels_what_is_made_for_it() {
    let (mock, gateway) = one(vec![Step::Head, Step::Role, Step::Trickle]);
    let mut socket = Socket::open(&gateway);
    socket.create("x", None);
    socket.until("response.output_text.delta");
    drop(socket);
    mock.await_cancels(1);
    assert_eq!(gateway.stop().rows[0].outcome, "client_gone");
}

#[test]
fn f60_a_gateway_that_stops_makes_what_it_has_begun_and_says_why_it_ends() {
    let (mock, gateway) = one(vec![
        Step::Head,
        Step::Role,
        Step::Tokens(1),
        Step::Gate,
        Step::Tokens(1),
        Step::Raw([chunk(&speech::finish("a")), chunk(&speech::done()), b"0\r\n\r\n".to_vec()].concat()),
    ]);
    let (mut busy, mut idle) = (Socket::open(&gateway), Socket::open(&gateway));
    busy.create("x", None);
    busy.until("response.output_text.delta");
    gateway.terminate();
    assert_eq!(idle.end(), CloseCode::Away);
    mock.release();
    busy.until("response.completed");
    assert_eq!(busy.end(), CloseCode::Away);
    assert!(matches!(busy.0.read(), Err(Error::ConnectionClosed)) || busy.0.close(None).is_err());
    assert_eq!(gateway.await_exit().rows[0].outcome, "complete");
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[test]
fn a_stream_that_breaks_off_is_told_and_the_socket_stays() {
    let (mock, gateway) = one(vec![Step::Head, Step::Role, Step::Tokens(2), Step::Reset]);
    let mut socket = Socket::open(&gateway);
    socket.create("x", None);
    let failed = socket.until("response.failed").pop().unwrap();
    assert_eq!(failed["response"]["status"], "failed");
    mock.set(vec![Step::Answer(2)]);
    socket.create("again", None);
    assert_eq!(socket.response().1, speech::text(2));
    // Whoever speaks HTTP meanwhile is not in the way.
    let mut client = Client::connect(gateway.address);
    assert_eq!(
        client.exchange(&post("/v1/chat/completions", "", speech::ask(false).to_string().as_bytes())).status,
        200
    );
}

#[test]
fn f41_requests_that_wait_are_no_longer_together_than_one_may_be() {
    let mock = Mock::start("a", vec![Step::Gate, Step::Answer(1)]);
    let gateway = Config::over(&[&mock]).gateway("max_body_bytes: 2000").start();
    let mut socket = Socket::open(&gateway);
    socket.create("first", None);
    mock.await_requests(1);
    for _ in 0..3 {
        socket.create(&"x".repeat(800), None);
    }
    assert_eq!(socket.error().1, "websocket_stream_limit_reached");
    mock.release();
    (0..3).for_each(|_| drop(socket.response()));
    socket.create(&"x".repeat(800), None);
    socket.response();
}
