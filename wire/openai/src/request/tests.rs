use bytes::Bytes;

use rhumb_api::Prompt;

use super::*;

/// Some of the parameters that steer an engine.
const STEERING: &[&str] = &["rid", "priority", "lora"];

fn chat(body: &str) -> Result<Scan, Refusal> {
    scan(Api::Chat, body.as_bytes(), Limits::default(), STEERING)
}

const HELLO: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn forwarded(body: &str, model: &str, usage: bool) -> String {
    edited(body, &Edits { model, ask_usage: usage, ..Edits::default() })
}

fn edited(body: &str, with: &Edits<'_>) -> String {
    let parts = forward(&Bytes::copy_from_slice(body.as_bytes()), &chat(body).unwrap(), with);
    String::from_utf8(parts.concat()).unwrap()
}

#[test]
fn finds_every_field() {
    let body = format!(
        r#" {{"model":"m\u0031","stream":true,"stream_options":{{"include_usage":true}},{HELLO},"max_tokens":5,"n":2,
        "tools":[{{"x":1}}],"prompt_cache_key":"k","conversation":"c","other":[1,{{}}],"max_completion_tokens":7}}"#
    );
    let s = chat(&body).unwrap();
    assert_eq!(
        (s.request.model.as_str(), s.request.stream, s.include_usage, s.request.max_tokens, s.request.n),
        ("m1", true, true, Some(7), 2)
    );
    assert_eq!(&body[s.model_span.clone()], r#""m\u0031""#);
    assert_eq!(&body[s.prompt_span.clone()], r#"[{"role":"user","content":"hi"}]"#);
    assert_eq!((s.request.tools, s.body_start), (true, 2));
    assert_eq!(s.request.cache_key_hash, Some(xxh3_64(b"\"k\"")));
    assert_eq!(s.request.conversation_hash, Some(xxh3_64(b"\"c\"")));
    assert_ne!(s.preamble_hash, 0);
}

#[test]
fn absent_and_null_fields_are_the_defaults() {
    let s = chat(&format!(
        r#"{{"model":"m","stream":null,"stream_options":null,"max_tokens":null,"n":null,"tools":null,"prompt_cache_key":null,{HELLO}}}"#
    ))
    .unwrap();
    assert_eq!(
        (
            s.request.stream,
            s.include_usage,
            s.request.max_tokens,
            s.request.n,
            s.request.tools,
            s.request.cache_key_hash
        ),
        (false, false, None, 1, false, None)
    );
    let s =
        chat(&format!(r#"{{"model":"m",{HELLO},"conversation":{{"id":"c"}},"previous_response_id":null}}"#)).unwrap();
    assert_eq!(s.request.conversation_hash, Some(xxh3_64(br#"{"id":"c"}"#)));
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
    let s = scan(Api::Completions, br#"{"model":"m","prompt":"p","input":1}"#, Limits::default(), &[]).unwrap();
    assert_eq!(s.prompt_span, 22..25);
    let s = scan(Api::Embeddings, br#"{"model":"m","input":["p"],"prompt":1}"#, Limits::default(), &[]).unwrap();
    assert_eq!(s.prompt_span, 21..26);
    let missing = |api| scan(api, br#"{"model":"m"}"#, Limits::default(), &[]);
    assert_eq!(missing(Api::Completions), Err(Refusal::Field("prompt", "is missing")));
    assert_eq!(missing(Api::Embeddings), Err(Refusal::Field("input", "is missing")));
    let paths: Vec<_> = [Api::Chat, Api::Completions, Api::Embeddings, Api::Score].iter().map(|a| a.path()).collect();
    assert_eq!(paths, ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/score"]);
}

#[test]
fn the_same_calls_in_a_row_are_counted_since_somebody_spoke() {
    let call = |id: &str, at: &str| {
        format!(
            r#"{{"role":"assistant","tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"look","arguments":"{at}"}}}}]}},{{"role":"tool","tool_call_id":"{id}","content":"no"}}"#
        )
    };
    let user = r#"{"role":"user","content":"look"}"#.to_owned();
    let repeats = |messages: &[String]| {
        chat(&format!(r#"{{"model":"m","messages":[{}]}}"#, messages.join(","))).unwrap().request.repeats
    };
    assert_eq!(repeats(std::slice::from_ref(&user)), 0);
    assert_eq!(repeats(&[user.clone(), call("1", "sea")]), 1);
    assert_eq!(repeats(&[user.clone(), call("1", "sea"), call("2", "sea"), call("3", "sea")]), 3);
    assert_eq!(repeats(&[user.clone(), call("1", "sea"), call("2", "sky"), call("3", "sea")]), 1);
    assert_eq!(repeats(&[call("1", "sea"), call("2", "sea"), user]), 0);
    for odd in ["null", "7", "[]", "[7]", "[{}]", r#"[{"function":null}]"#] {
        let message = format!(r#"{{"role":"assistant","tool_calls":{odd}}}"#);
        assert!(repeats(&[message.clone(), message]) <= 2, "{odd}");
    }
}

#[test]
fn too_many_messages_are_refused() {
    let of = |n| format!(r#"{{"model":"m","messages":[{}]}}"#, vec!["{}"; n].join(","));
    assert!(chat(&of(MESSAGES_MAX)).is_ok());
    assert_eq!(chat(&of(MESSAGES_MAX + 1)), Err(Refusal::Field("messages", "holds too many messages")));
}

#[test]
fn an_unchanged_body_is_forwarded_as_it_is() {
    let body = Bytes::from(format!(r#"{{"model":"m",{HELLO}}}"#));
    let s = scan(Api::Chat, &body, Limits::default(), &[]).unwrap();
    let parts = forward(&body, &s, &Edits { model: "m", ask_usage: true, ..Edits::default() });
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

fn prompt(api: Api, field: &str, value: &str) -> Prompt {
    scan(api, format!(r#"{{"model":"m","{field}":{value}}}"#).as_bytes(), Limits::default(), &[])
        .unwrap()
        .request
        .prompt
}

#[test]
fn inputs_of_a_list_are_counted_each_on_its_own() {
    let p = |value: &str| prompt(Api::Completions, "prompt", value);
    assert_eq!(p(r#""abcdefgh""#), Prompt { inputs: 1, text: 2, longest_text: 2, ..Prompt::default() });
    let three = Prompt { inputs: 3, text: 6, longest_text: 3, ..Prompt::default() };
    assert_eq!(p(r#"["abcd", "abcdefgh", "abcdefghijkl"]"#), three);
    let ids = Prompt { inputs: 1, ids: 3, longest_ids: 3, ..Prompt::default() };
    assert_eq!(p("[100000, 100001,\n 100002]"), ids);
    let lists = Prompt { inputs: 2, ids: 5, longest_ids: 3, ..Prompt::default() };
    assert_eq!(p("[[1, 2], [3, 4, 5]]"), lists);
    assert_eq!(p("[]").inputs, 1);
    let media = prompt(Api::Embeddings, "input", r#"[{"image":"data:image/png;base64,AAAAAAAA"},{"text":"abcd"}]"#);
    assert_eq!(media, Prompt { inputs: 2, text: 1, longest_text: 1, media: 1, images: true, ..Prompt::default() });
}

#[test]
fn what_is_certain_of_a_prompt_is_no_estimate() {
    let ids = prompt(Api::Completions, "prompt", "[[1, 2], [3, 4, 5]]");
    assert_eq!((ids.certain_tokens(false), ids.certain_tokens(true)), (3, 3));
    let spaces = prompt(Api::Completions, "prompt", &format!("\"{}\"", " ".repeat(128 * 7)));
    assert_eq!((spaces.certain_tokens(false), spaces.certain_tokens(true)), (7, 1));
    let cut =
        scan(Api::Completions, br#"{"model":"m","prompt":[1,2],"truncate_prompt_tokens":-1}"#, Limits::default(), &[]);
    assert_eq!(cut.map(|s| s.request.prompt.certain_tokens(false)), Ok(1));
}

/// One message whose content is this.
fn content(value: &str) -> Prompt {
    prompt(Api::Chat, "messages", &format!(r#"[{{"role":"user","content":{value}}}]"#))
}

#[test]
fn only_content_parts_are_media_whatever_their_keys_are_called() {
    let kinds = |value: &str| {
        let p = content(value);
        (p.images, p.audio, p.media)
    };
    for part in [
        r#"{"type":"image_url","image_url":{"url":"https://x/y.png"}}"#,
        r#"{"image_url":{"url":"https://x/y.png"}}"#,
        r#"{"\u0069mage_url":"https://x/y.png"}"#,
        r#"{"type":"input_image","image_url":"https://x/y.png"}"#,
        r#"{"video_url":{"url":"https://x/y.mp4"},"type":"video\u005furl"}"#,
        r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA"}}"#,
        r#"{"type":"tool_result","content":[{"type":"image","source":{"data":"AAAA"}}]}"#,
    ] {
        assert_eq!(kinds(&format!("[{part}]")), (true, false, 1), "{part}");
    }
    for part in [
        r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#,
        r#"{"type":"audio_url","audio_url":{"url":"https://x/y.wav"}}"#,
    ] {
        assert_eq!(kinds(&format!("[{part}]")), (false, true, 1), "{part}");
    }
    for text in [
        r#""an image_url in a text""#,
        r#"[{"type":"text","text":"image_url"}]"#,
        r#"[{"type":"text","text":"x","image_url":null}]"#,
        r#"[{"type":"refusal","refusal":"no"}]"#,
        "null",
    ] {
        assert_eq!(kinds(text), (false, false, 0), "{text}");
    }
    for elsewhere in [
        r#""tools":[{"function":{"parameters":{"properties":{"image_url":{"type":"string"}}}}}]"#,
        r#""metadata":{"image_url":"none","input_audio":1}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"video_url":{}}}}}"#,
    ] {
        let p = chat(&format!(r#"{{"model":"m",{elsewhere},{HELLO}}}"#)).unwrap().request.prompt;
        assert_eq!((p.images, p.audio, p.media), (false, false, 0), "{elsewhere}");
    }
}

#[test]
fn what_stands_in_a_picture_or_a_recording_is_no_text() {
    let long = "A".repeat(40_000);
    let text = content(r#"[{"type":"text","text":"look"}]"#).text;
    for part in [
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{long}"}}}}"#),
        format!(r#"{{"input_audio":{{"data":"{long}","format":"wav"}},"type":"input_audio"}}"#),
        format!(r#"{{"type":"file","file":{{"file_data":"{long}"}}}}"#),
    ] {
        let p = content(&format!(r#"[{{"type":"text","text":"look"}},{part}]"#));
        assert!(p.text.abs_diff(text) <= 1, "{p:?}");
    }
    assert!(content(&format!("\"data:{long}\"")).text > 10_000, "in a text it is read as text");
}

#[test]
fn tools_are_text_before_the_prompt() {
    let without = chat(&format!(r#"{{"model":"m",{HELLO}}}"#)).unwrap().request.prompt;
    let compact = format!(r#"{{"model":"m","tools":[{{"function":{{"name":"now"}}}}],{HELLO}}}"#);
    let spaced = format!(r#"{{"model":"m","tools":[ {{ "function" : {{ "name" : "now" }} }} ],{HELLO}}}"#);
    let (compact, spaced) = (chat(&compact).unwrap().request.prompt, chat(&spaced).unwrap().request.prompt);
    assert_eq!(compact, spaced);
    assert_eq!((compact.text, compact.longest_text), (without.text + 6, without.text + 6));
}

#[test]
fn defaults_that_are_written_out_ask_for_nothing() {
    let tools = |more: &str| {
        let s = chat(&format!(r#"{{"model":"m",{more},{HELLO}}}"#)).unwrap();
        (s.request.tools, s.preamble_hash != 0)
    };
    for nothing in [
        r#""tools":[ ]"#,
        r#""tools":null"#,
        r#""functions":[]"#,
        r#""response_format":{"type":"t\u0065xt"}"#,
        r#""response_format":null"#,
        r#""tool_choice":"none""#,
        r#""tool_choice":"auto""#,
    ] {
        assert_eq!(tools(nothing), (false, false), "{nothing}");
    }
    assert_eq!(tools(r#""tools":[1],"tool_choice":"none""#), (false, true));
    for something in [
        r#""tools":[1]"#,
        r#""functions":[1]"#,
        r#""tools":[1],"tool_choice":"auto""#,
        r#""response_format":{"type":"json_object"}"#,
    ] {
        assert_eq!(tools(something), (true, true), "{something}");
    }
}

#[test]
fn the_longest_answer_is_found_under_every_name() {
    let longest = |more: &str| chat(&format!(r#"{{"model":"m",{more},{HELLO}}}"#)).unwrap().request.longest_answer;
    assert_eq!(longest(r#""max_tokens":null"#), None);
    assert_eq!(longest(r#""max_tokens":9,"max_completion_tokens":5"#), Some(("max_tokens", 9)));
    assert_eq!(longest(r#""max_tokens":4,"max_completion_tokens":5"#), Some(("max_completion_tokens", 5)));
    assert_eq!(longest(r#""max_tokens":4,"min_tokens":7"#), Some(("min_tokens", 7)));
    assert_eq!(longest(r#""n_predict":-1"#), Some(("n_predict", u64::MAX)));
    assert_eq!(longest(r#""max_new_tokens":"many""#), Some(("max_new_tokens", u64::MAX)));
    assert_eq!(longest(r#""options":{"num_predict":8}"#), Some(("num_predict", 8)));
    assert_eq!(longest(r#""extra_body":{"sampling_params":{"max_new_tokens":8}}"#), Some(("max_new_tokens", 8)));
    assert_eq!(longest(r#""metadata":{"max_tokens":8}"#), None);
    let n = |more: &str| chat(&format!(r#"{{"model":"m",{more},{HELLO}}}"#)).unwrap().request.sequences();
    assert_eq!((n(r#""n":2,"best_of":3"#), n(r#""n_cmpl":5"#), n(r#""extra_body":{"n":7}"#)), (3, 5, 7));
    let many = scan(Api::Completions, br#"{"model":"m","prompt":["a","b"],"n":4}"#, Limits::default(), &[]).unwrap();
    assert_eq!(many.request.sequences(), 8);
}

#[test]
fn no_length_is_written_beside_one_that_stands_there() {
    let with = Edits { model: "m", most_tokens: Some(("max_tokens", 8)), ..Edits::default() };
    for (more, want) in [
        ("", r#""max_tokens":8,"#),
        (r#""max_tokens": null ,"#, r#""max_tokens": 8 ,"#),
        (r#""max\u005ftokens":null,"#, r#""max\u005ftokens":8,"#),
        (r#""max_completion_tokens":null,"#, r#""max_tokens":8,"max_completion_tokens":null,"#),
        (r#""max_tokens":null,"max_completion_tokens":5,"#, r#""max_tokens":null,"max_completion_tokens":5,"#),
        (r#""max_tokens":5,"#, r#""max_tokens":5,"#),
    ] {
        let body = format!(r#"{{{more}"model":"m",{HELLO}}}"#);
        assert_eq!(edited(&body, &with), format!(r#"{{{want}"model":"m",{HELLO}}}"#));
    }
}

#[test]
fn parameters_that_steer_an_engine_are_cut_out_unless_the_endpoint_allows_them() {
    for (body, want, allowed) in [
        (r#"{"rid":1,"model":"m",H,"lora":[1]}"#, r#"{"model":"m",H}"#, r#"{"model":"m",H,"lora":[1]}"#),
        (r#"{"model":"m",H,"priority":1 , "rid":2}"#, r#"{"model":"m",H}"#, r#"{"model":"m",H,"priority":1 }"#),
        (
            r#"{"priority":1,"rid":2,"model":"m",H,"lora":{},"rid2":3}"#,
            r#"{"model":"m",H,"rid2":3}"#,
            r#"{"priority":1,"model":"m",H,"lora":{},"rid2":3}"#,
        ),
        (
            r#"{"model":"m",H,"extra_body":{"rid":"x"}}"#,
            r#"{"model":"m",H,"extra_body":{}}"#,
            r#"{"model":"m",H,"extra_body":{}}"#,
        ),
        (r#"{"model":"m",H,"r\u0069d":"x"}"#, r#"{"model":"m",H}"#, r#"{"model":"m",H}"#),
        (
            r#"{"model":"m",H,"vllm_xargs":{"rid":[1,2]},"metadata":{"rid":1}}"#,
            r#"{"model":"m",H,"vllm_xargs":{"rid":[1,2]},"metadata":{"rid":1}}"#,
            r#"{"model":"m",H,"vllm_xargs":{"rid":[1,2]},"metadata":{"rid":1}}"#,
        ),
    ] {
        let body = body.replace('H', HELLO);
        let with = Edits { model: "m", ..Edits::default() };
        assert_eq!(edited(&body, &with), want.replace('H', HELLO));
        assert_eq!(edited(&body, &Edits { allowed: 0b110, ..with }), allowed.replace('H', HELLO));
    }
}

#[test]
fn the_gateways_salt_takes_the_place_of_the_clients() {
    let body = format!(r#"{{"cache_salt":"theirs","extra_key":"theirs","model":"m",{HELLO}}}"#);
    let with = Edits { model: "m", cache_salt: Some("ours"), ..Edits::default() };
    assert_eq!(edited(&body, &with), format!(r#"{{"cache_salt":"ours","model":"m",{HELLO}}}"#));
}

#[test]
fn text_that_changes_with_every_request_is_left_out_of_the_blocks() {
    let long = "word ".repeat(900);
    let of = |system: &str| {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"system","content":{system}}},{{"role":"user","content":"{long}"}}]}}"#
        );
        let mut out = Vec::new();
        block_hashes(body.as_bytes(), &chat(&body).unwrap(), 0, 99, &mut out);
        out
    };
    let billed = |cch: &str| format!("x-anthropic-billing-header: cc_version=2.1.{cch}; cch={cch};");
    for form in [
        |b: &str, long: &str| format!(r#"[{{"type":"text","text":"{b}"}},{{"type":"text","text":"{long}"}}]"#),
        |b: &str, long: &str| format!(r#""{b}\n\n{long}""#),
    ] {
        let (a, b) = (of(&form(&billed("0"), &long)), of(&form(&billed("12345"), &long)));
        assert_eq!((a.len(), &a), (8, &b));
        assert_ne!(a, of(&form(&billed("0"), &long.replace("word", "other"))));
        assert_ne!(a, of(&form(&format!("say {}", billed("0")), &long)));
    }
    assert_ne!(
        of(&format!("\"{} {long}\"", billed("1").replace("x-", "y-"))),
        of(&format!("\"{} {long}\"", billed("2").replace("x-", "y-")))
    );
}
