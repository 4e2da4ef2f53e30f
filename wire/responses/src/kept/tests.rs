use super::*;

#[test]
fn what_is_wanted_is_read_and_items_are_made_whole() {
    let wanted = wanted(br#"{"model":"m","input":"hi","previous_response_id":"resp_1","stream":true}"#, "7").unwrap();
    assert_eq!(
        (wanted.store, wanted.background, wanted.stream, wanted.previous.as_deref()),
        (true, false, true, Some("resp_1"))
    );
    let items: Value = serde_json::from_str(&wanted.input).unwrap();
    assert_eq!(
        items,
        json!([{"id": "msg_7_in0", "type": "message", "role": "user", "status": "completed",
                "content": [{"type": "input_text", "text": "hi"}]}])
    );
    let body = br#"{"input":[{"role":"assistant","content":"so"},{"type":"function_call_output","call_id":"c","output":"5"}],"conversation":{"id":"conv_1"}}"#;
    let wanted = super::wanted(body, "7").unwrap();
    assert_eq!(wanted.conversation.as_deref(), Some("conv_1"));
    let items: Value = serde_json::from_str(&wanted.input).unwrap();
    assert_eq!((&items[0]["content"][0]["type"], &items[1]["id"]), (&json!("output_text"), &json!("item_7_in1")));
}

#[test]
fn what_excludes_each_other_is_refused_by_name() {
    for (body, param) in [
        (&br#"{"input":"x","background":true,"store":false}"#[..], "background"),
        (br#"{"input":"x","previous_response_id":"a","conversation":"b"}"#, "previous_response_id"),
        (br#"{"input":"x","conversation":{}}"#, "conversation.id"),
        (br#"{"input":"x","conversation":7}"#, "conversation"),
        (br#"{"input":"x","store":"yes"}"#, "store"),
        (br#"{"input":[7]}"#, "input[0]"),
    ] {
        assert_eq!(wanted(body, "7").unwrap_err().param.as_deref(), Some(param));
    }
}

#[test]
fn the_end_of_a_response_is_seen_and_written_anew() {
    let data =
        br#"{"response":{"id":"r","store":true,"status":"completed"},"sequence_number":9,"type":"response.completed"}"#;
    let Some(Noted::Ended(object)) = note(data) else { panic!("it is the end") };
    assert_eq!(status(object), "completed");
    let event = end_event(data, &unkept(object));
    assert!(event.starts_with("event: response.completed\ndata: {") && event.ends_with("\n\n"), "{event}");
    let data: Value = serde_json::from_str(event.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&data["response"]["store"], &data["sequence_number"]), (&json!(false), &json!(9)));
    assert_eq!(note(br#"{"type":"response.output_item.done","item":{"id":"i"}}"#), Some(Noted::Item(r#"{"id":"i"}"#)));
    assert_eq!(note(br#"{"type":"response.created","response":{}}"#), None);
}

#[test]
fn a_list_is_shown_a_page_at_a_time() {
    let items: Vec<Value> = (0..5).map(|n| json!({ "id": format!("i{n}") })).collect();
    let mut page = Page::default();
    for (name, value) in [("limit", "2"), ("order", "asc"), ("after", "i1")] {
        page.parameter(name, value).unwrap();
    }
    let list: Value = serde_json::from_str(&page.of(items.clone()).unwrap()).unwrap();
    assert_eq!((&list["first_id"], &list["last_id"], &list["has_more"]), (&json!("i2"), &json!("i3"), &json!(true)));
    for (name, value) in [("limit", "0"), ("limit", "x"), ("order", "up")] {
        assert_eq!(page.parameter(name, value).unwrap_err().param.as_deref(), Some(name));
    }
    page.after = Some("none".into());
    assert_eq!(page.of(items).unwrap_err().param.as_deref(), Some("after"));
}

#[test]
fn items_that_no_response_could_go_on_with_are_refused() {
    assert_eq!(said(b"", "7").unwrap(), Said::default());
    let good = said(br#"{"metadata":{"a":"b"},"items":[{"role":"user","content":"hi"}]}"#, "7").unwrap();
    assert_eq!((good.metadata.as_deref(), good.items.len()), (Some(r#"{"a":"b"}"#), 1));
    for body in [&br#"{"items":[{"type":"mcp_call"}]}"#[..], br#"{"metadata":7}"#, br#"{"items":"x"}"#, br#"{"x":1}"#] {
        assert!(said(body, "7").is_err());
    }
}
