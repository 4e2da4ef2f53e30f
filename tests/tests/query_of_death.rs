//! A request that keeps killing engines is not given the whole grid to kill (CVE-2026-22773 and its like).

use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::mock::{Mock, Seen};
use rhumb_tests::script::{Script, Step, die_before_content, silent, status};
use rhumb_tests::{speech, wait};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn ask(text: &str, stream: bool) -> Value {
    let mut ask = speech::ask(stream);
    ask["messages"][0]["content"] = json!(text);
    ask
}

/// Five engines that a marked prompt does this to.
fn engines(script: &Script) -> Vec<Mock> {
    let engines: Vec<Mock> = ["a", "b", "c", "d", "e"].map(|name| Mock::answering(name, 3)).into();
    engines.iter().for_each(|e| e.when("poison", script.clone()));
    engines
}

fn over(engines: &[Mock]) -> Config {
    Config::over(&engines.iter().collect::<Vec<_>>())
}

fn asked(engines: &[Mock]) -> usize {
    engines.iter().map(Mock::requests).sum()
}

#[test]
fn f_quarantine_three_engines_die_of_a_request_and_no_more_however_often_it_comes() {
    let half_a_head = vec![Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-".to_vec()), Step::Reset];
    for script in [vec![Step::Reset], vec![Step::Fin], half_a_head, die_before_content()] {
        let engines = engines(&script);
        let gateway = over(&engines).policy("max_attempts: 5").start();
        for i in 0..10 {
            let message = gateway.chat(&ask("poison", true)).error(422, "request_quarantined");
            assert!(!message.contains("poison"), "{message}");
            assert_eq!(asked(&engines), 3 + i, "three died of it; each of the others was answered once");
            assert_eq!(gateway.chat(&ask("water", i % 2 == 0)).status, 200);
        }
        assert_eq!(gateway.metric("rhumb_requests_total{outcome=\"quarantined\"}"), 10.0);
        let rows = gateway.stop().rows;
        let held: Vec<u32> = rows.iter().filter(|r| r.outcome == "quarantined").map(|r| r.attempts).collect();
        assert_eq!(held, [3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(rows.iter().all(|r| r.status == if r.outcome == "complete" { 200 } else { 422 }));
    }
}

#[test]
fn f_quarantine_an_engine_that_dies_on_a_kept_connection_counts_too() {
    let mut engines = engines(&silent());
    let gateway = over(&engines).start();
    // One connection of the client is one worker, whose own connections to the engines are made first.
    let mut client = gateway.client();
    for i in 0..3 {
        engines[..i].iter().for_each(|e| e.once(status(500, "", "{}")));
        assert_eq!(client.exchange(&post(CHAT, "", ask("water", true).to_string().as_bytes())).status, 200);
    }
    client.send(&post(CHAT, "", ask("poison", true).to_string().as_bytes()));
    for engine in &mut engines[..3] {
        let poisoned = |s: &Seen| s.json()["messages"] == ask("poison", true)["messages"];
        wait::until_true("it has the request", || engine.seen().iter().any(poisoned));
        engine.close();
    }
    client.answer().error(422, "request_quarantined");
    assert_eq!((engines[3].requests(), engines[4].requests()), (0, 0));
    gateway.stop();
}

#[test]
fn f_quarantine_what_engines_die_of_does_not_take_two_at_a_time() {
    let engines = engines(&vec![Step::Gate, Step::Reset]);
    let gateway = over(&engines).policy("hedge: true").start();
    engines[0].when("poison", vec![Step::Reset]);
    let mut client = gateway.client();
    let poison = ask("poison", true).to_string();
    client.send(&post(CHAT, "", poison.as_bytes()));
    engines[1].await_requests(1);
    // The same again, now that it is suspected: its first target is late, and no second one is asked.
    let mut late = gateway.client();
    engines[0].when("poison", silent());
    late.send(&post(CHAT, "x-rhumb-deadline-ms: 1000\r\n", poison.as_bytes()));
    late.answer().error(504, "deadline_exceeded");
    assert_eq!(engines.iter().map(Mock::requests).collect::<Vec<_>>(), [2, 1, 0, 0, 0]);
    engines.iter().for_each(Mock::release);
    client.answer().error(422, "request_quarantined");
    gateway.stop();
}

#[test]
fn f_quarantine_a_client_with_one_try_each_time_reaches_one_engine_and_harms_nobody() {
    let engines = engines(&vec![Step::Reset]);
    let gateway = over(&engines).policy("max_attempts: 1").start();
    // It closes the connections of this request alone: without a second endpoint that serves it, that is no illness.
    (0..20).for_each(|_| assert_eq!(gateway.chat(&ask("poison", false)).status, 502));
    assert_eq!(engines.iter().map(Mock::requests).collect::<Vec<_>>(), [20, 0, 0, 0, 0]);
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0);
    assert_eq!(gateway.chat(&ask("water", true)).header("x-rhumb-endpoint"), "a");
    gateway.stop();
}

#[test]
fn f_quarantine_the_deaths_of_a_clients_retries_add_up() {
    let mut engines = engines(&vec![Step::Hang]);
    let gateway = over(&engines).policy("max_attempts: 1").start();
    let poison = post(CHAT, "", ask("poison", false).to_string().as_bytes());
    for (i, engine) in engines.iter_mut().take(3).enumerate() {
        let mut client = gateway.client();
        client.send(&poison);
        engine.await_requests(1);
        engine.close();
        assert_eq!(client.answer().status, if i < 2 { 502 } else { 422 }, "the engine dies of it");
        // It is gone for others, too, who find the next one.
        wait::until_true("it is known to be gone", || {
            gateway.chat(&ask("water", true));
            gateway.of_endpoint("healthy", engine.name()) == 0.0
        });
    }
    gateway.chat(&ask("poison", false)).error(422, "request_quarantined");
    gateway.stop();
}

#[test]
fn f_quarantine_what_is_slow_away_or_at_fault_in_words_is_no_death() {
    // What takes long is not done three times.
    for (script, tries) in
        [(silent(), 2), (status(500, "", "{}"), 5), (vec![Step::Head, Step::Role, Step::ZeroChunk], 5)]
    {
        let engines = engines(&script);
        let gateway = over(&engines).policy("max_attempts: 5, first_token_timeout_ms: 50").start();
        let answer = gateway.chat(&ask("poison", true));
        assert!([502, 504].contains(&answer.status), "{}", answer.text());
        assert_eq!(asked(&engines), tries);
        gateway.stop();
    }
    let mut engines = engines(&vec![]);
    let gateway = over(&engines).policy("max_attempts: 5").start();
    engines.iter_mut().for_each(Mock::close);
    (0..2).for_each(|_| drop(gateway.chat(&ask("water", true)).error(502, "upstream_failed")));
    gateway.stop();
}

#[test]
fn f_quarantine_a_mass_death_holds_no_request_that_an_engine_then_answers() {
    let engines = engines(&vec![]);
    let gateway = over(&engines).start();
    // Two die at once; a third dies later of the same requests, which an engine has answered meanwhile.
    for dying in [0..2, 2..3] {
        engines[dying].iter().for_each(|e| e.set(die_before_content()));
        for i in 0..20 {
            assert_eq!(gateway.chat(&ask(&format!("request {i}"), true)).status, 200);
        }
    }
    assert!(gateway.stop().rows.iter().all(|r| r.outcome == "complete"));
}

#[test]
fn f_quarantine_one_tenants_request_is_not_held_for_anothers() {
    let engines = engines(&vec![Step::Reset]);
    let tenants = "tenants:\n  - {name: one, keys: [{name: k1, key: sk-one-of-two-tenants}]}\n  - {name: two, keys: [{name: k2, key: sk-two-of-two-tenants}]}\n";
    let gateway = over(&engines).tail(tenants).start();
    let body = ask("poison", true).to_string();
    let from = |tenant: &str| {
        let key = format!("authorization: Bearer sk-{tenant}-of-two-tenants\r\n");
        gateway.client().exchange(&post(CHAT, &key, body.as_bytes())).error(422, "request_quarantined");
        asked(&engines)
    };
    assert_eq!((from("one"), from("one"), from("two"), from("two")), (3, 3, 6, 6));
    gateway.stop();
}
