//! Batch work is preempted before its first byte by whoever waits for a first token, and is done afterwards.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::{Answer, Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::rows::Row;
use rhumb_tests::script::{Script, Step, silent};
use rhumb_tests::{speech, wait};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

/// A prompt of so many bytes that half of it takes an engine longer than any test.
const LONG: usize = 4 << 20;

/// A grid of one place, whose engine does this with what it is sent first and answers the rest.
fn one_place(first: Script) -> (Mock, Config) {
    let mock = Mock::answering("a", 3);
    mock.once(first);
    let config = Config::over(&[&mock]).endpoint(0, |e| e.concurrency = 1).policy("priority: standard");
    (mock, config)
}

fn send(gateway: &Gateway, priority: &str, bytes: usize, stream: bool) -> Client {
    let mut body = speech::ask(stream);
    body["user"] = json!(priority);
    body["messages"][0]["content"] = json!("lorem ip".repeat(bytes / 8));
    let mut client = gateway.client();
    client.send(&post(CHAT, &format!("x-rhumb-priority: {priority}\r\n"), body.to_string().as_bytes()));
    client
}

fn is_whole(answer: &Answer) {
    assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
}

/// Whose requests the engine saw, in order.
fn order(mock: &Mock) -> Vec<String> {
    mock.seen().iter().map(|s| s.json()["user"].as_str().unwrap().to_owned()).collect()
}

fn await_queue(gateway: &Gateway, priority: &str) {
    let series = format!("rhumb_queue_length{{priority=\"{priority}\"}}");
    wait::until_true("one waits", || gateway.metric(&series) == 1.0);
}

/// How often each ended, after so many attempts, in the order in which they came.
fn ends(rows: &[Row]) -> Vec<(&str, u32)> {
    rows.iter().map(|r| (r.outcome.as_str(), r.attempts)).collect()
}

#[test]
fn preemption_a_long_batch_prompt_gives_way_and_is_answered_afterwards() {
    for (urgent, stream) in [("interactive", true), ("interactive", false), ("standard", true)] {
        let (mock, config) = one_place(silent());
        let gateway = config.start();
        let mut batch = send(&gateway, "batch", LONG, stream);
        mock.await_requests(1);
        is_whole(&send(&gateway, urgent, 80, true).answer());
        mock.await_cancels(1);
        is_whole(&batch.answer());
        assert_eq!(order(&mock), ["batch", urgent, "batch"]);
        let ids: Vec<String> = mock.seen().iter().map(|s| s.header("x-request-id").to_owned()).collect();
        assert_eq!(ids[2], format!("{}-2", ids[0]), "an engine that has not let go of it yet takes it all the same");
        gateway.await_rest();
        assert_eq!(gateway.metric("rhumb_preemptions_total"), 1.0);
        assert_eq!(
            gateway.metric("rhumb_attempts_total{endpoint=\"a\",result=\"failed\"}"),
            0.0,
            "no fault of its own"
        );
        let rows = gateway.stop().rows;
        assert_eq!(ends(&rows), [("complete", 2), ("complete", 1)]);
        // Its whole prompt is paid for once more.
        let answered = rows[0].prompt_tokens + rows[0].completion_tokens;
        assert!(rows[0].usd > answered as f64 * 1e-7, "{} for {answered} tokens", rows[0].usd);
    }
}

#[test]
fn preemption_not_of_what_has_begun_nor_of_a_standard_request_nor_of_a_last_try() {
    let begun = vec![
        Step::Head,
        Step::Role,
        Step::Tokens(1),
        Step::Gate,
        Step::Chunk(speech::done().into_bytes()),
        Step::ZeroChunk,
    ];
    let held = vec![Step::Gate, Step::Answer(3)];
    for (what, priority, script, attempts) in [
        ("it has begun", "batch", begun, 3),
        ("it is no batch work", "standard", held.clone(), 3),
        ("its last try is for what fails", "batch", held, 2),
    ] {
        let (mock, config) = one_place(script);
        let gateway = config.policy(&format!("max_attempts: {attempts}")).start();
        let mut first = send(&gateway, priority, LONG, true);
        mock.await_requests(1);
        if what == "it has begun" {
            first.read_until("t1 ");
        }
        let mut urgent = send(&gateway, "interactive", 80, true);
        await_queue(&gateway, "interactive");
        mock.release();
        is_whole(&first.answer());
        is_whole(&urgent.answer());
        assert_eq!((order(&mock).len(), mock.cancels()), (2, 0), "{what}");
        assert_eq!(ends(&gateway.stop().rows), [("complete", 1), ("complete", 1)], "{what}");
    }
}

#[test]
fn preemption_a_client_that_has_left_meanwhile_leaves_nothing_behind() {
    let (mock, config) = one_place(silent());
    let gateway = config.start();
    let batch = send(&gateway, "batch", LONG, true);
    mock.await_requests(1);
    mock.once(vec![Step::Gate, Step::Answer(3)]);
    let mut urgent = send(&gateway, "interactive", 80, true);
    await_queue(&gateway, "batch");
    assert_eq!(gateway.metric("rhumb_requests_in_progress"), 2.0);
    drop(batch);
    mock.release();
    is_whole(&urgent.answer());
    gateway.await_rest();
    assert_eq!(ends(&gateway.stop().rows), [("client_gone", 1), ("complete", 1)]);
    assert_eq!(order(&mock), ["batch", "interactive"]);
}
