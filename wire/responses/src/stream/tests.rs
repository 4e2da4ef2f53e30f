use proptest::prelude::*;
use rhumb_sse::events;

use super::*;
use crate::response::response;
use rhumb_conversation::{Answer, Item};

fn reply() -> Reply {
    let custom = ["patch".to_owned()].into();
    Reply { id: "resp_1".into(), created_at: 7, model: "m".into(), prompt_tokens: 12, custom, ..Reply::default() }
}

fn parsed(text: &[u8]) -> Vec<Value> {
    let all: Vec<Value> = events(text)
        .map(|event| {
            let data: Value = serde_json::from_slice(event.data.as_deref().unwrap()).unwrap();
            let name = event.raw.strip_prefix(b"event: ").unwrap().split(|b| *b == b'\n').next().unwrap();
            assert_eq!(data["type"].as_str().unwrap().as_bytes(), name);
            data
        })
        .collect();
    assert!((0..).zip(&all).all(|(n, event)| event["sequence_number"] == n), "numbers go up by one");
    all
}

fn written(said: Vec<Event<'static>>) -> Vec<Value> {
    let (mut stream, mut out) = (Stream::new(reply()), Vec::new());
    for event in said {
        stream.event(event, &mut out);
    }
    stream.end(&mut out);
    parsed(&out)
}

fn call(index: u64, name: Option<&'static str>, arguments: &'static str) -> Event<'static> {
    let id = name.map(|name| format!("call_{name}").into());
    Event::Call { index, id, name: name.map(Into::into), arguments: arguments.into() }
}

/// The output that a client puts together from the events, by the rules of the protocol: any breach of them panics.
fn output(events: &[Value]) -> Vec<Value> {
    let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
    assert_eq!([kind(&events[0]), kind(&events[1])], ["response.created", "response.in_progress"]);
    let ends = ["response.completed", "response.incomplete", "response.failed"];
    assert_eq!(events.iter().filter(|event| ends.contains(&kind(event).as_str())).count(), 1, "one end");
    let (last, between) = events[2..].split_last().unwrap();
    assert!(ends.contains(&kind(last).as_str()));
    let (mut items, mut open, mut text): (Vec<Value>, Option<String>, String) = (Vec::new(), None, String::new());
    for event in between {
        match kind(event).as_str() {
            "response.output_item.added" => {
                assert_eq!((&open, event["output_index"].as_u64()), (&None, Some(items.len() as u64)));
                (open, text) = (event["item"]["id"].as_str().map(str::to_owned), String::new());
            }
            "response.output_item.done" => {
                assert_eq!(open.take().as_deref(), event["item"]["id"].as_str());
                items.push(event["item"].clone());
            }
            other => {
                assert_eq!(event["item_id"].as_str(), open.as_deref(), "{other}");
                assert_eq!(event["output_index"].as_u64(), Some(items.len() as u64));
                text.push_str(event["delta"].as_str().unwrap_or_default());
                if other.ends_with(".done") && other != "response.content_part.done" {
                    let whole = ["text", "arguments", "input"].iter().find_map(|key| event[*key].as_str()).unwrap();
                    assert!(whole == text || (whole == "{}" && text.is_empty()), "{whole} {text}");
                }
            }
        }
    }
    assert_eq!((open, &last["response"]["output"]), (None, &Value::from(items.clone())));
    items
}

#[test]
fn d50_d51_a_stream_has_one_end_and_numbers_that_go_up() {
    let usage = Usage { fresh: 4, cache_read: 5, cache_write: 0, spoken: 2, thought: 1 };
    let events = written(vec![
        Event::Model("engine-model".into()),
        Event::Thinking("h".into()),
        Event::Thinking("m".into()),
        Event::Text("a\"\n".into()),
        Event::Text("b".into()),
        Event::Stop(Stop::End),
        Event::Usage(usage),
    ]);
    let items = output(&events);
    assert_eq!((&items[0]["type"], &items[0]["content"][0]["text"]), (&json!("reasoning"), &json!("hm")));
    assert_eq!((&items[1]["type"], &items[1]["content"][0]["text"]), (&json!("message"), &json!("a\"\nb")));
    let response = &events.last().unwrap()["response"];
    assert_eq!((&response["status"], &response["model"]), (&json!("completed"), &json!("engine-model")));
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
            "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 12})
    );
}

#[test]
fn calls_that_come_interleaved_are_put_in_order_and_freeform_ones_are_unwrapped() {
    let events = written(vec![
        call(0, Some("f"), "{"),
        call(1, Some("patch"), "{\"input\":"),
        call(0, None, "}"),
        call(1, None, "\"*** x\"}"),
        Event::Text("late".into()),
        call(2, Some("g"), ""),
    ]);
    let items = output(&events);
    assert_eq!((&items[0]["type"], &items[0]["arguments"]), (&json!("function_call"), &json!("{}")));
    assert_eq!((&items[1]["type"], &items[1]["input"]), (&json!("custom_tool_call"), &json!("*** x")));
    assert_eq!((&items[2]["type"], &items[3]["arguments"]), (&json!("message"), &json!("{}")));
    assert_eq!(items[1]["call_id"], "call_patch");
}

#[test]
fn an_end_that_is_none_and_a_break_are_told() {
    let events = written(vec![Event::Text("x".into()), Event::Stop(Stop::MaxTokens)]);
    assert_eq!(events.last().unwrap()["response"]["incomplete_details"], json!({"reason": "max_output_tokens"}));
    let (mut stream, mut out) = (Stream::new(reply()), Vec::new());
    stream.event(Event::Text("x".into()), &mut out);
    stream.fail(&ApiError::stream_broken(), &mut out);
    let events = parsed(&out);
    let response = &events.last().unwrap()["response"];
    assert_eq!((&response["status"], &response["error"]["code"]), (&json!("failed"), &json!("server_error")));
    assert_eq!(response["output"][0]["content"][0]["text"], "x");
    assert!(error_event(&ApiError::upstream_failed()).contains("\"code\":\"upstream_failed\""));
    assert_eq!(output(&written(vec![])), Vec::<Value>::new());
}

#[test]
fn a_plain_response_has_what_a_stream_ends_with() {
    let said = || vec![Event::Thinking("hm".into()), Event::Text("x".into()), call(0, Some("f"), "{}")];
    let items = vec![
        Item::Thinking { text: "hm".into(), signature: None },
        Item::Text("x".into()),
        Item::Call { id: "call_f".into(), name: "f".into(), arguments: "{}".into() },
    ];
    let answer = Answer { model: None, items, stop: Stop::Calls, usage: None };
    let whole: Value = serde_json::from_str(&response(&reply(), &answer)).unwrap();
    let mut streamed = written(said()).pop().unwrap()["response"].clone();
    streamed["usage"] = whole["usage"].clone();
    assert_eq!(whole, streamed);
}

fn said() -> impl Strategy<Value = Vec<Event<'static>>> {
    let piece = prop_oneof![
        "[a-z\"\\\\\n]{0,4}".prop_map(|t| Event::Text(t.into())),
        "[a-z]{0,4}".prop_map(|t| Event::Thinking(t.into())),
        (0_u64..3, any::<bool>(), "[a-z{}:\"]{0,4}").prop_map(|(index, custom, arguments)| Event::Call {
            index,
            id: None,
            name: Some(if custom { "patch" } else { "f" }.into()),
            arguments: arguments.into(),
        }),
        Just(Event::Stop(Stop::Calls)),
        Just(Event::Stop(Stop::MaxTokens)),
    ];
    prop::collection::vec(piece, 0..40)
}

proptest! {
    #[test]
    fn whatever_an_engine_says_is_a_response_by_the_rules(said in said()) {
        let texts: String = said.iter().filter_map(|e| if let Event::Text(t) = e { Some(t.as_ref()) } else { None }).collect();
        let items = output(&written(said));
        let found: String = items.iter().filter(|i| i["type"] == "message").filter_map(|i| i["content"][0]["text"].as_str()).collect();
        prop_assert_eq!(found, texts);
    }
}
