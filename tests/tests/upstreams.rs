//! How endpoints are spoken to: their paths, headers and certificates, and what is read of their answers.

use std::io::Write as _;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Step, status};
use rhumb_tests::speech;
use rhumb_tests::temp::TempDir;
use rhumb_tests::tls::{Authority, Front};

const CHAT: &str = "/v1/chat/completions";

/// A gateway over one mock, whose endpoint has a base path and more members.
fn at(mock: &Mock, base: &str, more: &str) -> Gateway {
    let url = format!("{}{base}", mock.url());
    let change = |e: &mut rhumb_tests::config::Endpoint| {
        (e.url, e.more) = (url, more.to_owned());
        // Its probes are below the base.
        e.open = false;
    };
    Config::over(&[mock]).endpoint(0, change).start()
}

#[test]
fn bases_of_hosted_apis_lead_to_their_paths() {
    for (base, path) in [
        ("", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/openai", "/openai/v1/chat/completions"),
        ("/v1beta/openai", "/v1beta/openai/chat/completions"),
        ("/api/paas/v4", "/api/paas/v4/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/chat/completions", "/chat/completions"),
        ("/openai/deployments/d?api-version=1", "/openai/deployments/d/chat/completions?api-version=1"),
    ] {
        let a = Mock::answering("a", 2);
        let gateway = at(&a, base, "");
        assert_eq!(gateway.chat(&speech::ask(true)).status, 200, "{base}");
        let asked = a.seen().into_iter().find(|request| request.method == "POST").unwrap();
        assert_eq!(asked.path, path, "{base}");
        gateway.stop();
    }
}

#[test]
fn requests_and_probes_carry_the_headers_of_their_endpoint() {
    let a = Mock::answering("a", 2);
    let more = ", api_key: \"${PROVIDER_KEY}\", api_key_header: api-key, headers: {x-org: \"acme ${ORG}\"}";
    let change = |e: &mut rhumb_tests::config::Endpoint| {
        (e.url, e.more) = (format!("{}/openai/v1?api-version=1", a.url()), more.to_owned());
        e.open = false;
    };
    let config = Config::over(&[&a]).endpoint(0, change).env("PROVIDER_KEY", "s3cret-0123").env("ORG", "7");
    let gateway = config.start();
    assert_eq!(gateway.chat(&speech::ask(false)).status, 200);
    rhumb_tests::wait::until_true("its models are asked for", || !a.listings().is_empty());
    let (asked, listed) = (a.seen().remove(0), a.listings().remove(0));
    assert_eq!(listed.path, "/openai/v1/models?api-version=1");
    for request in [asked, listed] {
        let of = |name| request.header(name).to_owned();
        assert_eq!([of("api-key"), of("authorization"), of("x-org")], ["s3cret-0123", "", "acme 7"]);
        assert_eq!(of("accept-encoding"), "identity");
    }
    gateway.stop();
}

/// A gateway over a mock behind TLS.
fn behind(mock: &Mock, front: &Front, more: &str) -> Gateway {
    let url = format!("https://{}", front.address);
    let change = |e: &mut rhumb_tests::config::Endpoint| (e.url, e.more, e.open) = (url, more.to_owned(), false);
    Config::over(&[mock]).endpoint(0, change).start()
}

#[test]
fn certificates_are_of_the_authority_and_for_the_name_that_is_stated() {
    let (dir, any) = (TempDir::new(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let (authority, stranger) = (Authority::new(), Authority::new());
    let file = |name: &str| dir.path().join(name);
    authority.write(&file("ca.pem"));
    stranger.write(&file("other.pem"));
    let a = Mock::answering("a", 2);
    let front = Front::start(any, &authority, "engine.test", a.address());
    let ca = |name: &str| format!(", ca_file: \"{}\"", file(name).display());
    let named = ", tls_server_name: engine.test";
    for (more, served) in [
        (ca("ca.pem") + named, true),
        (ca("ca.pem"), false),
        (ca("ca.pem") + ", tls_server_name: other.test", false),
        (ca("other.pem") + named, false),
        (named.to_owned(), false),
    ] {
        let gateway = behind(&a, &front, &more);
        let before = a.requests();
        let answer = gateway.chat(&speech::ask(true));
        assert_eq!((answer.status, a.requests() - before), if served { (200, 1) } else { (502, 0) }, "{more}");
        gateway.stop();
    }
}

#[test]
fn a_certificate_of_its_own_is_shown_where_one_is_wanted() {
    let (dir, any) = (TempDir::new(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let authority = Authority::new();
    let file = |name: &str| dir.path().join(name);
    authority.write(&file("ca.pem"));
    authority.issue("gateway.test", &file("cert.pem"), &file("key.pem"));
    let a = Mock::answering("a", 2);
    let front = Front::start_mutual(any, &authority, "engine.test", a.address());
    let trust = format!(", ca_file: \"{}\", tls_server_name: engine.test", file("ca.pem").display());
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let own = format!(", client_cert_file: \"{}\", client_key_file: \"{}\"", cert.display(), key.display());
    for (more, status) in [(trust.clone() + &own, 200), (trust, 502)] {
        let gateway = behind(&a, &front, &more);
        assert_eq!(gateway.chat(&speech::ask(true)).status, status, "{more}");
        gateway.stop();
    }
}

#[test]
fn every_form_of_retry_after_is_told_to_the_client() {
    for (headers, ms) in [
        ("retry-after: 20\r\n", "20000"),
        ("retry-after: 7.5\r\n", "7500"),
        ("retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "0"),
        ("retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\n", "86400000"),
        ("retry-after-ms: 7500.25\r\nretry-after: 8\r\n", "7501"),
        ("retry-after-ms: soon\r\nretry-after: 8\r\n", "8000"),
        ("retry-after: 8\r\nretry-after-ms: NaN\r\n", "8000"),
        ("retry-after: -5\r\n", "1000"),
        ("x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 6m0s\r\n", "360000"),
    ] {
        let a = Mock::start("a", status(429, headers, "slow down"));
        let gateway = Config::over(&[&a]).start();
        let answer = gateway.chat(&speech::ask(true));
        answer.error(429, "rate_limit_exceeded");
        assert_eq!(answer.header("retry-after-ms"), ms, "{headers}");
        gateway.stop();
    }
}

#[test]
fn oddities_that_mean_one_thing_are_read_and_others_refused() {
    let body = speech::plain("a", CHAT, 2);
    let n = body.len();
    let head = "content-type: application/json\r\n";
    let many = "x-h: y\r\n".repeat(120);
    let length = format!("content-length: {n}\r\n");
    let twice = format!("content-length: {n}, {n}\r\n");
    let longer = format!("content-length: {}\r\nconnection: close\r\n", n + 1);
    let chunked = "transfer-encoding: chunked\r\n";
    let chunks = format!("0000000000000000000{n:x};x=y\r\n{body}\r\n000\r\nx-checksum: {}\r\n\r\n", "z".repeat(400));
    for (what, text, served) in [
        ("120 header lines", format!("HTTP/1.1 200 OK\r\n{head}{many}{length}\r\n{body}"), true),
        ("a length twice in one line", format!("HTTP/1.1 200 OK\r\n{head}{twice}\r\n{body}"), true),
        ("zeros, an extension, a trailer", format!("HTTP/1.1 200 OK\r\n{head}{chunked}\r\n{chunks}"), true),
        ("no reason", format!("HTTP/1.1 200\r\n{head}{length}\r\n{body}"), true),
        ("empty lines first", format!("\r\n\r\nHTTP/1.1 200 OK\r\n{head}{length}\r\n{body}"), true),
        ("a line behind", format!("HTTP/1.1 200 OK\r\n{head}{length}\r\n{body}\r\n"), true),
        ("HTTP/1.0 until it closes", format!("HTTP/1.0 200 OK\r\n{head}\r\n{body}"), true),
        ("a folded line", format!("HTTP/1.1 200 OK\r\n{head}x: a\r\n b\r\n{length}\r\n{body}"), true),
        ("a length that is too long", format!("HTTP/1.1 200 OK\r\n{head}{longer}\r\n{body}"), false),
        ("two lengths", format!("HTTP/1.1 200 OK\r\n{head}{length}content-length: 5\r\n\r\n{body}"), false),
        ("two framings", format!("HTTP/1.1 200 OK\r\n{head}{length}{chunked}\r\n{chunks}"), false),
        (
            "another protocol",
            format!("HTTP/1.1 101 X\r\nupgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n{length}\r\n{body}"),
            false,
        ),
    ] {
        let a = Mock::start("a", vec![Step::Raw(text.into_bytes()), Step::Fin]);
        let gateway = Config::over(&[&a]).start();
        let answer = gateway.chat(&speech::ask(false));
        if served {
            assert_eq!((answer.status, answer.text()), (200, body.clone()), "{what}");
        } else {
            answer.error(502, "upstream_failed");
        }
        gateway.stop();
    }
}

#[test]
fn an_answer_that_came_compressed_unasked_is_read() {
    let (plain, stream) = (speech::plain("a", CHAT, 2), speech::stream("a", 3, false));
    for (streamed, kind, body) in [(false, "application/json", plain), (true, "text/event-stream", stream)] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(body.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            gzip.len()
        );
        let a = Mock::start("a", vec![Step::Raw([head.as_bytes(), &gzip].concat())]);
        let gateway = Config::over(&[&a]).start();
        let answer = gateway.chat(&speech::ask(streamed));
        assert_eq!((answer.status, answer.text(), answer.header("content-encoding")), (200, body, ""), "{kind}");
        assert_eq!(gateway.stop().rows[0].attempts, 1);
    }
}

#[test]
fn an_answer_in_another_encoding_is_left_for_another_site_without_blame() {
    let text =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n{}";
    let (a, b) = (Mock::start("a", vec![Step::Raw(text.as_bytes().to_vec())]), Mock::answering("b", 2));
    let gateway = Config::over(&[&a, &b]).start();
    for asked in [1, 2, 3, 3] {
        let answer = gateway.chat(&speech::ask(false));
        assert_eq!((answer.status, answer.header("x-rhumb-endpoint"), a.requests()), (200, "b", asked));
    }
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0);
    gateway.stop();
}

#[test]
fn a_rate_limit_that_is_used_up_is_known_before_it_refuses() {
    for headers in [
        "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 20s\r\n",
        "anthropic-ratelimit-tokens-remaining: 0\r\nanthropic-ratelimit-tokens-reset: 2999-01-01T00:00:00Z\r\n",
    ] {
        let body = speech::plain("a", "/v1/chat/completions", 2);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
        let a = Mock::start("a", vec![Step::Raw(format!("{head}{headers}\r\n{body}").into_bytes())]);
        let b = Mock::answering("b", 2);
        let gateway = Config::over(&[&a, &b]).start();
        let ask = || {
            let answer =
                gateway.client().exchange(&post("/v1/chat/completions", "", speech::ask(false).to_string().as_bytes()));
            (answer.status, answer.header("x-rhumb-endpoint").to_owned())
        };
        assert_eq!(ask(), (200, "a".to_owned()));
        // The cheaper one is left alone, and nobody was refused.
        (0..3).for_each(|_| assert_eq!(ask(), (200, "b".to_owned())));
        assert_eq!((a.requests(), b.requests()), (1, 3));
    }
}
