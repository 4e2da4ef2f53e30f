//! What clients of many kinds send to the data plane: heads that are ambiguous, keys in other headers, paths with a slash
//! too many, pages in browsers.

use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::{MODEL, speech};

const CHAT: &str = "/v1/chat/completions";
const KEYS: &str = "tenants:\n  - {name: one, keys: [{name: k1, key: sk-one-of-two-tenants}]}\n";

fn send(gateway: &Gateway, head: &str, body: &str) -> Answer {
    gateway.client().exchange(format!("{head}\r\n{body}").as_bytes())
}

fn get(gateway: &Gateway, path: &str) -> Answer {
    send(gateway, &format!("GET {path} HTTP/1.1\r\nhost: grid\r\n"), "")
}

#[test]
fn a_head_that_can_be_read_two_ways_is_refused() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).tail(KEYS).start();
    let body = speech::ask(false).to_string();
    let length = format!("content-length: {}\r\n", body.len());
    let key = "authorization: Bearer sk-one-of-two-tenants\r\n";
    let good = format!("host: grid\r\n{key}{length}");
    assert_eq!(send(&gateway, &format!("POST {CHAT} HTTP/1.1\r\n{good}"), &body).status, 200);
    let chunked = format!("host: grid\r\n{key}");
    for (lines, said) in [
        (format!("{good}{key}"), "authorization"),
        (format!("authorization: Bearer sk-wrong-and-first\r\n{good}"), "authorization"),
        (format!("{good}x-api-key: a\r\nx-api-key: a\r\n"), "x-api-key"),
        (format!("{good}content-encoding: identity\r\ncontent-encoding: identity\r\n"), "content-encoding"),
        (format!("{good}host: grid\r\n"), "host"),
        (format!("{good}host: other\r\n"), "host"),
        (format!("{key}{length}"), "host"),
        (format!("host:\r\n{key}{length}"), "host"),
        (format!("host: a b\r\n{key}{length}"), "host"),
        (format!("host: user@grid\r\n{key}{length}"), "host"),
        (format!("{chunked}transfer-encoding: gzip, chunked\r\n"), "transfer-encoding"),
        (format!("{chunked}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"), "transfer-encoding"),
        (format!("{good}x-rhumb-policy: batch\r\nx-rhumb-policy: batch\r\n"), "x-rhumb-policy"),
        (format!("{good}x-rhumb-hops: 1\r\nX-Rhumb-Hops: 0\r\n"), "x-rhumb-hops"),
    ] {
        let mut client = gateway.client();
        let answer = client.exchange(format!("POST {CHAT} HTTP/1.1\r\n{lines}\r\n{body}").as_bytes());
        let text = answer.error(400, "invalid_request");
        assert!(text.contains(&format!("`{said}`")), "{lines}: {text}");
        assert_eq!((answer.json()["error"]["param"].as_str(), answer.header("connection")), (Some(said), "close"));
        assert!(client.is_closed(), "what follows is not taken for a request: {lines}");
    }
    // HTTP/1.0 knows no host.
    assert_eq!(send(&gateway, &format!("POST {CHAT} HTTP/1.0\r\n{key}{length}"), &body).status, 200);
    assert_eq!(a.requests(), 2);
    gateway.stop();
}

#[test]
fn a_key_is_taken_from_each_header_that_clients_put_it_in() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).tail(KEYS).start();
    let body = speech::ask(false).to_string();
    let with = |lines: &str| gateway.client().exchange(&post(CHAT, lines, body.as_bytes()));
    for lines in ["x-api-key: sk-one-of-two-tenants\r\n", "api-key: sk-one-of-two-tenants\r\n"] {
        assert_eq!(with(lines).status, 200, "{lines}");
    }
    // One that says who asks counts before the others.
    for lines in [
        "x-api-key: sk-wrong-of-two-tenants\r\n",
        "api-key: Bearer sk-one-of-two-tenants\r\n",
        "x-api-key:\r\n",
        "authorization: Bearer sk-wrong-of-two-tenants\r\nx-api-key: sk-one-of-two-tenants\r\n",
    ] {
        with(lines).error(401, "invalid_api_key");
    }
    assert_eq!(a.seen().iter().filter(|seen| !seen.header("x-api-key").is_empty()).count(), 0, "no key goes on");
    gateway.stop();
}

#[test]
fn a_slash_too_many_is_no_other_path() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let body = speech::ask(false).to_string();
    for path in [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat//completions",
        "/v1/chat/completions/",
        "/v1/chat/completions//?x=1",
    ] {
        assert_eq!(gateway.client().exchange(&post(path, "", body.as_bytes())).status, 200, "{path}");
        assert_eq!(a.seen().last().unwrap().path, CHAT, "{path}");
    }
    for path in ["/v1/models/", "//v1//models", "/health/", "/health//live"] {
        assert_eq!(get(&gateway, path).status, 200, "{path}");
    }
    gateway.stop();
}

#[test]
fn models_are_found_one_by_one_with_their_context() {
    let (a, b) = (Mock::answering("a", 2), Mock::answering("b", 2));
    let gateway = Config::over(&[&a, &b])
        .endpoint(0, |e| e.context_tokens = 4_096)
        .endpoint(1, |e| e.context_tokens = 131_072)
        .tail("virtual_models:\n  - {name: auto, models: [tiny]}\n")
        .start();
    let list = get(&gateway, "/v1/models").json();
    let listed: Vec<&str> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [MODEL, "small", "org/tiny-1b", "auto"]);
    for (path, id, root) in [
        (MODEL, MODEL, Some(MODEL)),
        ("small", "small", Some(MODEL)),
        ("org/tiny-1b", "org/tiny-1b", Some(MODEL)),
        ("org%2Ftiny-1b", "org/tiny-1b", Some(MODEL)),
        ("org%2ftiny%2D1b?x=1", "org/tiny-1b", Some(MODEL)),
        ("auto", "auto", None),
    ] {
        let answer = get(&gateway, &format!("/v1/models/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let model = answer.json();
        assert_eq!((model["id"].as_str(), model["object"].as_str()), (Some(id), Some("model")), "{path}");
        assert_eq!(model["root"].as_str(), root, "{path}");
        assert_eq!((&model["max_model_len"], &model["context_length"]), (&131_072.into(), &131_072.into()), "{path}");
        assert!(list["data"].as_array().unwrap().contains(&model), "the list says the same: {path}");
    }
    for path in ["none", "tiny/x", "%00", "%FF", "org", "..%2Ftiny"] {
        get(&gateway, &format!("/v1/models/{path}")).error(404, "model_not_found");
    }
    gateway.stop();
}

#[test]
fn metrics_stay_on_the_admin_listener() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).tail(KEYS).start();
    for key in ["", "authorization: Bearer sk-one-of-two-tenants\r\n"] {
        let answer = send(&gateway, &format!("GET /metrics HTTP/1.1\r\nhost: grid\r\n{key}"), "");
        let text = answer.error(404, "not_found");
        assert!(text.contains("gateway.admin_listen") && !answer.text().contains("rhumb_"), "{text}");
    }
    assert!(gateway.metrics().contains("rhumb_endpoint_in_flight"));
    assert_eq!(get(&gateway, "/health").status, 200);
    assert_eq!(gateway.ask_admin("/health").status, 200);
    gateway.stop();
}

#[test]
fn a_websocket_is_refused_with_what_to_do_instead() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    for path in ["/v1/realtime?model=tiny", "/v1/models", "/"] {
        let head = format!("GET {path} HTTP/1.1\r\nhost: grid\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n");
        let answer = send(&gateway, &format!("{head}sec-websocket-version: 13\r\n"), "");
        let text = answer.error(426, "upgrade_not_supported");
        assert!(text.contains("stream") && !answer.header("upgrade").is_empty(), "{text}");
    }
    gateway.stop();
}

fn preflight(gateway: &Gateway, origin: &str) -> Answer {
    let asked = "access-control-request-method: POST\r\naccess-control-request-headers: authorization, x-mine\r\nconnection: close\r\n";
    send(gateway, &format!("OPTIONS {CHAT} HTTP/1.1\r\nhost: grid\r\norigin: {origin}\r\n{asked}"), "")
}

#[test]
fn pages_of_listed_origins_may_ask_and_no_others() {
    let a = Mock::answering("a", 2);
    let body = speech::ask(false).to_string();
    let ask = |gateway: &Gateway, origin: &str, body: &str| {
        gateway.client().exchange(&post(CHAT, &format!("origin: {origin}\r\n"), body.as_bytes()))
    };
    let off = Config::over(&[&a]).start();
    assert_eq!(preflight(&off, "https://a.example").status, 405);
    assert_eq!(ask(&off, "https://a.example", &body).header("access-control-allow-origin"), "");
    off.stop();
    let some = Config::over(&[&a]).gateway("cors_origins: [\"https://a.example\", \"http://localhost:3000\"]").start();
    for origin in ["https://a.example", "http://localhost:3000"] {
        let answer = preflight(&some, origin);
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, origin));
        assert_eq!(answer.header("access-control-allow-headers"), "authorization, x-mine");
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        for (body, status) in [(body.as_str(), 200), ("{", 400)] {
            let answer = ask(&some, origin, body);
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, origin));
            assert_eq!(answer.header("vary"), "origin");
            assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
        }
    }
    for origin in ["https://b.example", "https://a.example.b", "http://a.example", "null", "https://a.example:444"] {
        assert_eq!(preflight(&some, origin).status, 405, "{origin}");
        assert_eq!(ask(&some, origin, &body).header("access-control-allow-origin"), "", "{origin}");
    }
    some.stop();
    let all = Config::over(&[&a]).gateway("cors_origins: [\"*\"]").start();
    assert_eq!(preflight(&all, "https://b.example").header("access-control-allow-origin"), "*");
    all.stop();
}

#[test]
fn a_model_name_of_eight_megabytes_is_answered_shortly() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    for name in ["m".repeat(8 << 20), "é".repeat(4 << 20)] {
        let body = format!("{{\"model\":\"{name}\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]}}");
        let answer = gateway.client().exchange(&post(CHAT, "", body.as_bytes()));
        let text = answer.error(404, "model_not_found");
        assert!(text.len() < 1_000, "{} bytes", text.len());
    }
    gateway.stop();
}
