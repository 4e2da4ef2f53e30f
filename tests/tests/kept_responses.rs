//! Responses that are kept: gone on with, shown, followed again, called off and deleted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::{Step, at_pace, status};
use rhumb_tests::{MODEL, speech, wait};
use serde_json::{Value, json};

const KEPT: &str = "kept_max_age_days: 30";

fn kept(mocks: &[&Mock]) -> Config {
    Config::over(mocks).gateway(KEPT)
}

fn ask(gateway: &Gateway, body: &Value) -> Answer {
    gateway.client().exchange(&post("/v1/responses", "", body.to_string().as_bytes()))
}

fn other(gateway: &Gateway, method: &str, path: &str, headers: &str) -> Answer {
    gateway.client().exchange(format!("{method} {path} HTTP/1.1\r\nhost: grid\r\n{headers}\r\n").as_bytes())
}

fn get(gateway: &Gateway, path: &str) -> Answer {
    other(gateway, "GET", path, "")
}

fn send(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    gateway.client().exchange(&post(path, "", body.to_string().as_bytes()))
}

fn events(answer: &Answer) -> Vec<Value> {
    answer.events().iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

#[test]
fn twenty_turns_survive_the_loss_of_a_site_and_of_the_gateway_after_any_of_them() {
    let (mut a, mut b) = (Mock::answering("a", 2), Mock::answering("b", 2));
    let config = kept(&[&a, &b]);
    let mut gateway = config.start();
    let mut previous: Option<String> = None;
    for turn in 0..20 {
        let stream = turn % 2 == 1;
        let body = json!({"model": MODEL, "stream": stream, "input": format!("turn {turn}"), "previous_response_id": previous});
        let answer = ask(&gateway, &body);
        assert_eq!(answer.status, 200, "turn {turn}: {}", answer.text());
        let response = if stream { events(&answer).pop().unwrap()["response"].clone() } else { answer.json() };
        assert_eq!(
            (&response["status"], &response["store"], &response["previous_response_id"]),
            (&json!("completed"), &json!(true), &json!(previous))
        );
        let served = if answer.header("x-rhumb-endpoint") == "a" { &a } else { &b };
        let messages = served.seen().last().unwrap().json()["messages"].clone();
        let said: Vec<&str> = messages.as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
        let mut expected = Vec::new();
        for n in 0..turn {
            expected.extend([format!("turn {n}"), speech::text(2)]);
        }
        expected.push(format!("turn {turn}"));
        assert_eq!(said, expected);
        previous = Some(response["id"].as_str().unwrap().to_owned());
        // The endpoint that has served is lost, and comes back once the next turn has gone elsewhere.
        let (name, address) = (served.name().to_owned(), served.address());
        let lost = if name == "a" { &mut a } else { &mut b };
        lost.close();
        if turn % 5 == 4 {
            *lost = Mock::start_at(address, &name, vec![Step::Answer(2)]);
            gateway = config.start_in(gateway.kill());
        } else {
            let body =
                json!({"model": MODEL, "store": false, "input": "still there?", "previous_response_id": previous});
            let answer = ask(&gateway, &body);
            assert_eq!((answer.status, answer.json()["store"].clone()), (200, json!(false)), "{}", answer.text());
            *lost = Mock::start_at(address, &name, vec![Step::Answer(2)]);
        }
    }
    gateway.await_rest();
    gateway.kill();
}

#[test]
fn a_response_is_shown_with_its_input_and_deleted_for_good() {
    let mock = Mock::answering("a", 3);
    let gateway = kept(&[&mock]).start();
    let input = json!([{"role": "user", "content": "one"}, {"role": "user", "content": [{"type": "input_text", "text": "two"}]}]);
    let made = ask(&gateway, &json!({"model": MODEL, "input": input, "metadata": {"a": "b"}}));
    let id = id_of(&made);
    assert_eq!(get(&gateway, &format!("/v1/responses/{id}")).json(), made.json());
    let items = get(&gateway, &format!("/v1/responses/{id}/input_items?order=asc&limit=1")).json();
    assert_eq!(
        (&items["object"], &items["has_more"], &items["data"][0]["content"][0]["text"]),
        (&json!("list"), &json!(true), &json!("one"))
    );
    let second = id_of(&ask(&gateway, &json!({"model": MODEL, "input": "go on", "previous_response_id": id})));
    let gone = other(&gateway, "DELETE", &format!("/v1/responses/{id}"), "");
    assert_eq!(gone.json(), json!({"id": id, "object": "response", "deleted": true}));
    get(&gateway, &format!("/v1/responses/{id}")).error(404, "previous_response_not_found");
    other(&gateway, "DELETE", &format!("/v1/responses/{id}"), "").error(404, "previous_response_not_found");
    // What went on with it has lost its beginning: it is shown, and nothing is made up that would go on with it.
    assert_eq!(get(&gateway, &format!("/v1/responses/{second}")).status, 200);
    let more = json!({"model": MODEL, "input": "and on", "previous_response_id": second});
    ask(&gateway, &more).error(404, "previous_response_not_found");
    let forgotten = id_of(&ask(&gateway, &json!({"model": MODEL, "input": "no trace", "store": false})));
    get(&gateway, &format!("/v1/responses/{forgotten}")).error(404, "previous_response_not_found");
    gateway.stop();
}

#[test]
fn nobody_finds_what_is_anothers() {
    let mock = Mock::answering("a", 1);
    let tail = "tenants:\n  - {name: acme, keys: [{name: k, key: acme-key-00}]}\n  - {name: zeta, keys: [{name: k, key: zeta-key-00}]}\n";
    let gateway = kept(&[&mock]).tail(tail).start();
    let key = |name: &str| format!("authorization: Bearer {name}-key-00\r\n");
    let ask = |name: &str, body: &Value| {
        gateway.client().exchange(&post("/v1/responses", &key(name), body.to_string().as_bytes()))
    };
    let id = id_of(&ask("acme", &json!({"model": MODEL, "input": "mine"})));
    let path = format!("/v1/responses/{id}");
    let unknown = other(&gateway, "GET", "/v1/responses/resp_0", &key("zeta"));
    let anothers = other(&gateway, "GET", &path, &key("zeta"));
    assert_eq!((unknown.status, unknown.text()), (anothers.status, anothers.text()));
    let body = json!({"model": MODEL, "input": "x", "previous_response_id": id});
    ask("zeta", &body).error(404, "previous_response_not_found");
    for (method, path) in
        [("DELETE", path.clone()), ("POST", format!("{path}/cancel")), ("GET", format!("{path}/input_items"))]
    {
        other(&gateway, method, &path, &key("zeta")).error(404, "previous_response_not_found");
    }
    other(&gateway, "GET", &path, "").error(401, "invalid_api_key");
    let begun = gateway.client().exchange(&post("/v1/conversations", &key("acme"), b"{}"));
    let conversation = id_of(&begun);
    let body = json!({"model": MODEL, "input": "x", "conversation": conversation});
    ask("zeta", &body).error(404, "previous_response_not_found");
    assert_eq!(ask("acme", &body).status, 200);
    gateway.stop();
}

#[test]
fn a_response_is_made_in_the_background_and_followed_from_any_event() {
    let mock = Mock::start("a", at_pace(6, 30));
    let gateway = kept(&[&mock]).start();
    let accepted = ask(&gateway, &json!({"model": MODEL, "input": "long", "background": true}));
    let response = accepted.json();
    assert_eq!((&response["status"], &response["background"]), (&json!("queued"), &json!(true)), "{response}");
    let path = format!("/v1/responses/{}", id_of(&accepted));
    let live = events(&get(&gateway, &format!("{path}?stream=true")));
    let done = get(&gateway, &path).json();
    assert_eq!(
        (&done["status"], &done["output"][0]["content"][0]["text"]),
        (&json!("completed"), &json!(speech::text(6)))
    );
    assert!((0..).zip(&live).all(|(n, event)| event["sequence_number"] == n), "{live:?}");
    assert_eq!(live.last().unwrap()["response"], done);
    for n in 0..live.len() {
        let rest = events(&get(&gateway, &format!("{path}?stream=true&starting_after={n}")));
        assert_eq!(rest, live[n + 1..], "after {n}");
    }
    let next =
        ask(&gateway, &json!({"model": MODEL, "stream": true, "input": "go on", "previous_response_id": done["id"]}));
    assert_eq!(next.status, 200, "{}", next.text());
    let stopped = gateway.stop();
    assert!(stopped.rows.iter().all(|row| row.outcome == "complete"));
}

#[test]
fn a_background_stream_that_its_client_leaves_goes_on() {
    let mock = Mock::start("a", vec![Step::Head, Step::Role, Step::Tokens(2), Step::Hang]);
    let gateway = kept(&[&mock]).start();
    let body = json!({"model": MODEL, "input": "long", "background": true, "stream": true});
    let mut client = gateway.client();
    client.send(&post("/v1/responses", "", body.to_string().as_bytes()));
    client.read_until("response.output_text.delta");
    let said = client.unread_text();
    client.reset();
    let id = said.split("\"id\":\"resp_").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let path = format!("/v1/responses/resp_{id}");
    assert_eq!(get(&gateway, &path).json()["status"], "in_progress");
    let unfinished = json!({"model": MODEL, "input": "go on", "previous_response_id": format!("resp_{id}")});
    let said = ask(&gateway, &unfinished).error(400, "invalid_request");
    assert!(said.contains("still being made"), "{said}");
    let cancelled = other(&gateway, "POST", &format!("{path}/cancel"), "content-length: 0\r\n").json();
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    mock.await_cancels(1);
    assert_eq!(get(&gateway, &path).json(), cancelled);
    assert_eq!(other(&gateway, "POST", &format!("{path}/cancel"), "content-length: 0\r\n").json(), cancelled);
    gateway.stop();
}

#[test]
fn what_is_refused_in_the_background_is_refused_at_once_and_what_fails_later_is_told() {
    let mock = Mock::start("a", status(500, "", ""));
    let gateway = kept(&[&mock]).start();
    let body = json!({"model": "none", "input": "x", "background": true});
    ask(&gateway, &body).error(404, "model_not_found");
    let body = json!({"model": MODEL, "input": "x", "background": true, "store": false});
    ask(&gateway, &body).error(400, "invalid_request");
    let id = id_of(&ask(&gateway, &json!({"model": MODEL, "input": "x", "background": true})));
    let failed = wait::until("it has failed", || {
        Some(get(&gateway, &format!("/v1/responses/{id}")).json()).filter(|response| response["status"] == "failed")
    });
    assert_eq!(failed["error"]["code"], "server_error");
    let events = events(&get(&gateway, &format!("/v1/responses/{id}?stream=true")));
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("response.failed")));
    gateway.await_rest();
    gateway.stop();
}

#[test]
fn what_was_being_made_when_the_gateway_died_has_failed() {
    let mock = Mock::start("a", vec![Step::Head, Step::Role, Step::Tokens(1), Step::Hang]);
    let config = kept(&[&mock]);
    let gateway = config.start();
    let id = id_of(&ask(&gateway, &json!({"model": MODEL, "input": "x", "background": true})));
    mock.await_requests(1);
    let gateway = config.start_in(gateway.kill());
    let response = get(&gateway, &format!("/v1/responses/{id}")).json();
    assert_eq!((&response["status"], &response["error"]["code"]), (&json!("failed"), &json!("server_error")));
    gateway.kill();
}

#[test]
fn a_conversation_grows_by_what_is_said_in_it() {
    let mock = Mock::answering("a", 2);
    let gateway = kept(&[&mock]).start();
    let first = json!({"metadata": {"topic": "maps"}, "items": [{"role": "user", "content": "hello"}]});
    let id = id_of(&send(&gateway, "/v1/conversations", &first));
    let path = format!("/v1/conversations/{id}");
    for turn in ["one", "two"] {
        let answer = ask(&gateway, &json!({"model": MODEL, "input": turn, "conversation": id}));
        assert_eq!((answer.status, &answer.json()["conversation"]), (200, &json!({ "id": id })), "{}", answer.text());
    }
    let messages = mock.seen().last().unwrap().json()["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 3, "what stands side by side is one turn: {messages}");
    let items = get(&gateway, &format!("{path}/items?order=asc")).json();
    let texts: Vec<&str> =
        items["data"].as_array().unwrap().iter().map(|i| i["content"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["hello", "one", &speech::text(2), "two", &speech::text(2)]);
    let item = items["data"][0]["id"].as_str().unwrap();
    assert_eq!(get(&gateway, &format!("{path}/items/{item}")).json(), items["data"][0]);
    assert_eq!(other(&gateway, "DELETE", &format!("{path}/items/{item}"), "").json()["id"], json!(id));
    get(&gateway, &format!("{path}/items/{item}")).error(404, "previous_response_not_found");
    let added =
        send(&gateway, &format!("{path}/items"), &json!({"items": [{"role": "user", "content": "more"}]})).json();
    assert_eq!(added["data"][0]["content"][0]["text"], "more");
    let changed = send(&gateway, &path, &json!({"metadata": {"topic": "charts"}})).json();
    assert_eq!((&changed["metadata"]["topic"], &get(&gateway, &path).json()), (&json!("charts"), &changed));
    assert_eq!(other(&gateway, "DELETE", &path, "").json()["deleted"], true);
    get(&gateway, &path).error(404, "previous_response_not_found");
    ask(&gateway, &json!({"model": MODEL, "input": "x", "conversation": id})).error(404, "previous_response_not_found");
    gateway.stop();
}

#[test]
fn what_cannot_be_read_is_named() {
    let mock = Mock::answering("a", 1);
    let gateway = kept(&[&mock]).start();
    let id = id_of(&ask(&gateway, &json!({"model": MODEL, "input": "x"})));
    let path = format!("/v1/responses/{id}");
    assert!(get(&gateway, &format!("{path}?stream=true")).error(400, "invalid_request").contains("background"));
    for query in ["stream=true&starting_after=x", "stream=true&starting_after=-1"] {
        assert!(get(&gateway, &format!("{path}?{query}")).error(400, "invalid_request").contains("starting_after"));
    }
    for query in ["limit=0", "limit=101", "order=up", "after=nobody"] {
        let name = query.split('=').next().unwrap();
        assert!(get(&gateway, &format!("{path}/input_items?{query}")).error(400, "invalid_request").contains(name));
    }
    other(&gateway, "POST", &format!("{path}/cancel"), "content-length: 0\r\n").error(400, "invalid_request");
    other(&gateway, "PUT", &path, "content-length: 0\r\n").error(405, "method_not_allowed");
    get(&gateway, &format!("{path}/nothing")).error(404, "not_found");
    get(&gateway, "/v1/responses/%00%ff").error(404, "previous_response_not_found");
    send(&gateway, "/v1/responses/compact", &json!({})).error(404, "not_found");
    get(&gateway, "/v1/conversations/x/y/z/w").error(404, "not_found");
    let bad = [json!({"items": [{"type": "mcp_call"}]}), json!({"metadata": "m"}), json!([]), json!({"x": 1})];
    for body in bad {
        send(&gateway, "/v1/conversations", &body).error(400, "invalid_request");
    }
    for body in [
        json!({"model": MODEL, "input": "x", "previous_response_id": id, "conversation": "conv_1"}),
        json!({"model": MODEL, "input": "x", "previous_response_id": 7}),
        json!({"model": MODEL, "input": [7]}),
    ] {
        ask(&gateway, &body).error(400, "invalid_request");
    }
    assert_eq!(mock.requests(), 1);
    gateway.stop();
}

#[test]
fn what_is_endless_is_bounded() {
    let mock = Mock::answering("a", 1);
    let gateway = kept(&[&mock]).start();
    let many = format!(r#"{{"model":"{MODEL}","input":[{}]}}"#, vec!["{}"; 20_000].join(","));
    let said = gateway.client().exchange(&post("/v1/responses", "", many.as_bytes())).error(400, "invalid_request");
    assert!(said.contains("at most 16384 items"), "{said}");
    let items: Vec<Value> = (0..21).map(|_| json!({"role": "user", "content": "x"})).collect();
    send(&gateway, "/v1/conversations", &json!({"items": items})).error(400, "invalid_request");
    let long = json!({"model": MODEL, "input": "x", "metadata": {"a": "b".repeat(600)}});
    assert!(ask(&gateway, &long).error(400, "invalid_request").contains("`metadata`"));
    let id = id_of(&ask(&gateway, &json!({"model": MODEL, "input": "x", "background": true})));
    let last = format!("/v1/responses/{id}?stream=true&starting_after={}", u64::MAX);
    assert!(get(&gateway, &last).error(400, "invalid_request").contains("starting_after"));
    gateway.await_rest();
    gateway.stop();
    let gateway = kept(&[&mock]).gateway("max_body_bytes: 4096").start();
    let conversation = id_of(&send(&gateway, "/v1/conversations", &json!({})));
    let item = json!({"items": [{"role": "user", "content": "x".repeat(2_000)}]});
    assert_eq!(send(&gateway, &format!("/v1/conversations/{conversation}/items"), &item).status, 200);
    send(&gateway, &format!("/v1/conversations/{conversation}/items"), &item).error(413, "request_too_large");
    gateway.stop();
}

#[test]
fn a_background_response_is_explained_like_any_other() {
    let mock = Mock::start("a", at_pace(2, 1));
    let gateway = kept(&[&mock]).start();
    let body = json!({"model": MODEL, "input": "x", "background": true, "text": {"verbosity": "low"}});
    let accepted = ask(&gateway, &body);
    assert_eq!(accepted.header("x-rhumb-dropped"), "text.verbosity");
    let decision = accepted.header("x-rhumb-decision").to_owned();
    wait::until("it has ended", || {
        let response = get(&gateway, &format!("/v1/responses/{}", id_of(&accepted))).json();
        (response["status"] == "completed").then_some(())
    });
    assert_eq!(gateway.ask_admin(&format!("/admin/v1/decisions/{decision}")).status, 200);
    assert_eq!(sessions(&gateway), 0, "one response alone is no session");
    let first = accepted.json()["id"].clone();
    let body = json!({"model": MODEL, "stream": true, "input": "x", "previous_response_id": first});
    ask(&gateway, &body);
    gateway.await_rest();
    assert_eq!(sessions(&gateway), 1);
    gateway.stop();
}

fn sessions(gateway: &Gateway) -> usize {
    gateway.ask_admin("/admin/v1/sessions").json().as_array().unwrap().len()
}
