//! H10: the decision log does not grow for ever.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Gateway, Stopped, rhumb};
use rhumb_tests::mock::Mock;
use rhumb_tests::{rows, speech, wait};
use rusqlite::Connection;

fn ask(gateway: &Gateway, count: usize) {
    for _ in 0..count {
        assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    }
}

/// Makes what is in a log so many days older.
fn age(log: &Stopped, days: i64) {
    let db = Connection::open(log.data_dir().join("rhumb.db")).unwrap();
    let ms = days * 86_400_000;
    db.execute("update requests set at_unix_ms = at_unix_ms - ?1", [ms]).unwrap();
    db.execute("update view_times set at_unix_ms = at_unix_ms - ?1", [ms]).unwrap();
}

/// Runs of the gateway that rows of views are from.
fn runs(data_dir: &Path) -> usize {
    let db = Connection::open(data_dir.join("rhumb.db")).unwrap();
    db.query_row("select count(distinct run) from view_rows", [], |r| r.get::<_, i64>(0)).unwrap() as usize
}

fn log(data_dir: &Path, args: &[&str]) -> serde_json::Value {
    let output = rhumb(&[&["log"], args, &["--json", "--data-dir", data_dir.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn replays(stopped: &Stopped, index: usize) {
    let output = rhumb(&["replay", &stopped.rows[index].id, "--data-dir", stopped.data_dir().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn h10_old_rows_go_with_the_rows_of_views_that_only_they_refer_to() {
    let mocks = [(); 3].map(|()| Mock::answering("a", 3));
    let gateway = Config::over(&[&mocks[0]]).start();
    ask(&gateway, 3);
    let first = gateway.stop();
    age(&first, 10);
    let gateway = Config::over(&[&mocks[1]]).start_in(first);
    ask(&gateway, 4);
    let second = gateway.stop();
    age(&second, 25);
    assert_eq!((second.rows.len(), runs(&second.data_dir())), (7, 2));
    let gateway = Config::over(&[&mocks[2]]).start_in(second);
    // Three are 35 days old by now, and 30 is the default.
    wait::until_true("the oldest are gone", || rows::count(&gateway.data_dir()) == 4);
    wait::until_true("and their views", || runs(&gateway.data_dir()) == 1);
    ask(&gateway, 1);
    gateway.terminate();
    let stopped = gateway.await_exit();
    assert_eq!(stopped.rows.len(), 5);
    (0..5).for_each(|i| replays(&stopped, i));
}

#[test]
fn h10_the_file_stays_below_its_size() {
    let a = Mock::answering("a", 1);
    a.forget();
    let gateway = Config::over(&[&a]).gateway("log_max_mb: 1").start();
    let (mut asked, mut most) = (0, 0);
    wait::until_true("rows are left out", || {
        ask(&gateway, 200);
        asked += 200;
        let count = rows::count(&gateway.data_dir());
        most = most.max(count);
        // Those of the last half second are still to come.
        count + 500 < most
    });
    gateway.await_rest();
    let held = || log(&gateway.data_dir(), &["status"])["file_bytes"].as_u64().unwrap();
    wait::until_true("the file is small again", || held() <= 1 << 20);
    gateway.terminate();
    let stopped = gateway.await_exit();
    assert!(!stopped.rows.is_empty() && stopped.rows.len() < asked);
    replays(&stopped, 0);
    replays(&stopped, stopped.rows.len() - 1);
}

#[test]
fn h10_a_log_is_looked_at_and_pruned_beside_its_gateway() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    ask(&gateway, 5);
    let data = gateway.data_dir();
    wait::until_true("they are on disk", || rows::count(&data) == 5);
    let status = log(&data, &["status"]);
    assert_eq!(status["outcomes"], serde_json::json!({"complete": 5}));
    assert_eq!(log(&data, &["prune", "--dry-run"])["would_prune"], 0, "none is 30 days old");
    assert_eq!(log(&data, &["prune", "--older-than", "0s", "--dry-run"])["would_prune"], 5);
    assert_eq!(rows::count(&data), 5);
    assert_eq!(log(&data, &["prune", "--older-than", "7d"])["requests"], 0);
    assert_eq!(log(&data, &["prune", "--older-than", "0s"])["requests"], 5);
    ask(&gateway, 2);
    gateway.terminate();
    assert_eq!(gateway.await_exit().rows.len(), 2);
    assert_eq!(rhumb(&["log", "status", "--data-dir", "/nowhere"]).status.code(), Some(4));
    assert_eq!(rhumb(&["log", "prune", "--older-than", "soon"]).status.code(), Some(2));
}
