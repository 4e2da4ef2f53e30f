//! F40: bodies that are too large, too slow, or only claimed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::{speech, wait};

const CHAT: &str = "/v1/chat/completions";
const LIMIT: usize = 64 << 10;
const GIB: usize = 1 << 30;

fn small(mock: &Mock) -> Config {
    Config::over(&[mock]).gateway(&format!("max_body_bytes: {LIMIT}"))
}

/// A head that claims so much and is followed by nothing.
fn claim(length: usize, headers: &str) -> Vec<u8> {
    format!("POST {CHAT} HTTP/1.1\r\nhost: grid\r\ncontent-length: {length}\r\n{headers}\r\n").into_bytes()
}

fn chunked(headers: &str) -> Vec<u8> {
    format!("POST {CHAT} HTTP/1.1\r\nhost: grid\r\ntransfer-encoding: chunked\r\n{headers}\r\n").into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The connection carries nothing more: what follows a refused body must not be taken for a request.
fn is_over(client: &mut Client) {
    client.try_send(b"GET /health/live HTTP/1.1\r\nhost: grid\r\n\r\n");
    assert!(client.is_closed(), "{}", client.unread_text());
}

#[test]
fn f40_a_claim_of_a_gibibyte_is_refused_unread() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    let before = gateway.peak_memory();
    for length in [LIMIT + 1, GIB, usize::MAX] {
        for headers in ["", "expect: 100-continue\r\n"] {
            let mut client = gateway.client();
            client.send(&claim(length, headers));
            // Nothing of the body is ever sent: an answer proves that none was waited for. Nor is it asked for.
            let answer = client.answer();
            if length == usize::MAX {
                assert_eq!(answer.status, 431, "the HTTP layer itself refuses a length that it cannot count");
            } else {
                answer.error(413, "request_too_large");
            }
            is_over(&mut client);
        }
    }
    assert!(gateway.peak_memory() - before < 64 << 20);
    assert_eq!(a.requests(), 0);
    assert_eq!(gateway.stop().rows.len(), 0);
}

#[test]
fn f40_a_chunked_body_is_refused_while_it_streams_in() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    let before = gateway.peak_memory();
    let mut client = gateway.client();
    client.send(&chunked(""));
    // Far more than the limit would follow; the answer comes although the body never ends.
    let piece = chunk(&[b' '; 16 << 10]);
    let taken = (0..1_000).take_while(|_| client.try_send(&piece)).count();
    assert!(taken * (16 << 10) < GIB);
    let mut patient = gateway.client();
    patient.send(&chunked(""));
    (0..5).for_each(|_| patient.send(&piece));
    patient.answer().error(413, "request_too_large");
    // A claim within the limit is no leave to send more.
    let mut liar = gateway.client();
    liar.send(&claim(10, ""));
    liar.send(&[b' '; 4 * LIMIT]);
    assert_eq!(liar.answer().status, 400);
    assert!(gateway.peak_memory() - before < 64 << 20);
    assert_eq!(a.requests(), 0);
    gateway.stop();
}

#[test]
fn f40_a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    for (over, status) in [(0, 200), (1, 413)] {
        let mut body = speech::ask(false).to_string();
        body.push_str(&" ".repeat(LIMIT + over - body.len()));
        assert_eq!(gateway.client().exchange(&post(CHAT, "", body.as_bytes())).status, status);
        let mut client = gateway.client();
        client.send(&chunked(""));
        body.as_bytes().chunks(1_000).for_each(|c| {
            client.try_send(&chunk(c));
        });
        client.try_send(b"0\r\n\r\n");
        assert_eq!(client.answer().status, status);
    }
    assert_eq!(a.requests(), 2);
    gateway.stop();
}

#[test]
fn f40_many_tiny_chunks_are_one_body() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    let mut body = speech::ask(false).to_string();
    body.push_str(&" ".repeat(LIMIT - body.len()));
    let mut wire = chunked("");
    body.as_bytes().iter().for_each(|b| wire.extend_from_slice(&chunk(&[*b])));
    wire.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(gateway.client().exchange(&wire).status, 200);
    assert_eq!(a.seen()[0].body, body.as_bytes());
    gateway.stop();
}

#[test]
fn f40_a_slow_body_is_given_up() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).gateway("request_timeout_ms: 200").start();
    let body = speech::ask(false).to_string();
    let (some, rest) = body.as_bytes().split_at(20);
    for wire in
        [claim(body.len(), ""), [claim(body.len(), ""), some.to_vec()].concat(), [chunked(""), chunk(some)].concat()]
    {
        let mut client = gateway.client();
        client.send(&wire);
        client.answer().error(408, "request_timeout");
        client.try_send(rest);
        is_over(&mut client);
    }
    assert_eq!(a.requests(), 0);
    assert_eq!(gateway.stop().rows.len(), 0);
}

#[test]
fn f40_a_body_that_is_cut_short_goes_nowhere() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    let body = speech::ask(false).to_string();
    let mut client = gateway.client();
    client.send(&[claim(body.len() + 1, ""), body.clone().into_bytes()].concat());
    client.half_close();
    assert!(client.head().is_none_or(|h| h.status == 400));
    let mut client = gateway.client();
    client.send(&[chunked(""), chunk(body.as_bytes())].concat());
    client.half_close();
    assert!(client.head().is_none_or(|h| h.status == 400));
    assert_eq!(a.requests(), 0);
    gateway.stop();
}

/// A connection may need a descriptor at each end, and one more for the mock.
fn allow_descriptors(count: usize) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    if soft < count {
        let of_us = std::process::id().to_string();
        let limit = format!("--nofile={count}:");
        let done = std::process::Command::new("prlimit").args(["--pid", &of_us, &limit]).status().unwrap();
        assert!(done.success(), "this test needs {count} open files");
    }
}

fn good(gateway: &Gateway) {
    let answer = gateway.chat(&speech::ask(true));
    assert_eq!((answer.status, answer.text()), (200, speech::stream("a", 2, false)));
}

#[test]
fn f40_a_thousand_slow_connections_do_not_stop_a_good_one() {
    allow_descriptors(4_000);
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    let before = gateway.peak_memory();
    let head = claim(1_000, "");
    let starts: [&[u8]; 4] = [b"", b"P", &head[..30], &[&head[..], b"{\"model\""].concat()];
    let mut slow: Vec<Client> = (0..1_000)
        .map(|i| {
            let mut client = gateway.client();
            client.send(starts[i % starts.len()]);
            client
        })
        .collect();
    good(&gateway);
    // One more byte each, which ends nothing.
    for (i, client) in slow.iter_mut().enumerate() {
        if i % starts.len() > 1 {
            client.send(b"x");
        }
    }
    good(&gateway);
    assert!(gateway.peak_memory() - before < 64 << 20);
    drop(slow);
    assert_eq!(gateway.stop().rows.len(), 2);
}

#[test]
fn f40_connections_that_end_before_a_request_leave_nothing_behind() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    good(&gateway);
    let before = gateway.descriptors();
    // "P" may begin a POST or the preface of HTTP/2: a server that waits to know must notice that nothing will come.
    for start in ["", "P", "PRI", "PRI ", "PO", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n", "\r\n", "\0\0\0\0\0"] {
        for ending in ["FIN", "RST", "half-close"] {
            let mut client = gateway.client();
            client.send(start.as_bytes());
            match ending {
                "FIN" => drop(client),
                "RST" => client.reset(),
                _ => {
                    client.half_close();
                    wait::until_true(&format!("a half-closed `{start:?}` is closed"), || client.is_closed_by_now());
                }
            }
        }
    }
    wait::until_true("the descriptors are back", || gateway.descriptors() <= before);
    gateway.stop();
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text).unwrap();
    out.finish().unwrap()
}

#[test]
fn f40_a_compressed_body_is_read_up_to_the_limit() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    let send = |headers: &str, body: &[u8]| gateway.client().exchange(&post(CHAT, headers, body));
    let body = speech::ask(false).to_string();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(body.as_bytes()).unwrap();
    for (coding, compressed) in [
        ("gzip", gzip(body.as_bytes())),
        ("x-gzip", gzip(body.as_bytes())),
        ("GZIP", [gzip(&body.as_bytes()[..9]), gzip(&body.as_bytes()[9..])].concat()),
        ("deflate", deflate.finish().unwrap()),
    ] {
        let answer = send(&format!("content-encoding: {coding}\r\n"), &compressed);
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
        let seen = a.seen();
        let last = seen.last().unwrap();
        assert_eq!((last.body.as_slice(), last.header("content-encoding")), (body.as_bytes(), ""), "{coding}");
    }
    let served = a.requests();
    let before = gateway.peak_memory();
    // Less than the limit as it comes, and hundreds of times as much when inflated.
    let bomb = gzip(&vec![b' '; 32 << 20]);
    let roomy = small(&a).gateway("max_held_mb: 8").start();
    for gateway in [&gateway, &roomy] {
        let body = &bomb[..bomb.len().min(LIMIT - 1)];
        gateway.client().exchange(&post(CHAT, "content-encoding: gzip\r\n", body)).error(413, "request_too_large");
    }
    roomy.stop();
    assert!(gateway.peak_memory() - before < 16 << 20, "it is not inflated beyond the limit");
    let whole = gzip(body.as_bytes());
    for broken in [&whole[..whole.len() / 2], body.as_bytes(), &[&whole[..], b"tail"].concat()] {
        send("content-encoding: gzip\r\n", broken).error(400, "invalid_request");
    }
    for coding in ["br", "zstd", "gzip, gzip", "gzip, identity", "nonsense"] {
        let text = send(&format!("content-encoding: {coding}\r\n"), &whole).error(415, "unsupported_encoding");
        assert!(text.contains("gzip"), "{text}");
    }
    assert_eq!(a.requests(), served);
    gateway.stop();
}

#[test]
fn f40_a_body_is_asked_for_only_when_it_is_wanted() {
    let a = Mock::answering("a", 2);
    let gateway = small(&a).start();
    let body = speech::ask(false).to_string();
    let mut client = gateway.client();
    client.send(&claim(body.len(), "expect: 100-continue\r\n"));
    assert_eq!(client.head().unwrap().status, 100);
    assert_eq!(client.exchange(body.as_bytes()).status, 200);
    // What is refused by its head alone is refused at once.
    for (headers, status) in [("content-encoding: br\r\n", 415), ("x-rhumb-policy: nonsense\r\n", 400)] {
        let mut client = gateway.client();
        client.send(&claim(body.len(), &format!("expect: 100-continue\r\n{headers}")));
        assert_eq!(client.head().unwrap().status, status, "{headers}");
    }
    gateway.stop();
}

#[test]
fn f40_without_a_key_no_body_is_read() {
    let a = Mock::answering("a", 2);
    let tenants = "tenants:\n  - {name: one, keys: [{name: k, key: sk-the-right-one}]}\n";
    let gateway = small(&a).tail(tenants).start();
    for key in ["", "authorization: Bearer sk-the-wrong-one\r\n", "authorization: Basic c2s6\r\n"] {
        for head in
            [claim(GIB, key), claim(100, key), chunked(key), claim(GIB, &format!("expect: 100-continue\r\n{key}"))]
        {
            let mut client = gateway.client();
            client.send(&head);
            client.answer().error(401, "invalid_api_key");
            is_over(&mut client);
        }
    }
    let mut client = gateway.client();
    client.send(&claim(GIB, "authorization: Bearer sk-the-right-one\r\n"));
    client.answer().error(413, "request_too_large");
    assert_eq!(a.requests(), 0);
    assert_eq!(gateway.stop().rows.len(), 0);
}
