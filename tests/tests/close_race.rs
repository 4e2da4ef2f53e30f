//! F13: the client leaves at about the moment at which its answer ends. Whichever comes first, it ends once.

use std::collections::BTreeSet;
use std::thread;

use rhumb_rng::Rng;
use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::h2c::H2;
use rhumb_tests::mock::Mock;
use rhumb_tests::speech;

const CHAT: &str = "/v1/chat/completions";
const TOKENS: usize = 6;
const RUNS: usize = 500;
const THREADS: u64 = 6;

/// Leaves after so many bytes of the answer, in one of the ways to leave.
fn run_h1(gateway: &Gateway, ask: &[u8], rng: &mut Rng, length: usize) {
    let mut client = Client::connect(gateway.address);
    client.send(ask);
    let bytes = rng.below(length + 1);
    if bytes > 0 {
        client.sip_all(bytes);
    }
    match rng.below(3) {
        0 => drop(client),
        1 => client.reset(),
        _ => {
            client.half_close();
            client.sip_all(rng.below(length));
        }
    }
}

/// The same with one stream of a connection.
fn run_h2(h2: &mut H2, ask: &[u8], rng: &mut Rng) {
    let mut call = h2.post(CHAT, ask);
    for _ in 0..rng.below(5) {
        if !h2.sip(&mut call) {
            break;
        }
    }
    h2.cancel(call);
}

#[test]
fn f13_a_client_that_leaves_as_its_answer_ends_is_settled_once() {
    let a = Mock::answering("a", TOKENS);
    let gateway = Config::over(&[&a]).start();
    let body = speech::ask(true).to_string();
    let ask = post(CHAT, "connection: close\r\n", body.as_bytes());
    let length = {
        let mut client = gateway.client();
        let answer = client.exchange(&ask);
        // What the framing and the head add makes some offsets lie behind the end.
        answer.body.len() + 800
    };
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (gateway, ask, body) = (&gateway, &ask, &body);
            scope.spawn(move || {
                let mut rng = Rng::labelled(seed, "leaving");
                let mut h2 = H2::connect(gateway.address);
                for _ in 0..RUNS {
                    if seed % 3 == 0 {
                        run_h2(&mut h2, body.as_bytes(), &mut rng);
                    } else {
                        run_h1(gateway, ask, &mut rng, length);
                    }
                }
            });
        }
    });
    gateway.await_rest();
    let rows = gateway.stop().rows;
    let ids: BTreeSet<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "one row for each");
    let ended = |outcome: &str| rows.iter().filter(|r| r.outcome == outcome).count();
    let (complete, gone) = (ended("complete"), ended("client_gone"));
    assert_eq!(complete + gone, rows.len(), "{complete} complete, {gone} gone");
    assert!(complete > 100 && gone > 100, "the race is run both ways: {complete} complete, {gone} gone");
    for row in &rows {
        // The end of the text counts as a piece until the usage is known.
        let most = TOKENS as u64 + u64::from(row.estimated);
        assert!(row.completion_tokens <= most && row.prompt_tokens < 1_000 && row.usd >= 0.0, "{row:?}");
        if row.outcome == "complete" {
            assert_eq!((row.completion_tokens, row.prompt_tokens), (TOKENS as u64, speech::PROMPT_TOKENS), "{row:?}");
        }
    }
    let (answered, (prompt, completion)) = a.answered();
    let sum = |of: fn(&rhumb_tests::rows::Row) -> u64| rows.iter().filter(|r| !r.estimated).map(of).sum::<u64>();
    assert!(complete as u64 <= answered, "{complete} complete, {answered} answered");
    assert!(sum(|r| r.prompt_tokens) <= prompt && sum(|r| r.completion_tokens) <= completion);
}
