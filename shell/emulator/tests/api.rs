//! The OpenAI API as clients see it.

mod common;

use common::{MODEL, chat, engine, engine_at, events, exchange, exchange_json, read_all, send, settle, text};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn a_streamed_chat_has_the_shape_of_openai() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let body = chat("How do sailors hold a course?", r#","stream":true,"max_tokens":5"#);
    let headers = "x-emulator-output-tokens: 9\r\n";
    let (status, body) = exchange(at, "POST", "/v1/chat/completions", headers, &body).await;
    assert_eq!(status, 200);
    assert!(body.ends_with("data: [DONE]\n\n"));
    let events = events(&body);
    assert_eq!(events.len(), 8, "role, five tokens, finish, end");
    let first = &events[0];
    assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    for event in &events[..7] {
        assert_eq!(event["object"], "chat.completion.chunk");
        assert_eq!((&event["id"], &event["created"]), (&first["id"], &first["created"]));
        assert_eq!(event["model"], MODEL);
        assert_eq!(event["choices"][0]["index"], 0);
        assert!(event.get("usage").is_none());
    }
    assert!(events[5]["choices"][0]["finish_reason"].is_null());
    assert_eq!(events[6]["choices"][0]["delta"], json!({}));
    assert_eq!(events[6]["choices"][0]["finish_reason"], "length");
    assert_eq!(text(&events).split(' ').count(), 5);
}

#[tokio::test]
async fn a_mark_in_the_prompt_fixes_the_length_and_the_limit_still_holds() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    for (extra, tokens, finish_reason) in [("", 7, "stop"), (r#","max_tokens":3"#, 3, "length")] {
        let body = chat("[[answer 7 tokens]] How far is it?", extra);
        let (status, answer) = exchange_json(at, "/v1/chat/completions", &body).await;
        assert_eq!(status, 200);
        assert_eq!(answer["usage"]["completion_tokens"], tokens);
        assert_eq!(answer["choices"][0]["finish_reason"], finish_reason);
    }
}

#[tokio::test]
async fn usage_comes_last_when_asked_for_and_agrees_with_the_counters() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let question = "x".repeat(400);
    let body = chat(&question, r#","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":50"#);
    for cached in [0, 96] {
        let headers = "x-emulator-output-tokens: 7\r\n";
        let (_, body) = exchange(at, "POST", "/v1/chat/completions", headers, &body).await;
        let events = events(&body);
        let (done, rest) = events.split_last().unwrap();
        let (usage, rest) = rest.split_last().unwrap();
        assert!(done.is_null());
        assert!(rest.iter().all(|event| event.get("usage") == Some(&Value::Null)));
        assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], "stop");
        assert_eq!(usage["choices"], json!([]));
        let expected = json!({
            "prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107,
            "prompt_tokens_details": {"cached_tokens": cached},
        });
        assert_eq!(usage["usage"], expected);
    }
    let stats = settle(&engine, |stats| stats.finished == 2).await;
    assert_eq!((stats.prompt_tokens, stats.generation_tokens, stats.accepted), (200, 14, 2));
    assert_eq!((stats.prefix_query_tokens, stats.prefix_hit_tokens), (200, 96));
    assert_eq!((stats.running, stats.waiting, stats.kv_use), (0, 0, 0.0));
}

#[tokio::test]
async fn a_plain_answer_says_the_same_as_a_stream() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let (status, plain) = exchange_json(at, "/v1/chat/completions", &chat("same", "")).await;
    let (_, streamed) = exchange(at, "POST", "/v1/chat/completions", "", &chat("same", r#","stream":true"#)).await;
    assert_eq!((status, &plain["object"]), (200, &json!("chat.completion")));
    let choice = &plain["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["role"]), (&json!("stop"), &json!("assistant")));
    assert_eq!(choice["message"]["content"], text(&events(&streamed)));
    let words = choice["message"]["content"].as_str().unwrap().split(' ').count();
    assert_eq!(plain["usage"]["completion_tokens"], words);
    assert!((10..=30).contains(&words), "around the default of 20: {words}");
}

#[tokio::test]
async fn an_answer_begun_elsewhere_goes_on_where_it_stopped() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let whole = exchange_json(at, "/v1/chat/completions", &chat("tell", "")).await.1;
    let whole = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let begun = &whole[..19];
    let body = json!({
        "model": MODEL, "continue_final_message": true, "add_generation_prompt": false,
        "messages": [{"role": "user", "content": "tell"}, {"role": "assistant", "content": begun}],
    });
    let rest = exchange_json(at, "/v1/chat/completions", &body.to_string()).await.1;
    assert_eq!(format!("{begun}{}", rest["choices"][0]["message"]["content"].as_str().unwrap()), whole);
}

#[tokio::test]
async fn text_completions_stream_and_do_not() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let request = |more: &str| format!(r#"{{"model":"{MODEL}","prompt":"Once","max_tokens":4{more}}}"#);
    let (status, plain) = exchange_json(at, "/v1/completions", &request("")).await;
    assert_eq!((status, &plain["object"]), (200, &json!("text_completion")));
    let (_, streamed) = exchange(at, "POST", "/v1/completions", "", &request(r#","stream":true"#)).await;
    let events = events(&streamed);
    assert_eq!(events.len(), 6);
    let joined: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(plain["choices"][0]["text"], joined);
    assert_eq!(events[4]["choices"][0]["finish_reason"], "length");
    let (status, tokens) =
        exchange_json(at, "/v1/completions", &format!(r#"{{"model":"{MODEL}","prompt":[5,6,7],"max_tokens":1}}"#))
            .await;
    assert_eq!((status, &tokens["usage"]["prompt_tokens"]), (200, &json!(3)));
}

#[tokio::test]
async fn every_prompt_of_a_list_is_answered_by_itself() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let post = async |path: &str, field: &str, list: Value, more: Value| {
        let mut body = json!({"model": MODEL, field: list});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        exchange(at, "POST", path, "x-emulator-output-tokens: 3\r\n", &body.to_string()).await
    };
    for list in [json!(["one", "two"]), json!([[1, 2, 3], [4]]), json!([5, 6, 7]), json!(["alone"])] {
        let count = if list[0].is_number() { 1 } else { list.as_array().unwrap().len() };
        let (status, plain) = post("/v1/completions", "prompt", list.clone(), json!({})).await;
        assert_eq!(status, 200, "{plain}");
        let plain: Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(plain["choices"].as_array().unwrap().len(), count);
        assert_eq!(plain["usage"]["completion_tokens"], 3 * count);
        let more = json!({"stream": true, "stream_options": {"include_usage": true}});
        let (_, body) = post("/v1/completions", "prompt", list.clone(), more).await;
        let events = events(&body);
        assert_eq!(body.matches("data: [DONE]").count(), 1);
        for (index, choice) in plain["choices"].as_array().unwrap().iter().enumerate() {
            let of = events.iter().filter(|event| event["choices"][0]["index"] == index);
            let text: String = of.filter_map(|event| event["choices"][0]["text"].as_str()).collect();
            assert_eq!((choice["index"].as_u64(), choice["text"].as_str()), (Some(index as u64), Some(text.as_str())));
        }
        assert_eq!(events[events.len() - 2]["usage"]["total_tokens"], plain["usage"]["total_tokens"]);
        let (status, vectors) = post("/v1/embeddings", "input", list, json!({})).await;
        assert_eq!(status, 200, "{vectors}");
        let vectors: Value = serde_json::from_str(&vectors).unwrap();
        assert_eq!(vectors["data"].as_array().unwrap().len(), count);
    }
    for list in [json!([]), json!([[]]), json!(["one", 2]), json!([[1], "two"]), json!([1, -2]), json!([null])] {
        assert_eq!(post("/v1/completions", "prompt", list.clone(), json!({})).await.0, 400, "{list}");
        assert_eq!(post("/v1/embeddings", "input", list.clone(), json!({})).await.0, 400, "{list}");
    }
}

#[tokio::test]
async fn embeddings_are_unit_vectors_that_follow_from_the_text() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let body = format!(r#"{{"model":"{MODEL}","input":["a","b","a"]}}"#);
    let (status, answer) = exchange_json(at, "/v1/embeddings", &body).await;
    assert_eq!(status, 200);
    let data = answer["data"].as_array().unwrap();
    assert_eq!((data.len(), &data[2]["index"]), (3, &json!(2)));
    assert_eq!(data[0]["embedding"], data[2]["embedding"]);
    assert_ne!(data[0]["embedding"], data[1]["embedding"]);
    let norm: f64 = data[0]["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
    assert!((norm - 1.0).abs() < 1e-4);
}

#[tokio::test]
async fn wrong_requests_get_errors_in_the_shape_of_openai() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    let path = "/v1/chat/completions";
    let long = chat(&"y".repeat(5000 * 4), "");
    let cases = [
        (chat("hi", r#","n":2"#), 400, "n", Value::Null),
        (chat("hi", r#","max_tokens":0"#), 400, "max_tokens", Value::Null),
        (chat("hi", r#","max_tokens":5000"#), 400, "messages", json!("context_length_exceeded")),
        (long, 400, "messages", json!("context_length_exceeded")),
        (chat("hi", "").replace(MODEL, "other"), 404, "model", json!("model_not_found")),
        (format!(r#"{{"model":"{MODEL}","messages":[]}}"#), 400, "messages", Value::Null),
    ];
    for (body, status, param, code) in cases {
        let (got, answer) = exchange_json(at, path, &body).await;
        let error = &answer["error"];
        assert_eq!((got, &error["param"], &error["code"]), (status, &json!(param), &code), "{error}");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(exchange_json(at, path, "{").await.0, 400);
    assert_eq!(exchange(at, "GET", "/nowhere", "", "").await.0, 404);
    assert_eq!(engine.stats().refused, 8);
    assert_eq!(engine.stats().accepted, 0);
}

#[tokio::test]
async fn models_health_and_metrics_answer() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    assert_eq!(exchange(at, "GET", "/health", "", "").await, (200, String::new()));
    let models: Value = serde_json::from_str(&exchange(at, "GET", "/v1/models", "", "").await.1).unwrap();
    assert_eq!(models["data"][0]["id"], MODEL);
    exchange_json(at, "/v1/chat/completions", &chat("count me", r#","max_tokens":3"#)).await;
    let (_, metrics) = exchange(at, "GET", "/metrics", "", "").await;
    let labels = format!(r#"{{engine="0",model_name="{MODEL}"}}"#);
    for line in [
        format!("vllm:num_requests_running{labels} 0.0"),
        format!("vllm:num_requests_waiting{labels} 0.0"),
        format!("vllm:kv_cache_usage_perc{labels} 0.0"),
        format!("vllm:prompt_tokens_total{labels} 2.0"),
        format!("vllm:generation_tokens_total{labels} 3.0"),
        format!("vllm:num_preemptions_total{labels} 0.0"),
        format!("vllm:prefix_cache_queries_total{labels} 2.0"),
        format!("vllm:prefix_cache_hits_total{labels} 0.0"),
        format!("vllm:time_to_first_token_seconds_count{labels} 1"),
        format!("vllm:inter_token_latency_seconds_count{labels} 2"),
        format!("rhumb_emulator_watts{labels} 115.0"),
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line} is not in\n{metrics}");
    }
    let capacity = engine.config().perf.kv_capacity_tokens() / 16;
    assert!(metrics.contains(&format!(r#"block_size="16",engine="0",num_gpu_blocks="{capacity}""#)));
}

#[tokio::test]
async fn a_near_link_answers_before_a_far_one() {
    let engine = engine(&[300, 0]);
    let &[far, near] = engine.addresses() else { panic!("two links") };
    let body = chat("who is first?", r#","stream":true,"max_tokens":3"#);
    for (path, method, body) in [("/health", "GET", ""), ("/v1/chat/completions", "POST", body.as_str())] {
        let from_far = read_all(send(far, method, path, "", body).await);
        let from_near = read_all(send(near, method, path, "", body).await);
        tokio::pin!(from_far);
        tokio::select! {
            biased;
            _ = &mut from_far => panic!("the far answer came first on {path}"),
            (bytes, error) = from_near => assert!(error.is_none() && bytes.starts_with(b"HTTP/1.1 200")),
        }
        let (bytes, error) = from_far.await;
        assert!(error.is_none() && bytes.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let engine = engine_at(&[0], 1.0);
    let at = engine.addresses()[0];
    let headers = "x-emulator-output-tokens: 4000\r\n";
    for (stream, already) in [("true", 0), ("false", 1)] {
        let body = chat("a long story", &format!(r#","stream":{stream}"#));
        let mut client = send(at, "POST", "/v1/chat/completions", headers, &body).await;
        if stream == "true" {
            client.read_u8().await.unwrap();
        }
        settle(&engine, |stats| stats.running == 1).await;
        drop(client);
        let stats = settle(&engine, |stats| stats.cancelled == already + 1).await;
        assert_eq!((stats.finished, stats.kv_use), (0, 0.0));
    }
}

#[tokio::test]
async fn energy_is_counted_and_a_stopped_engine_is_gone() {
    let engine = engine(&[0]);
    let at = engine.addresses()[0];
    exchange_json(at, "/v1/chat/completions", &chat("burn", "")).await;
    let stats = engine.stats();
    assert!(stats.joules > 0.0 && stats.watts == engine.config().perf.idle_watts());
    engine.shutdown();
    for _ in 0..2000 {
        if tokio::net::TcpStream::connect(at).await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("still listening");
}
