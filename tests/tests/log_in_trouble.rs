//! H6: the decision log while its disk is full, its file locked, its folder deleted or taken, and the process killed. What
//! fits in memory is written later, the rest is counted, and requests are answered throughout.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Gateway, binary, rhumb};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::{rows, speech, wait};
use rusqlite::Connection;

const CHAT: &str = "/v1/chat/completions";

fn ask(gateway: &Gateway, count: usize) {
    for _ in 0..count {
        assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    }
}

fn waiting(gateway: &Gateway) -> usize {
    gateway.metric("rhumb_log_waiting_rows") as usize
}

/// Another process's transaction, for as long as it is held.
fn locked(data_dir: &Path) -> Connection {
    let db = Connection::open(data_dir.join("rhumb.db")).unwrap();
    db.execute_batch("begin immediate").unwrap();
    db
}

fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

const CANNOT: &str = "the decision log cannot be written";

#[test]
fn h6_a_kill_in_the_middle_of_a_stream_leaves_its_row() {
    let (a, again) = (Mock::answering("a", 3), Mock::answering("a", 3));
    let gateway = Config::over(&[&a]).start();
    a.once(vec![Step::Head, Step::Role, Step::Tokens(1), Step::Hang]);
    let mut open = gateway.client();
    open.send(&post(CHAT, "", speech::ask(true).to_string().as_bytes()));
    open.read_until("t1 ");
    wait::until_true("its row is on disk", || rows::read(&gateway.data_dir()).len() == 1);
    // One that has ended stands beside it, and its end takes the place of its beginning.
    ask(&gateway, 1);
    wait::until_true("the other is on disk", || {
        rows::read(&gateway.data_dir()).iter().filter(|r| r.outcome == "complete").count() == 1
    });
    let killed = gateway.kill();
    let outcomes: Vec<&str> = killed.rows.iter().map(|r| r.outcome.as_str()).collect();
    assert_eq!(outcomes, ["running", "complete"]);
    let data = killed.data_dir();
    let said = rhumb(&["replay", &killed.rows[0].id, "--data-dir", data.to_str().unwrap()]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("identical") && said.contains("has not ended"), "{said}");
    let gateway = Config::over(&[&again]).start_in(killed);
    ask(&gateway, 1);
    let stopped = gateway.stop();
    let outcomes: Vec<&str> = stopped.rows.iter().map(|r| r.outcome.as_str()).collect();
    assert_eq!(outcomes, ["lost", "complete", "complete"]);
    assert_eq!(times(&stopped.stderr, "1 requests were running"), 1, "{}", stopped.stderr);
}

#[test]
fn h6_a_row_that_says_running_says_how_it_ended_at_the_end() {
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Tokens(1), Step::Gate, Step::Answer(2)]);
    let gateway = Config::over(&[&a]).start();
    let mut open = gateway.client();
    open.send(&post(CHAT, "", speech::ask(true).to_string().as_bytes()));
    open.read_until("t1 ");
    wait::until_true("its row is on disk", || rows::read(&gateway.data_dir()).iter().any(|r| r.outcome == "running"));
    drop(open);
    a.release();
    gateway.await_rest();
    let rows = gateway.stop().rows;
    assert_eq!((rows.len(), rows[0].outcome.as_str()), (1, "client_gone"));
}

#[test]
fn h6_a_second_gateway_on_a_folder_is_refused() {
    let (a, again) = (Mock::answering("a", 3), Mock::answering("a", 3));
    let gateway = Config::over(&[&a]).start();
    let second = Command::new(binary()).arg("up").arg("-c").arg(gateway.file()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    let folder = gateway.data_dir().display().to_string();
    assert!(said.contains(&folder) && said.contains(&format!("process {}", gateway.process())), "{said}");
    ask(&gateway, 2);
    // Whoever is killed holds it no more.
    let gateway = Config::over(&[&again]).start_in(gateway.kill());
    ask(&gateway, 1);
    gateway.stop();
}

#[test]
fn h6_a_file_that_is_locked_loses_nothing() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    ask(&gateway, 1);
    wait::until_true("the first is on disk", || rows::read(&gateway.data_dir()).len() == 1);
    let lock = locked(&gateway.data_dir());
    ask(&gateway, 20);
    wait::until_true("it says that it cannot write", || gateway.said().contains(CANNOT));
    ask(&gateway, 20);
    wait::until_true("they wait", || waiting(&gateway) == 40);
    assert_eq!(rows::read(&gateway.data_dir()).len(), 1);
    drop(lock);
    wait::until_true("they are written", || rows::read(&gateway.data_dir()).len() == 41);
    wait::until_true("none waits", || waiting(&gateway) == 0);
    assert_eq!(gateway.metric("rhumb_log_dropped_total"), 0.0);
    let stopped = gateway.stop();
    assert_eq!(times(&stopped.stderr, CANNOT), 1, "once, however often it was tried: {}", stopped.stderr);
    assert!(rows::is_sound(&stopped.data_dir()));
}

#[test]
fn h6_a_stop_ends_and_counts_what_it_loses_while_the_file_is_locked() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    let lock = locked(&gateway.data_dir());
    ask(&gateway, 7);
    gateway.terminate();
    let stopped = gateway.await_exit();
    assert!(stopped.stderr.contains("loses rows, 7 so far"), "{}", stopped.stderr);
    assert!(stopped.rows.is_empty());
    drop(lock);
}

/// Lets one row be written and then no more: no file may grow beyond its first page. Forty rows wait.
fn fill(gateway: &Gateway) {
    ask(gateway, 1);
    wait::until_true("the first is on disk", || rows::read(&gateway.data_dir()).len() == 1);
    gateway.limit_files("4096");
    ask(gateway, 20);
    wait::until_true("it says that it cannot write", || gateway.said().contains(CANNOT));
    ask(gateway, 20);
    wait::until_true("they wait", || waiting(gateway) == 40);
}

#[test]
fn h6_a_full_disk_loses_nothing_and_stops_nobody() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    fill(&gateway);
    gateway.limit_files("unlimited");
    wait::until_true("all are written", || rows::read(&gateway.data_dir()).len() == 41);
    assert_eq!(gateway.metric("rhumb_log_dropped_total"), 0.0);
    let stopped = gateway.stop();
    assert!(rows::is_sound(&stopped.data_dir()));
    assert!(stopped.stderr.contains("is written again"), "{}", stopped.stderr);
}

#[test]
fn h6_a_stop_ends_and_counts_what_it_loses_while_the_disk_is_full() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    fill(&gateway);
    gateway.terminate();
    let stopped = gateway.await_exit();
    assert_eq!(stopped.rows.len(), 1);
    assert!(stopped.stderr.contains("loses rows, 40 so far"), "{}", stopped.stderr);
    assert!(rows::is_sound(&stopped.data_dir()), "nothing is half written");
}

#[test]
fn h6_a_folder_that_is_deleted_is_made_anew() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    ask(&gateway, 2);
    wait::until_true("they are on disk", || rows::read(&gateway.data_dir()).len() == 2);
    std::fs::remove_dir_all(gateway.data_dir()).unwrap();
    ask(&gateway, 3);
    wait::until_true("there is a log again", || gateway.said().contains("was deleted or replaced"));
    wait::until_true("what came after is there", || rows::read(&gateway.data_dir()).len() == 3);
    gateway.terminate();
    assert_eq!(gateway.await_exit().rows.len(), 3);
}

#[test]
fn h6_a_folder_that_cannot_be_used_is_named() {
    let a = Mock::answering("a", 3);
    let dir = rhumb_tests::temp::TempDir::new();
    let (file, folder) = (dir.path().join("rhumb.yaml"), dir.path().join("data"));
    std::fs::write(&file, Config::over(&[&a]).yaml(&folder)).unwrap();
    let refused = |why: &str| {
        let output = Command::new(binary()).arg("up").arg("-c").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&folder.display().to_string()) && said.contains(why), "{said}");
    };
    std::fs::write(&folder, "a file").unwrap();
    refused("cannot be used");
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("rhumb.db"), "no database ".repeat(1_000)).unwrap();
    refused("move the file away");
}
