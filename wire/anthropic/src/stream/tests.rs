use std::collections::BTreeMap;

use proptest::prelude::*;
use rhumb_sse::events;
use serde_json::Value;

use super::*;

/// The data of every event, and each event's name is its type.
fn parsed(text: &[u8]) -> Vec<Value> {
    events(text)
        .map(|event| {
            let data: Value = serde_json::from_slice(event.data.as_deref().unwrap()).unwrap();
            let name = event.raw.strip_prefix(b"event: ").unwrap().split(|b| *b == b'\n').next().unwrap();
            assert_eq!(data["type"].as_str().unwrap().as_bytes(), name);
            data
        })
        .collect()
}

fn written(reply: Reply, said: Vec<Event<'static>>) -> Vec<Value> {
    let (mut stream, mut out) = (Stream::new(reply), Vec::new());
    for event in said {
        stream.event(event, &mut out);
    }
    stream.end(&mut out);
    parsed(&out)
}

fn reply() -> Reply {
    Reply { id: "msg_1".into(), model: "m".into(), shows_thinking: true, prompt_tokens: 12, ..Reply::default() }
}

fn text(text: &'static str) -> Event<'static> {
    Event::Text(text.into())
}

fn call(index: u64, id: Option<&'static str>, arguments: &'static str) -> Event<'static> {
    Event::Call { index, id: id.map(Into::into), name: id.map(|_| "f".into()), arguments: arguments.into() }
}

/// The blocks that a client puts together, by the rules of the protocol: any breach of them panics.
fn blocks(events: &[Value]) -> Vec<(String, String)> {
    let (mut blocks, mut open): (Vec<(String, String)>, Option<u64>) = (Vec::new(), None);
    assert_eq!(events[0]["type"], "message_start");
    let (delta, stop) = (&events[events.len() - 2], &events[events.len() - 1]);
    assert_eq!((&delta["type"], &stop["type"]), (&"message_delta".into(), &"message_stop".into()));
    for event in &events[1..events.len() - 2] {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(blocks.len() as u64)));
                open = index;
                blocks.push((event["content_block"]["type"].as_str().unwrap().to_owned(), String::new()));
            }
            "content_block_delta" => {
                assert!(open.is_some() && open == index);
                let (kind, all) = blocks.last_mut().unwrap();
                let delta = &event["delta"];
                let (wanted, member) = match kind.as_str() {
                    "text" => ("text_delta", "text"),
                    "thinking" if delta["type"] == "signature_delta" => continue,
                    "thinking" => ("thinking_delta", "thinking"),
                    _ => ("input_json_delta", "partial_json"),
                };
                assert_eq!(delta["type"], wanted);
                all.push_str(delta[member].as_str().unwrap());
            }
            "content_block_stop" => assert!(open.take().is_some() && index == Some(blocks.len() as u64 - 1)),
            "ping" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(open, None);
    blocks
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["type"].as_str().unwrap()).collect()
}

#[test]
fn d29_blocks_are_closed_before_the_next_is_opened() {
    let events = written(
        reply(),
        vec![
            Event::Model("engine-model".into()),
            Event::Thinking("h\u{1}m\n".into()),
            text("\"a\\"),
            text("b"),
            call(0, Some("t1"), ""),
            call(0, None, "{\"x\":"),
            call(0, None, "1}"),
            Event::Stop(Stop::Calls),
        ],
    );
    let want = [("thinking", "h\u{1}m\n"), ("text", "\"a\\b"), ("tool_use", "{\"x\":1}")];
    assert_eq!(blocks(&events), want.map(|(k, t)| (k.to_owned(), t.to_owned())));
    assert_eq!(events[0]["message"]["model"], "engine-model");
    let signature = events.iter().find(|e| e["delta"]["type"] == "signature_delta").unwrap();
    assert_eq!(signature["delta"]["signature"], SIGNATURE);
}

#[test]
fn d30_calls_that_come_interleaved_are_put_in_order() {
    let events = written(
        reply(),
        vec![
            call(0, Some("a"), "{"),
            call(1, Some("b"), "{\"y\""),
            call(0, None, "}"),
            text("late"),
            call(1, None, ":2}"),
            call(2, Some("c"), ""),
            Event::Stop(Stop::End),
        ],
    );
    let want = [("tool_use", "{}"), ("tool_use", "{\"y\":2}"), ("text", "late"), ("tool_use", "{}")];
    assert_eq!(blocks(&events), want.map(|(k, t)| (k.to_owned(), t.to_owned())));
    // The engine says that it stops, and yet it calls tools.
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
}

#[test]
fn d32_an_answer_without_a_reason_or_without_anything_is_closed_all_the_same() {
    let events = written(reply(), vec![text("x")]);
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "end_turn");
    assert_eq!(kinds(&written(reply(), vec![])), ["message_start", "message_delta", "message_stop"]);
}

#[test]
fn d34_d35_the_prompt_is_counted_at_the_start_and_set_right_at_the_end() {
    let usage = Usage { fresh: 9, cache_read: 5, cache_write: 0, spoken: 3, thought: 1 };
    let events = written(reply(), vec![text("x"), Event::Usage(Usage::default()), Event::Usage(usage)]);
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 12);
    let last = &events[events.len() - 2]["usage"];
    assert_eq!((&last["input_tokens"], &last["cache_read_input_tokens"]), (&9.into(), &5.into()));
    assert_eq!(last["output_tokens"], 4);
    let uncounted = written(Reply { prompt_tokens: 0, ..reply() }, vec![text("x"), text("y")]);
    assert_eq!(uncounted[0]["message"]["usage"]["input_tokens"], 1);
    assert_eq!(uncounted[uncounted.len() - 2]["usage"]["output_tokens"], 2);
}

#[test]
fn d38_a_client_that_is_not_shown_the_thinking_hears_pings_and_no_content() {
    let said = (0..100).map(|_| Event::Thinking("hm".into())).chain([text("x")]).collect();
    let events = written(Reply { shows_thinking: false, ..reply() }, said);
    assert_eq!(blocks(&events), [("text".to_owned(), "x".to_owned())]);
    assert_eq!(events.iter().filter(|e| e["type"] == "ping").count(), 2);
}

#[test]
fn d21_a_tool_is_called_by_the_clients_own_name() {
    let mut renamed = rhumb_conversation::Renamed::default();
    let short = renamed.to("a.b").into_owned();
    let call = Event::Call { index: 0, id: None, name: Some(short.into()), arguments: "".into() };
    let events = written(Reply { renamed, ..reply() }, vec![call]);
    assert_eq!(
        (&events[1]["content_block"]["name"], events[1]["content_block"]["id"].as_str()),
        (&"a.b".into(), Some("toolu_msg_1_0"))
    );
}

/// What an engine may say, in any order.
fn said() -> impl Strategy<Value = Vec<Event<'static>>> {
    let piece = prop_oneof![
        "[a-z\"\\\\\n]{0,4}".prop_map(|t| Event::Text(t.into())),
        "[a-z]{0,4}".prop_map(|t| Event::Thinking(t.into())),
        (0_u64..3, any::<bool>(), "[a-z{}:\"]{0,4}").prop_map(|(index, first, arguments)| Event::Call {
            index,
            id: first.then(|| format!("call_{index}").into()),
            name: first.then(|| "f".into()),
            arguments: arguments.into(),
        }),
        Just(Event::Stop(Stop::Calls)),
        Just(Event::Usage(Usage { fresh: 1, ..Usage::default() })),
    ];
    prop::collection::vec(piece, 0..40)
}

proptest! {
    #[test]
    fn d29_whatever_an_engine_says_is_a_message_by_the_rules_and_nothing_is_lost(said in said(), shows in any::<bool>()) {
        let (mut texts, mut thoughts, mut calls) = (String::new(), String::new(), BTreeMap::<u64, String>::new());
        for event in &said {
            match event {
                Event::Text(t) => texts.push_str(t),
                Event::Thinking(t) => thoughts.push_str(t),
                Event::Call { index, arguments, .. } => calls.entry(*index).or_default().push_str(arguments),
                _ => {}
            }
        }
        let blocks = blocks(&written(Reply { shows_thinking: shows, ..reply() }, said));
        let of = |kind: &str| blocks.iter().filter(|(k, _)| k == kind).map(|(_, t)| t.as_str()).collect::<Vec<_>>();
        prop_assert_eq!(of("text").concat(), texts);
        prop_assert_eq!(of("thinking").concat(), if shows { thoughts } else { String::new() });
        let mut found = of("tool_use");
        let mut want: Vec<&str> = calls.values().map(|a| if a.is_empty() { "{}" } else { a.as_str() }).collect();
        found.sort_unstable();
        want.sort_unstable();
        prop_assert_eq!(found, want);
    }
}
