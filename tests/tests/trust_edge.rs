//! F36 and F37: what comes from outside has no say inside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_record::parse_id;
use rhumb_route::facts::Facts;
use rhumb_store::{ReadStore as _, Reader};
use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Stopped;
use rhumb_tests::mock::{Mock, Seen};
use rhumb_tests::{CANARY, speech};
use serde_json::Value;

const CHAT: &str = "/v1/chat/completions";

/// Header lines that mean something inside Rhumb, in other gateways, or in engines.
fn smuggled() -> Vec<String> {
    let names = [
        "x-rhumb-site",
        "x-rhumb-endpoint",
        "x-rhumb-model",
        "x-rhumb-decision",
        "x-rhumb-tenant",
        "x-rhumb-attempt",
        "x-rhumb-price",
        "x-gw-attempt",
        "x-gw-tenant",
        "x-gateway-destination-endpoint",
        "x-gateway-destination-endpoint-subset",
        "x-gateway-destination-endpoint-served",
        "x-gateway-inference-fairness-id",
        "x-gateway-inference-objective",
        "x-gateway-model-name-rewrite",
        "x-session-token",
        "test-epp-endpoint-selection",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "forwarded",
        "via",
        "x-original-url",
        "x-rewrite-url",
        "x-request-id",
        "x-correlation-id",
        "traceparent",
        "cookie",
        "api-key",
        "x-api-key",
        "openai-organization",
        "cache_salt",
        "cache-salt",
        "x_rhumb_policy",
        "x_rhumb_hops",
        "x_rhumb_tries",
        "x_rhumb_session",
        "x_rhumb_endpoint",
        "x_request_id",
        "x_forwarded_for",
        "x_gateway_destination_endpoint",
        "x-emulator-output-tokens",
        "x-data-parallel-rank",
        "accept-encoding",
        "user-agent",
        "proxy-authorization",
        "keep-alive",
        "te",
        "upgrade-insecure-requests",
    ];
    names.iter().map(|n| format!("{n}: b-{n}\r\n")).collect()
}

/// Header lines that name headers as hop-by-hop, which a proxy must not forward.
const HOP_BY_HOP: [&str; 4] = [
    "connection: x-secret, x-request-id, host\r\nx-secret: b\r\n",
    "connection: content-length\r\n",
    "connection: keep-alive, x-rhumb-endpoint\r\nx-rhumb-endpoint: b\r\n",
    "proxy-connection: keep-alive\r\ntrailer: x-rhumb-endpoint\r\n",
];

/// All that an engine may see of a head.
const FORWARDED: [&str; 9] = [
    "host",
    "content-type",
    "accept",
    "accept-encoding",
    "authorization",
    "x-request-id",
    "x-rhumb-hops",
    "x-rhumb-tries",
    "content-length",
];

fn holds_nothing_from_outside(seen: &Seen, answer: &Answer, mock: &Mock, what: &str) {
    for (name, value) in &seen.headers {
        assert!(FORWARDED.contains(&name.as_str()), "{what}: `{name}` reached the engine");
        assert!(!value.starts_with("b-"), "{what}: `{name}: {value}` reached the engine");
    }
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", CHAT), "{what}");
    assert_eq!(format!("http://{}", seen.header("host")), mock.url(), "{what}");
    assert_eq!(seen.header("authorization"), format!("Bearer {CANARY}"), "the operator's key, {what}");
    let id = answer.header("x-request-id");
    assert_eq!((seen.header("x-request-id"), answer.header("x-rhumb-decision")), (id, id), "{what}");
    assert!(parse_id(id).is_some(), "the gateway's own id, not `{id}`: {what}");
    let said = (seen.header("x-rhumb-hops"), seen.header("x-rhumb-tries"));
    assert_eq!(said, ("1", "1"), "the gateway's own count: {what}");
}

/// What a decision was made from.
fn facts(stopped: &Stopped, answer: &Answer) -> Facts {
    let reader = Reader::open(&stopped.data_dir()).unwrap();
    let id = parse_id(answer.header("x-rhumb-decision")).unwrap();
    reader.row(id).unwrap().unwrap().logged.record.facts
}

#[test]
fn f36_internal_headers_from_outside_do_nothing() {
    let (a, b) = (Mock::answering("a", 2), Mock::answering("b", 2));
    let tenants = "tenants:\n  - {name: one, keys: [{name: k1, key: sk-one-of-two-tenants}]}\n  - {name: two, keys: [{name: k2, key: sk-two-of-two-tenants}]}\n";
    let secret = |e: &mut rhumb_tests::config::Endpoint| e.more = format!(", api_key: {CANARY}");
    let gateway = Config::over(&[&a, &b]).endpoint(0, secret).endpoint(1, secret).tail(tenants).start();
    let ask = speech::ask(false).to_string();
    let key = "authorization: Bearer sk-one-of-two-tenants\r\n";
    let with = |lines: &str| gateway.client().exchange(&post(CHAT, &format!("{key}{lines}"), ask.as_bytes()));
    let plain = with("");
    let mut lines = smuggled();
    lines.push(lines.concat());
    lines.extend(HOP_BY_HOP.map(str::to_owned));
    // The same header twice, and in another case.
    lines.push("X-Request-ID: b-1\r\nx-request-id: b-2\r\nX-RHUMB-ENDPOINT: b-3\r\n".to_owned());
    let answers: Vec<Answer> = lines.iter().map(|l| with(l)).collect();
    let seen = a.seen();
    assert_eq!((seen.len(), b.requests()), (1 + lines.len(), 0), "each went where it would have gone without");
    // The tenant's own salt is the gateway's.
    let body = &seen[0].body;
    assert!(body.ends_with(&ask.as_bytes()[1..]) && body.starts_with(b"{\"cache_salt\":\""));
    for ((line, answer), seen) in lines.iter().zip(&answers).zip(&seen[1..]) {
        assert_eq!((answer.status, answer.header("x-rhumb-endpoint")), (200, "a"), "{line}");
        holds_nothing_from_outside(seen, answer, &a, line);
        assert_eq!(&seen.body, body, "{line}");
    }
    let stopped = gateway.stop();
    let want = facts(&stopped, &plain);
    for (line, answer) in lines.iter().zip(&answers) {
        // What answers taught meanwhile moves these; the rest is the request's.
        let got = facts(&stopped, answer);
        let Facts { prompt_tokens, longest_tokens, output_tokens, .. } = want;
        let got = Facts { prompt_tokens, longest_tokens, output_tokens, ..got };
        assert_eq!(got, want, "{line}");
    }
    assert!(stopped.rows.iter().all(|r| r.tenant == "one"));
}

#[test]
fn f36_a_cache_salt_in_the_body_is_cut_out_wherever_it_stands() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let rest = "\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a \\\"cache_salt\\\": no\"}]";
    let salts = [
        "\"cache_salt\":\"b\"",
        "\"cache_salt\" : \"b\\\",\" ",
        "\"cache\\u005fsalt\":\"b\"",
        "\"\\u0063ache_salt\":null",
        "\"cache_salt\":{\"x\":[1,{\"y\":2}]}",
        "\n\t\"cache_salt\"\n:\n[]\n",
    ];
    for salt in salts {
        for body in
            [format!("{{{salt},{rest}}}"), format!("{{{rest},{salt}}}"), format!("{{{rest} , {salt} , \"n\":1}}")]
        {
            let answer = gateway.client().exchange(&post(CHAT, "", body.as_bytes()));
            assert_eq!(answer.status, 200, "{body}: {}", answer.text());
            let forwarded = a.seen().last().unwrap().json();
            let mut want: Value = serde_json::from_str(&body).unwrap();
            want.as_object_mut().unwrap().remove("cache_salt");
            assert_eq!(forwarded, want, "{body}");
        }
    }
    gateway.stop();
}

/// Ways to write a path that some server takes for another.
const TRICKS: [&str; 34] = [
    "/v1/../pause",
    "/v1/..",
    "/../pause",
    "/v1/%2e%2e/pause",
    "/v1/%2E%2E/pause",
    "/v1/.%2e/pause",
    "/v1/..%2fpause",
    "/v1/..%252fpause",
    "/v1/%252e%252e/pause",
    "/v1/..;/pause",
    "/v1/chat/completions/../../../pause",
    "/v1/chat/completions/..%2f..%2f..%2fpause",
    "//pause",
    "/v1/chat/completions/.",
    "/./v1/chat/completions",
    "/v1/./chat/completions",
    "/v1/chat/completions;x=1",
    "/v1;x/chat/completions",
    "/V1/Chat/Completions",
    "/v1/chat/Completions",
    "/v1/chat%2fcompletions",
    "/v1%2Fchat/completions",
    "/%76%31/chat/completions",
    "/v1/chat/completions%00",
    "/v1/chat/completions%20",
    "/v1/chat/completions%0a",
    "/v1/chat/completions%3fx",
    "/v1/chat/completions%23",
    "/v1/chat/completions.json",
    "/v1/chat",
    "/v1/",
    "/v1",
    "/v1\\..\\pause",
    "/v1/chat/completions\\..\\..\\pause",
];

/// Paths that engines serve and a gateway must not.
const ENGINE_PATHS: [&str; 36] = [
    "/pause",
    "/resume",
    "/is_paused",
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/update_weights",
    "/abort_requests",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/start_profile",
    "/stop_profile",
    "/scale_elastic_ep",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/invocations",
    "/pooling",
    "/server_info",
    "/version",
    "/ping",
    "/load",
    "/docs",
    "/openapi.json",
    "/metrics",
    "/flush_cache",
    "/get_server_info",
    "/generate",
    "/update_weights_from_disk",
    "/release_memory_occupation",
    "/slots",
    "/props",
    "/completion",
    "/infill",
    "/lora-adapters",
    "/admin/v1/decisions/0000000000000",
];

fn request(method: &str, target: &str) -> Vec<u8> {
    let body = speech::ask(false).to_string();
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nhost: grid\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

#[test]
fn f37_no_path_but_the_listed_ones_leads_anywhere() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let probes = a.probes();
    for path in TRICKS.iter().chain(&ENGINE_PATHS) {
        for method in ["POST", "GET", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "BREW"] {
            // In origin form, with a query, and in absolute form.
            for target in [(*path).to_owned(), format!("{path}?x=/v1/chat/completions"), format!("http://grid{path}")] {
                let mut client = gateway.client();
                client.send(&request(method, &target));
                let head = client.head().unwrap_or_else(|| panic!("no answer to {method} {target}"));
                // A target that is no URI at all is refused by the HTTP layer, with nothing to say.
                let unreadable = target.contains('\\') && head.status == 400;
                assert!(head.status == 404 || unreadable, "{method} {target}: {}", head.status);
            }
        }
        let answer = gateway.client().exchange(&request("POST", path));
        if answer.status == 404 {
            let message = answer.error(404, "not_found");
            assert!(!message.contains("pause"), "the path is not echoed");
        }
    }
    // Who asks the root hears that a gateway is there.
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)] {
        let mut client = gateway.client();
        client.send(&request(method, "/"));
        assert_eq!(client.head().unwrap().status, status, "{method} /");
    }
    assert_eq!((a.requests(), a.probes()), (0, probes), "nothing reached the engine");
    assert_eq!(gateway.stop().rows.len(), 0);
}

#[test]
fn f37_other_forms_of_request_target_lead_nowhere() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    let probes = a.probes();
    for target in
        ["http://10.0.0.1/pause", "https://grid/pause", "ftp://grid/v1/../pause", "*", "grid:443", "10.0.0.1:80", ""]
    {
        for method in ["POST", "GET", "CONNECT", "OPTIONS", "TRACE"] {
            let mut client = gateway.client();
            client.send(&request(method, target));
            let head = client.head();
            assert!(head.is_none_or(|h| h.status >= 400), "{method} {target}");
        }
    }
    assert_eq!((a.requests(), a.probes()), (0, probes), "nothing reached the engine");
    // The absolute form of a listed path is the same path (RFC 9112, section 3.2.2), and its host decides nothing.
    for target in ["http://10.0.0.1/v1/chat/completions", "/v1/chat/completions?x=../../pause"] {
        assert_eq!(gateway.client().exchange(&request("POST", target)).status, 200, "{target}");
        let seen = a.seen();
        assert_eq!(seen.last().unwrap().path, CHAT, "{target}");
        assert_eq!(format!("http://{}", seen.last().unwrap().header("host")), a.url(), "{target}");
    }
    gateway.stop();
}

#[test]
fn f37_the_listed_paths_answer_their_own_method_only() {
    let a = Mock::answering("a", 2);
    let gateway = Config::over(&[&a]).start();
    for path in [CHAT, "/v1/completions", "/v1/embeddings"] {
        for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
            let answer = gateway.client().exchange(&request(method, path));
            answer.error(405, "method_not_allowed");
        }
    }
    for path in ["/v1/models", "/v1/models/tiny", "/health", "/health/live", "/health/ready"] {
        let page = gateway.client().exchange(&request("GET", path));
        assert!(page.status == 200 && !page.text().contains("vllm:"), "{path}: the gateway's own page");
        gateway.client().exchange(&request("POST", path)).error(405, "method_not_allowed");
    }
    assert_eq!(a.requests(), 0);
    gateway.stop();
}
