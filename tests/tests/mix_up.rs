//! F48: whatever is reused (connections, buffers, streams of one connection) and whoever leaves, nobody is shown a piece
//! of somebody else's answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb_rng::Rng;
use rhumb_tests::client::Client;
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::h2c::{Call, H2};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::tag;

const CHAT: &str = "/v1/chat/completions";
const TENANTS: [&str; 3] = ["key-of-the-first", "key-of-the-second", "key-of-the-third"];

/// Requests when `RHUMB_MIXUP_REQUESTS` says nothing else.
const REQUESTS: usize = 20_000;

const PIECES: usize = 4;
const H1_CLIENTS: usize = 8;
const H2_CLIENTS: usize = 4;
const H2_STREAMS: usize = 24;

/// What has come of all requests.
#[derive(Default)]
struct Count {
    whole: AtomicUsize,
    cancelled: AtomicUsize,
}

struct Ask {
    tag: String,
    key: &'static str,
    body: String,
}

impl Ask {
    fn new(rng: &mut Rng, client: usize, number: usize) -> Self {
        let tag = tag::new(client, number);
        let stream = rng.below(4) > 0;
        let body = format!(
            "{{\"model\":\"tiny\",\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"{tag}\"}}]}}"
        );
        Self { tag, key: TENANTS[rng.below(TENANTS.len())], body }
    }

    /// Every piece is this request's own. How many there are.
    fn pieces(&self, seen: &[u8]) -> usize {
        let seen = String::from_utf8_lossy(seen);
        tag::count(&seen, &self.tag).unwrap_or_else(|other| panic!("{} was shown a piece of {other}: {seen}", self.tag))
    }
}

/// One client on HTTP/1.1: answers read to the end keep the connection, cancels take a new one.
fn h1(gateway: &Gateway, count: &Count, client: usize, requests: usize) {
    let mut rng = Rng::new(client as u64);
    let mut connection = gateway.client();
    for number in 0..requests {
        let ask = Ask::new(&mut rng, client, number);
        let length = ask.body.len();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: grid\r\nauthorization: Bearer {}\r\ncontent-length: {length}\r\n\r\n",
            ask.key
        );
        connection.send(&[head.as_bytes(), ask.body.as_bytes()].concat());
        match rng.below(12) {
            way @ 0..3 => {
                if way > 0 {
                    connection.read_until(&ask.tag);
                }
                ask.pieces(connection.unread_text().as_bytes());
                let left = std::mem::replace(&mut connection, gateway.client());
                if way > 1 {
                    left.reset();
                }
                count.cancelled.fetch_add(1, Ordering::Relaxed);
            }
            _ => whole(&ask, &mut connection, count),
        }
    }
}

fn whole(ask: &Ask, connection: &mut Client, count: &Count) {
    let answer = connection.answer();
    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
    assert_eq!(ask.pieces(&answer.body), PIECES, "{}", answer.text());
    count.whole.fetch_add(1, Ordering::Relaxed);
}

/// One client on HTTP/2: many requests on one connection at once, of which some are cancelled.
fn h2(gateway: &Gateway, count: &Count, client: usize, requests: usize) {
    let mut rng = Rng::new(client as u64);
    let mut connection = H2::connect(gateway.address);
    for first in (0..requests).step_by(H2_STREAMS) {
        let mut calls: Vec<(Ask, Call)> = (first..requests.min(first + H2_STREAMS))
            .map(|number| {
                let ask = Ask::new(&mut rng, client, number);
                let call = connection.post_as(CHAT, ask.key, ask.body.as_bytes());
                (ask, call)
            })
            .collect();
        while !calls.is_empty() {
            let (ask, mut call) = calls.swap_remove(rng.below(calls.len()));
            let way = rng.below(8);
            if way == 0 {
                connection.cancel(call);
                count.cancelled.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let end = if way == 1 { ask.tag.as_str() } else { "" };
            connection.read_until(&mut call, end).expect("the stream stands");
            assert_eq!(call.status, 200);
            let pieces = ask.pieces(&call.read);
            if way == 1 {
                connection.cancel(call);
                count.cancelled.fetch_add(1, Ordering::Relaxed);
            } else {
                assert_eq!(pieces, PIECES);
                count.whole.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn f48_nobody_sees_a_piece_of_anothers_answer() {
    let requests = std::env::var("RHUMB_MIXUP_REQUESTS").map_or(REQUESTS, |n| n.parse().expect("a number of requests"));
    let a = Mock::start("a", vec![Step::Echo(PIECES)]);
    a.forget();
    let tenants: String = TENANTS
        .iter()
        .enumerate()
        .map(|(i, key)| format!("  - {{name: tenant-{i}, keys: [{{name: k, key: {key}}}]}}\n"))
        .collect();
    let gateway = Arc::new(Config::over(&[&a]).tail(&format!("tenants:\n{tenants}")).start());
    let count = Arc::new(Count::default());
    let each = requests / (H1_CLIENTS + H2_CLIENTS);
    let clients: Vec<_> = (0..H1_CLIENTS + H2_CLIENTS)
        .map(|client| {
            let (gateway, count) = (Arc::clone(&gateway), Arc::clone(&count));
            let run = if client < H1_CLIENTS { h1 } else { h2 };
            std::thread::spawn(move || run(&gateway, &count, client, each))
        })
        .collect();
    // All of them end before one of them fails the test, so that the gateway is stopped.
    let ended: Vec<_> = clients.into_iter().map(std::thread::JoinHandle::join).collect();
    assert!(ended.iter().all(Result::is_ok), "a client's checks do not hold");
    let (whole, cancelled) = (count.whole.load(Ordering::Relaxed), count.cancelled.load(Ordering::Relaxed));
    assert_eq!(whole + cancelled, each * (H1_CLIENTS + H2_CLIENTS));
    assert!(whole > requests / 2 && cancelled > requests / 10, "{whole} whole, {cancelled} cancelled");
    // Connections were reused: there were fewer than answers.
    assert!(a.accepted() < whole, "{} connections for {whole} answers", a.accepted());
    assert!(a.cancels() > requests / 100, "{} were cancelled in the middle", a.cancels());
    println!(
        "{whole} answers whole, {cancelled} left ({} in the middle), over {} connections",
        a.cancels(),
        a.accepted()
    );
    let gateway = Arc::into_inner(gateway).expect("the clients are done");
    gateway.await_rest();
    gateway.stop();
}
