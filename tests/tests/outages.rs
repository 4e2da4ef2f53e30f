//! An endpoint that is lost and returns, once or over and over, under clients that never stop asking: F20, F26.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{at_pace, status};
use rhumb_tests::{speech, wait};

/// An answer, in the order they ended.
#[derive(Debug, Clone)]
struct Got {
    /// The client's number, if its requests are one session.
    session: Option<usize>,
    by: String,
    is_whole: bool,
}

/// What all clients have got so far.
#[derive(Default)]
struct Clients {
    got: Mutex<Vec<Got>>,
    over: AtomicBool,
}

impl Clients {
    fn got(&self) -> MutexGuard<'_, Vec<Got>> {
        self.got.lock().expect("no client panics while it holds it")
    }

    /// So many answers from now on, as they come.
    fn next(&self, count: usize) -> Vec<Got> {
        let before = self.got().len();
        wait::until_true("answers come", || self.got().len() >= before + count);
        self.got()[before..before + count].to_vec()
    }

    /// Asks again and again, each time on a new connection.
    fn ask(&self, gateway: &Gateway, session: Option<usize>) {
        let session_header = session.map_or_else(String::new, |n| format!("x-rhumb-session: s{n}\r\n"));
        let headers = format!("connection: close\r\n{session_header}");
        let request = post("/v1/chat/completions", &headers, speech::ask(true).to_string().as_bytes());
        while !self.over.load(Ordering::Relaxed) {
            let answer = Client::connect(gateway.address).exchange(&request);
            let is_whole = answer.status == 200 && answer.events().last().is_some_and(|e| e == "[DONE]");
            let by = answer.header("x-rhumb-endpoint").to_owned();
            self.got().push(Got { session, by, is_whole });
        }
    }
}

/// Has clients ask, every other one as a session of its own, while something is done to the endpoints.
fn while_asked<T>(gateway: &Gateway, clients: usize, act: impl FnOnce(&Clients) -> T) -> T {
    let all = Clients::default();
    std::thread::scope(|scope| {
        for number in 0..clients {
            let all = &all;
            scope.spawn(move || all.ask(gateway, (number % 2 == 0).then_some(number)));
        }
        /// Also when what is done panics: the clients would go on for ever.
        struct Over<'a>(&'a Clients);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.over.store(true, Ordering::Relaxed);
            }
        }
        let over = Over(&all);
        act(over.0)
    })
}

fn by(got: &[Got], endpoint: &str) -> usize {
    got.iter().filter(|g| g.by == endpoint).count()
}

#[test]
fn f20_the_others_serve_what_a_lost_endpoint_did_without_swinging_and_it_is_given_its_share_again() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let mut mocks: Vec<Mock> = NAMES.iter().map(|n| Mock::start(n, at_pace(10, 10))).collect();
    let mut config = Config::over(&mocks.iter().collect::<Vec<_>>()).alike();
    for i in 0..NAMES.len() {
        config = config.endpoint(i, |e| e.concurrency = 4);
    }
    let gateway = config.start();
    // Thirteen at four times four places: four fifths.
    let shares = |got: &[Got]| NAMES.map(|n| by(got, n) as f64 / got.len() as f64);
    while_asked(&gateway, 13, |clients| {
        let before = clients.next(200);
        assert!(before.iter().all(|g| g.is_whole));
        assert!(shares(&before).iter().all(|s| (0.1..0.4).contains(s)), "{:?}", shares(&before));
        let address = mocks[0].address();
        mocks[0].close();
        // What ran there breaks, as its clients are told, some of them late; what had not begun is served elsewhere.
        let after = clients.next(280);
        let broken = after.iter().filter(|g| !g.is_whole).count();
        assert!(broken <= 4, "{broken} were not served: no more than the endpoint had places for");
        for block in after[40..].chunks(60) {
            let [lost, others @ ..] = shares(block);
            assert_eq!(lost, 0.0);
            assert!(others.iter().all(|s| (0.15..0.55).contains(s)), "they are loaded alike: {others:?}");
        }
        let _returned = Mock::start_at(address, "a", at_pace(10, 10));
        wait::until_true("it has its share", || by(&clients.next(60), "a") >= 9);
        for block in clients.next(180).chunks(60) {
            assert!(block.iter().all(|g| g.is_whole));
            assert!(by(block, "a") >= 6, "and keeps it: {:?}", shares(block));
        }
        clients.over.store(true, Ordering::Relaxed);
        gateway.await_rest();
    });
    gateway.stop();
}

#[test]
fn f26_an_endpoint_that_comes_and_goes_is_left_alone_while_it_is_gone_and_shakes_no_sessions() {
    const CYCLES: usize = 4;
    let mocks: Vec<Mock> = ["a", "b", "c"].iter().map(|n| Mock::start(n, at_pace(2, 10))).collect();
    let gateway = Config::over(&mocks.iter().collect::<Vec<_>>()).alike().start();
    let (got, failures) = while_asked(&gateway, 12, |clients| {
        wait::until_true("it has sessions", || by(&clients.next(60), "a") > 0);
        let begin = clients.got().len();
        let mut failures = Vec::new();
        for _ in 0..CYCLES {
            let failed = || gateway.metric("rhumb_attempts_total{endpoint=\"a\",result=\"failed\"}");
            let before = failed();
            mocks[0].set(status(500, "", ""));
            wait::until_true("it is unhealthy", || gateway.of_endpoint("healthy", "a") == 0.0);
            clients.next(200);
            failures.push(failed() - before);
            mocks[0].set(at_pace(2, 10));
            wait::until_true("it serves again", || by(&clients.next(24), "a") > 0);
        }
        (clients.got()[begin..].to_vec(), failures)
    });
    assert!(got.iter().all(|g| g.is_whole), "nobody notices");
    // Three in a row, and those that were on their way together; then hardly a try.
    assert!(failures.iter().all(|n| *n <= 3.0 + 12.0), "{failures:?}");
    let mut lines: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for Got { session, by, .. } in &got {
        if let Some(session) = session {
            lines.entry(*session).or_default().push(by);
        }
    }
    let moves = |line: &[&str]| line.windows(2).filter(|w| w[0] != w[1]).count();
    let moved: BTreeMap<usize, usize> = lines.iter().map(|(session, line)| (*session, moves(line))).collect();
    assert!(moved.values().all(|n| *n <= 2 * CYCLES), "away and back for each time: {moved:?}");
    let unmoved = lines.values().filter(|line| !line.contains(&"a"));
    assert!(unmoved.clone().count() > 0 && unmoved.clone().all(|line| moves(line) == 0), "{moved:?}");
    gateway.stop();
}
