//! What the gateway reads of its endpoints besides answers, and what it shows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use rhumb_tests::client::{Client, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Gateway, rhumb};
use rhumb_tests::mock::Mock;
use rhumb_tests::{MODEL, speech, wait};

#[test]
fn ranks_of_one_engine_count_once_and_data_parallel_ones_add_up() {
    let page = |label: &str| -> String {
        let of = |i: usize| {
            let labels = format!("{{{label}=\"{i}\",model_name=\"m\"}}");
            format!("ray_vllm:num_requests_running{labels} 4\nray_vllm:num_requests_waiting{labels} 1\n")
        };
        (0..8).map(of).collect()
    };
    for (label, running, waiting) in [("tp_rank", 4.0, 1.0), ("pp_rank", 4.0, 1.0), ("engine", 32.0, 8.0)] {
        let a = Mock::answering("a", 1);
        a.report_page(&page(label));
        let gateway = Config::over(&[&a]).start();
        assert_eq!((gateway.of_endpoint("running", "a"), gateway.of_endpoint("waiting", "a")), (running, waiting));
        gateway.stop();
    }
}

fn now_of(gateway: &Gateway, endpoint: &str) -> serde_json::Value {
    let all = gateway.ask_admin("/admin/v1/endpoints").json();
    all.as_array().unwrap().iter().find(|e| e["endpoint"] == endpoint).unwrap().clone()
}

#[test]
fn a_model_that_an_endpoint_does_not_list_is_said_once_and_drops_nobody() {
    let (a, b) = (Mock::answering("a", 2), Mock::answering("b", 2));
    a.list(200, r#"{"data":[{"id":"org/else"},{"id":"tiny\n-instruct"}]}"#);
    // Without a list that can be read nothing is said.
    b.list(404, "not here");
    let config = Config::over(&[&a, &b]).probe(50).gateway("model_list_interval_ms: 50");
    let gateway = config.start();
    let missing = || now_of(&gateway, "a")["models_missing"].clone();
    wait::until_true("it is shown", || missing() == serde_json::json!([MODEL]));
    let asked = a.listings().len();
    wait::until_true("it is asked again", || a.listings().len() > asked + 3 && b.listings().len() > 3);
    let said = "endpoint `a` does not list `tiny` among its models, it lists `org/else`, `tiny-instruct`";
    assert_eq!(gateway.said().matches(said).count(), 1, "{}", gateway.said());
    assert_eq!((gateway.of_endpoint("models_missing", "a"), gateway.of_endpoint("models_missing", "b")), (1.0, 0.0));
    assert_eq!(now_of(&gateway, "b")["models_missing"], serde_json::json!([]));
    let top = rhumb(&["top", "--once", "--admin", &format!("http://{}", gateway.admin)]);
    let top = String::from_utf8_lossy(&top.stdout).into_owned();
    assert!(top.contains("endpoint `a` does not list its model `tiny`"), "{top}");
    assert_eq!(gateway.chat(&speech::ask(true)).header("x-rhumb-endpoint"), "a");
    a.list(200, r#"{"data":[{"id":"tiny"}]}"#);
    wait::until_true("it is well again", || missing() == serde_json::json!([]));
    let stopped = gateway.stop();
    assert!(!stopped.stderr.contains("endpoint `b`"), "{}", stopped.stderr);
}

#[test]
fn a_key_that_an_endpoint_refuses_is_said_once() {
    let a = Mock::answering("a", 2);
    a.list(401, "who are you?");
    let gateway = Config::over(&[&a]).probe(50).gateway("model_list_interval_ms: 50").start();
    let error = || now_of(&gateway, "a")["probe_error"].clone();
    wait::until_true("it is shown", || error() == "the key of endpoint `a` is refused: 401");
    let asked = a.listings().len();
    wait::until_true("it is asked again", || a.listings().len() > asked + 3);
    assert_eq!(gateway.of_endpoint("key_refused", "a"), 1.0);
    a.list(200, r#"{"data":[{"id":"tiny"}]}"#);
    wait::until_true("it is taken", || error().is_null() && gateway.of_endpoint("key_refused", "a") == 0.0);
    let said = gateway.stop().stderr;
    assert_eq!(said.matches("the key of endpoint `a` is refused: 401").count(), 1, "{said}");
}

const TENANT: &str = "tenants:\n  - {name: acme, keys: [{name: k, key: key-of-acme}]}\n";

#[test]
fn requests_are_counted_by_tenant_model_and_site() {
    let a = Mock::answering("a", 5);
    let gateway = Config::over(&[&a]).tail(TENANT).start();
    let headers = "authorization: Bearer key-of-acme\r\nconnection: close\r\n";
    for model in [MODEL, "small"] {
        let mut ask = speech::ask(true);
        ask["model"] = model.into();
        let request = post("/v1/chat/completions", headers, ask.to_string().as_bytes());
        assert_eq!(gateway.client().exchange(&request).status, 200);
    }
    gateway.await_rest();
    let names = format!("tenant=\"acme\",model=\"{MODEL}\"");
    assert_eq!(gateway.metric(&format!("rhumb_tenant_requests_total{{{names},outcome=\"complete\"}}")), 2.0);
    assert_eq!(gateway.metric(&format!("rhumb_tenant_tokens_total{{{names},kind=\"completion\"}}")), 10.0);
    let site = format!("site=\"site-a\",model=\"{MODEL}\",outcome=\"complete\"");
    assert_eq!(gateway.metric(&format!("rhumb_site_requests_total{{{site}}}")), 2.0);
    for histogram in ["request_duration", "time_to_first_token", "time_per_output_token"] {
        assert_eq!(gateway.metric(&format!("rhumb_{histogram}_seconds_count{{model=\"{MODEL}\"}}")), 2.0);
    }
    gateway.stop();
}

/// Families that are described, each with its type.
fn described(page: &str, what: &str) -> BTreeSet<String> {
    let lines = page.lines().filter_map(|l| l.strip_prefix(what)?.split_once(' '));
    lines.filter(|(_, text)| !text.trim().is_empty()).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_page_is_in_the_format_that_is_asked_for_and_describes_every_series() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    let page = |accept: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{accept}\r\n", gateway.admin);
        let answer = Client::connect(gateway.admin).exchange(request.as_bytes());
        (answer.header("content-type").to_owned(), answer.text())
    };
    for accept in ["", "accept: */*\r\n", "accept: text/plain;version=0.0.4\r\n"] {
        let (kind, text) = page(accept);
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        assert!(!text.contains("# EOF") && text.contains("# TYPE rhumb_requests_total counter"), "{text}");
        let (help, types) = (described(&text, "# HELP "), described(&text, "# TYPE "));
        assert_eq!(help, types);
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let series = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
            assert!(help.contains(series) || family.is_some_and(|f| help.contains(f)), "{line}");
        }
    }
    let (kind, text) = page("accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE rhumb_requests counter"), "{text}");
    gateway.stop();
}
