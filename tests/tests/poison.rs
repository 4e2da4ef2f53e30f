//! Requests that every engine fails on, beside good ones: nobody else is harmed, and no engine is called unhealthy that answers
//! others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rhumb_rng::Rng;
use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, status};
use rhumb_tests::speech;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// A good request, and one that engines fail on; no two say the same.
fn ask(text: &str, number: usize, stream: bool) -> Value {
    let mut ask = speech::ask(stream);
    ask["messages"][0]["content"] = json!(format!("{text} {number}"));
    ask
}

fn event(data: &str) -> Step {
    Step::Chunk(speech::event(data).into_bytes())
}

/// The ways in which engines fail on a request of their own accord, some of them drawn.
fn failures(rng: &mut Rng) -> Vec<(String, Script)> {
    let code = 500 + rng.below(100) as u16;
    let plain = r#"{"error":{"message":"","type":"InternalServerError","param":null,"code":500}}"#;
    let in_stream = r#"{"error":{"message":"no","type":"InternalServerError","code":500}}"#;
    vec![
        (format!("status {code}"), status(code, "", plain)),
        (format!("status {code} in words"), status(code, "", "<html>no</html>")),
        ("a reset".into(), vec![Step::Reset]),
        ("an end".into(), vec![Step::Fin]),
        ("half a head".into(), vec![Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-".to_vec()), Step::Reset]),
        ("a role and a reset".into(), vec![Step::Head, Step::Role, Step::Reset]),
        ("an error event".into(), vec![Step::Head, event(in_stream), event("[DONE]"), Step::ZeroChunk]),
        (
            "an error event with 400".into(),
            vec![Step::Head, event(r#"{"error":{"message":"no","code":400}}"#), Step::ZeroChunk],
        ),
        ("an error beside a role".into(), vec![Step::Head, event(r#"{"choices":[],"error":"no"}"#), Step::ZeroChunk]),
        (
            "an error field".into(),
            vec![Step::Head, Step::Chunk(b"error: {\"error\":\"no\"}\n\n".to_vec()), Step::ZeroChunk],
        ),
        ("an end marker alone".into(), vec![Step::Head, event("[DONE]"), Step::ZeroChunk]),
        ("no JSON".into(), vec![Step::Head, event("oops"), Step::ZeroChunk]),
        (
            "too large a head".into(),
            vec![Step::Raw(b"HTTP/1.1 200 OK\r\nx: ".to_vec()), Step::RawOften(vec![b'y'; 1 << 14], 8), Step::Fin],
        ),
        ("a broken stream".into(), vec![Step::Head, Step::Role, Step::Tokens(2), Step::Reset]),
        (
            "an error after content".into(),
            vec![Step::Head, Step::Role, Step::Tokens(2), event(in_stream), Step::ZeroChunk],
        ),
    ]
}

/// Good requests one after the other, beside a client that sends bad ones without a pause; how many were answered.
fn beside_poison(gateway: &Gateway, good: usize, same_body: bool) -> (usize, usize) {
    let (is_over, answered, poisoned) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::SeqCst) && number < 400 {
                number += 1;
                let body = ask("poison", if same_body { 0 } else { number }, number % 3 != 0).to_string();
                gateway.client().exchange(&post(CHAT, "connection: close\r\n", body.as_bytes()));
                poisoned.store(number, Ordering::SeqCst);
            }
        });
        for number in 0..good {
            let answer = gateway.chat(&ask("good", number, number % 2 == 0));
            answered.fetch_add(usize::from(answer.status == 200 && answer.whole), Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    (answered.into_inner(), poisoned.into_inner())
}

#[test]
fn a1_a2_ten_drawn_schedules_of_poison_harm_nobody_else() {
    const GOOD: usize = 100;
    for seed in 0..10 {
        let mut rng = Rng::new(seed);
        let (engines, same_body) = (2 + rng.below(4), rng.below(2) == 0);
        let all = failures(&mut rng);
        let (what, script) = all[rng.below(all.len())].clone();
        let mocks: Vec<Mock> = ["a", "b", "c", "d", "e"][..engines].iter().map(|n| Mock::answering(n, 3)).collect();
        mocks.iter().for_each(|m| m.when("poison", script.clone()));
        let gateway = Config::over(&mocks.iter().collect::<Vec<_>>()).alike().start();
        let (answered, poisoned) = beside_poison(&gateway, GOOD, same_body);
        let told = format!("seed {seed}, {what}, {engines} engines, {poisoned} bad ones, same: {same_body}");
        assert!(answered * 100 >= GOOD * 99, "{answered} of {GOOD} good ones: {told}");
        for mock in &mocks {
            assert_eq!(gateway.of_endpoint("healthy", mock.name()), 1.0, "{}: {told}", mock.name());
        }
        assert_eq!(gateway.health("/health/ready").0, 200, "{told}");
        gateway.stop();
    }
}

#[test]
fn a1_every_way_to_fail_harms_nobody_else_and_is_tried_at_two_engines_that_serve() {
    let mut rng = Rng::new(1);
    for (what, script) in failures(&mut rng) {
        let mocks: Vec<Mock> = ["a", "b", "c"].iter().map(|n| Mock::answering(n, 3)).collect();
        let gateway = Config::over(&mocks.iter().collect::<Vec<_>>()).alike().start();
        (0..30).for_each(|i| assert_eq!(gateway.chat(&ask("good", i, i % 2 == 0)).status, 200, "{what}"));
        mocks.iter().for_each(|m| m.when("poison", script.clone()));
        // Without tenants all are one client's: ten in a row at one endpoint would be its trouble.
        for i in 0..9 {
            gateway.chat(&ask("poison", i, true));
        }
        (0..12).for_each(|i| assert_eq!(gateway.chat(&ask("good", i, i % 2 == 0)).status, 200, "{what}"));
        for mock in &mocks {
            assert_eq!(gateway.of_endpoint("healthy", mock.name()), 1.0, "{}: {what}", mock.name());
        }
        gateway.stop();
    }
}

#[test]
fn a1_a_request_that_two_engines_fail_alike_is_not_sent_to_a_third_and_not_brought_back() {
    let mocks: Vec<Mock> = ["a", "b", "c"].iter().map(|n| Mock::answering(n, 3)).collect();
    let gateway = Config::over(&mocks.iter().collect::<Vec<_>>()).alike().start();
    // Each has shown that it serves.
    for mock in &mocks {
        for other in mocks.iter().filter(|m| m.name() != mock.name()) {
            other.when("only", status(500, "", "{}"));
        }
        mock.when("only", vec![Step::Answer(3)]);
        assert_eq!(gateway.chat(&ask("only", 0, true)).status, 200);
    }
    mocks.iter().for_each(|m| m.when("poison", status(500, "", "{}")));
    (0..30).for_each(|i| assert_eq!(gateway.chat(&ask("good", i, true)).status, 200));
    let before: usize = mocks.iter().map(Mock::requests).sum();
    let answer = gateway.chat(&ask("poison", 0, true));
    assert_eq!((answer.status, answer.header("x-should-retry")), (502, "false"), "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "request_failed");
    let tried = mocks.iter().map(Mock::requests).sum::<usize>() - before;
    assert!((2..=3).contains(&tried), "{tried} tries");
    gateway.stop();
}
