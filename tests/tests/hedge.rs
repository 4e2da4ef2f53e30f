//! A second target beside one that is late: whichever begins first answers, the other is cancelled.

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::rows::Row;
use rhumb_tests::script::{Script, Step, silent, status};
use rhumb_tests::{speech, wait};

const CHAT: &str = "/v1/chat/completions";

fn gated() -> Script {
    vec![Step::Gate, Step::Answer(3)]
}

fn hedging(a: &Mock, b: &Mock) -> Config {
    Config::over(&[a, b]).policy("hedge: true")
}

fn send(gateway: &Gateway, headers: &str, stream: bool) -> Client {
    let mut client = gateway.client();
    client.send(&post(CHAT, headers, speech::ask(stream).to_string().as_bytes()));
    client
}

fn is_answered(client: &mut Client, by: &str) {
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, by), "{}", answer.text());
    assert_eq!(answer.text(), speech::stream(by, 3, false), "one whole answer of one engine");
}

/// Second tries that won, lost, failed.
fn hedges(gateway: &Gateway) -> [f64; 3] {
    ["won", "lost", "failed"].map(|r| gateway.metric(&format!("rhumb_hedges_total{{result=\"{r}\"}}")))
}

/// Lets more time pass than any second try waits for, seen by a request whose own deadline ends.
fn long_after(gateway: &Gateway) {
    send(gateway, "x-rhumb-deadline-ms: 1500\r\n", false).answer().error(504, "deadline_exceeded");
}

fn only(rows: &[Row]) -> (&str, u16, u32, &str) {
    assert_eq!(rows.len(), 1, "{rows:?}");
    (&rows[0].outcome, rows[0].status, rows[0].attempts, &rows[0].endpoint)
}

#[test]
fn hedge_the_second_answers_in_place_of_one_that_is_late_and_that_one_is_cancelled() {
    for late in [silent(), vec![Step::Head, Step::Hang], vec![Step::Head, Step::Role, Step::Hang]] {
        let (a, b) = (Mock::start("a", late), Mock::answering("b", 3));
        let gateway = hedging(&a, &b).start();
        is_answered(&mut send(&gateway, "", true), "b");
        a.await_cancels(1);
        assert_eq!((hedges(&gateway), gateway.of_endpoint("healthy", "a")), ([1.0, 0.0, 0.0], 1.0));
        assert_eq!(gateway.metric("rhumb_attempts_total{endpoint=\"a\",result=\"failed\"}"), 0.0);
        let rows = gateway.stop().rows;
        assert_eq!(only(&rows), ("complete", 200, 2, "b"));
        // The prompt that `a` may have computed is paid for: its tokens cost a tenth of those at `b`.
        let at_b = (speech::PROMPT_TOKENS + 3) as f64 * 1e-6;
        assert!(rows[0].usd > at_b, "{} of which {at_b} at b", rows[0].usd);
    }
}

#[test]
fn hedge_the_first_answers_after_all_and_the_second_is_cancelled() {
    let (a, b) = (Mock::start("a", gated()), Mock::start("b", silent()));
    let gateway = hedging(&a, &b).start();
    let mut client = send(&gateway, "", true);
    b.await_requests(1);
    a.release();
    is_answered(&mut client, "a");
    b.await_cancels(1);
    assert_eq!(hedges(&gateway), [0.0, 1.0, 0.0]);
    assert_eq!(only(&gateway.stop().rows), ("complete", 200, 2, "a"));
    assert_eq!(a.cancels(), 0);
}

#[test]
fn hedge_a_second_that_fails_changes_nothing() {
    let (a, b) = (Mock::start("a", gated()), Mock::start("b", status(500, "", "{}")));
    let gateway = hedging(&a, &b).start();
    let mut client = send(&gateway, "", true);
    wait::until_true("the second try has failed", || hedges(&gateway) == [0.0, 0.0, 1.0]);
    a.release();
    is_answered(&mut client, "a");
    assert_eq!(only(&gateway.stop().rows), ("complete", 200, 2, "a"));
}

#[test]
fn hedge_a_first_that_fails_leaves_it_to_the_second() {
    let (a, b) = (Mock::start("a", vec![Step::Gate, Step::Reset]), Mock::start("b", gated()));
    let gateway = hedging(&a, &b).start();
    let mut client = send(&gateway, "", true);
    b.await_requests(1);
    a.release();
    let failed = "rhumb_attempts_total{endpoint=\"a\",result=\"failed\"}";
    wait::until_true("the first has failed", || gateway.metric(failed) == 1.0);
    b.release();
    is_answered(&mut client, "b");
    assert_eq!((hedges(&gateway), b.requests()), ([1.0, 0.0, 0.0], 1));
    assert_eq!(only(&gateway.stop().rows), ("complete", 200, 2, "b"));
}

#[test]
fn hedge_a_client_that_leaves_cancels_both() {
    let (a, b) = (Mock::start("a", silent()), Mock::start("b", silent()));
    let gateway = hedging(&a, &b).start();
    let client = send(&gateway, "", true);
    b.await_requests(1);
    drop(client);
    a.await_cancels(1);
    b.await_cancels(1);
    let rows = gateway.stop().rows;
    assert_eq!((only(&rows).0, only(&rows).2, rows[0].usd), ("client_gone", 2, 0.0));
}

#[test]
fn hedge_when_all_are_slow_second_tries_stay_within_their_budget() {
    let (a, b) = (Mock::start("a", gated()), Mock::start("b", gated()));
    let gateway = hedging(&a, &b).start();
    let mut clients: Vec<Client> = (0..100).map(|_| send(&gateway, "", true)).collect();
    wait::until_true("the budget is used", || a.requests() + b.requests() >= 105);
    long_after(&gateway);
    let tries = a.requests() + b.requests();
    // Five are saved up at first, and a hundred requests earn five more. One came to let time pass.
    assert!((106..=111).contains(&tries), "{tries} tries for 101 requests");
    a.release();
    b.release();
    assert!(clients.iter_mut().all(|c| c.answer().status == 200));
    let [won, lost, failed] = hedges(&gateway);
    assert_eq!(won + lost + failed, tries as f64 - 101.0);
    let rows = gateway.stop().rows;
    assert_eq!(rows.iter().map(|r| r.attempts as usize).sum::<usize>(), tries);
}

#[test]
fn hedge_nothing_goes_where_there_is_no_room() {
    let (a, b) = (Mock::start("a", gated()), Mock::start("b", gated()));
    let gateway = hedging(&a, &b).endpoint(1, |e| e.concurrency = 1).start();
    a.once(status(500, "", "{}"));
    let mut first = send(&gateway, "", true);
    b.await_requests(1);
    let mut second = send(&gateway, "", true);
    a.await_requests(2);
    long_after(&gateway);
    assert_eq!((b.requests(), hedges(&gateway)), (1, [0.0; 3]));
    b.release();
    is_answered(&mut first, "b");
    a.release();
    is_answered(&mut second, "a");
    assert!(gateway.stop().rows.iter().all(|r| r.attempts <= 2));
}

#[test]
fn hedge_only_where_the_policy_says_so_and_tries_are_left() {
    for (policy, headers) in [("hedge: false", ""), ("max_attempts: 3", ""), ("hedge: true", "x-rhumb-tries: 1\r\n")] {
        let (a, b) = (Mock::start("a", gated()), Mock::answering("b", 3));
        let gateway = Config::over(&[&a, &b]).policy(policy).start();
        let mut client = send(&gateway, headers, true);
        a.await_requests(1);
        long_after(&gateway);
        assert_eq!(b.requests(), 0, "{policy} {headers}");
        a.release();
        is_answered(&mut client, "a");
        gateway.stop();
    }
}

#[test]
fn hedge_a_person_who_waits_has_them_by_default() {
    for (preset, wants) in [("interactive", true), ("fastest", true), ("balanced", false), ("economy", false)] {
        let (a, b) = (Mock::start("a", gated()), Mock::start("b", gated()));
        let gateway = Config::over(&[&a, &b]).policy(&format!("preset: {preset}")).start();
        let mut client = send(&gateway, "", true);
        wait::until_true("it has come", || a.requests() + b.requests() == 1);
        long_after(&gateway);
        assert_eq!(a.requests() + b.requests() == 3, wants, "{preset}");
        a.release();
        b.release();
        assert_eq!(client.answer().status, 200);
        gateway.stop();
    }
}
