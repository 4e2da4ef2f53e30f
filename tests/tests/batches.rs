//! Files, and batches of requests that are worked on when nobody waits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Step, status};
use rhumb_tests::{MODEL, speech, wait};
use serde_json::{Value, json};

const FORM: &str = "multipart/form-data; boundary=x1";

fn kept(mocks: &[&Mock]) -> Config {
    Config::over(mocks).gateway("kept_max_age_days: 30")
}

fn send(gateway: &Gateway, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: grid\r\ncontent-length: {length}\r\n{headers}\r\n");
    gateway.client().exchange(&[head.as_bytes(), body].concat())
}

fn get(gateway: &Gateway, path: &str) -> Answer {
    send(gateway, "GET", path, "", b"")
}

fn upload(gateway: &Gateway, headers: &str, purpose: &str, content: &str) -> Answer {
    let part =
        |head: &str, content: &str| format!("--x1\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
    let body = [
        part("name=\"purpose\"", purpose),
        part("name=\"file\"; filename=\"requests.jsonl\"", content),
        "--x1--\r\n".to_owned(),
    ]
    .concat();
    send(gateway, "POST", "/v1/files", &format!("content-type: {FORM}\r\n{headers}"), body.as_bytes())
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

fn request(n: usize) -> String {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": format!("question {n}")}]});
    json!({"custom_id": format!("r{n}"), "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
}

fn begin(gateway: &Gateway, file: &str) -> Answer {
    let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"a": "b"}});
    gateway.client().exchange(&post("/v1/batches", "", body.to_string().as_bytes()))
}

fn await_end(gateway: &Gateway, id: &str) -> Value {
    wait::until("the batch has ended", || {
        let batch = get(gateway, &format!("/v1/batches/{id}")).json();
        let has_ended = ["completed", "failed", "cancelled", "expired"].contains(&batch["status"].as_str().unwrap());
        has_ended.then_some(batch)
    })
}

fn lines(gateway: &Gateway, file: &Value) -> Vec<Value> {
    let text = get(gateway, &format!("/v1/files/{}/content", file.as_str().unwrap())).text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_batch_is_answered_in_files_and_a_broken_line_costs_nothing_but_itself() {
    let mock = Mock::answering("a", 2);
    let gateway = kept(&[&mock]).start();
    let long = json!({"custom_id": "s", "method": "POST", "url": "/v1/chat/completions", "body": {"model": MODEL, "stream": true}});
    let unknown = json!({"custom_id": "u", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "none", "messages": [{"role": "user", "content": "x"}]}});
    let all = [
        request(0),
        "{broken".into(),
        request(1),
        request(0),
        String::new(),
        long.to_string(),
        unknown.to_string(),
        request(2),
    ];
    let file = upload(&gateway, "", "batch", &all.join("\n"));
    assert_eq!((&file.json()["filename"], &file.json()["purpose"]), (&json!("requests.jsonl"), &json!("batch")));
    let begun = begin(&gateway, &id_of(&file));
    assert_eq!((&begun.json()["status"], &begun.json()["metadata"]), (&json!("validating"), &json!({"a": "b"})));
    let batch = await_end(&gateway, &id_of(&begun));
    assert_eq!(batch["status"], "completed");
    assert_eq!(batch["request_counts"], json!({"total": 7, "completed": 3, "failed": 4}));
    assert!(batch["completed_at"].is_u64() && batch["in_progress_at"].is_u64());
    let answers = lines(&gateway, &batch["output_file_id"]);
    let ids: Vec<&str> = answers.iter().map(|line| line["custom_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["r0", "r1", "r2"]);
    assert_eq!(answers[0]["response"]["body"]["choices"][0]["message"]["content"], speech::text(2));
    assert_eq!((&answers[0]["response"]["status_code"], &answers[0]["error"]), (&json!(200), &Value::Null));
    let errors = lines(&gateway, &batch["error_file_id"]);
    let codes: Vec<&str> = errors
        .iter()
        .map(|e| e["error"]["code"].as_str().or(e["response"]["body"]["error"]["code"].as_str()).unwrap())
        .collect();
    assert_eq!(codes, ["invalid_request", "duplicate_custom_id", "invalid_request", "model_not_found"]);
    assert_eq!(mock.requests(), 3);
    let rows = gateway.stop().rows;
    assert!(rows.iter().all(|row| row.outcome == "complete"));
}

#[test]
fn f61_a_batch_goes_on_where_it_stopped_however_often_the_gateway_dies() {
    let mock = Mock::answering("a", 1);
    let config = kept(&[&mock]);
    let mut gateway = config.start();
    let all: Vec<String> = (0..300).map(request).collect();
    let id = id_of(&begin(&gateway, &id_of(&upload(&gateway, "", "batch", &all.join("\n")))));
    for share in [50, 150] {
        wait::until_true("a part is answered", || {
            get(&gateway, &format!("/v1/batches/{id}")).json()["request_counts"]["completed"].as_u64().unwrap() >= share
        });
        gateway = config.start_in(gateway.kill());
    }
    let batch = await_end(&gateway, &id);
    assert_eq!(batch["request_counts"], json!({"total": 300, "completed": 300, "failed": 0}), "{batch}");
    let answers = lines(&gateway, &batch["output_file_id"]);
    let ids: Vec<String> = answers.iter().map(|line| line["custom_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (0..300).map(|n| format!("r{n}")).collect::<Vec<_>>(), "each line once, in its place");
    // What was in progress when the gateway died is asked again, and nothing else.
    assert!(mock.requests() <= 300 + 2 * 32, "{}", mock.requests());
    gateway.await_rest();
    gateway.kill();
}

#[test]
fn a_batch_that_is_cancelled_keeps_what_it_has() {
    let mock = Mock::start("a", vec![Step::Gate, Step::Answer(1)]);
    let gateway = kept(&[&mock]).start();
    let all: Vec<String> = (0..100).map(request).collect();
    let id = id_of(&begin(&gateway, &id_of(&upload(&gateway, "", "batch", &all.join("\n")))));
    mock.await_requests(1);
    let cancelled = send(&gateway, "POST", &format!("/v1/batches/{id}/cancel"), "", b"").json();
    assert_eq!(cancelled["status"], "cancelling");
    mock.release();
    let batch = await_end(&gateway, &id);
    assert_eq!((&batch["status"], &batch["request_counts"]["total"]), (&json!("cancelled"), &json!(100)));
    let counts = ["completed", "failed"].map(|count| batch["request_counts"][count].as_u64().unwrap());
    assert!(counts[0] >= 1 && counts[1] >= 1 && counts.iter().sum::<u64>() == 100, "{batch}");
    let codes = lines(&gateway, &batch["error_file_id"]);
    assert!(codes.iter().all(|line| line["error"]["code"] == "batch_cancelled"));
    gateway.stop();
}

#[test]
fn a_line_is_tried_again_where_that_may_help() {
    let mock = Mock::answering("a", 1);
    mock.once(status(500, "", ""));
    let gateway = kept(&[&mock]).start();
    let id = id_of(&begin(&gateway, &id_of(&upload(&gateway, "", "batch", &request(0)))));
    let batch = await_end(&gateway, &id);
    assert_eq!(batch["request_counts"], json!({"total": 1, "completed": 1, "failed": 0}), "{batch}");
    gateway.stop();
}

#[test]
fn files_and_batches_are_their_tenants_own() {
    let mock = Mock::answering("a", 1);
    let tail = "tenants:\n  - {name: acme, keys: [{name: k, key: acme-key-00}]}\n  - {name: zeta, keys: [{name: k, key: zeta-key-00}]}\n";
    let gateway = kept(&[&mock]).tail(tail).start();
    let key = |name: &str| format!("authorization: Bearer {name}-key-00\r\n");
    let file = id_of(&upload(&gateway, &key("acme"), "batch", &request(0)));
    let path = format!("/v1/files/{file}");
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("GET", format!("{path}/content"))] {
        send(&gateway, method, &path, &key("zeta"), b"").error(404, "not_found");
    }
    assert_eq!(send(&gateway, "GET", "/v1/files", &key("zeta"), b"").json()["data"], json!([]));
    let body =
        json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}).to_string();
    let ask = |name: &str| gateway.client().exchange(&post("/v1/batches", &key(name), body.as_bytes()));
    ask("zeta").error(400, "invalid_request");
    let batch = id_of(&ask("acme"));
    send(&gateway, "GET", &format!("/v1/batches/{batch}"), &key("zeta"), b"").error(404, "not_found");
    send(&gateway, "POST", &format!("/v1/batches/{batch}/cancel"), &key("zeta"), b"").error(404, "not_found");
    let done = wait::until("the batch has ended", || {
        let batch = send(&gateway, "GET", &format!("/v1/batches/{batch}"), &key("acme"), b"").json();
        (batch["status"] == "completed").then_some(batch)
    });
    assert_eq!(done["request_counts"]["completed"], 1);
    let listed = send(&gateway, "GET", "/v1/files?purpose=batch", &key("acme"), b"").json();
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["id"]), (1, &json!(file)));
    assert_eq!(send(&gateway, "DELETE", &path, &key("acme"), b"").json()["deleted"], true);
    send(&gateway, "GET", &path, &key("acme"), b"").error(404, "not_found");
    let stopped = gateway.stop();
    assert!(stopped.rows.iter().all(|row| row.tenant == "acme"));
}

#[test]
fn what_cannot_be_a_batch_is_refused_by_name() {
    let mock = Mock::answering("a", 1);
    let gateway = kept(&[&mock]).start();
    let words = id_of(&upload(&gateway, "", "assistants", "x"));
    assert!(begin(&gateway, &words).error(400, "invalid_request").contains("purpose `batch`"));
    assert!(begin(&gateway, "file-0").error(400, "invalid_request").contains("input_file_id"));
    send(&gateway, "POST", "/v1/files", "content-type: application/json\r\n", b"{}")
        .error(415, "unsupported_media_type");
    assert!(upload(&gateway, "", "", "x").error(400, "invalid_request").contains("`purpose`"));
    for (file, reason) in [("\n \n", "between 1 and"), ("", "between 1 and")] {
        let begun = begin(&gateway, &id_of(&upload(&gateway, "", "batch", file)));
        let batch = await_end(&gateway, &id_of(&begun));
        assert_eq!(batch["status"], "failed", "{batch}");
        assert!(batch["errors"]["data"][0]["message"].as_str().unwrap().contains(reason), "{batch}");
    }
    send(&gateway, "PUT", "/v1/files", "", b"").error(405, "method_not_allowed");
    get(&gateway, "/v1/batches/x/y/z").error(404, "not_found");
    assert_eq!(get(&gateway, "/v1/batches?limit=1").json()["has_more"], true);
    gateway.stop();
    let gateway = Config::over(&[&mock]).start();
    assert!(get(&gateway, "/v1/files").error(404, "not_found").contains("kept_max_age_days"));
    gateway.stop();
}
