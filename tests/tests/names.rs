//! F65: the names of endpoints cannot be looked up, change, or lead astray.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::dns::{Dns, Says};
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::temp::TempDir;
use rhumb_tests::tls::{Authority, Front};
use rhumb_tests::{CANARY, speech, wait};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// What the gateway says then.
const LOST: &str = "is not found, what was last found is used";
const NAME: &str = "engine.test";

/// One answer for each connection, so that every request needs the address.
fn engine(name: &str, at: SocketAddr) -> Mock {
    Mock::start_at(at, name, vec![Step::Answer(3), Step::Fin])
}

fn over(mocks: &[&Mock], dns: &Dns) -> Config {
    let port = mocks[0].address().port();
    Config::over(mocks).gateway(&dns.line()).endpoint(0, |e| e.url = format!("http://{NAME}:{port}"))
}

fn is_served(gateway: &Gateway) {
    let answer = gateway.chat(&speech::ask(true));
    assert_eq!(speech::text_of(&answer.events()), speech::text(3), "{}", answer.text());
}

/// A name that was found and is not any more.
fn is_lost(says: Says) {
    let a = engine("a", (HERE, 0).into());
    let dns = Dns::start(Says::At(vec![HERE], 1));
    let gateway = over(&[&a], &dns).start();
    is_served(&gateway);
    dns.set(says);
    wait::until_true("it has looked again in vain", || gateway.said().contains(LOST));
    let before = a.accepted();
    (0..10).for_each(|_| is_served(&gateway));
    assert!(a.accepted() >= before + 10, "over new connections");
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0);
    let stopped = gateway.stop();
    assert!(stopped.rows.iter().all(|r| r.attempts == 1));
    assert_eq!(stopped.stderr.matches(LOST).count(), 1, "said once: {}", stopped.stderr);
}

#[test]
fn f65_nxdomain_after_a_good_answer() {
    is_lost(Says::NxDomain);
}

#[test]
fn f65_servfail_after_a_good_answer() {
    is_lost(Says::ServFail);
}

#[test]
fn f65_silence_after_a_good_answer() {
    is_lost(Says::Silence);
}

#[test]
fn f65_a_name_that_was_never_found_holds_up_nobody_else() {
    let (a, b) = (engine("a", (HERE, 0).into()), Mock::answering("b", 3));
    let dns = Dns::start(Says::Silence);
    let gateway = over(&[&a, &b], &dns).endpoint(0, |e| e.open = false).start();
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    let request = post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes());
    clients.iter_mut().for_each(|c| c.send(&request));
    assert_eq!(gateway.health("/health/live"), (200, 200));
    for client in &mut clients {
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "b"));
    }
    assert_eq!(a.requests(), 0);
    // Once it is found it is used, after its rest.
    dns.set(Says::At(vec![HERE], 60));
    wait::until_true("it is used", || {
        is_served(&gateway);
        a.requests() > 0
    });
    gateway.stop();
}

#[test]
fn f65_addresses_that_change_each_time_are_asked_for_once_a_second() {
    let a = engine("a", (HERE, 0).into());
    let b = engine("b", (THERE, a.address().port()).into());
    let dns = Dns::start(Says::Flaps(vec![HERE, THERE]));
    let start = Instant::now();
    let gateway = over(&[&a], &dns).start();
    wait::until_true("both were used, and the name was asked for often", || {
        is_served(&gateway);
        a.requests() > 0 && b.requests() > 0 && dns.asked() >= 5
    });
    let most = start.elapsed().as_secs() as usize + 2;
    assert!(dns.asked() <= most, "{} questions, {most} seconds", dns.asked());
    assert!(gateway.stop().rows.iter().all(|r| r.attempts == 1 && r.outcome == "complete"));
}

#[test]
fn f65_a_change_of_address_is_followed() {
    let a = engine("a", (HERE, 0).into());
    let b = engine("b", (THERE, a.address().port()).into());
    let dns = Dns::start(Says::At(vec![HERE], 1));
    let gateway = over(&[&a], &dns).start();
    is_served(&gateway);
    dns.set(Says::At(vec![THERE], 1));
    wait::until_true("the new address is used", || {
        is_served(&gateway);
        b.requests() > 0
    });
    let before = a.requests();
    (0..5).for_each(|_| is_served(&gateway));
    assert_eq!(a.requests(), before, "the old one is not");
    gateway.stop();
}

#[test]
fn f65_the_next_address_is_tried_when_one_is_dead() {
    let a = engine("a", (HERE, 0).into());
    let dns = Dns::start(Says::At(vec![NOBODY, HERE], 60));
    let gateway = over(&[&a], &dns).start();
    (0..5).for_each(|_| is_served(&gateway));
    assert!(gateway.stop().rows.iter().all(|r| r.attempts == 1));
}

#[test]
fn f65_an_answer_that_leads_astray_meets_the_wrong_certificate() {
    let (a, thief) = (engine("a", (HERE, 0).into()), engine("thief", (HERE, 0).into()));
    let (authority, dir) = (Authority::new(), TempDir::new());
    let trusted = dir.path().join("trusted.pem");
    authority.write(&trusted);
    let right = Front::start((HERE, 0).into(), &authority, NAME, a.address());
    let at = SocketAddr::from((THERE, right.address.port()));
    let wrong = Front::start(at, &authority, "thief.test", thief.address());
    let dns = Dns::start(Says::At(vec![HERE], 1));
    let gateway = over(&[&a], &dns)
        .endpoint(0, |e| {
            e.url = format!("https://{NAME}:{}", at.port());
            e.more = format!(", api_key: {CANARY}");
        })
        .env("SSL_CERT_FILE", trusted.to_str().unwrap())
        .start();
    is_served(&gateway);
    dns.set(Says::At(vec![THERE], 1));
    wait::until_true("the wrong address is refused", || {
        let answer = gateway.chat(&speech::ask(true));
        assert!(matches!(answer.status, 200 | 502 | 503), "{}", answer.text());
        wrong.refused() > 0
    });
    let failed = gateway.chat(&speech::ask(true));
    assert!(matches!(failed.status, 502 | 503), "{}", failed.text());
    assert_eq!((thief.accepted(), thief.requests()), (0, 0), "nothing of the request went there");
    dns.set(Says::At(vec![HERE], 1));
    wait::until_true("it serves again", || gateway.chat(&speech::ask(true)).status == 200);
    assert_eq!((right.refused(), thief.accepted()), (0, 0));
    gateway.stop();
}
