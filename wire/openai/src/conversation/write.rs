//! A conversation as the body of `POST /v1/chat/completions`.

use rhumb_conversation::{
    Conversation, Dropped, Item, Media, MediaKind, Renamed, Role, Source, Text, Tool, ToolChoice, Turn, call_id,
};

/// The body, and what is different in it.
#[derive(Debug, Default)]
pub struct Written {
    /// JSON.
    pub body: Vec<u8>,
    /// Tools under other names.
    pub renamed: Renamed,
    /// What the dialect cannot say.
    pub dropped: Dropped,
}

/// Schema of a tool without arguments.
const NO_ARGUMENTS: &str = r#"{"type":"object","properties":{}}"#;

/// Writes a conversation whose turns alternate, with the results of each turn first in it and no call without one
/// ([`Conversation::alternate`], [`Conversation::answer_calls`]).
pub fn write(conversation: &Conversation<'_>) -> Written {
    let mut writer = Writer::default();
    writer.conversation(conversation);
    Written { body: writer.out, renamed: writer.renamed, dropped: writer.dropped }
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    renamed: Renamed,
    dropped: Dropped,
    /// A message has been written.
    begun: bool,
}

impl Writer {
    fn conversation(&mut self, c: &Conversation<'_>) {
        self.raw("{\"model\":");
        self.text(&c.model);
        if c.stream {
            self.raw(",\"stream\":true");
        }
        for (key, number) in [("temperature", &c.temperature), ("top_p", &c.top_p)] {
            if let Some(number) = number {
                self.raw(&format!(",\"{key}\":{number}"));
            }
        }
        for (key, number) in [("max_tokens", c.max_tokens), ("top_k", c.top_k)] {
            if let Some(number) = number {
                self.raw(&format!(",\"{key}\":{number}"));
            }
        }
        if let Some(effort) = c.effort {
            self.raw(&format!(",\"reasoning_effort\":\"{}\"", effort.word()));
        }
        if !c.stop.is_empty() {
            self.raw(",\"stop\":");
            self.list(&c.stop, Self::text);
        }
        if let Some(schema) = c.format {
            self.raw(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,\"schema\":");
            self.raw(schema);
            self.raw("}}");
        }
        self.tools(c);
        self.raw(",\"messages\":[");
        if !c.system.is_empty() {
            self.message("system");
            self.raw(",\"content\":");
            self.texts(&c.system);
            self.raw("}");
        }
        for turn in &c.turns {
            match turn.role {
                Role::User => self.user(turn),
                Role::Assistant => self.assistant(turn),
            }
        }
        self.raw("]}");
    }

    fn tools(&mut self, c: &Conversation<'_>) {
        if c.tools.is_empty() {
            return;
        }
        self.raw(",\"tools\":");
        self.list(&c.tools, Self::tool);
        match &c.tool_choice {
            None => {}
            Some(ToolChoice::Auto) => self.raw(",\"tool_choice\":\"auto\""),
            Some(ToolChoice::Any) => self.raw(",\"tool_choice\":\"required\""),
            Some(ToolChoice::None) => self.raw(",\"tool_choice\":\"none\""),
            Some(ToolChoice::Tool(name)) => {
                self.raw(",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":");
                self.name(name);
                self.raw("}}");
            }
        }
        if c.one_call {
            self.raw(",\"parallel_tool_calls\":false");
        }
    }

    fn tool(&mut self, tool: &Tool<'_>) {
        self.raw("{\"type\":\"function\",\"function\":{\"name\":");
        self.name(&tool.name);
        if let Some(description) = &tool.description {
            self.raw(",\"description\":");
            self.text(description);
        }
        self.raw(",\"parameters\":");
        self.raw(tool.schema.unwrap_or(NO_ARGUMENTS));
        if let Some(strict) = tool.strict {
            self.raw(&format!(",\"strict\":{strict}"));
        }
        self.raw("}}");
    }

    /// The results of a turn, each as a message of its own; then the rest of it, with the images and files of the results, which
    /// messages of tools cannot hold.
    fn user(&mut self, turn: &Turn<'_>) {
        let mut rest = Vec::new();
        for item in &turn.items {
            let Item::Result { id, items, is_error } = item else { continue };
            self.message("tool");
            self.raw(",\"tool_call_id\":");
            self.text(&call_id(id));
            self.raw(",\"content\":");
            let texts: Vec<Text<'_>> = items.iter().filter_map(text_of).collect();
            if *is_error && texts.is_empty() {
                self.raw("\"The tool failed.\"");
            } else {
                self.texts(&texts);
            }
            self.raw("}");
            rest.extend(items.iter().filter(|item| matches!(item, Item::Media(_))));
        }
        rest.extend(turn.items.iter().filter(|item| is_said(item)));
        if rest.is_empty() {
            return;
        }
        self.message("user");
        self.raw(",\"content\":");
        match rest[..] {
            [Item::Text(text)] => self.text(text),
            _ => self.list(&rest, |writer, item| writer.part(item)),
        }
        self.raw("}");
    }

    /// What the model said and called. What it thought is its maker's own.
    fn assistant(&mut self, turn: &Turn<'_>) {
        let texts: Vec<Text<'_>> = turn.items.iter().filter_map(text_of).collect();
        let calls: Vec<&Item<'_>> = turn.items.iter().filter(|item| matches!(item, Item::Call { .. })).collect();
        if turn.items.iter().any(|item| matches!(item, Item::Thinking { .. })) {
            self.dropped.add("thinking");
        }
        if turn.items.iter().any(|item| matches!(item, Item::Media(_))) {
            self.dropped.add("media");
        }
        if texts.is_empty() && calls.is_empty() {
            return;
        }
        self.message("assistant");
        self.raw(",\"content\":");
        if texts.is_empty() {
            self.raw("null")
        } else {
            self.texts(&texts)
        }
        if !calls.is_empty() {
            self.raw(",\"tool_calls\":");
            self.list(&calls, |writer, item| writer.call(item));
        }
        self.raw("}");
    }

    fn call(&mut self, item: &Item<'_>) {
        let Item::Call { id, name, arguments } = item else { return };
        self.raw("{\"id\":");
        self.text(&call_id(id));
        self.raw(",\"type\":\"function\",\"function\":{\"name\":");
        self.name(name);
        self.raw(",\"arguments\":");
        self.text(arguments);
        self.raw("}}");
    }

    fn part(&mut self, item: &Item<'_>) {
        match item {
            Item::Text(text) => {
                self.raw("{\"type\":\"text\",\"text\":");
                self.text(text);
                self.raw("}");
            }
            Item::Media(media) => self.media(media),
            Item::Thinking { .. } | Item::Call { .. } | Item::Result { .. } => self.raw("null"),
        }
    }

    fn media(&mut self, media: &Media<'_>) {
        let address = match &media.source {
            Source::Url(url) => url.clone(),
            Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}").into(),
        };
        match &media.kind {
            MediaKind::Image => self.raw("{\"type\":\"image_url\",\"image_url\":{\"url\":"),
            MediaKind::File(name) => {
                self.raw("{\"type\":\"file\",\"file\":{\"filename\":");
                self.text(name);
                self.raw(",\"file_data\":");
            }
        }
        self.text(&address);
        self.raw("}}");
    }

    /// Begins a message; its other members follow.
    fn message(&mut self, role: &str) {
        if self.begun {
            self.raw(",");
        }
        self.begun = true;
        self.raw("{\"role\":\"");
        self.raw(role);
        self.raw("\"");
    }

    /// Content: a string, or parts where there are several, so that their borders stay.
    fn texts(&mut self, texts: &[Text<'_>]) {
        match texts {
            [] => self.raw("\"\""),
            [text] => self.text(text),
            _ => self.list(texts, |writer, text| {
                writer.raw("{\"type\":\"text\",\"text\":");
                writer.text(text);
                writer.raw("}");
            }),
        }
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.raw("[");
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    fn name(&mut self, name: &str) {
        let short = self.renamed.to(name);
        serde_json::to_writer(&mut self.out, &*short).expect("a string can be written to memory");
    }

    fn text(&mut self, text: &Text<'_>) {
        serde_json::to_writer(&mut self.out, &**text).expect("a string can be written to memory");
    }

    fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }
}

/// Text that says something. Engines and clients alike refuse empty pieces.
fn text_of<'a>(item: &Item<'a>) -> Option<Text<'a>> {
    match item {
        Item::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// It is said in a turn beside its results.
fn is_said(item: &Item<'_>) -> bool {
    match item {
        Item::Text(text) => !text.is_empty(),
        Item::Media(_) => true,
        Item::Thinking { .. } | Item::Call { .. } | Item::Result { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_conversation::Effort;
    use serde_json::{Value, json};

    fn messages(turns: Vec<(Role, Vec<Item<'static>>)>) -> (Value, Written) {
        let turns = turns.into_iter().map(|(role, items)| Turn { role, items }).collect();
        let written = write(&Conversation { model: "m".into(), turns, ..Conversation::default() });
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        (body["messages"].clone(), written)
    }

    fn text(text: &'static str) -> Item<'static> {
        Item::Text(text.into())
    }

    fn image() -> Item<'static> {
        let source = Source::Base64 { media_type: "image/png".into(), data: "AAAA".into() };
        Item::Media(Media { kind: MediaKind::Image, source })
    }

    fn call(id: &'static str, arguments: &'static str) -> Item<'static> {
        Item::Call { id: id.into(), name: "f".into(), arguments: arguments.into() }
    }

    fn result(id: &'static str, items: Vec<Item<'static>>, is_error: bool) -> Item<'static> {
        Item::Result { id: id.into(), items, is_error }
    }

    #[test]
    fn d01_each_result_is_a_message_of_its_own_behind_its_call_and_the_text_follows() {
        let (messages, _) = messages(vec![
            (Role::Assistant, vec![text("look"), call("a", "{\"x\":1}"), call("b", "{}")]),
            (Role::User, vec![result("a", vec![text("1")], false), result("b", vec![text("2")], false), text("and?")]),
        ]);
        assert_eq!(
            messages,
            json!([
                {"role": "assistant", "content": "look", "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
                    {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": "2"},
                {"role": "user", "content": "and?"}
            ])
        );
    }

    #[test]
    fn d05_images_of_results_follow_the_whole_run_of_results() {
        let (messages, _) = messages(vec![
            (Role::Assistant, vec![call("a", "{}"), call("b", "{}")]),
            (
                Role::User,
                vec![result("a", vec![text("see"), image()], false), result("b", vec![image()], false), text("so?")],
            ),
        ]);
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
        assert_eq!(messages[1], json!({"role": "tool", "tool_call_id": "a", "content": "see"}));
        assert_eq!(messages[2], json!({"role": "tool", "tool_call_id": "b", "content": ""}));
        assert_eq!(messages[3], json!({"role": "user", "content": [image, image, {"type": "text", "text": "so?"}]}));
    }

    #[test]
    fn d06_a_result_without_text_is_a_message_all_the_same() {
        let (messages, _) =
            messages(vec![(Role::Assistant, vec![call("a", "{}")]), (Role::User, vec![result("a", vec![], true)])]);
        assert_eq!(messages[1], json!({"role": "tool", "tool_call_id": "a", "content": "The tool failed."}));
    }

    #[test]
    fn d03_text_after_a_call_stays_in_the_turn_ahead_of_the_calls() {
        let (messages, _) = messages(vec![(Role::Assistant, vec![text("a"), call("x", "{}"), text("b")])]);
        let content = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!((&messages[0]["content"], messages[0]["tool_calls"][0]["id"].as_str()), (&content, Some("x")));
    }

    #[test]
    fn d13_of_a_turn_that_thinks_and_speaks_only_the_thinking_is_dropped() {
        let thinking = Item::Thinking { text: "hm".into(), signature: Some("s".into()) };
        let (messages, written) = messages(vec![(Role::Assistant, vec![thinking, text("yes")])]);
        assert_eq!(messages, json!([{"role": "assistant", "content": "yes"}]));
        assert_eq!(written.dropped.header(), "thinking");
    }

    #[test]
    fn d18_empty_texts_are_left_out_and_a_turn_of_calls_alone_has_no_content() {
        let (messages, _) =
            messages(vec![(Role::User, vec![text(""), text("x")]), (Role::Assistant, vec![text(""), call("a", "{}")])]);
        assert_eq!(messages[0], json!({"role": "user", "content": "x"}));
        assert_eq!(messages[1]["content"], Value::Null);
    }

    #[test]
    fn d48_effort_is_a_word_alone() {
        for (word, want) in [("minimal", "low"), ("medium", "medium"), ("max", "high")] {
            let c = Conversation { effort: Effort::named(word), ..Conversation::default() };
            assert_eq!(serde_json::from_slice::<Value>(&write(&c).body).unwrap()["reasoning_effort"], want);
        }
        assert_eq!(Effort::named("none"), None);
    }

    #[test]
    fn d16_d22_tools_and_their_choice() {
        let tool = |name: &'static str, schema| Tool { name: name.into(), description: None, schema, strict: None };
        let mut c = Conversation {
            tools: vec![tool("f", None), tool("a.b", Some(r#"{"$ref":"x","strict":1}"#))],
            one_call: true,
            ..Conversation::default()
        };
        let of = |c: &Conversation<'_>| serde_json::from_slice::<Value>(&write(c).body).unwrap();
        let body = of(&c);
        assert_eq!(body["tools"][0]["function"]["parameters"], json!({"type": "object", "properties": {}}));
        assert_eq!(body["tools"][1]["function"]["parameters"], json!({"$ref": "x", "strict": 1}));
        assert!(body["tools"][1]["function"]["name"].as_str().unwrap().starts_with("a_b_"));
        assert_eq!((&body["parallel_tool_calls"], body.get("tool_choice")), (&json!(false), None));
        for (choice, wire) in [
            (ToolChoice::Auto, json!("auto")),
            (ToolChoice::Any, json!("required")),
            (ToolChoice::None, json!("none")),
            (ToolChoice::Tool("f".into()), json!({"type": "function", "function": {"name": "f"}})),
        ] {
            c.tool_choice = Some(choice);
            assert_eq!(of(&c)["tool_choice"], wire);
        }
        // Engines refuse a choice among no tools.
        c.tools.clear();
        assert!(of(&c).get("tool_choice").is_none() && of(&c).get("parallel_tool_calls").is_none());
    }
}
