//! What a client may not have an engine do, however it is written, and what it may.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::MODEL;
use rhumb_tests::client::post;
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::speech;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn chat(more: &Value) -> Value {
    let mut ask = speech::ask(false);
    ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ask
}

/// The body that an engine gets of one that a client sends.
fn forwarded(gateway: &Gateway, mock: &Mock, headers: &str, body: &str) -> String {
    let answer = gateway.client().exchange(&post(CHAT, headers, body.as_bytes()));
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    String::from_utf8(mock.seen().last().unwrap().body.clone()).unwrap()
}

#[test]
fn the_longest_answer_holds_under_every_name() {
    let mock = Mock::answering("a", 3);
    let gateway = Config::over(&[&mock]).policy("max_answer_tokens: 8").start();
    for more in [
        json!({"max_tokens": 9}),
        json!({"max_tokens": 9, "max_completion_tokens": 8}),
        json!({"max_tokens": 8, "max_completion_tokens": 9}),
        json!({"max_tokens": 8, "min_tokens": 9}),
        json!({"max_tokens": 8, "n_predict": 9}),
        json!({"n_predict": -1}),
        json!({"max_new_tokens": "9"}),
        json!({"max_length": 9.5}),
        json!({"options": {"num_predict": 9}}),
        json!({"extra_body": {"max_tokens": 9}}),
        json!({"sampling_params": {"max_new_tokens": 1e9}}),
    ] {
        let message = gateway.chat(&chat(&more)).error(400, "invalid_request");
        assert!(message.contains("at most 8"), "{more}: {message}");
    }
    assert_eq!(mock.requests(), 0);
    for (more, want) in [
        (json!({"max_tokens": null}), json!({"max_tokens": 8})),
        (json!({}), json!({"max_tokens": 8})),
        (json!({"max_completion_tokens": 5}), json!({"max_completion_tokens": 5})),
        (json!({"n_predict": 5, "max_tokens": null}), json!({"n_predict": 5, "max_tokens": 8})),
    ] {
        let body = forwarded(&gateway, &mock, "", &chat(&more).to_string());
        assert_eq!(body.matches("\"max_tokens\"").count(), usize::from(want.get("max_tokens").is_some()), "{body}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), chat(&want));
    }
    gateway.stop();
}

#[test]
fn prompts_of_a_list_count_among_the_choices() {
    let mock = Mock::answering("a", 3);
    let complete = |gateway: &Gateway, prompts: usize, n: u64| {
        gateway.post("/v1/completions", &json!({"model": MODEL, "prompt": vec!["p"; prompts], "n": n}))
    };
    let gateway = Config::over(&[&mock]).policy("max_choices: 8").start();
    assert_eq!([complete(&gateway, 8, 1).status, complete(&gateway, 2, 4).status], [200, 200]);
    for (prompts, n) in [(9, 1), (3, 3), (1_000, 1)] {
        let message = complete(&gateway, prompts, n).error(400, "invalid_request");
        assert!(message.contains("at most 8"), "{message}");
    }
    for more in [json!({"n_cmpl": 9}), json!({"extra_body": {"best_of": 9}}), json!({"n": 9})] {
        gateway.chat(&chat(&more)).error(400, "invalid_request");
    }
    gateway.stop();
    let gateway = Config::over(&[&mock]).start();
    assert_eq!(complete(&gateway, 512, 1).status, 200);
    complete(&gateway, 1_000, 1).error(400, "invalid_request");
    gateway.stop();
}

#[test]
fn parameters_that_steer_an_engine_stay_here_unless_its_endpoint_allows_them() {
    let [mock, allows] = ["a", "b"].map(|name| Mock::answering(name, 3));
    let allowing = |e: &mut rhumb_tests::config::Endpoint| e.more = ", allow_params: [priority, lora_path]".to_owned();
    let over = |mock: &Mock| Config::over(&[mock]);
    let (strict, open) = (over(&mock).start(), over(&allows).endpoint(0, allowing).start());
    let hello = r#""messages":[{"role":"user","content":"hi"}]"#;
    let body = |before: &str, after: &str| format!(r#"{{{before}"model":"{MODEL}",{hello}{after}}}"#);
    let ordinary = r#", "seed": 9007199254740993,"vllm_xargs":{"k":[1,2]},"top_k" :5,"nvext":{"use_raw_prompt":true}"#;
    let steering = r#","kv_transfer_params":{"do_remote_prefill":true},"bootstrap_host":"10.0.0.1","bootstrap_port":1,
        "bootstrap_room":2,"rid":"x","id_slot":0,"slot_id":1,"data_parallel_rank":3,"lora":[{"id":0,"scale":1}],"r\u0065quest_id":"y",
        "cache_salt":"z","session_params":{"id":"s"},"custom_logit_processor":"code""#;
    let got =
        forwarded(&strict, &mock, "", &body(r#""priority":-1,"lora_path":"/x","#, &format!("{ordinary}{steering}")));
    assert_eq!(got, body("", ordinary));
    let got = forwarded(&open, &allows, "", &body(r#""priority":-1,"lora_path":"/x","#, steering));
    assert_eq!(got, body(r#""priority":-1,"lora_path":"/x","#, ""));
    let nested = forwarded(&strict, &mock, "", &body("", r#","extra_body":{"rid":1,"x":2}"#));
    assert_eq!(nested, body("", r#","extra_body":{"x":2}"#));
    strict.stop();
    open.stop();
}

#[test]
fn tenants_share_no_cache_of_an_engine() {
    let mock = Mock::answering("a", 3);
    let tenants = "tenants:\n  - {name: one, keys: [{name: k, key: first-tenants-key}]}\n  \
                   - {name: two, keys: [{name: k, key: second-tenants-key}]}\n";
    let of = |gateway: &Gateway, tenant: &str, more: Value| {
        let headers = format!("authorization: Bearer {tenant}-tenants-key\r\n");
        let body = forwarded(gateway, &mock, &headers, &chat(&more).to_string());
        assert!(body.matches("cache_salt").count() <= 1, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["cache_salt"].as_str().map(str::to_owned)
    };
    let config = Config::over(&[&mock]).tail(tenants);
    let gateway = config.start();
    let first = of(&gateway, "first", json!({}));
    assert!(first.as_ref().is_some_and(|salt| salt.len() >= 16));
    assert_ne!(of(&gateway, "second", json!({"cache_salt": first})), first, "nor by naming the other's salt");
    assert_eq!(of(&gateway, "first", json!({"cache_salt": "x"})), first);
    let gateway = config.start_in(gateway.stop());
    assert_eq!(of(&gateway, "first", json!({})), first, "a restart keeps the engine's cache");
    gateway.stop();
    let off = config.clone().gateway("cache_salt: false").start();
    assert_eq!(of(&off, "first", json!({"cache_salt": "x"})), None);
    off.stop();
    // A stated secret is what several gateways share; an engine that knows no salt gets none.
    let shared = || config.clone().gateway("cache_salt_secret: as-long-as-it-is-secret").start();
    let [a, b] = [shared(), shared()].map(|gateway| {
        let salt = of(&gateway, "first", json!({}));
        gateway.stop();
        salt
    });
    assert!(a.is_some() && a == b && a != first);
    let anonymous = Config::over(&[&mock]).start();
    assert_eq!(of(&anonymous, "no", json!({})), None, "without tenants there is nobody to keep apart");
    anonymous.stop();
}
