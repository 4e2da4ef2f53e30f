//! Fuzz targets: everything that reads bytes from outside, and what must hold whatever they are.
//!
//! None of them may panic; what else each holds stands at its function. See README.md beside `Cargo.toml`.

use std::collections::BTreeSet;

use bytes::Bytes;
use rhumb_anthropic::For;
use rhumb_config::{Catalogue, Purpose, load, render};
use rhumb_conversation::Conversation;
use rhumb_grid::config::{Dialect, EngineKind};
use rhumb_json::{JsonError, Limits, Walker};
use rhumb_openai::request::{Api, Edits, Scan, block_hashes, forward, scan, scan_form};
use rhumb_passing::{Scanner, ending, is_answer, usage};
use rhumb_record::Logged;
use rhumb_sse::Splitter;
use rhumb_store::StoreError;
use rhumb_upstream::{Body, parse_head};

/// A target: it takes any bytes, and panics when something does not hold.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("request", request),
    ("form", form),
    ("message", message),
    ("responses", responses),
    ("translated", translated),
    ("stream", stream),
    ("passing", passing),
    ("answer", answer),
    ("metrics", metrics),
    ("config", config),
    ("record", record),
];

/// Some of the parameters that steer an engine.
const STEERING: &[&str] = &["priority", "rid", "lora"];

/// The body of a request. What the scan takes is JSON, and what is forwarded of it is, too: no key of an object stands twice,
/// and nothing that may not be set is left.
///
/// # Panics
/// Something of that does not hold.
pub fn request(body: &[u8]) {
    let apis =
        [Api::Chat, Api::Messages, Api::Responses, Api::Completions, Api::Embeddings, Api::Rerank, Api::Tokenize];
    for api in apis {
        let Ok(scanned) = scan(api, body, Limits::default(), STEERING) else { continue };
        assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok(), "the scan takes what is no JSON");
        let mut hashes = Vec::new();
        block_hashes(body, &scanned, 1, 8, &mut hashes);
        assert!(hashes.len() <= 8);
        let prompt = scanned.request.prompt;
        assert!(prompt.longest_text <= prompt.text && prompt.longest_ids <= prompt.ids && prompt.inputs > 0);
        is_forwarded_whole(api, body, &scanned);
    }
}

/// The body of a form. What is forwarded of it is the same form with the endpoint's name of the model in it.
///
/// # Panics
/// It is not.
pub fn form(body: &[u8]) {
    let Ok(scanned) = scan_form(Api::Transcriptions, body, "B") else { return };
    assert!(!scanned.request.model.is_empty() && scanned.request.prompt_bytes > 0);
    let edits = Edits { model: "org/m", ..Edits::default() };
    let sent = forward(&Bytes::copy_from_slice(body), &scanned, &edits).concat();
    let again = scan_form(Api::Transcriptions, &sent, "B").expect("what is forwarded is a form");
    assert_eq!(again.request.model, edits.model);
    assert_eq!(again.request.prompt, scanned.request.prompt);
    assert_eq!(sent.len() - edits.model.len(), body.len() - scanned.request.model.len());
}

fn is_forwarded_whole(api: Api, body: &[u8], scanned: &Scan) {
    let edits = Edits {
        model: "org/m\"",
        ask_usage: true,
        most_tokens: Some((api.length_field(), 8)),
        allowed: 0,
        cache_salt: Some("salt"),
    };
    let sent = forward(&Bytes::copy_from_slice(body), scanned, &edits).concat();
    let again = match scan(api, &sent, Limits::default(), STEERING) {
        Ok(again) => again,
        // The edits may carry a body over a limit that it had just reached.
        Err(_) if serde_json::from_slice::<serde_json::Value>(&sent).is_ok() => return,
        Err(e) => panic!("{e:?} in what is forwarded: {}", sent.escape_ascii()),
    };
    assert_eq!(again.request.model, edits.model);
    assert!(again.request.max_tokens.is_some() && (again.include_usage || !again.request.stream));
    // The salt is the gateway's own, and cut out again if a client sends it.
    assert_eq!(again.cut.len(), 1, "{}", sent.escape_ascii());
    let mut keys = BTreeSet::new();
    let walked = Walker::new(&sent, Limits::default()).and_then(|mut w| {
        w.members::<JsonError>(|w, _, name| {
            assert!(keys.insert(name.to_owned()), "`{name}` stands twice");
            w.value().map(|_| ())
        })
    });
    assert!(walked.is_ok());
}

/// The body of a request in Anthropic's dialect. What is read of it is written as a chat that the gateway's own scan takes, in which
/// every result follows its call.
///
/// # Panics
/// It is not.
pub fn message(body: &[u8]) {
    let Ok(read) = rhumb_anthropic::read(body, For::Answer) else { return };
    assert!(read.dropped.header().is_ascii());
    is_a_chat(body, &read.conversation);
}

/// The same of a request for a response, and of one that goes on with it: what is kept of its input can be read again.
///
/// # Panics
/// It is not.
pub fn responses(body: &[u8]) {
    let wanted = rhumb_responses::kept::wanted(body, "1");
    let Ok(read) = rhumb_responses::read(body, None) else { return };
    assert!(read.dropped.header().is_ascii());
    is_a_chat(body, &read.conversation);
    let before = [wanted.map(|wanted| wanted.input.to_string()).unwrap_or_default()];
    if before[0].is_empty() {
        return;
    }
    let kept = rhumb_responses::Kept { before: &before, store: true, background: false, conversation: None };
    let next =
        rhumb_responses::read(br#"{"model":"m","input":"go on"}"#, Some(kept)).expect("what is kept can be read");
    is_a_chat(before[0].as_bytes(), &next.conversation);
}

fn is_a_chat(body: &[u8], conversation: &Conversation<'_>) {
    let written = rhumb_openai::conversation::write(conversation);
    assert!(written.dropped.header().is_ascii());
    let chat: serde_json::Value = serde_json::from_slice(&written.body).expect("what is written is JSON");
    let scanned = scan(Api::Chat, &written.body, Limits::default(), STEERING);
    // The translation may carry a body over a limit that it had just reached, and leaves a turn out that says nothing.
    assert!(scanned.is_ok() || body.len() > 1_000 || chat["messages"] == serde_json::json!([]), "{scanned:?}");
    let mut open = BTreeSet::new();
    for message in chat["messages"].as_array().expect("a list") {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().expect("a string");
            assert!(open.contains(id), "a result without a call: {chat}");
        } else {
            open = message["tool_calls"].as_array().into_iter().flatten().filter_map(|c| c["id"].as_str()).collect();
        }
    }
}

/// An engine's chat stream, translated to Anthropic's events and to those of a response. Whatever it says, every block is opened once and closed before the
/// next, and the message ends.
///
/// # Panics
/// Something of that does not hold.
pub fn translated(bytes: &[u8]) {
    let reply = rhumb_anthropic::Reply { id: "msg_1".into(), shows_thinking: true, ..Default::default() };
    let (mut stream, mut out) = (rhumb_anthropic::Stream::new(reply), Vec::new());
    let reply = rhumb_responses::Reply { id: "resp_1".into(), custom: ["g".to_owned()].into(), ..Default::default() };
    let (mut response, mut events) = (rhumb_responses::Stream::new(reply), Vec::new());
    for event in rhumb_sse::events(bytes) {
        let Some(data) = event.data.as_deref() else { continue };
        rhumb_openai::conversation::events(data, |said| stream.event(said, &mut out));
        rhumb_openai::conversation::events(data, |said| response.event(said, &mut events));
    }
    stream.end(&mut out);
    response.end(&mut events);
    is_a_message(&out);
    is_a_response(&events);
}

fn is_a_response(out: &[u8]) {
    let (mut open, mut done) = (None, 0);
    let mut last = serde_json::Value::Null;
    for (number, event) in rhumb_sse::events(out).enumerate() {
        let data = event.data.as_deref().expect("every event has data");
        last = serde_json::from_slice(data).expect("what is written is JSON");
        assert_eq!(last["sequence_number"], number);
        match last["type"].as_str().expect("every event has a type") {
            "response.output_item.added" => {
                assert_eq!((open.is_none(), &last["output_index"]), (true, &done.into()));
                open = last["item"]["id"].as_str().map(str::to_owned);
            }
            "response.output_item.done" => {
                assert_eq!(open.take().as_deref(), last["item"]["id"].as_str());
                done += 1;
            }
            _ => assert!(last["item_id"].is_null() || last["item_id"].as_str() == open.as_deref()),
        }
    }
    assert!(last["response"]["output"].as_array().is_some_and(|output| output.len() == done));
}

fn is_a_message(out: &[u8]) {
    let (mut open, mut blocks, mut last) = (None, 0, String::new());
    for event in rhumb_sse::events(out) {
        let data = event.data.as_deref().expect("every event has data");
        let data: serde_json::Value = serde_json::from_slice(data).expect("what is written is JSON");
        let index = data["index"].as_u64();
        last = data["type"].as_str().expect("every event has a type").to_owned();
        match last.as_str() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(blocks)));
                (open, blocks) = (index, blocks + 1);
            }
            "content_block_delta" => assert!(open.is_some() && open == index),
            "content_block_stop" => assert!(open.is_some() && open.take() == index),
            "message_delta" => assert_eq!(open, None),
            _ => {}
        }
    }
    assert_eq!(last, "message_stop");
}

/// An event stream. However it is cut, the same events come out.
///
/// # Panics
/// They do not.
pub fn stream(bytes: &[u8]) {
    let (cut, bytes) = bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest));
    let events = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut splitter, mut out) = (Splitter::default(), Vec::new());
        for piece in pieces {
            match splitter.push(Bytes::copy_from_slice(piece)) {
                // The LF of a CRLF that is cut is left out, so the bytes may differ where the events do not.
                Ok(run) => out.extend(rhumb_sse::events(&run).filter_map(|event| Some(event.data?.into_owned()))),
                Err(_) => return None,
            }
        }
        Some(out)
    };
    let whole = events(&mut std::iter::once(bytes));
    assert_eq!(whole, events(&mut bytes.chunks(cut + 1)), "cut every {} bytes", cut + 1);
}

/// A stream that passes as it came, in every dialect. However it is cut, the same is read of it, and nothing passes behind its end.
///
/// # Panics
/// It is not.
pub fn passing(bytes: &[u8]) {
    let (cut, bytes) = bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest));
    for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
        let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let (mut splitter, mut scanner) = (Splitter::default(), Scanner::new(dialect, true, 1));
            for piece in pieces {
                let Ok(run) = splitter.push(Bytes::copy_from_slice(piece)) else { return None };
                let is_over = scanner.done || scanner.error.is_some();
                if is_over {
                    break;
                }
                let length = run.len();
                assert!(scanner.scan(run).len() <= length);
            }
            let ending = ending(&scanner, splitter.rest()).filter(|_| !scanner.done && scanner.error.is_none());
            if let Some(end) = ending {
                scanner.scan(end);
                assert!(scanner.done, "what ends a stream is its end");
            }
            Some((scanner.pieces, scanner.usage, scanner.done, scanner.error))
        };
        let whole = read(&mut std::iter::once(bytes));
        assert_eq!(whole, read(&mut bytes.chunks(cut + 1)), "cut every {} bytes", cut + 1);
        // A whole answer is looked at, and is the client's to read.
        let (_, used) = (is_answer(dialect, bytes), usage(dialect, bytes));
        assert!(used.is_none_or(|used| used.cached_tokens <= used.prompt_tokens));
    }
}

/// The answer of an engine: its head, and its body in pieces of a size that the first byte gives. No more content comes out
/// than went in, and the same however it is cut.
///
/// # Panics
/// It does not.
pub fn answer(bytes: &[u8]) {
    let (cut, bytes) = bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest));
    let Ok(Some((head, length))) = parse_head(bytes) else { return };
    let body = &bytes[length..];
    let content = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut unframing, mut out) = (Body::of(&head), Vec::new());
        for piece in pieces {
            match unframing.unframe(piece) {
                Ok(content) => out.extend_from_slice(&content),
                Err(_) => break,
            }
            if unframing.take_failure().is_some() {
                break;
            }
        }
        out
    };
    let whole = content(&mut std::iter::once(body));
    assert!(whole.len() <= body.len());
    assert_eq!(whole, content(&mut body.chunks(cut + 1)), "cut every {} bytes", cut + 1);
}

/// A page of metrics. Whatever it says, no number that makes no sense is believed.
///
/// # Panics
/// One is.
pub fn metrics(page: &[u8]) {
    let page = String::from_utf8_lossy(page);
    for engine in [EngineKind::Vllm, EngineKind::Sglang, EngineKind::LlamaCpp, EngineKind::Generic] {
        let Ok(reading) = rhumb_signals::read(engine, &page) else { continue };
        let numbers = [Some(reading.running), Some(reading.waiting), reading.kv_use, reading.watts];
        assert!(numbers.into_iter().flatten().all(|n| n.is_finite() && n >= 0.0), "{reading:?}");
    }
}

/// A `rhumb.yaml`. It is read, or its problems are said.
///
/// # Panics
/// Neither.
pub fn config(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let catalogue = Catalogue { gpus: &["h100"], shapes: &["llama-3.1-8b"] };
    let secret = |name: &str| (!name.is_empty()).then(|| "secret-of-the-test".to_owned());
    if let Err(problems) = load(&text, &secret, &catalogue, Purpose::Serve) {
        assert!(!problems.is_empty());
        assert!(!render("rhumb.yaml", &text, &problems).is_empty());
    }
}

/// A record of the log and the row that it was made on: the record's length in four bytes, the record, the row. What can be
/// read can be decided on again.
///
/// # Panics
/// It cannot.
pub fn record(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return };
    let (record, row) = rest.split_at(rest.len().min(u32::from_le_bytes(*length) as usize));
    let logged = Logged::decode(record, |_, _, _| Ok::<_, StoreError>(row.to_vec()));
    if let Ok(logged) = logged {
        let again = logged.record.replay();
        assert!(again.targets.len() <= logged.record.inputs.len());
    }
}
