use super::*;

fn chat(body: &str) -> Result<Scan, Refusal> {
    scan(Api::Chat, body.as_bytes(), Limits::default())
}

const HELLO: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn forwarded(body: &str, model: &str, usage: bool) -> String {
    let s = chat(body).unwrap();
    let parts = forward(&Bytes::copy_from_slice(body.as_bytes()), &s, model, usage, None);
    String::from_utf8(parts.concat()).unwrap()
}

#[test]
fn finds_every_field() {
    let body = format!(
        r#" {{"model":"m\u0031","stream":true,"stream_options":{{"include_usage":true}},{HELLO},"max_tokens":5,"n":2,
        "tools":[{{"x":1}}],"prompt_cache_key":"k","conversation":"c","other":[1,{{}}],"max_completion_tokens":7}}"#
    );
    let s = chat(&body).unwrap();
    assert_eq!((s.model.as_str(), s.stream, s.include_usage, s.max_tokens, s.n), ("m1", true, true, Some(7), 2));
    assert_eq!(&body[s.model_span.clone()], r#""m\u0031""#);
    assert_eq!(&body[s.prompt_span.clone()], r#"[{"role":"user","content":"hi"}]"#);
    assert_eq!((s.messages, s.tools, s.body_start), (1, true, 2));
    assert_eq!(s.cache_key_hash, Some(xxh3_64(b"\"k\"")));
    assert_eq!(s.conversation_hash, Some(xxh3_64(b"\"c\"")));
    assert_ne!(s.preamble_hash, 0);
}

#[test]
fn absent_and_null_fields_are_the_defaults() {
    let s = chat(&format!(
        r#"{{"model":"m","stream":null,"stream_options":null,"max_tokens":null,"n":null,"tools":null,"prompt_cache_key":null,{HELLO}}}"#
    ))
    .unwrap();
    assert_eq!(
        (s.stream, s.include_usage, s.max_tokens, s.n, s.tools, s.cache_key_hash),
        (false, false, None, 1, false, None)
    );
    let s =
        chat(&format!(r#"{{"model":"m",{HELLO},"conversation":{{"id":"c"}},"previous_response_id":null}}"#)).unwrap();
    assert_eq!(s.conversation_hash, Some(xxh3_64(br#"{"id":"c"}"#)));
}

#[test]
fn says_which_field_is_wrong() {
    for (body, field, what) in [
        ("{}", "model", "is missing: name a model, as listed by GET /v1/models"),
        (r#"{"model":1}"#, "model", "must be a string with the name of a model"),
        (r#"{"model":"m"}"#, "messages", "is missing"),
        (r#"{"model":"m","messages":{}}"#, "messages", "must be an array of messages"),
        (r#"{"model":"m","messages":[]}"#, "messages", "must hold at least one message"),
        (r#"{"model":"m","messages":["x"]}"#, "messages", "must hold objects with `role` and `content`"),
        (r#"{"model":"m","stream":1}"#, "stream", "must be true or false"),
        (r#"{"model":"m","stream_options":[]}"#, "stream_options", "must be an object"),
        (
            r#"{"model":"m","stream_options":{"include_usage":0}}"#,
            "stream_options.include_usage",
            "must be true or false",
        ),
        (r#"{"model":"m","max_tokens":-1}"#, "max_tokens", "must be a whole number, 0 or more"),
        (r#"{"model":"m","max_tokens":"9"}"#, "max_tokens", "must be a whole number, 0 or more"),
        (r#"{"model":"m","max_completion_tokens":1.5}"#, "max_completion_tokens", "must be a whole number, 0 or more"),
        (r#"{"model":"m","n":0}"#, "n", "must be at least 1"),
    ] {
        assert_eq!(chat(body), Err(Refusal::Field(field, what)), "{body}");
    }
    let json = |body| match chat(body) {
        Err(Refusal::Json(e)) => (e.what, e.at),
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(json(" []"), ("an object was expected", 1));
    assert_eq!(json(r#"{"model":"m"} x"#), ("nothing may follow the value", 14));
    let e: ApiError = Refusal::Field("n", "must be at least 1").into();
    assert_eq!((e.message.as_str(), e.param.as_deref()), ("`n` must be at least 1.", Some("n")));
    let e: ApiError = Refusal::Json(JsonError { what: "x", at: 3 }).into();
    assert_eq!(e.message, "The request body is not acceptable JSON: x at byte 3.");
}

#[test]
fn the_prompt_field_depends_on_the_api() {
    let s = scan(Api::Completions, br#"{"model":"m","prompt":"p","input":1}"#, Limits::default()).unwrap();
    assert_eq!(s.prompt_span, 22..25);
    let s = scan(Api::Embeddings, br#"{"model":"m","input":["p"],"prompt":1}"#, Limits::default()).unwrap();
    assert_eq!(s.prompt_span, 21..26);
    let missing = |api| scan(api, br#"{"model":"m"}"#, Limits::default());
    assert_eq!(missing(Api::Completions), Err(Refusal::Field("prompt", "is missing")));
    assert_eq!(missing(Api::Embeddings), Err(Refusal::Field("input", "is missing")));
    let paths: Vec<_> = [Api::Chat, Api::Completions, Api::Embeddings].iter().map(|a| a.path()).collect();
    assert_eq!(paths, ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]);
}

#[test]
fn too_many_messages_are_refused() {
    let of = |n| format!(r#"{{"model":"m","messages":[{}]}}"#, vec!["{}"; n].join(","));
    assert_eq!(chat(&of(MESSAGES_MAX)).map(|s| s.messages), Ok(MESSAGES_MAX));
    assert_eq!(chat(&of(MESSAGES_MAX + 1)), Err(Refusal::Field("messages", "holds too many messages")));
}

#[test]
fn an_unchanged_body_is_forwarded_as_it_is() {
    let body = Bytes::from(format!(r#"{{"model":"m",{HELLO}}}"#));
    let s = scan(Api::Chat, &body, Limits::default()).unwrap();
    let parts = forward(&body, &s, "m", true, None);
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].as_ptr(), body.as_ptr());
}

#[test]
fn the_model_is_spliced() {
    assert_eq!(
        forwarded(&format!(r#"{{"model":"auto",{HELLO}}}"#), "org/m\"", false),
        format!(r#"{{"model":"org/m\"",{HELLO}}}"#)
    );
}

#[test]
fn usage_is_asked_for_when_the_client_does_not() {
    let with = format!(r#"{{"stream_options":{{"include_usage":true}},"model":"m","stream":true,{HELLO}}}"#);
    assert_eq!(forwarded(&format!(r#"{{"model":"m","stream":true,{HELLO}}}"#), "m", true), with);
    assert_eq!(forwarded(&with, "m", true), with);
    let plain = format!(r#"{{"model":"m","stream":false,{HELLO}}}"#);
    assert_eq!(forwarded(&plain, "m", true), plain);
    let streamed = format!(r#"{{"model":"m","stream":true,{HELLO}}}"#);
    assert_eq!(forwarded(&streamed, "m", false), streamed);
    for options in ["null", "{}", r#"{"include_usage":false}"#] {
        let got = forwarded(&format!(r#"{{"model":"m","stream":true,"stream_options":{options},{HELLO}}}"#), "m", true);
        assert_eq!(got, format!(r#"{{"model":"m","stream":true,"stream_options":{{"include_usage":true}},{HELLO}}}"#));
    }
    let got = forwarded(&format!(r#"{{"model":"m","stream":true,"stream_options":{{"x":1}},{HELLO}}}"#), "m", true);
    assert_eq!(
        got,
        format!(r#"{{"model":"m","stream":true,"stream_options":{{"include_usage":true,"x":1}},{HELLO}}}"#)
    );
}

#[test]
fn a_cache_salt_from_outside_is_cut_out_wherever_it_stands() {
    for (body, want) in [
        (r#"{"cache_salt":"s","model":"m",H}"#, r#"{"model":"m",H}"#),
        (r#"{"model":"m","cache_salt" : {"a":1} ,H}"#, r#"{"model":"m",H}"#),
        (r#"{"model":"m",H , "cache_salt":1}"#, r#"{"model":"m",H }"#),
        (r#"{"model":"m",H,"cache\u005fsalt":1}"#, r#"{"model":"m",H}"#),
    ] {
        assert_eq!(forwarded(&body.replace('H', HELLO), "m", false), want.replace('H', HELLO));
    }
    let all = format!(r#"{{"cache_salt":1,"model":"a","stream":true,{HELLO}}}"#);
    let got = forwarded(&all, "b", true);
    assert_eq!(got, format!(r#"{{"stream_options":{{"include_usage":true}},"model":"b","stream":true,{HELLO}}}"#));
}

#[test]
fn a_continued_conversation_shares_its_blocks() {
    let long = "word ".repeat(900);
    let turn1 = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{long}"}}]}}"#);
    let turn2 = format!(
        r#"{{"model":"m","temperature":1,"messages":[{{"role":"user","content":"{long}"}},{{"role":"assistant","content":"{long}"}}]}}"#
    );
    let hashes = |body: &str, seed, max| {
        let mut out = vec![1];
        block_hashes(body.as_bytes(), &chat(body).unwrap(), seed, max, &mut out);
        out
    };
    let (a, b) = (hashes(&turn1, 0, 99), hashes(&turn2, 0, 99));
    assert_eq!((a.len(), b.len()), (4, 8));
    assert_eq!(a[..], b[..4]);
    assert_ne!(a[0], a[1]);
    assert_ne!(hashes(&turn1, 1, 99)[0], a[0]);
    assert_eq!(hashes(&turn1, 0, 2), a[..2]);
    let tools = turn1.replace(r#""model":"m""#, r#""model":"m","tools":[1]"#);
    assert_ne!(hashes(&tools, 0, 99)[0], a[0]);
}
