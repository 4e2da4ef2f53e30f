//! Whose fault a failure is: the endpoint's for one model, its credential's, the request's; and what clients and
//! operators are told of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Script, Step, status};
use rhumb_tests::{MODEL, speech, wait};
use serde_json::{Value, json};

/// An engine's error as JSON.
fn error(code: u16, more: &str) -> Script {
    status(code, "", &format!(r#"{{"error":{{"message":"no such thing","type":"x","code":{code}{more}}}}}"#))
}

fn served_by(gateway: &Gateway) -> String {
    let answer = gateway.chat(&speech::ask(true));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-rhumb-endpoint").to_owned()
}

fn endpoint(gateway: &Gateway, name: &str) -> Value {
    let all = gateway.ask_admin("/admin/v1/endpoints").json();
    all.as_array().unwrap().iter().find(|e| e["endpoint"] == name).unwrap().clone()
}

#[test]
fn c1_an_endpoint_without_the_model_is_left_alone_for_it_and_says_so() {
    for code in [404, 410, 405, 408, 409, 421, 425, 451, 499, 501, 302] {
        let (a, b) = (Mock::start("a", error(code, "")), Mock::answering("b", 2));
        let gateway = Config::over(&[&a, &b]).start();
        (0..10).for_each(|_| assert_eq!(served_by(&gateway), "b", "{code}"));
        assert!(a.requests() <= 4, "{} requests with {code}", a.requests());
        let shown = endpoint(&gateway, "a");
        assert_eq!(shown["models_refused"], json!([MODEL]), "{code}: {shown}");
        assert_eq!(
            (&shown["last_error"]["status"], &shown["last_error"]["said"]),
            (&json!(code), &json!("no such thing"))
        );
        assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0, "it is well for other models");
        let stderr = gateway.stop().stderr;
        assert!(stderr.contains("endpoint `a` is left alone for model `tiny`"), "{stderr}");
    }
}

#[test]
fn c2_an_endpoint_that_refuses_the_gateways_key_is_left_alone_and_named() {
    for code in [401, 402, 403] {
        let (a, b) = (Mock::start("a", error(code, "")), Mock::answering("b", 2));
        let gateway = Config::over(&[&a, &b]).start();
        (0..10).for_each(|_| assert_eq!(served_by(&gateway), "b", "{code}"));
        assert!(a.requests() <= 4, "{} requests with {code}", a.requests());
        let shown = endpoint(&gateway, "a");
        assert_eq!((&shown["ill"], &shown["last_error"]["status"]), (&json!("credential"), &json!(code)), "{shown}");
        let text = String::from_utf8(
            rhumb_tests::gateway::rhumb(&[
                "top",
                "--once",
                "--every",
                "0.2",
                "--admin",
                &format!("http://{}", gateway.admin),
            ])
            .stdout,
        )
        .unwrap();
        assert!(text.contains(&code.to_string()) && text.contains("no such thing"), "{text}");
        a.set(vec![Step::Answer(2)]);
        wait::until_true("it is tried again", || served_by(&gateway) == "a");
        let stderr = gateway.stop().stderr;
        assert!(stderr.contains("endpoint `a` does not accept the gateway's credential"), "{stderr}");
    }
}

#[test]
fn c3_an_engine_that_calls_everything_invalid_is_found_by_comparison() {
    for code in [400, 413, 415, 422] {
        let (a, b) = (Mock::start("a", error(code, "")), Mock::answering("b", 2));
        let gateway = Config::over(&[&a, &b]).start();
        (0..10).for_each(|_| assert_eq!(served_by(&gateway), "b", "{code}"));
        assert!(a.requests() <= 4, "{} requests with {code}", a.requests());
        gateway.stop();
    }
}

#[test]
fn c5_what_an_engine_says_of_a_request_reaches_its_client_scrubbed_as_the_policy_says() {
    let said = r#"{"error":{"message":"bad schema at http://10.0.0.7:8000, see /opt/x/y.py","type":"BadRequestError","param":"response_format","code":"bad_schema"}}"#;
    for (policy, code, words) in [
        ("engine_errors: pass", "bad_schema", "bad schema at [address], see [path]"),
        ("engine_errors: map", "bad_schema", "The engine refused"),
        ("engine_errors: hide", "invalid_request", "The engine refused"),
    ] {
        let (a, b) = (Mock::answering("a", 2), Mock::answering("b", 2));
        let gateway = Config::over(&[&a, &b]).policy(policy).start();
        assert_eq!(served_by(&gateway), "a");
        a.set(status(422, "", said));
        let answer = gateway.chat(&speech::ask(true));
        let message = answer.error(422, code);
        assert!(message.starts_with(words), "{message}");
        assert_eq!((answer.header("x-rhumb-endpoint"), answer.header("x-rhumb-site")), ("a", "site-a"));
        assert_eq!((a.requests(), b.requests()), (2, 0), "an engine that serves others is believed");
        gateway.stop();
    }
}

#[test]
fn b4_b5_a_context_that_is_too_short_moves_on_or_is_told_in_words_that_clients_know() {
    let message = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.";
    let short = || status(400, "", &json!({"error": {"message": message, "code": 400}}).to_string());
    let (a, b) = (Mock::answering("a", 2), Mock::answering("b", 2));
    let gateway = Config::over(&[&a, &b]).start();
    assert_eq!(served_by(&gateway), "a");
    a.set(short());
    assert_eq!(served_by(&gateway), "b", "however proven the first is, another may take more");
    b.set(short());
    let said = gateway.chat(&speech::ask(true)).error(400, "context_length_exceeded");
    assert!(said.starts_with(message), "{said}");
    for e in ["a", "b"] {
        assert_eq!(gateway.of_endpoint("healthy", e), 1.0);
    }
    gateway.stop();
}

#[test]
fn a3_an_error_event_with_a_status_is_that_status_and_nobody_is_ill() {
    let event = |data: &str| Step::Chunk(speech::event(data).into_bytes());
    let inside = vec![
        Step::Head,
        event(r#"{"error":{"message":"not multimodal","code":400}}"#),
        event("[DONE]"),
        Step::ZeroChunk,
    ];
    let (a, b) = (Mock::answering("a", 2), Mock::answering("b", 2));
    let gateway = Config::over(&[&a, &b]).start();
    assert_eq!(served_by(&gateway), "a");
    a.set(inside);
    for _ in 0..5 {
        assert_eq!(gateway.chat(&speech::ask(true)).error(400, "invalid_request"), "not multimodal");
        if b.requests() > 0 {
            break;
        }
    }
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0);
    gateway.stop();
}

/// Errors inside a stream, in the forms seen in the field.
fn errors_in_streams() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "beside choices",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}],\"error\":{\"message\":\"secret\"}}\n\n",
        ),
        ("before choices", "data: {\"error\":\"secret\",\"choices\":[]}\n\n"),
        ("as an object", "data: {\"object\":\"error\",\"message\":\"secret\"}\n\n"),
        ("by name", "event: error\ndata: {\"message\":\"secret\"}\n\n"),
        ("as a field", "error: {\"error\":\"secret\"}\n\n"),
        ("as text", "data: Internal Server Error\n\n"),
        ("as detail", "data: {\"detail\":\"secret\"}\n\n"),
    ]
}

#[test]
fn c6_an_error_in_a_stream_is_one_in_every_form() {
    for (what, text) in errors_in_streams() {
        let broken = |head: Script| {
            [
                head,
                vec![Step::Chunk(text.as_bytes().to_vec()), Step::Chunk(speech::done().into_bytes()), Step::ZeroChunk],
            ]
            .concat()
        };
        let (a, b) = (Mock::start("a", broken(vec![Step::Head, Step::Role])), Mock::answering("b", 2));
        let gateway = Config::over(&[&a, &b]).start();
        let answer = gateway.chat(&speech::ask(true));
        assert_eq!((answer.status, answer.text()), (200, speech::stream("b", 2, false)), "before content, {what}");
        b.set(broken(vec![Step::Head, Step::Role, Step::Tokens(2)]));
        a.set(broken(vec![Step::Head, Step::Role, Step::Tokens(2)]));
        let answer = gateway.chat(&speech::ask(true));
        let events = answer.events();
        assert!(events.last().unwrap().starts_with("{\"error\":"), "after content, {what}: {events:?}");
        assert!(!answer.text().contains("[DONE]") && !answer.text().contains("secret"), "{what}: {}", answer.text());
        assert!(gateway.stop().rows.iter().any(|r| r.outcome == "broken"), "{what}");
    }
    let fine = "data: {\"error\":null,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let a = Mock::start("a", vec![Step::Head, Step::Chunk(fine.as_bytes().to_vec()), Step::ZeroChunk]);
    let gateway = Config::over(&[&a]).start();
    assert_eq!(gateway.chat(&speech::ask(true)).text(), fine);
    gateway.stop();
}

#[test]
fn c7_a_stream_that_says_why_it_ends_is_whole_without_its_marker() {
    let whole = [Step::Chunk(speech::finish("a").into_bytes()), Step::Chunk(speech::usage_frame("a", 2).into_bytes())];
    let a = Mock::start(
        "a",
        [vec![Step::Head, Step::Role, Step::Tokens(2)], whole.to_vec(), vec![Step::ZeroChunk]].concat(),
    );
    let gateway = Config::over(&[&a]).start();
    let answer = gateway.chat(&speech::ask(true));
    assert_eq!((answer.whole, answer.text()), (true, speech::stream("a", 2, false)));
    let rows = gateway.stop().rows;
    assert_eq!((rows[0].outcome.as_str(), rows[0].completion_tokens), ("complete", 2));
}

#[test]
fn a4_an_event_of_five_megabytes_is_served_and_one_without_end_is_nobodys_illness() {
    let image =
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"images\":[\"{}\"]}}}}]}}\n\n", "A".repeat(5 << 20));
    let script = vec![
        Step::Head,
        Step::Role,
        Step::Chunk(image.clone().into_bytes()),
        Step::Chunk(speech::finish("a").into_bytes()),
        Step::Chunk(speech::done().into_bytes()),
        Step::ZeroChunk,
    ];
    let a = Mock::start("a", script);
    let gateway = Config::over(&[&a]).start();
    let answer = gateway.chat(&speech::ask(true));
    assert!(answer.status == 200 && answer.text().contains(&image) && answer.whole);
    assert_eq!(gateway.metric("rhumb_held_bytes"), 0.0, "nothing of it is held any more");
    gateway.stop();
}

#[test]
fn a6_the_last_endpoint_is_tried_although_it_is_ill_and_an_answer_heals_it() {
    let mut a = Mock::answering("a", 2);
    let address = a.address();
    let gateway = Config::over(&[&a]).start();
    a.close();
    (0..4).for_each(|_| assert_eq!(gateway.chat(&speech::ask(true)).status, 502));
    assert_eq!(gateway.of_endpoint("healthy", "a"), 0.0);
    drop(a);
    let again = Mock::start_at(address, "a", vec![Step::Answer(2)]);
    let answer = gateway.chat(&speech::ask(true));
    assert_eq!((answer.status, again.requests()), (200, 1), "a bad candidate beats none");
    let why = gateway.ask_admin(&format!("/admin/v1/decisions/{}", answer.header("x-rhumb-decision"))).json();
    assert_eq!(why["reason"], "last_resort", "{why}");
    assert_eq!(gateway.of_endpoint("healthy", "a"), 1.0, "it has answered what was sent since");
    gateway.stop();
}

#[test]
fn g4_a_usage_that_cannot_be_the_requests_is_not_believed() {
    let usage = "{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":18446744073709551615}";
    let frame = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
    let steps = [
        Step::Chunk(speech::finish("a").into_bytes()),
        Step::Chunk(frame.into_bytes()),
        Step::Chunk(speech::done().into_bytes()),
        Step::ZeroChunk,
    ];
    let a = Mock::start("a", [vec![Step::Head, Step::Role, Step::Tokens(3)], steps.to_vec()].concat());
    let gateway = Config::over(&[&a]).start();
    assert_eq!(gateway.chat(&speech::ask(true)).status, 200);
    let stopped = gateway.stop();
    assert!(stopped.rows[0].completion_tokens < 10 && stopped.rows[0].usd < 1e-3, "{:?}", stopped.rows);
    assert!(stopped.stderr.contains("states more tokens than request"), "{}", stopped.stderr);
}

#[test]
fn e2_a_client_that_streams_is_told_that_its_request_is_at_work_and_failover_goes_on() {
    let (a, b) = (Mock::start("a", vec![Step::Head, Step::Role, Step::Gate, Step::Reset]), Mock::answering("b", 2));
    let gateway = Config::over(&[&a, &b]).policy("keep_alive_ms: 20").start();
    let mut client = gateway.client();
    client.send(&rhumb_tests::client::post(
        "/v1/chat/completions",
        "connection: close\r\n",
        speech::ask(true).to_string().as_bytes(),
    ));
    client.read_until(": keep-alive\n\n");
    client.read_until(": keep-alive\n\n");
    a.release();
    let answer = client.answer();
    let said: String = answer.text().split(": keep-alive\n\n").collect();
    assert_eq!((answer.status, answer.whole, said), (200, true, speech::stream("b", 2, false)));
    assert_eq!(gateway.stop().rows[0].attempts, 2);
}

#[test]
fn e2_what_fails_after_a_comment_ends_in_an_error_event() {
    let a = Mock::start("a", vec![Step::Head, Step::Gate, Step::Reset]);
    let gateway = Config::over(&[&a]).policy("keep_alive_ms: 20").start();
    let mut client = gateway.client();
    client.send(&rhumb_tests::client::post("/v1/chat/completions", "", speech::ask(true).to_string().as_bytes()));
    client.read_until(": keep-alive\n\n");
    a.release();
    let answer = client.answer();
    assert!(!answer.whole && answer.events().last().unwrap().contains("upstream_failed"), "{}", answer.text());
    let rows = gateway.stop().rows;
    assert_eq!((rows[0].outcome.as_str(), rows[0].status), ("failed", 502));
}
