//! F17: an engine that sends too much of something, or something else than what it was asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use rhumb_tests::config::Config;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step};
use rhumb_tests::speech;

/// What a gateway may come to need for one hostile answer, generously.
const MEMORY_MAX: u64 = 64 << 20;

const MIB: usize = 1 << 20;
const OK: &str = "HTTP/1.1 200 OK\r\n";

/// So much of a repeated byte, as pieces of a chunked body.
fn much(byte: u8, mebibytes: usize) -> Step {
    Step::Chunks(vec![byte; MIB], mebibytes)
}

fn raw(text: &str) -> Step {
    Step::Raw(text.as_bytes().to_vec())
}

/// Answers that must not be waited out, held in memory or passed on, before any content.
fn floods() -> Vec<(&'static str, Script)> {
    let often = |text: &str, times| Step::RawOften(text.as_bytes().to_vec(), times);
    let role = speech::role("a").into_bytes();
    vec![
        ("a line of 100 MB", vec![Step::Head, Step::Chunk(b"data: ".to_vec()), much(b'x', 100), Step::Hang]),
        (
            "100 MB of lines without an end",
            vec![Step::Head, Step::Chunks(b"data: x\n".repeat(MIB / 8), 100), Step::Hang],
        ),
        ("a comment of 100 MB", vec![Step::Head, Step::Chunk(b":".to_vec()), much(b' ', 100), Step::Hang]),
        ("100 MB of heartbeats", vec![Step::Head, Step::Chunks(b": ping\n\n".repeat(MIB / 8), 100), Step::Hang]),
        ("roles for ever", vec![Step::Head, Step::Chunks(role.repeat(1_000), 500), Step::Hang]),
        ("endless headers", vec![raw(OK), often(&"x-more: and more\r\n".repeat(1_000), 5_000), Step::Hang]),
        ("one endless header", vec![raw(OK), raw("x-long: "), Step::RawOften(vec![b'y'; MIB], 100), Step::Hang]),
        ("endless interim answers", vec![often(&"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000), 50_000), Step::Hang]),
        ("an endless status line", vec![raw("HTTP/1.1 200 "), Step::RawOften(vec![b'y'; MIB], 100), Step::Hang]),
        ("an endless chunk extension", vec![Step::Head, raw("5;x="), Step::RawOften(vec![b'y'; MIB], 100), Step::Hang]),
        (
            "gzip",
            vec![
                raw(&format!("{OK}content-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n")),
                Step::Raw(vec![0x1f, 0x8b, 8, 0]),
                Step::Hang,
            ],
        ),
        (
            "two framings",
            vec![
                raw(&format!(
                    "{OK}content-type: text/event-stream\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                )),
                Step::Hang,
            ],
        ),
        ("a chunk size beyond all bounds", vec![Step::Head, raw("ffffffffffffffff\r\n"), Step::Hang]),
    ]
}

#[test]
fn f17_a_flood_before_the_first_content_is_left_for_another_site() {
    for (what, script) in floods() {
        let (a, b) = (Mock::start("a", script), Mock::answering("b", 3));
        let gateway = Config::over(&[&a, &b]).policy("first_token_timeout_ms: 5000").start();
        let before = gateway.peak_memory();
        let answer = gateway.chat(&speech::ask(true));
        assert_eq!((answer.status, answer.text()), (200, speech::stream("b", 3, false)), "{what}");
        a.await_cancels(1);
        let grown = gateway.peak_memory() - before;
        assert!(grown < MEMORY_MAX, "{what}: {grown} bytes more");
        assert_eq!(gateway.stop().rows[0].attempts, 2, "{what}");
    }
}

#[test]
fn f17_a_flood_after_content_is_an_error() {
    let floods = [
        ("a line of 100 MB", vec![Step::Chunk(b"data: ".to_vec()), much(b'x', 100)]),
        ("a comment of 100 MB", vec![Step::Chunk(b":".to_vec()), much(b' ', 100)]),
        ("an endless chunk extension", vec![raw("5;x="), Step::RawOften(vec![b'y'; MIB], 100)]),
    ];
    for (what, flood) in floods {
        let said = vec![Step::Head, Step::Role, Step::Tokens(2)];
        let a = Mock::start("a", [said, flood, vec![Step::Hang]].concat());
        let gateway = Config::over(&[&a]).start();
        let before = gateway.peak_memory();
        let answer = gateway.chat(&speech::ask(true));
        let events = answer.events();
        let last = events.last().map_or("", String::as_str);
        assert!(
            !answer.whole && ["upstream_failed", "answer_too_large"].iter().any(|c| last.contains(c)),
            "{what}: {last:.200}"
        );
        assert_eq!(speech::text_of(&events), speech::text(2), "{what}");
        a.await_cancels(1);
        let grown = gateway.peak_memory() - before;
        assert!(grown < MEMORY_MAX, "{what}: {grown} bytes more");
        assert_eq!(gateway.stop().rows[0].outcome, "broken", "{what}");
    }
}

#[test]
fn f17_a_reader_slower_than_its_engine_is_not_waited_for_in_memory() {
    // 100 MB of tokens towards a client that reads nothing: the engine is held back, not buffered.
    let tokens = speech::said("a", &"word ".repeat(200)).repeat(1_000).into_bytes();
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Tokens(1), Step::Chunks(tokens, 100), Step::Hang]);
    let gateway = Config::over(&[&a]).start();
    let before = gateway.peak_memory();
    let mut client = gateway.client();
    let ask = speech::ask(true).to_string();
    client.send(&rhumb_tests::client::post("/v1/chat/completions", "", ask.as_bytes()));
    client.read_until("t1 ");
    // Another request is served meanwhile, and its end comes after whatever was buffered by then.
    a.once(vec![Step::Answer(2)]);
    assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    let grown = gateway.peak_memory() - before;
    assert!(grown < MEMORY_MAX, "{grown} bytes more");
    drop(client);
    a.await_cancels(1);
    gateway.stop();
}

#[test]
fn f17_gzip_from_every_site_is_an_error() {
    let head = format!("{OK}content-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n");
    let a = Mock::start("a", vec![Step::Raw(head.into_bytes()), Step::Raw(vec![0x1f, 0x8b, 8, 0]), Step::Fin]);
    let gateway = Config::over(&[&a]).start();
    gateway.chat(&speech::ask(true)).error(502, "upstream_failed");
    let asked = a.seen();
    assert_eq!(asked[0].header("accept-encoding"), "identity", "it was not asked for");
    gateway.stop();
}

#[test]
fn f17_an_answer_that_calls_itself_encoded_and_is_not_is_not_passed_on() {
    // The content is as plain as any: only what its head says of it is not.
    let stream = speech::stream("a", 3, false);
    let plain = speech::plain("a", "/v1/chat/completions", 3);
    for (streamed, kind, body) in [(true, "text/event-stream", stream), (false, "application/json", plain)] {
        let head =
            format!("{OK}content-type: {kind}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
        let (a, b) = (Mock::start("a", vec![raw(&head), raw(&body)]), Mock::answering("b", 3));
        let gateway = Config::over(&[&a, &b]).start();
        let answer = gateway.chat(&speech::ask(streamed));
        assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "b"), "{kind}");
        assert_eq!((a.requests(), gateway.stop().rows[0].attempts), (1, 2), "{kind}");
    }
}

#[test]
fn f17_interim_answers_are_stepped_over() {
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let body = speech::plain("a", "/v1/chat/completions", 2);
    let whole = format!("{OK}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for count in [1, 2, 5] {
        let text = interim.repeat(count);
        for script in [vec![raw(&text), raw(&whole)], vec![raw(&format!("{text}{whole}"))]] {
            let a = Mock::start("a", script);
            let gateway = Config::over(&[&a]).start();
            let answer = gateway.chat(&speech::ask(false));
            assert_eq!((answer.status, answer.text()), (200, body.clone()), "after {count} interim answers");
            gateway.stop();
        }
    }
}

/// Says that the body is too large as soon as it has the head, and reads no more of it.
fn refuses_unread(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        std::thread::spawn(move || {
            let mut reader = BufReader::with_capacity(256, &stream);
            loop {
                let (mut line, mut is_post) = (String::new(), false);
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    is_post |= line.starts_with("POST");
                    line.clear();
                }
                let status = if is_post { "413 Content Too Large" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                if (&stream).write_all(answer.as_bytes()).is_err() || line.is_empty() {
                    return;
                }
                if is_post {
                    // Until the other side has gone.
                    std::thread::park();
                }
            }
        });
    }
}

#[test]
fn f17_an_answer_before_the_body_was_read_is_seen_at_once() {
    let a = Mock::answering("a", 2);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || refuses_unread(&listener));
    // Waiting for the rest of the body to be taken would last for longer than this test.
    let gateway = Config::over(&[&a])
        .endpoint(0, |e| (e.url, e.open) = (format!("http://{address}"), false))
        .policy("first_token_timeout_ms: 600000")
        .start();
    let mut ask = speech::ask(false);
    ask["messages"][0]["content"] = "x".repeat(24 << 20).into();
    let answer = gateway.chat(&ask);
    assert!(answer.status >= 400, "{}", answer.text());
    gateway.stop();
}
