//! What a prompt is expected to have in tokens orders candidates and refuses nothing; only what is certain refuses.

use rhumb_tests::MODEL;
use rhumb_tests::client::{Answer, post};
use rhumb_tests::config::Config;
use rhumb_tests::mock::Mock;
use rhumb_tests::script::Step;
use rhumb_tests::{script, speech, wait};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// A cheap engine with a short context, and a dear one with a long one.
fn short_and_long(short: u32) -> ([Mock; 2], Config) {
    let mocks = ["short", "long"].map(|name| Mock::answering(name, 3));
    let config = Config::over(&[&mocks[0], &mocks[1]]).endpoint(0, |e| e.context_tokens = short);
    (mocks, config)
}

fn served_by(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-rhumb-endpoint")
}

fn chat(text: &str) -> Value {
    let mut ask = speech::ask(false);
    ask["messages"][0]["content"] = text.into();
    ask
}

#[test]
fn inputs_of_a_list_need_to_fit_each_on_its_own() {
    let (_mocks, config) = short_and_long(200);
    let gateway = config.model("embedding: true").start();
    let input = |input: Value| gateway.post("/v1/embeddings", &json!({"model": MODEL, "input": input}));
    let text = |tokens: usize| "word".repeat(tokens);
    assert_eq!(served_by(&input(json!(vec![text(150); 100]))), "short");
    assert_eq!(served_by(&input(json!([text(10), text(300)]))), "long");
    let ids = |count: usize| (100_000..100_000 + count).collect::<Vec<_>>();
    assert_eq!(served_by(&input(json!(ids(150)))), "short");
    assert_eq!(served_by(&input(json!(vec![ids(150); 100]))), "short");
    assert_eq!(served_by(&input(json!([ids(10), ids(201)]))), "long");
    gateway.stop();
}

#[test]
fn prompts_of_a_list_need_to_fit_each_on_its_own() {
    let (_mocks, config) = short_and_long(200);
    let gateway = config.start();
    let prompt = |prompt: Value| gateway.post("/v1/completions", &json!({"model": MODEL, "prompt": prompt}));
    assert_eq!(served_by(&prompt(json!(vec!["word".repeat(150); 100]))), "short");
    assert_eq!(served_by(&prompt(json!(["word".repeat(300), "word"]))), "long");
    assert_eq!(served_by(&prompt(json!((100_000..100_150).collect::<Vec<_>>()))), "short");
    gateway.stop();
}

#[test]
fn a_text_counts_the_same_however_it_is_written() {
    let (mocks, config) = short_and_long(1_000);
    // They state no usage, so that nothing is learnt from one text for the next.
    let answer = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}"#;
    mocks.iter().for_each(|mock| mock.set(script::status(200, "", answer)));
    let gateway = config.start();
    for (text, fits) in [("数据中心的网络", 7), ("слово ", 6), ("naïve ", 6), ("a\"\\\n", 4)] {
        for (tokens, endpoint) in [(900.0, "short"), (1_200.0, "long")] {
            let weight = match text.chars().next().unwrap() {
                '数' => 0.7,
                'с' => 0.5,
                _ => 0.25,
            };
            let ask = chat(&text.repeat((tokens / weight) as usize / fits));
            let escape = |c: char| {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().map(|u| format!("\\u{u:04x}")).collect::<String>()
            };
            let compact = ask.to_string();
            let escaped: String =
                compact.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect();
            let pretty = serde_json::to_string_pretty(&ask).unwrap().replace("  ", &" ".repeat(2_000));
            for body in [compact, escaped, pretty] {
                let answer = gateway.client().exchange(&post(CHAT, "", body.as_bytes()));
                assert_eq!(served_by(&answer), endpoint, "{text:?}");
            }
        }
    }
    gateway.stop();
}

#[test]
fn recordings_and_pictures_are_no_text() {
    let (_mocks, config) = short_and_long(2_000);
    let gateway = config.model("vision: true, audio: true").start();
    let data = "A".repeat(100_000);
    for part in [
        json!({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}),
        json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}}),
        json!({"type": "file", "file": {"file_data": data}}),
    ] {
        let mut ask = chat("");
        ask["messages"][0]["content"] = json!([{"type": "text", "text": "what is this?"}, part]);
        assert_eq!(served_by(&gateway.chat(&ask)), "short");
    }
    gateway.stop();
}

#[test]
fn short_prompts_with_a_long_template_say_nothing_of_a_long_text() {
    let (mocks, config) = short_and_long(40_000);
    let gateway = config.start();
    let answer = json!({"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant",
        "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4_000, "completion_tokens": 1, "total_tokens": 4_001}});
    mocks[0].set(script::status(200, "", &answer.to_string()));
    for _ in 0..60 {
        assert_eq!(served_by(&gateway.chat(&chat("hi"))), "short");
    }
    assert_eq!(served_by(&gateway.chat(&chat(&"word".repeat(30_000)))), "short");
    gateway.stop();
}

#[test]
fn where_those_that_fit_fail_the_others_are_tried() {
    let (mocks, config) = short_and_long(1_000);
    mocks[1].set(script::status(500, "", "{}"));
    let gateway = config.start();
    assert_eq!(served_by(&gateway.chat(&chat(&"word".repeat(2_000)))), "short");
    assert_eq!([mocks[0].requests(), mocks[1].requests()], [1, 1]);
    gateway.stop();
}

#[test]
fn a_busy_engine_that_fits_is_waited_for_while_a_free_one_may_not() {
    let mocks = [Mock::answering("short", 3), Mock::start("long", vec![Step::Gate, Step::Answer(3)])];
    let config = Config::over(&[&mocks[0], &mocks[1]]).endpoint(0, |e| e.context_tokens = 1_000);
    let gateway = config.endpoint(1, |e| e.concurrency = 1).start();
    let long = chat(&"word".repeat(2_000)).to_string();
    let mut clients = [gateway.client(), gateway.client()];
    clients[0].send(&post(CHAT, "", long.as_bytes()));
    mocks[1].await_requests(1);
    clients[1].send(&post(CHAT, "", long.as_bytes()));
    let waits = || gateway.metric("rhumb_queue_length{priority=\"batch\"}") == 1.0;
    wait::until_true("the second waits", waits);
    mocks[1].release();
    assert!(clients.iter_mut().all(|client| served_by(&client.answer()) == "long"));
    assert_eq!(mocks[0].requests(), 0);
    gateway.stop();
}

#[test]
fn a_text_that_is_expected_to_fit_nowhere_is_sent_where_it_may() {
    let [a, b] = ["a", "b"].map(|name| Mock::answering(name, 3));
    let short = |e: &mut rhumb_tests::config::Endpoint| e.context_tokens = 1_000;
    let gateway = Config::over(&[&a, &b]).endpoint(0, short).endpoint(1, short).start();
    assert_eq!(served_by(&gateway.chat(&chat(&"word".repeat(5_000)))), "a");
    // What is counted is certain: token ids, an answer that the engine keeps room for, and a text that no vocabulary
    // makes short enough.
    let completion = |more: Value| {
        let mut body = json!({"model": MODEL, "prompt": vec![1; 995]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gateway.post("/v1/completions", &body)
    };
    assert_eq!(served_by(&completion(json!({"max_tokens": 5}))), "a");
    completion(json!({"max_tokens": 6})).error(400, "context_length_exceeded");
    gateway.chat(&chat(&"word".repeat(40_000))).error(400, "context_length_exceeded");
    let cut = completion(json!({"max_tokens": 5, "prompt": vec![1; 2_000], "truncate_prompt_tokens": 900}));
    assert_eq!(served_by(&cut), "a");
    gateway.stop();
}

#[test]
fn what_the_log_keeps_of_a_context_replays_alike() {
    let (_mocks, config) = short_and_long(1_000);
    let gateway = config.start();
    let ids: Vec<String> = [10, 5_000]
        .map(|tokens| gateway.chat(&chat(&"word".repeat(tokens))).header("x-rhumb-decision").to_owned())
        .to_vec();
    let stopped = gateway.stop();
    use rhumb_store::ReadStore as _;
    let reader = rhumb_store::Reader::open(&stopped.data_dir()).unwrap();
    for (id, first) in ids.iter().zip(["short", "long"]) {
        let logged = reader.row(rhumb_record::parse_id(id).unwrap()).unwrap().unwrap().logged;
        let again = logged.record.replay();
        assert_eq!(rhumb_route::record::fingerprint(&again), logged.fingerprint);
        let name = |endpoint| logged.names.iter().find(|n| n.endpoint == endpoint).unwrap().endpoint_name.clone();
        assert_eq!((again.targets.len(), name(again.targets[0].endpoint).as_str()), (2, first));
    }
}

#[test]
fn claude_codes_billing_text_keeps_no_prompt_from_its_cache() {
    let mocks = ["a", "b", "c", "d"].map(|name| Mock::answering(name, 3));
    let gateway = Config::over(&mocks.each_ref()).alike().start();
    let ask = |cch: usize| {
        let billing = format!("x-anthropic-billing-header: cc_version=2.1.{cch}; cch={cch:05};");
        let system = json!([{"type": "text", "text": billing}, {"type": "text", "text": "You sail. ".repeat(300)}]);
        let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": "hi"}]);
        served_by(&gateway.chat(&json!({"model": MODEL, "messages": messages}))).to_owned()
    };
    let first = ask(0);
    assert!((1..20).all(|cch| ask(cch) == first));
    gateway.stop();
}
