//! Sessions of agents: what each comes to, and the limits that stop it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::MODEL;
use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::{Gateway, rhumb};
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::speech::PROMPT_TOKENS;
use serde_json::{Value, json};

fn chat(messages: &Value) -> Value {
    json!({"model": MODEL, "messages": messages})
}

fn user() -> Value {
    chat(&json!([{"role": "user", "content": "hi"}]))
}

fn ask(gateway: &Gateway, headers: &str, body: &Value) -> Answer {
    gateway.client().exchange(&post("/v1/chat/completions", headers, body.to_string().as_bytes()))
}

fn sessions(gateway: &Gateway, args: &[&str]) -> String {
    let admin = format!("http://{}", gateway.admin);
    let done = rhumb(&[&["sessions", "--admin", &admin], args].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// An agent that has made the same call so many times in a row.
fn looping(times: usize) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "find it"})];
    for n in 0..times {
        let call = json!({"id": format!("call_{n}"), "type": "function", "function": {"name": "look", "arguments": "{\"at\":\"sea\"}"}});
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        messages.push(json!({"role": "tool", "tool_call_id": format!("call_{n}"), "content": "nothing"}));
    }
    chat(&Value::Array(messages))
}

#[test]
fn an_agent_is_stopped_by_each_limit_for_good() {
    for (limit, steps) in [
        ("steps=3", 3),
        // Each step has these tokens of prompt and three of answer.
        (&*format!("tokens={}", 2 * (PROMPT_TOKENS + 3)), 2),
        ("usd=0.00000001", 1),
        ("steps=9, repeats=2, tokens=1", 1),
    ] {
        let mock = Mock::answering("a", 3);
        let gateway = Config::over(&[&mock]).start();
        let headers = format!("x-rhumb-session: s1\r\nx-rhumb-session-limit: {limit}\r\n");
        for step in 0..steps {
            assert_eq!(ask(&gateway, &headers, &user()).status, 200, "{limit}: step {step}");
        }
        for _ in 0..2 {
            let stopped = ask(&gateway, &headers, &user());
            assert!(stopped.error(403, "session_limit_reached").contains("`max_"), "{}", stopped.text());
            assert_eq!(stopped.header("x-should-retry"), "false");
        }
        let other = headers.replace("s1", "s2");
        assert_eq!(ask(&gateway, &other, &user()).status, 200, "another session goes on");
        assert_eq!(mock.requests(), steps + 1);
        let rows = gateway.stop().rows;
        assert_eq!(rows.iter().filter(|row| row.outcome == "limited" && row.status == 403).count(), 2);
    }
}

#[test]
fn a_loop_is_seen_without_a_session_and_in_every_dialect() {
    let mock = Mock::answering("a", 1);
    let gateway = Config::over(&[&mock]).gateway("session_limits: {max_repeats: 3}").start();
    assert_eq!(ask(&gateway, "", &looping(2)).status, 200);
    let said = ask(&gateway, "", &looping(3)).error(403, "session_limit_reached");
    assert!(said.contains("the same tools with the same arguments 3 times"), "{said}");
    let mut turns = vec![json!({"role": "user", "content": "find it"})];
    let mut items = turns.clone();
    for n in 0..3 {
        let (id, input) = (format!("toolu_{n}"), json!({"at": "sea"}));
        turns.push(
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "look", "input": input}]}),
        );
        turns.push(
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "nothing"}]}),
        );
        items.push(json!({"type": "function_call", "call_id": id, "name": "look", "arguments": input.to_string()}));
        items.push(json!({"type": "function_call_output", "call_id": id, "output": "nothing"}));
    }
    let tools = json!([{"name": "look", "input_schema": {"type": "object"}}]);
    let message = json!({"model": MODEL, "max_tokens": 9, "tools": tools, "messages": turns}).to_string();
    let stopped = gateway.client().exchange(&post("/v1/messages", "", message.as_bytes()));
    assert_eq!((stopped.status, stopped.json()["error"]["type"].as_str()), (403, Some("permission_error")));
    let response = json!({"model": MODEL, "input": items}).to_string();
    gateway.client().exchange(&post("/v1/responses", "", response.as_bytes())).error(403, "session_limit_reached");
    assert_eq!(mock.requests(), 1);
    gateway.stop();
}

#[test]
fn limits_of_tenant_and_client_hold_both() {
    let mock = Mock::answering("a", 1);
    let tail = "tenants:\n  - {name: acme, keys: [{name: k, key: acme-key-00}], session_limits: {max_steps: 2}}\n  \
                - {name: zeta, keys: [{name: k, key: zeta-key-00}]}\n";
    let gateway = Config::over(&[&mock]).tail(tail).start();
    let step = |tenant: &str, limit: &str| {
        let headers = format!("authorization: Bearer {tenant}-key-00\r\nx-rhumb-session: s\r\n{limit}");
        ask(&gateway, &headers, &user()).status
    };
    assert_eq!(
        [step("acme", ""), step("acme", "x-rhumb-session-limit: steps=9\r\n"), step("acme", "")],
        [200, 200, 403]
    );
    let one = "x-rhumb-session-limit: steps=1\r\n";
    assert_eq!([step("zeta", one), step("zeta", one), step("zeta", "")], [200, 403, 200]);
    gateway.stop();
}

#[test]
fn a_limit_that_cannot_be_read_or_kept_is_refused_by_name() {
    let mock = Mock::answering("a", 1);
    let gateway = Config::over(&[&mock]).start();
    for (headers, part) in [
        ("x-rhumb-session: s\r\nx-rhumb-session-limit: steps=many\r\n", "steps=50"),
        ("x-rhumb-session: s\r\nx-rhumb-session-limit: minutes=5\r\n", "steps=50"),
        ("x-rhumb-session-limit: steps=5\r\n", "`x-rhumb-session`"),
    ] {
        let said = ask(&gateway, headers, &user()).error(400, "invalid_request");
        assert!(said.contains("x-rhumb-session-limit") && said.contains(part), "{said}");
    }
    assert_eq!(ask(&gateway, "x-rhumb-session-limit: repeats=2\r\n", &user()).status, 200, "a loop needs no session");
    gateway.stop();
}

#[test]
fn what_a_session_has_come_to_is_shown() {
    let (mut a, b) = (Mock::answering("a", 3), Mock::answering("b", 3));
    let gateway = Config::over(&[&a, &b]).endpoint(1, |e| e.concurrency = 1).start();
    assert!(sessions(&gateway, &[]).is_empty());
    let headers = "x-claude-code-session-id: code-1\r\nx-rhumb-session-limit: steps=3\r\n";
    let first = ask(&gateway, headers, &user()).header("x-rhumb-endpoint").to_owned();
    if first == "a" {
        a.close();
    } else {
        b.set(vec![Step::Hang]);
    }
    let second = ask(&gateway, headers, &user());
    assert_eq!(second.status, 200, "{}", second.text());
    let moved = second.header("x-rhumb-endpoint") != first;
    ask(&gateway, headers, &user());
    ask(&gateway, headers, &user()).error(403, "session_limit_reached");
    ask(&gateway, "x-rhumb-session: b\x1b[31m\r\n", &user());
    let text = sessions(&gateway, &[]);
    assert!(text.contains("stopped by") && text.contains("code-1"), "{text}");
    let detail = sessions(&gateway, &["code-1"]);
    assert_eq!(detail.contains("rhumb explain"), moved, "{detail}");
    let all: Value = serde_json::from_str(&sessions(&gateway, &["code-1", "--json"])).unwrap();
    assert_eq!((&all[0]["steps"], &all[0]["stopped_by"]), (&json!(3), &json!("steps")));
    assert_eq!(all[0]["tokens"], 3 * (PROMPT_TOKENS + 3));
    let admin = format!("http://{}", gateway.admin);
    let unknown = rhumb(&["sessions", "--admin", &admin, "nobody"]);
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("no such session"));
    gateway.await_rest();
    gateway.stop();
}
