//! What a client or an operator got wrong: each mistake has its own answer, and none shows the grid behind it.

use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::rhumb;
use rhumb_tests::mock::Mock;
use rhumb_tests::temp::TempDir;
use rhumb_tests::{speech, wait};
use serde_json::Value;

const CHAT: &str = "/v1/chat/completions";

fn mocks() -> [Mock; 2] {
    [Mock::answering("engine-alpha", 2), Mock::answering("engine-beta", 2)]
}

/// Nothing of the topology stands in an answer, unless `x-rhumb-` headers say where it was sent.
fn is_discreet(answer: &Answer) {
    let told: Vec<_> = answer.headers.iter().filter(|(name, _)| !name.starts_with("x-rhumb-")).collect();
    let shown = format!("{told:?}{}", answer.text());
    for inside in ["engine-", "site-", "127.0.0.1", "alpha", "beta"] {
        assert!(!shown.contains(inside), "`{inside}` in {shown}");
    }
}

fn model(name: &str) -> Value {
    let mut ask = speech::ask(false);
    ask["model"] = name.into();
    ask
}

#[test]
fn an_unknown_model_is_not_found_and_the_nearest_names_are_told() {
    let [a, b] = &mocks();
    let names = "virtual_models:\n  - {name: auto, models: [tiny]}\n";
    let gateway = Config::over(&[a, b]).tail(names).start();
    for (wrong, near) in [
        ("tinny", "`tiny`"),
        ("Small", "`small`"),
        ("autos", "`auto`"),
        ("", "`auto`"),
        ("tinyy".repeat(9_000).as_str(), "`tiny`"),
    ] {
        let answer = gateway.chat(&model(wrong));
        let message = answer.error(404, "model_not_found");
        assert!(message.contains(near) && message.len() < 400, "{message}");
        assert_eq!(answer.json()["error"]["param"], "model");
        is_discreet(&answer);
    }
    assert_eq!(gateway.chat(&model("auto")).status, 200);
    assert_eq!(gateway.stop().rows.len(), 1, "only what was accepted is logged");
}

#[test]
fn a_model_that_a_tenant_may_not_use_does_not_exist_for_it() {
    let [a, b] = &mocks();
    let tail = "virtual_models:\n  - {name: auto, models: [tiny]}\n\
                tenants:\n  - {name: one, models: [auto], keys: [{name: k, key: sk-the-right-one}]}\n";
    let gateway = Config::over(&[a, b]).tail(tail).start();
    let ask = |name: &str| {
        let body = model(name).to_string();
        gateway.client().exchange(&post(CHAT, "authorization: Bearer sk-the-right-one\r\n", body.as_bytes()))
    };
    let (forbidden, unknown) = (ask("tiny"), ask("tiry"));
    assert_eq!(forbidden.text().replace("tiny", "tiry"), unknown.text(), "the two cannot be told apart");
    forbidden.error(404, "model_not_found");
    assert_eq!(ask("auto").status, 200);
    gateway.stop();
}

#[test]
fn no_key_and_every_wrong_key_get_the_same_answer() {
    let [a, b] = &mocks();
    let tail = "tenants:\n  - {name: one, keys: [{name: k, key: sk-the-right-one}]}\n";
    let gateway = Config::over(&[a, b]).tail(tail).start();
    let body = speech::ask(false).to_string();
    let lines = [
        "",
        "authorization:\r\n",
        "authorization: Bearer\r\n",
        "authorization: Bearer sk-the-right-on\r\n",
        "authorization: Bearer sk-the-right-one-\r\n",
        "authorization: Bearer SK-THE-RIGHT-ONE\r\n",
        "authorization: sk-the-right-one\r\n",
        "authorization: Basic sk-the-right-one\r\n",
        "authorization: Bearer ' or 1=1 --\r\n",
        "x-api-key: sk-the-right-on\r\n",
        "authorization: Bearer k\r\n",
        "authorization: Bearer \u{e9}\r\n",
    ];
    let answers: Vec<Answer> =
        lines.iter().map(|l| gateway.client().exchange(&post(CHAT, l, body.as_bytes()))).collect();
    let shape = |a: &Answer| {
        let ids = ["x-request-id", "x-rhumb-decision", "date"];
        let headers: Vec<_> = a.headers.iter().filter(|(n, _)| !ids.contains(&n.as_str())).cloned().collect();
        (a.status, headers, a.body.clone())
    };
    for (line, answer) in lines.iter().zip(&answers) {
        answer.error(401, "invalid_api_key");
        assert_eq!(shape(answer), shape(&answers[0]), "{line}");
        is_discreet(answer);
    }
    let get = |path: &str| gateway.client().exchange(format!("GET {path} HTTP/1.1\r\nhost: grid\r\n\r\n").as_bytes());
    get("/v1/models").error(401, "invalid_api_key");
    assert_eq!(get("/health/live").status, 200);
    assert_eq!((a.requests(), b.requests()), (0, 0));
    assert_eq!(gateway.stop().rows.len(), 0);
}

#[test]
fn a_prompt_too_long_for_every_candidate_is_told_the_longest() {
    let [a, b] = &mocks();
    let config =
        Config::over(&[a, b]).endpoint(0, |e| e.context_tokens = 1_000).endpoint(1, |e| e.context_tokens = 2_000);
    let gateway = config.start();
    let mut ask = speech::ask(false);
    ask["max_tokens"] = 1_500.into();
    assert_eq!(gateway.chat(&ask).header("x-rhumb-endpoint"), "engine-beta", "the one with room");
    for (tokens, content) in [(3_000, "hi".to_owned()), (1, "word ".repeat(60_000))] {
        ask["max_tokens"] = tokens.into();
        ask["messages"][0]["content"] = content.into();
        let answer = gateway.chat(&ask);
        let message = answer.error(400, "context_length_exceeded");
        assert!(message.contains("2000 tokens"), "{message}");
        is_discreet(&answer);
    }
    let rows = gateway.stop().rows;
    assert_eq!(rows.iter().map(|r| r.status).collect::<Vec<_>>(), [200, 400, 400]);
}

#[test]
fn a_country_without_a_site_is_refused_and_no_site_is_asked() {
    let [a, b] = &mocks();
    // Each rule alone could be kept; what both allow is nowhere.
    let tail = "tenants:\n  - {name: one, countries: [US], keys: [{name: k, key: sk-the-right-one}]}\n";
    let config = Config::over(&[a, b]).policy("countries: [DE]").endpoint(1, |e| e.country = "US").tail(tail);
    let gateway = config.start();
    let (before_a, before_b) = (a.accepted(), b.accepted());
    for stream in [true, false] {
        let body = speech::ask(stream).to_string();
        let request = post(CHAT, "authorization: Bearer sk-the-right-one\r\n", body.as_bytes());
        let answer = gateway.client().exchange(&request);
        answer.error(403, "data_residency_mismatch");
        is_discreet(&answer);
    }
    assert_eq!((a.accepted(), b.accepted()), (before_a, before_b), "not even a connection");
    let rows = gateway.stop().rows;
    assert!(rows.len() == 2 && rows.iter().all(|r| (r.outcome.as_str(), r.attempts) == ("nothing_eligible", 0)));
}

#[test]
fn a_failover_does_not_leave_the_allowed_countries() {
    let [mut a, b] = mocks();
    let config = Config::over(&[&a, &b]).policy("countries: [DE]").endpoint(1, |e| e.country = "US");
    let gateway = config.start();
    let before = b.accepted();
    a.close();
    for _ in 0..5 {
        let answer = gateway.chat(&speech::ask(true));
        assert!(matches!(answer.status, 502 | 503), "{}", answer.text());
        is_discreet(&answer);
    }
    assert_eq!((b.requests(), b.accepted()), (0, before));
    gateway.stop();
}

#[test]
fn what_the_model_cannot_take_is_told() {
    let [a, b] = &mocks();
    let gateway = Config::over(&[a, b]).start();
    let mut ask = speech::ask(false);
    ask["messages"][0]["content"] =
        serde_json::json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]);
    let answer = gateway.chat(&ask);
    answer.error(400, "invalid_request");
    is_discreet(&answer);
    let answer = gateway.post("/v1/embeddings", &serde_json::json!({"model": "tiny", "input": "x"}));
    answer.error(400, "invalid_request");
    assert_eq!((a.requests(), b.requests()), (0, 0));
    gateway.stop();
}

#[test]
fn where_every_site_is_ill_they_are_tried_all_the_same_and_nobody_is_named() {
    let [mut a, mut b] = mocks();
    let gateway = Config::over(&[&a, &b]).start();
    a.close();
    b.close();
    wait::until_true("both are unhealthy", || {
        gateway.chat(&speech::ask(true));
        ["engine-alpha", "engine-beta"].iter().all(|name| gateway.of_endpoint("healthy", name) == 0.0)
    });
    let answer = gateway.chat(&speech::ask(true));
    answer.error(502, "upstream_failed");
    is_discreet(&answer);
    assert!(answer.header("retry-after-ms").parse::<u64>().is_ok_and(|ms| ms > 0));
    let last = gateway.stop().rows.pop().unwrap();
    assert_eq!((last.outcome.as_str(), last.status, last.attempts), ("failed", 502, 2));
}

#[test]
fn when_no_site_has_power_left_the_reasons_are_counted() {
    let [a, b] = &mocks();
    let starved = |e: &mut rhumb_tests::config::Endpoint| {
        e.more = ", gpu: h100".to_owned();
        e.site_more = ", power_kw: 0.001".to_owned();
    };
    let config = Config::over(&[a, b]).endpoint(0, starved).endpoint(1, |e| {
        starved(e);
        e.context_tokens = 1;
    });
    let gateway = config.start();
    let answer = gateway.chat(&speech::ask(true));
    let message = answer.error(503, "server_is_overloaded");
    assert!(message.contains("1 power_cap") && message.contains("1 context_length"), "{message}");
    is_discreet(&answer);
    assert_eq!((a.requests(), b.requests()), (0, 0));
    gateway.stop();
}

/// A configuration with something wrong in it, the line it stands on (found by its text), and words of the complaint.
fn broken_configurations() -> Vec<(String, &'static str, &'static str)> {
    let [a, b] = &mocks();
    let good = Config::over(&[a, b]).yaml(std::path::Path::new("unused"));
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    vec![
        (with("  policy: test", "  polcy: test"), "polcy", "polcy"),
        (with("  policy: test", "  policy: tset"), "tset", "tset"),
        (with("site: site-engine-beta", "site: nowhere"), "nowhere", "nowhere"),
        (with("latitude: 50", "latitude: 500"), "500", "500"),
        (with("input_usd_per_mtok: 0.1", "input_usd_per_mtok: -1"), "mtok: -1", "-1"),
        (with("name: engine-beta, site", "name: engine-alpha, site"), "site-engine-beta, url", "engine-alpha"),
        (with("http://127", "gopher://127"), "gopher", "gopher"),
        (with("policies:", "policies: [\n"), "", ""),
        (with("workers: 2", "workers: ${RHUMB_TESTS_NOT_SET}"), "RHUMB_TESTS_NOT_SET", "RHUMB_TESTS_NOT_SET"),
    ]
}

#[test]
fn a_broken_configuration_never_starts() {
    let dir = TempDir::new();
    let file = dir.path().join("broken.yaml");
    for (text, on_line, says) in broken_configurations() {
        std::fs::write(&file, &text).unwrap();
        let data = dir.path().join("data");
        let output = rhumb(&["up", "-c", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        let line = text.lines().position(|l| l.contains(on_line)).unwrap() + 1;
        assert!(on_line.is_empty() || said.contains(&format!("broken.yaml:{line}:")), "line {line} of {said}");
        assert!(said.contains(says) && !said.contains("serving"), "{said}");
        assert!(!data.exists(), "nothing was begun: {said}");
    }
    let output = rhumb(&["up", "-c", dir.path().join("absent.yaml").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
}
