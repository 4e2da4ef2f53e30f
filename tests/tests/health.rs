//! Endpoints that return, lie, refuse fast, are merely slow, or answer wrongly: F21 to F25, F27.

use std::time::Instant;

use rhumb_tests::client::{Answer, Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, at_pace, status};
use rhumb_tests::{speech, wait};
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

/// So many requests at once.
fn sent(gateway: &Gateway, count: usize, body: &str) -> Vec<Client> {
    let send = |_| {
        let mut client = gateway.client();
        client.send(&post(CHAT, "", body.as_bytes()));
        client
    };
    (0..count).map(send).collect()
}

fn answers(clients: &mut [Client]) -> Vec<Answer> {
    let answers: Vec<Answer> = clients.iter_mut().map(Client::answer).collect();
    assert!(answers.iter().all(|a| a.status == 200 && a.whole));
    answers
}

fn await_ill(gateway: &Gateway, endpoint: &str) {
    wait::until_true("the endpoint is unhealthy", || gateway.of_endpoint("healthy", endpoint) == 0.0);
}

fn stream() -> String {
    speech::ask(true).to_string()
}

#[test]
fn f21_an_endpoint_that_comes_back_is_loaded_by_prompt_tokens_and_not_at_once() {
    const PROMPT_TOKENS: f64 = 5_000.0;
    // What is computed in a second where nothing is known of the GPU, and the share of it to begin with after a second.
    const FULL_PER_S: f64 = 10_000.0;
    let (a, b) = (Mock::start("a", status(500, "", "")), Mock::answering("b", 3));
    let gateway = Config::over(&[&a, &b]).start();
    (0..3).for_each(|_| assert_eq!(gateway.chat(&speech::ask(true)).status, 200));
    await_ill(&gateway, "a");
    a.set(vec![Step::Answer(3)]);
    let gone = Instant::now();
    wait::until_true("it is tried again", || {
        let before = a.requests();
        answers(&mut sent(&gateway, 1, &stream()));
        a.requests() > before
    });
    let before = a.requests();
    let mut body = speech::ask(true);
    body["messages"][0]["content"] = json!("word ".repeat(PROMPT_TOKENS as usize));
    let mut clients = sent(&gateway, 60, &body.to_string());
    answers(&mut clients);
    let by_a = (a.requests() - before) as f64;
    // The last prompt may overdraw the allowance.
    let allowed = FULL_PER_S * gone.elapsed().as_secs_f64() / PROMPT_TOKENS + 1.0;
    assert!(by_a <= allowed, "{by_a} prompts at once, {allowed} allowed");
    assert!(b.requests() > 30);
    wait::until_true("the endpoint is loaded as before", || {
        let before = a.requests();
        answers(&mut sent(&gateway, 10, &body.to_string()));
        a.requests() - before == 10
    });
    gateway.stop();
}

#[test]
fn f22_an_endpoint_whose_load_report_is_frozen_gets_no_more_than_its_share() {
    let mocks: Vec<Mock> =
        ["a", "b", "c", "d"].iter().map(|n| Mock::start(n, vec![Step::Gate, Step::Answer(3)])).collect();
    // The first goes on saying that it has nothing to do.
    mocks[1..].iter().for_each(Mock::report_truly);
    let gateway = Config::over(&mocks.iter().collect::<Vec<_>>()).alike().scrape(50).start();
    let mut clients = Vec::new();
    for i in 0..100 {
        clients.extend(sent(&gateway, 1, &stream()));
        wait::until_true("it is under way", || mocks.iter().map(Mock::requests).sum::<usize>() == i + 1);
        if i % 10 == 9 {
            let scrapes = || mocks[0].probes().iter().filter(|p| *p == "/metrics").count();
            let before = scrapes();
            wait::until_true("reports have come", || scrapes() >= before + 2);
        }
    }
    let shares: Vec<usize> = mocks.iter().map(Mock::requests).collect();
    mocks.iter().for_each(Mock::release);
    answers(&mut clients);
    assert!(shares[0] as f64 <= 1.5 * 25.0, "{shares:?}");
    gateway.stop();
}

#[test]
fn f23_senseless_load_reports_are_refused_flagged_and_change_nothing() {
    let lies = [("-5", "0"), ("NaN", "0"), ("0", "+Inf"), ("1e300", "0"), ("999999999999", "0"), ("x", "0"), ("", "")];
    for (running, waiting) in lies {
        let (a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
        let gateway = Config::over(&[&a, &b]).scrape(50).start();
        let honest = gateway.of_endpoint("running", "a");
        a.report(running, waiting, "0.5");
        let scrapes = || a.probes().iter().filter(|p| *p == "/metrics").count();
        let before = scrapes();
        wait::until_true("it has lied", || scrapes() >= before + 2);
        assert_eq!(gateway.of_endpoint("running", "a"), honest, "{running} {waiting}");
        answers(&mut sent(&gateway, 5, &stream()));
        assert_eq!((a.requests(), b.requests()), (5, 0), "load never drops: {running} {waiting}");
        let stderr = gateway.stop().stderr;
        assert!(stderr.contains("endpoint `a`: its load is not known"), "{running} {waiting}: {stderr}");
    }
}

#[test]
fn f24_an_endpoint_that_refuses_fast_attracts_nobody() {
    let a = Mock::start("a", status(429, "retry-after: 30\r\n", ""));
    let others: Vec<Mock> = ["b", "c", "d"].iter().map(|n| Mock::answering(n, 3)).collect();
    let mocks: Vec<&Mock> = std::iter::once(&a).chain(&others).collect();
    // It is the cheapest by far, and answers at once.
    let gateway = Config::over(&mocks).start();
    for _ in 0..40 {
        assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    }
    assert_eq!(a.requests(), 1, "it has said for how long it is busy");
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0);
    gateway.stop();
}

/// Three alike, each of which has shown that it answers well, and takes so many at once.
fn three(concurrency: u32) -> (Vec<Mock>, Gateway) {
    let mocks: Vec<Mock> = ["a", "b", "c"].iter().map(|n| Mock::start(n, vec![])).collect();
    let mut config = Config::over(&mocks.iter().collect::<Vec<_>>()).policy("first_token_timeout_ms: 60000");
    for i in 0..3 {
        config = config.endpoint(i, |e| e.concurrency = concurrency);
    }
    (mocks, config.start())
}

/// Each answers so many of a group of requests, as it is told to.
fn served(mocks: &[Mock], gateway: &Gateway, each: usize, scripts: [Script; 3]) -> Vec<Client> {
    for (mock, script) in mocks.iter().zip(scripts) {
        mock.set(script);
    }
    let before: Vec<usize> = mocks.iter().map(Mock::requests).collect();
    let clients = sent(gateway, each * 3, &stream());
    for (mock, before) in mocks.iter().zip(before) {
        mock.await_requests(before + each);
    }
    clients
}

#[test]
fn f25_one_whose_tokens_come_twenty_times_slower_than_its_peers_is_left_alone() {
    let (mocks, gateway) = three(16);
    answers(&mut served(&mocks, &gateway, 16, [at_pace(24, 5), at_pace(24, 5), at_pace(24, 5)]));
    let slow = vec![Step::Head, Step::Role, Step::Slowly(10_000, 250)];
    let clients = served(&mocks, &gateway, 16, [slow, at_pace(24, 5), at_pace(24, 5)]);
    await_ill(&gateway, "a");
    let before = mocks[0].requests();
    answers(&mut sent(&gateway, 10, &stream()));
    assert_eq!(mocks[0].requests(), before, "it is left alone");
    assert_eq!((gateway.of_endpoint("healthy", "b"), gateway.of_endpoint("healthy", "c")), (1.0, 1.0));
    drop(clients);
    let stderr = gateway.stop().stderr;
    assert!(stderr.contains("endpoint `a` is unhealthy: it is far slower than its peers"), "{stderr}");
}

#[test]
fn f25_an_engine_that_falls_silent_in_every_stream_is_found_while_they_stand() {
    let (mocks, gateway) = three(8);
    answers(&mut served(&mocks, &gateway, 8, [at_pace(16, 5), at_pace(16, 5), at_pace(16, 5)]));
    let silent = vec![Step::Head, Step::Role, Step::Tokens(3), Step::Hang];
    let clients = served(&mocks, &gateway, 8, [silent, at_pace(16, 5), at_pace(16, 5)]);
    await_ill(&gateway, "a");
    drop(clients);
    gateway.stop();
}

#[test]
fn f25_where_all_are_slow_none_is_ill() {
    let (mocks, gateway) = three(16);
    answers(&mut served(&mocks, &gateway, 16, [at_pace(24, 5), at_pace(24, 5), at_pace(24, 5)]));
    answers(&mut served(&mocks, &gateway, 16, [at_pace(16, 250), at_pace(16, 250), at_pace(16, 250)]));
    for mock in &mocks {
        assert_eq!(gateway.of_endpoint("healthy", mock.name()), 1.0);
    }
    let stderr = gateway.stop().stderr;
    assert!(!stderr.contains("slower"), "{stderr}");
}

const QUESTION: &str = "What is the capital of France?";

fn saying(text: &str) -> Script {
    status(200, "", &json!({"choices": [{"message": {"role": "assistant", "content": text}}]}).to_string())
}

fn knowing(name: &str, answer: &str) -> Mock {
    let mock = Mock::answering(name, 3);
    mock.when(QUESTION, saying(answer));
    mock
}

#[test]
fn f27_an_endpoint_that_answers_its_canary_wrongly_is_sent_nothing_until_it_answers_rightly() {
    let (a, b) = (knowing("a", "It is Paris."), knowing("b", "paris"));
    let gateway = Config::over(&[&a, &b]).canary(QUESTION, "Paris").start();
    let by = |gateway: &Gateway| gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint").to_owned();
    assert_eq!(by(&gateway), "a");
    a.when(QUESTION, saying("zzzzzz"));
    await_ill(&gateway, "a");
    wait::until_true("it is left alone", || by(&gateway) == "b");
    for _ in 0..10 {
        assert_eq!(by(&gateway), "b");
    }
    a.when(QUESTION, saying("Paris"));
    wait::until_true("it is in use again", || by(&gateway) == "a");
    let stderr = gateway.stop().stderr;
    assert!(stderr.contains("endpoint `a` answers the canary of"), "{stderr}");
}

#[test]
fn f27_an_endpoint_that_does_not_answer_its_canary_is_found_before_a_request_finds_it() {
    let (a, b) = (knowing("a", "Paris"), knowing("b", "Paris"));
    let gateway = Config::over(&[&a, &b]).canary(QUESTION, "Paris").start();
    a.when(QUESTION, status(500, "", ""));
    await_ill(&gateway, "a");
    gateway.stop();
}

#[test]
fn f27_where_everyone_answers_wrongly_it_is_the_canary_that_is_doubted() {
    let (a, b) = (knowing("a", "London"), knowing("b", "Rome"));
    let gateway = Config::over(&[&a, &b]).canary(QUESTION, "Paris").start();
    wait::until_true("both have been asked", || a.requests() > 3 && b.requests() > 3);
    answers(&mut sent(&gateway, 10, &stream()));
    let stderr = gateway.stop().stderr;
    assert!(stderr.contains("stays in use") && stderr.contains("is it right?"), "{stderr}");
}
