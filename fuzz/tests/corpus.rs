//! Every file of the corpora, as it stands and changed at random. `PROPTEST_CASES` says how often each is changed.

#![expect(clippy::unwrap_used, reason = "a test reads its corpus and fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use rhumb_fuzz::{TARGETS, Target};

/// Pieces that mean something to one target or another.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0061",
    b"\\ud83d\\ude00",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"9007199254740993",
    b"\"max_tokens\":",
    b"\"content\":",
    b"\"type\":\"image_url\"",
    b"\"type\":\"tool_use\"",
    b"\"cache_control\":{}",
    b"{\"type\":\"text\",\"text\":\"x\"},",
    b"\"tool_calls\":[",
    b"\"cache_salt\":1,",
    b"\"rid\":1,",
    b"\"extra_body\":{",
    b"\"prompt\":[",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"data: ",
    b"event: ",
    b"[DONE]",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"0\r\n",
    b"ffffffffffffffff\r\n",
    b"content-length: 0\r\n",
    b"transfer-encoding: chunked\r\n",
    b"HTTP/1.0 200 X\r\n",
    b"NaN",
    b"+Inf",
    b"{engine=\"0\"} ",
    b"# HELP ",
    b"- ",
    b"  ",
    b"${A}",
    b"&a ",
    b"*a",
    b"|",
    b"\t",
    b"\xff\xff\xff\xff\x0f",
    b"\x00\x00\x00\x00\x00\x00\xf8\x7f",
];

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|p| (p.display().to_string(), std::fs::read(p).unwrap())).collect()
}

/// One change: what is taken out from where, and what is put in its place.
#[derive(Debug, Clone)]
struct Change {
    at: Index,
    out: usize,
    into: Vec<u8>,
}

fn change() -> impl Strategy<Value = Change> {
    let length = prop_oneof![4 => 0..4_usize, 1 => 0..200_usize];
    let bytes = prop_oneof![
        Just(Vec::new()),
        proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 1..5),
        (proptest::sample::select(PIECES), 1..300_usize).prop_map(|(piece, times)| piece.repeat(times)),
    ];
    (any::<Index>(), length, bytes).prop_map(|(at, out, into)| Change { at, out, into })
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for Change { at, out: length, into } in changes {
        let at = at.index(out.len() + 1);
        let end = (at + length).min(out.len());
        out.splice(at..end, into.iter().copied());
    }
    out
}

fn holds(target: Target, bytes: &[u8]) -> Result<(), TestCaseError> {
    let held = catch_unwind(AssertUnwindSafe(|| target(bytes)));
    held.map_err(|_| TestCaseError::fail(format!("keep this in the corpus: b\"{}\"", bytes.escape_ascii())))
}

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|(n, _)| *n == name).unwrap().1;
    let files = corpus(name);
    assert!(!files.is_empty(), "`{name}` has a corpus");
    for (file, bytes) in &files {
        println!("{file}");
        target(bytes);
    }
    let files: Vec<Vec<u8>> = files.into_iter().map(|(_, bytes)| bytes).collect();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (proptest::sample::select(files), vec(change(), 1..6));
    let ran = TestRunner::new(config).run(&inputs, |(bytes, changes)| holds(target, &changed(&bytes, &changes)));
    ran.unwrap();
}

#[test]
fn requests() {
    fuzz("request");
}

#[test]
fn forms() {
    fuzz("form");
}

#[test]
fn messages() {
    fuzz("message");
}

#[test]
fn requests_for_responses() {
    fuzz("responses");
}

#[test]
fn streams_that_pass() {
    fuzz("passing");
}

#[test]
fn translated_streams() {
    fuzz("translated");
}

#[test]
fn event_streams() {
    fuzz("stream");
}

#[test]
fn answers_of_engines() {
    fuzz("answer");
}

#[test]
fn pages_of_metrics() {
    fuzz("metrics");
}

#[test]
fn configurations() {
    fuzz("config");
}

#[test]
fn records_of_the_log() {
    fuzz("record");
}
