//! F14 and F15: what a client does not read stays with the engine, and a client that reads nothing loses its request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::h2c::{Call, H2};
use rhumb_tests::mock::Mock;
use rhumb_tests::rows::Row;
use rhumb_tests::script::Step;
use rhumb_tests::{speech, wait};

const CHAT: &str = "/v1/chat/completions";

const SLOW: usize = 60;
const FAST: usize = 30;
const FAST_TOKENS: usize = 400;

/// Most memory that a slow reader may cost: twice the 128 KiB that are promised, for the allocator and the connection.
const EACH_MAX: u64 = 256 << 10;

/// What everything else may cost on top.
const REST_MAX: u64 = 32 << 20;

fn ask() -> Vec<u8> {
    post(CHAT, "", body().as_bytes())
}

fn body() -> String {
    speech::ask(true).to_string()
}

fn flooding() -> Mock {
    Mock::start("a", vec![Step::Head, Step::Role, Step::Flood])
}

/// One that asks and does not read.
fn silent(gateway: &Gateway) -> Client {
    narrow(gateway, 4 << 10)
}

fn narrow(gateway: &Gateway, room: usize) -> Client {
    let mut client = Client::connect_narrow(gateway.address, room);
    client.send(&ask());
    client
}

fn count(rows: &[Row], outcome: &str) -> usize {
    rows.iter().filter(|r| r.outcome == outcome).count()
}

/// Streams that are read get through whole.
fn fast_ones_are_whole(gateway: &Gateway, a: &Mock) {
    a.set(vec![Step::Answer(FAST_TOKENS)]);
    let mut fast: Vec<Client> = (0..FAST).map(|_| gateway.client()).collect();
    fast.iter_mut().for_each(|c| c.send(&ask()));
    for client in &mut fast {
        let answer = client.answer();
        assert!(answer.whole);
        assert_eq!(speech::text_of(&answer.events()), speech::text(FAST_TOKENS));
    }
}

#[test]
fn f14_slow_readers_cost_little_and_are_cut_off_while_fast_ones_are_served() {
    let a = flooding();
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 2000").start();
    let (memory, files) = (gateway.peak_memory(), gateway.descriptors());
    let mut slow: Vec<Client> = (0..SLOW).map(|_| silent(&gateway)).collect();
    a.await_requests(SLOW);
    fast_ones_are_whole(&gateway, &a);
    let mut looks = 0;
    wait::until_true("the slow are cut off", || {
        // A byte now and then is no progress: no window opens for it.
        looks += 1;
        if looks % 64 == 0 {
            slow.iter_mut().for_each(|c| {
                c.sip(1);
            });
        }
        a.cancels() == SLOW
    });
    gateway.await_rest();
    // Connections to the engine that the fast ones are done with stand for the next request.
    wait::until_true("their descriptors are free", || gateway.descriptors() <= files + FAST + 2);
    let cost = gateway.peak_memory() - memory;
    assert!(cost < SLOW as u64 * EACH_MAX + REST_MAX, "{cost} bytes for {SLOW} slow readers");
    let rows = gateway.stop().rows;
    assert_eq!((count(&rows, "client_stalled"), count(&rows, "complete"), rows.len()), (SLOW, FAST, SLOW + FAST));
    assert!(rows.iter().all(|r| r.completion_tokens > 0 && r.status == 200));
    drop(slow);
}

#[test]
fn f14_a_reader_that_is_slow_and_reads_is_not_cut_off() {
    let a = flooding();
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 1500").start();
    // Room for several segments of the loopback: with less, the kernel waits for its own timers.
    let mut slow = narrow(&gateway, 256 << 10);
    let h2 = H2::connect(gateway.address);
    let (mut h2, mut stream) = ask_h2(h2);
    a.await_requests(2);
    let is_over = AtomicBool::new(false);
    let mut stalled = Vec::new();
    std::thread::scope(|scope| {
        // On a thread of its own: neither of the two waits for what the other reads.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert!(slow.sip(16 << 10), "the slow one is served");
                std::thread::park_timeout(Duration::from_millis(2));
            }
        });
        // Clients that read nothing are the clock: each is cut off after the time that these have lived through.
        for round in 1..=3 {
            stalled.push(silent(&gateway));
            wait::until_true("a client that reads nothing is cut off", || {
                assert!(h2.sip(&mut stream), "the slow one is served on HTTP/2 too");
                a.cancels() >= round
            });
            a.await_cancels(round);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    drop(slow);
    h2.cancel(stream);
    a.await_cancels(5);
    let mut other = h2.post(CHAT, b"not JSON");
    h2.head(&mut other);
    let rows = gateway.stop().rows;
    assert_eq!((count(&rows, "client_stalled"), count(&rows, "client_gone"), rows.len()), (3, 2, 5));
}

fn ask_h2(mut h2: H2) -> (H2, Call) {
    let call = h2.post(CHAT, body().as_bytes());
    (h2, call)
}

/// Streams of one connection whose windows stay shut, or whose first window stays full.
fn h2_stalls(window: u32) {
    let a = flooding();
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 2000").start();
    let memory = gateway.peak_memory();
    let mut h2 = H2::connect_with(gateway.address, window);
    let mut calls: Vec<Call> = (0..SLOW).map(|_| h2.post(CHAT, body().as_bytes())).collect();
    a.await_requests(SLOW);
    fast_ones_are_whole(&gateway, &a);
    a.await_held_up(SLOW);
    a.await_cancels(SLOW);
    gateway.await_rest();
    for call in &mut calls {
        h2.head(call);
        assert_eq!(call.status, 200);
    }
    let cost = gateway.peak_memory() - memory;
    assert!(cost < SLOW as u64 * EACH_MAX + REST_MAX, "{cost} bytes for {SLOW} streams that are not read");
    let mut other = h2.post(CHAT, b"not JSON");
    h2.head(&mut other);
    assert_eq!(other.status, 400, "the connection stands and serves");
    let rows = gateway.stop().rows;
    assert_eq!((count(&rows, "client_stalled"), count(&rows, "complete"), rows.len()), (SLOW, FAST, SLOW + FAST));
}

#[test]
fn f15_h2_a_window_that_never_opens() {
    h2_stalls(0);
}

#[test]
fn f15_h2_a_window_that_is_not_opened_again() {
    h2_stalls(65_535);
}

#[test]
fn f15_h1_a_client_that_never_reads() {
    let a = flooding();
    let gateway = Config::over(&[&a]).gateway("client_stall_ms: 2000").start();
    let mut client = silent(&gateway);
    a.await_held_up(1);
    a.await_cancels(1);
    gateway.await_rest();
    while client.sip(1 << 20) {}
    let rows = gateway.stop().rows;
    assert_eq!((rows[0].outcome.as_str(), rows[0].status, rows.len()), ("client_stalled", 200, 1));
    assert!(rows[0].completion_tokens <= a.tokens() as u64 + 1 && rows[0].usd > 0.0);
}
