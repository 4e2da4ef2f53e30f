//! TLS towards clients.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::temp::TempDir;
use rhumb_tests::tls::{Authority, ask_and_read_nothing, talk};
use rhumb_tests::{speech, wait};

/// A configuration over a mock, with a certificate in the folder.
fn over(mock: &Mock, dir: &Path) -> Config {
    let (cert, key) = (dir.join("tls.crt"), dir.join("tls.key"));
    let tls = format!("tls: {{cert_file: \"{}\", key_file: \"{}\"}}", cert.display(), key.display());
    Config::over(&[mock]).gateway(&tls)
}

fn chat() -> Vec<u8> {
    post("/v1/chat/completions", "connection: close\r\n", speech::ask(true).to_string().as_bytes())
}

/// The answer to a request over TLS, and the protocol that was agreed on.
fn ask(at: SocketAddr, authority: &Authority, protocols: &[&str]) -> Option<(String, Option<Vec<u8>>)> {
    let client = Arc::new(authority.client(protocols));
    let (text, protocol) = talk(at, client, "gateway.test", &chat())?;
    Some((String::from_utf8_lossy(&text).into_owned(), protocol))
}

#[test]
fn clients_speak_tls_and_choose_their_protocol() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    authority.issue("gateway.test", &dir.path().join("tls.crt"), &dir.path().join("tls.key"));
    let a = Mock::answering("a", 3);
    let gateway = over(&a, dir.path()).start();
    for protocols in [&[][..], &["http/1.1"]] {
        let (answer, protocol) = ask(gateway.address, &authority, protocols).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("0\r\n\r\n"), "{answer}");
        assert!((1..=3).all(|n| answer.contains(&speech::said("a", &speech::token(n)))), "{answer}");
        assert_eq!(protocol, protocols.first().map(|p| p.as_bytes().to_vec()));
    }
    // What follows the handshake is HTTP/2 then: an answer to HTTP/1.1 there is none.
    let client = Arc::new(authority.client(&["h2", "http/1.1"]));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0";
    let (text, protocol) = talk(gateway.address, client, "gateway.test", preface).unwrap();
    assert_eq!(protocol.as_deref(), Some(&b"h2"[..]));
    assert_eq!(text[3], 4, "the settings of HTTP/2: {text:?}");
    // Plain HTTP is no handshake, and another authority's client goes away.
    let mut plain = gateway.client();
    plain.send(&chat());
    assert!(plain.head().is_none());
    assert!(ask(gateway.address, &Authority::new(), &[]).is_none());
    gateway.stop();
}

#[test]
fn a_renewed_certificate_is_taken_and_half_of_one_is_not() {
    let (dir, old, new) = (TempDir::new(), Authority::new(), Authority::new());
    let file = |name: &str| dir.path().join(name);
    old.issue("gateway.test", &file("tls.crt"), &file("tls.key"));
    let a = Mock::answering("a", 1);
    let gateway = over(&a, dir.path()).start();
    new.issue("gateway.test", &file("new.crt"), &file("new.key"));
    std::fs::rename(file("new.crt"), file("tls.crt")).unwrap();
    wait::until_true("it is said", || gateway.said().contains("has changed, the one before stays"));
    assert!(ask(gateway.address, &old, &[]).unwrap().0.starts_with("HTTP/1.1 200 "));
    std::fs::rename(file("new.key"), file("tls.key")).unwrap();
    wait::until_true("it is taken", || ask(gateway.address, &new, &[]).is_some());
    assert!(ask(gateway.address, &old, &[]).is_none());
    gateway.stop();
}

#[test]
fn a_client_that_reads_nothing_over_tls_is_given_up() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    authority.issue("gateway.test", &dir.path().join("tls.crt"), &dir.path().join("tls.key"));
    let a = Mock::start("a", vec![Step::Head, Step::Role, Step::Flood]);
    let gateway = over(&a, dir.path()).gateway("client_stall_ms: 300").start();
    let client = Arc::new(authority.client(&[]));
    let unread = ask_and_read_nothing(gateway.address, client, "gateway.test", &chat()).unwrap();
    a.await_cancels(1);
    assert_eq!(gateway.stop().rows[0].outcome, "client_stalled");
    drop(unread);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_at_the_start() {
    let dir = TempDir::new();
    let config = Config::over(&[&Mock::answering("a", 1)]);
    let text = config.gateway("tls: {cert_file: /nowhere/tls.crt, key_file: /nowhere/tls.key}").yaml(dir.path());
    let file = dir.path().join("rhumb.yaml");
    std::fs::write(&file, text).unwrap();
    let out = rhumb_tests::gateway::rhumb(&["up", "-c", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("`/nowhere/tls.crt` cannot be used"), "{said}");
}
