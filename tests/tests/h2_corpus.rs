//! What a server of HTTP/2 does with frames that are not as they should be: the cases of h2spec (its sections `generic`,
//! `http2` and `hpack`), rebuilt frame by frame. Their numbers are those of RFC 7540, as h2spec has them.

use std::net::SocketAddr;

use rhumb_tests::config::Config;
use rhumb_tests::frames::kind::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use rhumb_tests::frames::{END_HEADERS, END_STREAM, Frame, PADDED, PREFACE, Wire, block, frame, settings};
use rhumb_tests::mock::Mock;
use rhumb_tests::speech;

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// What is right. As in h2spec, whoever must end a stream may end the connection, and a connection may end without a word.
enum Want {
    /// The connection ends, with one of these codes if any.
    Ends(&'static [u32]),
    /// The stream ends with one of these codes, or is refused with status 400, or the connection ends.
    Refuses(&'static [u32]),
    /// Nothing happens: a PING is answered next.
    Ignores,
    /// The same, or the connection ends.
    Leaves,
    /// The request is answered with this status.
    Answers(u32),
}
use Want::{Answers, Ends, Ignores, Leaves, Refuses};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/health/live"), (":authority", "grid")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/v1/chat/completions"), (":authority", "grid")];

fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

fn get(stream: u32) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, stream, &GET)
}

/// A request whose body is to come.
fn open(stream: u32) -> Vec<u8> {
    headers(END_HEADERS, stream, &POST)
}

fn with(more: &[(&'static str, &'static str)]) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, 1, &[&GET[..], more].concat())
}

/// The fields of a request but one, and these instead.
fn without(name: &str, instead: &[(&'static str, &'static str)]) -> Vec<u8> {
    let kept: Vec<_> = GET.into_iter().filter(|(n, _)| *n != name).collect();
    headers(END_HEADERS | END_STREAM, 1, &[instead, &kept].concat())
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn raw_block(bytes: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &[&block(&GET), bytes].concat())
}

/// A good request with its body in frames of this size.
fn chat(piece: usize, declared: Option<usize>) -> Vec<u8> {
    let mut body = speech::ask(false).to_string();
    body.push_str(&" ".repeat(piece.saturating_sub(body.len())));
    let length = declared.unwrap_or(body.len()).to_string();
    let mut out = headers(END_HEADERS, 1, &[&POST[..], &[("content-length", &length)]].concat());
    let pieces: Vec<&[u8]> = body.as_bytes().chunks(piece).collect();
    for (i, data) in pieces.iter().enumerate() {
        out.extend(frame(DATA, u8::from(i + 1 == pieces.len()), 1, data));
    }
    out
}

/// Sends the bytes on a connection that is open, and holds what follows to be right.
fn hold(address: SocketAddr, name: &str, bytes: &[u8], want: &Want) -> Result<(), String> {
    let mut wire = Wire::open(address);
    wire.send(bytes);
    if matches!(want, Ignores | Leaves) {
        wire.send(&frame(PING, 0, 0, b"are you?"));
    }
    let mut seen = Vec::new();
    loop {
        let came = wire.read();
        match judge(came.as_ref(), want) {
            Some(true) => return Ok(()),
            Some(false) => return Err(format!("{name}: {came:?} after {seen:?}")),
            None => seen.extend(came.map(|f| (f.kind, f.flags, f.stream))),
        }
    }
}

/// Whether a frame, or the end, is right; nothing: it says nothing.
fn judge(came: Option<&Frame>, want: &Want) -> Option<bool> {
    let Some(f) = came else { return Some(matches!(want, Ends(_) | Refuses(_) | Leaves)) };
    match (f.kind, want) {
        (GOAWAY, Leaves) => Some(true),
        // The library says `PROTOCOL_ERROR` where the RFC names something more exact; as in h2spec, the end of the
        // connection that follows counts.
        (GOAWAY, Ends(codes) | Refuses(codes)) => codes.contains(&f.code()).then_some(true),
        (RST_STREAM, Refuses(codes)) => Some(codes.contains(&f.code())),
        (RST_STREAM, Answers(_)) | (GOAWAY, _) => Some(false),
        (PING, _) if f.payload == b"unasked?" => Some(false),
        (PING, Ignores | Leaves) if f.payload == b"are you?" => Some(f.flags == END_STREAM),
        // The first field of an answer is its status, in the static table or as a literal of three digits.
        (HEADERS, Answers(status)) => Some(status_of(f) == *status),
        (HEADERS, Refuses(_)) => (status_of(f) == 400).then_some(true),
        _ => None,
    }
}

fn status_of(f: &Frame) -> u32 {
    match f.payload[..] {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        _ => 0,
    }
}

type Case = (&'static str, Vec<u8>, Want);

fn framing() -> Vec<Case> {
    let half = |stream| headers(0, stream, &GET);
    vec![
        ("generic 3.2 GET", get(1), Answers(200)),
        ("generic 3.1 POST with a body", chat(4_096, None), Answers(200)),
        ("generic 3.3 PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), Ignores),
        ("generic 3.4 RST_STREAM", [open(1), reset(1, 8)].concat(), Ignores),
        ("generic 3.5 SETTINGS", settings(&[(3, 100)]), Ignores),
        ("generic 3.7 PING", Vec::new(), Ignores),
        ("generic 3.9 WINDOW_UPDATE", [open(1), window(1, 1), window(0, 1)].concat(), Ignores),
        ("4.1/1 an unknown type", frame(0x16, 0, 0, b"x"), Ignores),
        ("4.1/2 undefined flags", frame(PING, 0x16, 0, &[0; 8]), Ignores),
        ("4.1/3 the reserved bit", frame(PRIORITY, 0, 1 | 1 << 31, &[0, 0, 0, 0, 9]), Ignores),
        ("4.2/1 a frame of the largest size", chat(1 << 14, None), Answers(200)),
        (
            "4.2/2 DATA beyond it",
            [open(1), frame(DATA, END_STREAM, 1, &[b' '; (1 << 14) + 1])].concat(),
            Refuses(&[FRAME_SIZE]),
        ),
        (
            "4.2/3 HEADERS beyond it",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0; (1 << 14) + 1]),
            Ends(&[FRAME_SIZE]),
        ),
        (
            "4.3/1 a block that is none",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 0x85, 0xff]),
            Ends(&[COMPRESSION]),
        ),
        (
            "4.3/2 PRIORITY inside a block",
            [half(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])].concat(),
            Ends(&[PROTOCOL]),
        ),
        ("4.3/3 HEADERS inside a block", [half(1), get(3)].concat(), Ends(&[PROTOCOL])),
        (
            "5.3.1/1 HEADERS that depend on themselves",
            frame(HEADERS, 0x20 | END_HEADERS | END_STREAM, 1, &[&[0, 0, 0, 1, 9][..], &block(&GET)].concat()),
            Refuses(&[PROTOCOL]),
        ),
        (
            "5.3.1/2 PRIORITY that depends on itself",
            [open(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])].concat(),
            Refuses(&[PROTOCOL]),
        ),
        ("5.4.1/1 a PING of six bytes", frame(PING, 0, 0, &[0; 6]), Ends(&[FRAME_SIZE])),
        ("5.5/1 an extension", frame(0xfa, 0xff, 0, b"unknown"), Ignores),
        ("5.5/2 an extension inside a block", [half(1), frame(0xfa, 0, 1, b"x")].concat(), Ends(&[PROTOCOL])),
    ]
}

fn states() -> Vec<Case> {
    let closed: &[u32] = &[STREAM_CLOSED];
    let either: &[u32] = &[STREAM_CLOSED, PROTOCOL];
    let data = frame(DATA, END_STREAM, 1, b"x");
    let more = frame(CONTINUATION, END_HEADERS, 1, &block(&GET));
    let many: Vec<u8> = (0..1_030).flat_map(|i| open(1 + 2 * i)).collect();
    vec![
        ("5.1/1 idle: DATA", data.clone(), Ends(&[PROTOCOL])),
        ("5.1/2 idle: RST_STREAM", reset(1, 8), Ends(&[PROTOCOL])),
        ("5.1/3 idle: WINDOW_UPDATE", window(1, 100), Ends(&[PROTOCOL])),
        ("5.1/4 idle: CONTINUATION", more.clone(), Ends(&[PROTOCOL])),
        ("5.1/5 half closed: DATA", [chat(4_096, None), data.clone()].concat(), Refuses(closed)),
        ("5.1/6 half closed: HEADERS", [chat(4_096, None), get(1)].concat(), Refuses(closed)),
        ("5.1/7 half closed: CONTINUATION", [chat(4_096, None), more.clone()].concat(), Refuses(either)),
        ("5.1/8 reset: DATA", [open(1), reset(1, 8), data.clone()].concat(), Refuses(closed)),
        ("5.1/9 reset: HEADERS", [open(1), reset(1, 8), get(1)].concat(), Refuses(closed)),
        ("5.1/10 reset: CONTINUATION", [open(1), reset(1, 8), more.clone()].concat(), Refuses(either)),
        ("5.1/11 closed: DATA", [get(1), data.clone()].concat(), Refuses(closed)),
        ("5.1/12 closed: HEADERS", [get(1), get(1)].concat(), Refuses(either)),
        ("5.1/13 closed: CONTINUATION", [get(1), more.clone()].concat(), Refuses(either)),
        ("5.1.1/1 an even stream", get(2), Ends(&[PROTOCOL])),
        ("5.1.1/2 a stream before the last", [get(5), get(3)].concat(), Refuses(either)),
        ("5.1.2/1 more streams than there may be", many, Refuses(&[PROTOCOL, REFUSED])),
        (
            "8.1/1 a second HEADERS without an end",
            [open(1), headers(END_HEADERS, 1, &[("x-t", "y")])].concat(),
            Refuses(&[PROTOCOL]),
        ),
    ]
}

fn frames() -> Vec<Case> {
    let huge = 0x7fff_ffff;
    vec![
        ("6.1/1 DATA on stream 0", frame(DATA, END_STREAM, 0, b"x"), Ends(&[PROTOCOL])),
        (
            "6.1/3 DATA with too much padding",
            [open(1), frame(DATA, PADDED, 1, &[6, 1, 2, 3])].concat(),
            Ends(&[PROTOCOL]),
        ),
        ("6.2/3 HEADERS on stream 0", get(0), Ends(&[PROTOCOL])),
        (
            "6.2/4 HEADERS with too much padding",
            frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, &[9, 0x82]),
            Ends(&[PROTOCOL]),
        ),
        ("6.3/1 PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 9]), Ends(&[PROTOCOL])),
        ("6.3/2 PRIORITY of four bytes", [open(1), frame(PRIORITY, 0, 1, &[0; 4])].concat(), Refuses(&[FRAME_SIZE])),
        ("6.4/1 RST_STREAM on stream 0", reset(0, 8), Ends(&[PROTOCOL])),
        ("6.4/3 RST_STREAM of three bytes", [open(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), Ends(&[FRAME_SIZE])),
        ("6.5/1 an acknowledgement that says something", frame(SETTINGS, END_STREAM, 0, &[0; 6]), Ends(&[FRAME_SIZE])),
        ("6.5/2 SETTINGS on a stream", frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 9]), Ends(&[PROTOCOL])),
        ("6.5/3 SETTINGS of three bytes", frame(SETTINGS, 0, 0, &[0, 3, 0]), Ends(&[FRAME_SIZE])),
        ("6.5.2/1 ENABLE_PUSH of 2", settings(&[(2, 2)]), Ends(&[PROTOCOL])),
        ("6.5.2/2 a window beyond all", settings(&[(4, huge + 1)]), Ends(&[FLOW_CONTROL])),
        ("6.5.2/3 a frame size below the least", settings(&[(5, 16_383)]), Ends(&[PROTOCOL])),
        ("6.5.2/4 a frame size above the largest", settings(&[(5, 1 << 24)]), Ends(&[PROTOCOL])),
        ("6.5.2/5 an unknown setting", settings(&[(0xff, 1)]), Ignores),
        ("6.7/2 an answer to no PING", frame(PING, END_STREAM, 0, b"unasked?"), Ignores),
        ("6.7/3 PING on a stream", frame(PING, 0, 1, &[0; 8]), Ends(&[PROTOCOL])),
        ("6.8/1 GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Ends(&[PROTOCOL])),
        ("6.9/1 a window by nothing", window(0, 0), Ends(&[PROTOCOL])),
        ("6.9/2 a stream's window by nothing", [open(1), window(1, 0)].concat(), Refuses(&[PROTOCOL])),
        ("6.9/3 WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]), Ends(&[FRAME_SIZE])),
        ("6.9.1/2 a window too far", [window(0, huge), window(0, huge)].concat(), Ends(&[FLOW_CONTROL])),
        (
            "6.9.1/3 a stream's window too far",
            [open(1), window(1, huge), window(1, huge)].concat(),
            Refuses(&[FLOW_CONTROL]),
        ),
        ("6.9.2/3 a first window beyond all", settings(&[(4, 1 << 31)]), Ends(&[FLOW_CONTROL])),
        ("7/1 GOAWAY with a code of its own", frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]), Leaves),
        ("7/2 RST_STREAM with a code of its own", [open(1), reset(1, 0xff)].concat(), Ignores),
        (
            "8.2/1 PUSH_PROMISE",
            [open(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&GET)].concat())].concat(),
            Ends(&[PROTOCOL]),
        ),
    ]
}

fn blocks() -> Vec<Case> {
    let all = block(&GET);
    let (first, rest) = all.split_at(20);
    let (second, third) = rest.split_at(20);
    let start = frame(HEADERS, END_STREAM, 1, first);
    let go_on = |flags, part: &[u8]| frame(CONTINUATION, flags, 1, part);
    vec![
        (
            "6.10/1 several CONTINUATION",
            [start.clone(), go_on(0, second), go_on(END_HEADERS, third)].concat(),
            Answers(200),
        ),
        (
            "6.10/2 another frame after CONTINUATION",
            [start.clone(), go_on(0, second), frame(DATA, 0, 1, b"x")].concat(),
            Ends(&[PROTOCOL]),
        ),
        (
            "6.10/3 CONTINUATION on stream 0",
            [start.clone(), frame(CONTINUATION, END_HEADERS, 0, rest)].concat(),
            Ends(&[PROTOCOL]),
        ),
        ("6.10/4 CONTINUATION after the end", [open(1), go_on(END_HEADERS, third)].concat(), Ends(&[PROTOCOL])),
        (
            "6.10/5 CONTINUATION after its end",
            [start, go_on(END_HEADERS, rest), go_on(END_HEADERS, third)].concat(),
            Ends(&[PROTOCOL]),
        ),
        (
            "6.10/6 CONTINUATION after DATA",
            [open(1), frame(DATA, 0, 1, b"x"), go_on(END_HEADERS, third)].concat(),
            Ends(&[PROTOCOL]),
        ),
        ("hpack 2.3.3/1 an index beyond the tables", raw_block(&[0xff, 0xff, 0x01]), Ends(&[COMPRESSION])),
        ("hpack 2.3.3/2 a name beyond the tables", raw_block(&[0x7f, 0xff, 0x01, 1, b'x']), Ends(&[COMPRESSION])),
        ("hpack 4.2/1 a new size at the end", raw_block(&[0x21]), Ends(&[COMPRESSION])),
        (
            "hpack 5.2/1 padding of more than seven bits",
            raw_block(&[0, 1, b'x', 0x82, 0xff, 0xff]),
            Ends(&[COMPRESSION]),
        ),
        ("hpack 5.2/2 padding of zeroes", raw_block(&[0, 1, b'x', 0x81, 0x18 & !7]), Ends(&[COMPRESSION])),
        (
            "hpack 5.2/3 the end of all strings",
            raw_block(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
            Ends(&[COMPRESSION]),
        ),
        ("hpack 6.1/1 index 0", raw_block(&[0x80]), Ends(&[COMPRESSION])),
        (
            "hpack 6.3/1 a size beyond the limit",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[&[0x3f, 0xe2, 0xff, 0x03][..], &all].concat()),
            Ends(&[COMPRESSION]),
        ),
    ]
}

fn messages() -> Vec<Case> {
    let bad: fn() -> Want = || Refuses(&[PROTOCOL]);
    let trailers = |name| [open(1), headers(END_HEADERS | END_STREAM, 1, &[(name, "x")])].concat();
    vec![
        ("8.1.2/1 a name in upper case", with(&[("X-TEST", "ok")]), bad()),
        ("8.1.2.1/1 an unknown pseudo-header", with(&[(":test", "ok")]), bad()),
        ("8.1.2.1/2 the pseudo-header of answers", with(&[(":status", "200")]), bad()),
        ("8.1.2.1/3 a pseudo-header in trailers", trailers(":method"), bad()),
        ("8.1.2.1/4 a pseudo-header after others", without(":path", &[("x-t", "y"), (":path", "/health/live")]), bad()),
        ("8.1.2.2/1 a header of the connection", with(&[("connection", "keep-alive")]), bad()),
        ("8.1.2.2/1 another", with(&[("transfer-encoding", "chunked")]), bad()),
        ("8.1.2.2/2 `te` other than trailers", with(&[("te", "trailers, deflate")]), bad()),
        ("8.1.2.3/1 an empty path", without(":path", &[(":path", "")]), bad()),
        ("8.1.2.3/2 no method", without(":method", &[]), bad()),
        ("8.1.2.3/3 no scheme", without(":scheme", &[]), bad()),
        ("8.1.2.3/4 no path", without(":path", &[]), bad()),
        ("8.1.2.3/5 two methods", without(":none", &[(":method", "GET")]), bad()),
        ("8.1.2.3/6 two schemes", without(":none", &[(":scheme", "http")]), bad()),
        ("8.1.2.3/7 two paths", without(":none", &[(":path", "/health/live")]), bad()),
        ("8.1.2.6/1 a length that is not the body's", chat(4_096, Some(1)), bad()),
        ("8.1.2.6/2 nor that of several frames", chat(40, Some(1)), bad()),
        (
            "RFC 9113 8.3.1 no authority and no host",
            headers(END_HEADERS | END_STREAM, 1, &[&POST[..3], &[]].concat()),
            bad(),
        ),
    ]
}

#[test]
fn every_case_of_h2spec_ends_as_it_should() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let cases: Vec<Case> = [framing(), states(), frames(), blocks(), messages()].into_iter().flatten().collect();
    let wrong: Vec<String> = cases.iter().filter_map(|(n, b, w)| hold(gateway.address, n, b, w).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    gateway.stop();
}

/// The first DATA of a stream.
fn first_data(wire: &mut Wire) -> Vec<u8> {
    loop {
        let f = wire.read().expect("a frame");
        assert!(!matches!(f.kind, GOAWAY | RST_STREAM), "{f:?}");
        if f.kind == DATA && !f.payload.is_empty() {
            return f.payload;
        }
    }
}

const WINDOW: u16 = 4;

#[test]
fn the_windows_of_streams_are_kept_to() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let open = |values: &[(u16, u32)]| {
        let mut wire = Wire::open_with(gateway.address, values);
        wire.send(&get(1));
        wire
    };
    // 6.9.1/1, and 6.5.3/1: the last of two values counts.
    for values in [&[(WINDOW, 1)][..], &[(WINDOW, 100), (WINDOW, 1)]] {
        assert_eq!(first_data(&mut open(values)), b"l");
    }
    // 6.9.2/1: a window that opens later.
    let mut wire = open(&[(WINDOW, 0)]);
    wire.send(&settings(&[(WINDOW, 1)]));
    assert_eq!(first_data(&mut wire), b"l");
    // 6.9.2/2: one that is below nothing for a while.
    let mut wire = open(&[(WINDOW, 3)]);
    assert_eq!(first_data(&mut wire), b"liv");
    wire.send(&[settings(&[(WINDOW, 2)]), window(1, 2)].concat());
    assert_eq!(first_data(&mut wire), b"e");
    gateway.stop();
}

#[test]
fn only_the_preface_begins_http_2() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    // 3.5/1: the server's first frame is its SETTINGS; 6.5.3/2: those of the client are acknowledged.
    let mut wire = Wire::connect(gateway.address);
    wire.send(&[PREFACE, &settings(&[])].concat());
    assert_eq!(wire.read().map(|f| (f.kind, f.flags, f.stream)), Some((SETTINGS, 0, 0)));
    while !wire.read().is_some_and(|f| f.kind == SETTINGS && f.flags == END_STREAM) {}
    // 3.5/2, and what begins like it.
    for wrong in
        [&b"INVALID CONNECTION PREFACE\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/1.1\r\n\r\n"]
    {
        let mut wire = Wire::connect(gateway.address);
        wire.send(wrong);
        rhumb_tests::wait::until_true("a wrong preface ends the connection", || wire.is_closed_by_now());
    }
    gateway.stop();
}
