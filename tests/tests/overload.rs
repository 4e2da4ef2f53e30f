//! F62: the gateway runs out of memory, descriptors or connections. It turns requests away in the declared order, says how it is to whoever asks,
//! and serves again once there is room.

use rhumb_tests::client::{Answer, Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::h2c::{Call, H2};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::{speech, wait};

const CHAT: &str = "/v1/chat/completions";
const PRIORITIES: [&str; 3] = ["interactive", "standard", "batch"];

/// Beside the gateway's few dozen of its own these leave room for some 50 connections of each kind.
const DESCRIPTORS: u32 = 256;

fn level(gateway: &Gateway) -> f64 {
    gateway.metric("rhumb_overload_level")
}

fn shed(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!("rhumb_overload_shed_total{{reason=\"{reason}\"}}"))
}

fn asking(priority: &str) -> Vec<u8> {
    let headers = format!("x-rhumb-priority: {priority}\r\n");
    post(CHAT, &headers, speech::ask(true).to_string().as_bytes())
}

/// Answered whole, or rejected with Retry-After.
fn is_honest(answer: &Answer) -> bool {
    if answer.status == 200 {
        return answer.whole && answer.events().last().is_some_and(|e| e == "[DONE]");
    }
    let told = answer.error(503, "server_is_overloaded");
    assert!(told.contains("near the limit"), "{told}");
    let after: u64 = answer.header("retry-after-ms").parse().unwrap_or(0);
    (1_000..2_000).contains(&after)
}

fn is_well(gateway: &Gateway) {
    assert_eq!((gateway.health("/health/live"), gateway.health("/health/ready")), ((200, 200), (200, 200)));
}

/// What it answers to each priority, and whether it keeps the connection.
fn answers(gateway: &Gateway) -> Vec<(u16, bool)> {
    let ask = |priority| {
        let answer = gateway.client().exchange(&asking(priority));
        assert!(is_honest(&answer));
        (answer.status, answer.header("connection") != "close")
    };
    PRIORITIES.map(ask).to_vec()
}

/// How many it has answered until then.
fn serves_again(gateway: &Gateway) -> usize {
    let mut served = 0;
    // Connections end over several looks at what is left, so that it can be calm for one of them and not for the next.
    let mut calm = 0;
    wait::until_true("it serves all again", || {
        calm = if level(gateway) == 0.0 { calm + 1 } else { 0 };
        let now = if calm >= 50 { answers(gateway) } else { Vec::new() };
        served += now.iter().filter(|(status, _)| *status == 200).count();
        now == [(200, true); 3]
    });
    is_well(gateway);
    served
}

#[test]
fn f62_idle_connections_take_every_descriptor_that_clients_may_have() {
    let a = Mock::start("a", vec![Step::Gate, Step::Answer(5)]);
    let gateway = Config::over(&[&a]).descriptors(DESCRIPTORS).start();
    let mut early = gateway.client();
    early.send(&asking("batch"));
    a.await_requests(1);
    let mut kept_alive = gateway.client();
    let refused = kept_alive.exchange(&post(CHAT, "", b"{}"));
    assert_eq!((refused.status, refused.header("connection")), (400, ""));
    let mut idle: Vec<Client> = (0..300).map(|_| gateway.client()).collect();
    wait::until_true("it takes no requests", || gateway.said().contains("requests taken are none"));
    is_well(&gateway);
    // Those that ask for nothing are closed, the one that had asked before as well.
    wait::until_true("idle connections are closed", || idle.iter_mut().all(Client::is_closed_by_now));
    assert!(kept_alive.is_closed());
    is_well(&gateway);
    a.release();
    let answer = early.answer();
    assert!(answer.whole && is_honest(&answer), "a request in progress stands");
    assert_eq!(answer.status, 200);
    a.set(vec![Step::Answer(3)]);
    serves_again(&gateway);
    wait::until_true("descriptors are free", || gateway.metric("rhumb_connections") <= 1.0);
    let rows = gateway.stop().rows;
    assert!(rows.iter().all(|r| r.outcome == "complete"));
}

#[test]
fn f62_requests_take_every_descriptor_towards_endpoints() {
    let (a, b) = (Mock::start("a", vec![Step::Gate, Step::Answer(1)]), Mock::answering("b", 1));
    let gateway = Config::over(&[&a, &b]).descriptors(DESCRIPTORS).start();
    let mut h2: Vec<H2> = (0..6).map(|_| H2::connect(gateway.address)).collect();
    let body = speech::ask(true).to_string();
    let mut calls: Vec<(usize, Call)> = (0..300).map(|i| (i % 6, h2[i % 6].post(CHAT, body.as_bytes()))).collect();
    wait::until_true("some are turned away", || shed(&gateway, "descriptors") + shed(&gateway, "all") > 0.0);
    is_well(&gateway);
    // What the gateway lacks is not held against an endpoint.
    assert_eq!((gateway.of_endpoint("healthy", "a"), gateway.of_endpoint("healthy", "b")), (1.0, 1.0));
    a.release();
    let mut served = 0;
    for (i, call) in &mut calls {
        h2[*i].head(call);
        assert!(matches!(call.status, 200 | 503), "{}", call.status);
        if call.status == 200 {
            assert!(h2[*i].read_until(call, "[DONE]").unwrap());
            served += 1;
        } else {
            assert!(h2[*i].read_until(call, "server_is_overloaded").unwrap());
            assert!(call.headers.contains_key("retry-after-ms") && call.headers["x-should-retry"] == "true");
        }
    }
    assert!((20..300).contains(&served), "{served}");
    a.set(vec![Step::Answer(3)]);
    served += serves_again(&gateway);
    let turned_away = shed(&gateway, "descriptors");
    let rows = gateway.stop().rows;
    let count = |outcome| rows.iter().filter(|r| r.outcome == outcome).count();
    assert_eq!((count("complete"), count("shed") as f64), (served, turned_away));
}

#[test]
fn f62_the_system_gives_no_descriptor_at_all() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).start();
    let health = b"GET /health/live HTTP/1.1\r\nhost: grid\r\n\r\n";
    let mut early = gateway.client();
    assert_eq!(early.exchange(health).status, 200);
    gateway.limit_descriptors(3);
    for _ in 0..5 {
        let answer = early.exchange(&asking("interactive"));
        assert!(answer.status == 503 && is_honest(&answer), "{}", answer.text());
        assert_eq!(early.exchange(health).status, 200);
    }
    let mut late = gateway.client();
    late.send(health);
    assert_eq!(early.exchange(health).status, 200, "it waits for descriptors and serves those it has");
    gateway.limit_descriptors(DESCRIPTORS);
    assert_eq!(late.answer().status, 200);
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0, "what the gateway lacks is not held against an endpoint");
    assert_eq!(early.exchange(&asking("interactive")).status, 200);
    serves_again(&gateway);
    let rows = gateway.stop().rows;
    assert_eq!(rows.iter().filter(|r| r.outcome == "shed" && r.status == 503).count(), 5);
    assert_eq!((a.requests(), rows.len()), (4, 9));
}

#[test]
fn f62_connections_that_all_come_at_once_leave_health_its_place() {
    let a = Mock::start("a", vec![Step::Gate, Step::Answer(3)]);
    let gateway = Config::over(&[&a]).gateway("max_connections: 8").start();
    let mut clients: Vec<Client> = (0..60).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|c| c.send(&asking("interactive")));
    a.await_requests(1);
    (0..5).for_each(|_| is_well(&gateway));
    a.release();
    let answers: Vec<Answer> = clients.iter_mut().map(Client::answer).collect();
    assert!(answers.iter().all(is_honest));
    let served = answers.iter().filter(|a| a.status == 200).count();
    assert!((1..=10).contains(&served), "{served} of 8, and one for each thread that was taking another");
    drop(clients);
    serves_again(&gateway);
    assert_eq!(gateway.stop().rows.len(), served + 3);
}

#[test]
fn f62_connections_beyond_the_configured_number_are_told_to_come_back() {
    let a = Mock::start("a", vec![Step::Gate, Step::Answer(3)]);
    let gateway = Config::over(&[&a]).gateway("max_connections: 8").start();
    let mut busy: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
    busy.iter_mut().for_each(|c| c.send(&asking("interactive")));
    a.await_requests(8);
    wait::until_true("it takes no requests", || level(&gateway) == 3.0);
    is_well(&gateway);
    assert_eq!(answers(&gateway), [(503, false); 3]);
    a.release();
    assert!(busy.iter_mut().map(Client::answer).all(|answer| answer.status == 200 && is_honest(&answer)));
    drop(busy);
    serves_again(&gateway);
    assert_eq!(gateway.stop().rows.len(), 11);
}

/// Bytes of the bodies that fill the memory, and its limit. A level is 20 of them wide.
const BODY: usize = 1 << 20;
const MEMORY_MB: u64 = 400;

/// A request with a body of so many bytes that an endpoint has and has not answered.
fn big(gateway: &Gateway, a: &Mock, bytes: usize) -> Client {
    taken_or_not(gateway, a, bytes).unwrap_or_else(|mut client| panic!("turned away: {}", client.answer().text()))
}

/// The same; the client of one that is turned away is the error.
fn taken_or_not(gateway: &Gateway, a: &Mock, bytes: usize) -> Result<Client, Client> {
    a.once(vec![Step::Gate, Step::Answer(1)]);
    let text = "x".repeat(bytes);
    let body = format!("{{\"model\":\"tiny\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
    let before = a.requests();
    let mut client = gateway.client();
    client.send(&post(CHAT, "x-rhumb-priority: interactive\r\nconnection: close\r\n", body.as_bytes()));
    let is_taken = wait::until("it is taken or turned away", || {
        let is_taken = a.requests() == before + 1;
        (is_taken || client.is_answered()).then_some(is_taken)
    });
    if is_taken { Ok(client) } else { Err(client) }
}

/// What it last saw of its memory is what it has now.
fn has_looked(gateway: &Gateway) {
    wait::until_true("it has looked at its memory", || {
        let now = gateway.memory() as f64 / (MEMORY_MB << 20) as f64;
        (gateway.metric("rhumb_overload_pressure{means=\"memory\"}") - now).abs() < 0.01
    });
}

#[test]
fn f62_memory_runs_out_and_the_least_urgent_are_turned_away_first() {
    let a = Mock::answering("a", 3);
    let limit = format!("max_memory_mb: {MEMORY_MB}");
    let gateway = Config::over(&[&a]).gateway(&limit).gateway("max_held_mb: 1000").start();
    assert_eq!(answers(&gateway), [(200, true); 3]);
    let mut held = Vec::new();
    let mut seen = Vec::new();
    while level(&gateway) < 3.0 {
        match taken_or_not(&gateway, &a, BODY) {
            Ok(client) => held.push(client),
            // It has looked again meanwhile, and takes nobody any more.
            Err(mut client) => assert_eq!((client.answer().status, level(&gateway)), (503, 3.0)),
        }
        has_looked(&gateway);
        let now = level(&gateway);
        if now > seen.len() as f64 {
            assert_eq!(now, seen.len() as f64 + 1.0, "one level after the other");
            seen.push(answers(&gateway));
            is_well(&gateway);
        }
        assert!(held.len() < MEMORY_MB as usize, "it takes more than its memory");
    }
    let (taken, away) = ((200, false), (503, false));
    assert_eq!(seen, [[taken, taken, away], [taken, away, away], [away, away, away]]);
    assert!((2.0, 1.0, 3.0) == (shed(&gateway, "batch"), shed(&gateway, "standard"), shed(&gateway, "all")));
    assert!(gateway.memory() < MEMORY_MB << 20);
    a.release();
    assert!(held.iter_mut().map(Client::answer).all(|answer| answer.status == 200 && answer.whole));
    gateway.await_rest();
    assert_eq!(gateway.metric("rhumb_held_bytes"), 0.0);
    serves_again(&gateway);
    let rows = gateway.stop().rows;
    assert_eq!((rows.len(), rows.iter().filter(|r| r.outcome == "complete").count()), (held.len() + 9, held.len() + 9));
}

#[test]
fn f62_bodies_hold_no_more_bytes_than_they_may() {
    let a = Mock::answering("a", 3);
    let gateway = Config::over(&[&a]).gateway("max_held_mb: 4").gateway("max_body_bytes: 4000000").start();
    let mut held: Vec<Client> = (0..3).map(|_| big(&gateway, &a, BODY)).collect();
    // One that has sent half of what it announced counts as far as it has come.
    let slow = "x".repeat(2 * BODY);
    let whole = post(CHAT, "", slow.as_bytes());
    let refused = |answer: &Answer| {
        let told = answer.error(429, "rate_limit_exceeded");
        assert!(told.contains("as much memory as they may"), "{told}");
        (1_000..2_000).contains(&answer.header("retry-after-ms").parse::<u64>().unwrap())
    };
    let mut client = gateway.client();
    client.send(&whole[..whole.len() / 4]);
    let answer = client.answer();
    assert!(refused(&answer), "what was announced is more than there is room for");
    assert_eq!(answer.header("connection"), "close");
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: grid\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut client = gateway.client();
    client.send(format!("{head}{BODY:x}\r\n").as_bytes());
    client.send(&vec![b' '; BODY / 2]);
    wait::until_true("half a body is held", || gateway.metric("rhumb_held_bytes") >= (3 * BODY + BODY / 2) as f64);
    client.try_send(&vec![b' '; BODY / 2]);
    client.try_send(format!("\r\n{BODY:x}\r\n").as_bytes());
    client.try_send(&vec![b' '; BODY]);
    assert!(refused(&client.answer()), "what was not announced is refused when it comes");
    assert_eq!(gateway.chat(&speech::ask(true)).status, 200, "there is room for a small one");
    is_well(&gateway);
    a.release();
    assert!(held.iter_mut().map(Client::answer).all(|answer| answer.status == 200 && answer.whole));
    gateway.await_rest();
    wait::until_true("nothing is held", || gateway.metric("rhumb_held_bytes") == 0.0);
    assert_eq!(shed(&gateway, "held_bytes"), 2.0);
    let mut again = big(&gateway, &a, 3 * BODY);
    assert_eq!(again.answer().status, 200);
    assert_eq!(gateway.stop().rows.len(), 5);
}

/// A plain answer of so many bytes.
fn long_answer(bytes: usize) -> Step {
    let body = speech::plain_saying("a", &"x".repeat(bytes), 3);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    Step::Raw([head.as_bytes(), body.as_bytes()].concat())
}

#[test]
fn f62_plain_answers_hold_no_more_bytes_than_they_may() {
    const ANSWER: usize = 12 << 20;
    let a = Mock::start("a", vec![long_answer(ANSWER)]);
    let gateway = Config::over(&[&a]).gateway("max_body_bytes: 1048576").gateway("max_held_mb: 32").start();
    let before = gateway.peak_memory();
    // None of them reads more than the head.
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect_narrow(gateway.address, 4 << 10)).collect();
    clients.iter_mut().for_each(|c| c.send(&post(CHAT, "", speech::ask(false).to_string().as_bytes())));
    let mut served = Vec::new();
    for mut client in clients {
        client.read_until("\r\n\r\n");
        if client.unread_text().starts_with("HTTP/1.1 200") {
            served.push(client);
        } else {
            let told = client.answer().error(429, "rate_limit_exceeded");
            assert!(told.contains("max_held_mb"), "{told}");
        }
    }
    assert!((1..=2).contains(&served.len()), "{} of {ANSWER} bytes", served.len());
    assert!(gateway.metric("rhumb_held_bytes") >= ANSWER as f64, "they count until they are sent");
    assert!(gateway.peak_memory() - before < 128 << 20, "eight of them would be more");
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0, "the endpoint is not to blame");
    for client in &mut served {
        let answer = client.answer();
        assert!(answer.whole && answer.body.len() > ANSWER);
    }
    wait::until_true("their room is free", || gateway.metric("rhumb_held_bytes") == 0.0);
    let rows = gateway.stop().rows;
    let count = |outcome: &str| rows.iter().filter(|r| r.outcome == outcome).count();
    assert_eq!((count("complete"), count("shed"), rows.len()), (served.len(), 8 - served.len(), 8));
}

/// Address space, in KiB as `ulimit` takes it.
const SPACE_KB: u64 = 250_000;

#[test]
fn h9_a_limit_of_the_address_space_is_a_limit_of_the_memory() {
    let a = Mock::answering("a", 3);
    let limit = format!("-v {SPACE_KB}");
    let gateway = Config::over(&[&a]).limit(&limit).gateway("max_held_mb: 1000").start();
    assert_eq!(answers(&gateway), [(200, true); 3]);
    let mut held = Vec::new();
    while level(&gateway) < 3.0 {
        held.push(big(&gateway, &a, BODY));
        wait::until_true("it has looked at its memory", || {
            let now = gateway.mapped() as f64 / (SPACE_KB << 10) as f64;
            (gateway.metric("rhumb_overload_pressure{means=\"memory\"}") - now).abs() < 0.01
        });
        assert!(held.len() < 250, "it takes more than its address space");
    }
    assert_eq!(answers(&gateway), [(503, false); 3]);
    is_well(&gateway);
    a.release();
    assert!(held.iter_mut().map(Client::answer).all(|answer| answer.status == 200 && answer.whole));
    gateway.await_rest();
    serves_again(&gateway);
    gateway.stop();
}
