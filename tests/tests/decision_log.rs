//! The log survives: a clean stop loses nothing, and a kill at most what was not committed yet.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Gateway, rhumb};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::{rows, speech, wait};

const CHAT: &str = "/v1/chat/completions";

fn ask() -> Vec<u8> {
    post(CHAT, "", speech::ask(true).to_string().as_bytes())
}

/// Sends so many requests, one after another, and gives the ids of their decisions.
fn decisions(gateway: &Gateway, count: usize) -> Vec<String> {
    let mut client = gateway.client();
    let id = |_| {
        let answer = client.exchange(&ask());
        assert_eq!(answer.status, 200);
        answer.header("x-rhumb-decision").to_owned()
    };
    (0..count).map(id).collect()
}

/// Decides again from the log alone.
fn replays_the_same(id: &str, data_dir: &Path) {
    let output = rhumb(&["replay", id, "--json", "--data-dir", data_dir.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["identical"], &said["outcome"]), (&true.into(), &"complete".into()), "{id}");
}

#[test]
fn a_kill_loses_no_committed_row_and_each_replays_bit_for_bit() {
    let (a, b, c) = (Mock::answering("a", 3), Mock::answering("b", 3), Mock::answering("c", 3));
    let gateway = Config::over(&[&a, &b, &c]).policy("preset: balanced").start();
    let first = decisions(&gateway, 30);
    wait::until_true("the first rows are on disk", || rows::read(&gateway.data_dir()).len() == first.len());
    let last = decisions(&gateway, 5);
    // One more is in flight.
    a.set(vec![Step::Head, Step::Role, Step::Tokens(1), Step::Hang]);
    let mut open = gateway.client();
    open.send(&ask());
    let killed = gateway.kill();
    let ids: Vec<&str> = killed.rows.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids[..first.len()], first.iter().map(String::as_str).collect::<Vec<_>>()[..], "each once, in order");
    assert!(ids[first.len()..].iter().all(|id| last.iter().any(|l| l == id)), "and nothing that was not");
    assert!(rows::is_sound(&killed.data_dir()));
    first.iter().for_each(|id| replays_the_same(id, &killed.data_dir()));
    let output = rhumb(&["replay", "0000000000000", "--data-dir", killed.data_dir().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "an id that is not in the log");
}

#[test]
fn a_log_that_was_killed_is_gone_on_with() {
    let (a, again) = (Mock::answering("a", 3), Mock::answering("a", 3));
    let gateway = Config::over(&[&a]).start();
    let first = decisions(&gateway, 10);
    wait::until_true("the rows are on disk", || rows::read(&gateway.data_dir()).len() == first.len());
    let killed = gateway.kill();
    let gateway = Config::over(&[&again]).start_in(killed);
    let second = decisions(&gateway, 10);
    let stopped = gateway.stop();
    let ids: Vec<&String> = stopped.rows.iter().map(|r| &r.id).collect();
    assert_eq!(ids, first.iter().chain(&second).collect::<Vec<_>>(), "ids only grow");
    second.iter().for_each(|id| replays_the_same(id, &stopped.data_dir()));
}

#[test]
fn f56_a_log_from_before_versions_were_kept_replays_and_is_gone_on_with() {
    let (a, again) = (Mock::answering("a", 3), Mock::answering("a", 3));
    let gateway = Config::over(&[&a]).start();
    let first = decisions(&gateway, 3);
    let stopped = gateway.stop();
    rows::forget_versions(&stopped.data_dir());
    first.iter().for_each(|id| replays_the_same(id, &stopped.data_dir()));
    let gateway = Config::over(&[&again]).start_in(stopped);
    let second = decisions(&gateway, 3);
    let stopped = gateway.stop();
    let versions: Vec<bool> = stopped.rows.iter().map(|r| r.config.starts_with("1-")).collect();
    assert_eq!(versions, [false, false, false, true, true, true]);
    first.iter().chain(&second).for_each(|id| replays_the_same(id, &stopped.data_dir()));
}

#[test]
fn a_clean_stop_after_two_hundred_at_once_loses_nothing() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    let mut clients: Vec<Client> = (0..200).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|c| c.send(&ask()));
    let mut ids: Vec<String> = clients.iter_mut().map(|c| c.answer().header("x-rhumb-decision").to_owned()).collect();
    ids.sort();
    // No rest between the last answer and the signal: what the log has not written yet is what is tested.
    gateway.terminate();
    let stopped = gateway.await_exit();
    assert_eq!(stopped.rows.iter().map(|r| &r.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    assert!(stopped.rows.iter().all(|r| r.outcome == "complete" && r.completion_tokens == 3));
    let usage = a.answered().1;
    assert_eq!(stopped.rows.iter().map(|r| r.prompt_tokens).sum::<u64>(), usage.0);
    assert_eq!(stopped.rows.iter().map(|r| r.completion_tokens).sum::<u64>(), usage.1);
}

#[test]
fn a_clean_stop_lets_two_hundred_streams_end() {
    let gated = [Step::Head, Step::Role, Step::Tokens(1), Step::Gate, Step::Tokens(2)];
    let end = [speech::finish("a"), speech::usage_frame("a", 3), speech::done()].map(|t| Step::Chunk(t.into_bytes()));
    let a = Mock::start("a", [&gated[..], &end, &[Step::ZeroChunk]].concat());
    let gateway = Config::over(&[&a]).start();
    // One that has said nothing yet, and one between two requests.
    let (mut silent, mut idle) = (gateway.client(), gateway.client());
    assert_eq!(idle.exchange(b"GET /health/live HTTP/1.1\r\nhost: grid\r\n\r\n").status, 200);
    let mut clients: Vec<Client> = (0..200).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|c| c.send(&ask()));
    clients.iter_mut().for_each(|c| c.read_until("t1 "));
    gateway.terminate();
    wait::until_true("nobody new is let in", || std::net::TcpStream::connect(gateway.address).is_err());
    wait::until_true("an idle connection is let go", || idle.is_closed_by_now());
    wait::until_true("a silent connection is let go", || silent.is_closed_by_now());
    a.release();
    for client in &mut clients {
        let answer = client.answer();
        assert!(answer.whole && answer.text() == speech::stream("a", 3, false), "{}", answer.text());
    }
    let stopped = gateway.await_exit();
    assert_eq!(stopped.rows.len(), 200);
    assert!(stopped.rows.iter().all(|r| r.outcome == "complete" && r.completion_tokens == 3));
}

/// Decisions in a log that 8e014f1 wrote, the last commit with layout 4 of its records.
const BEFORE: [&str; 4] = ["6h2vdq0wm8m00", "6h2vdq1aw8m00", "6h2vdq1s08m00", "6h2vdq27c8m00"];

#[test]
fn a_log_of_the_version_before_is_read_replayed_and_gone_on_with() {
    let before = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/log-layout-4/rhumb.db");
    let mock = Mock::answering("a", 3);
    let gateway = Config::over(&[&mock]).start_on(&before);
    let after = decisions(&gateway, 2);
    let stopped = gateway.stop();
    let folder = stopped.data_dir();
    BEFORE.into_iter().chain(after.iter().map(String::as_str)).for_each(|id| replays_the_same(id, &folder));
    let status = rhumb(&["log", "status", "--json", "--data-dir", folder.to_str().unwrap()]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["outcomes"], serde_json::json!({"complete": 6}));
}
