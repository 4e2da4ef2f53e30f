//! Tools and the choice among them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Str, invalid, parse};
use rhumb_conversation::{Dropped, Tool, ToolChoice};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A tool whose argument is a text is a function of one text to the engine.
const ONE_TEXT: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(borrow, default)]
    description: Option<Str<'a>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
}

/// Tools that the client runs, and the names of those whose argument is a text. Those that OpenAI's servers run are left out and
/// named: the model cannot call them.
pub(super) fn tools<'a>(
    raw: &'a RawValue,
    dropped: &mut Dropped,
) -> Result<(Vec<Tool<'a>>, BTreeSet<String>), ApiError> {
    let all: Vec<&RawValue> = parse(raw, "tools", "must be an array of tools")?;
    let (mut tools, mut custom) = (Vec::new(), BTreeSet::new());
    for (n, raw) in all.into_iter().enumerate() {
        let path = format!("tools[{n}]");
        let tool: Wire<'a> = parse(raw, &path, "must be an object with `type`")?;
        if !matches!(&*tool.kind, "function" | "custom") {
            dropped.add_unknown(&format!("tools.{}", tool.kind));
            continue;
        }
        let Some(Str(name)) = tool.name.filter(|name| !name.0.is_empty()) else {
            return Err(invalid(&format!("{path}.name"), "is missing"));
        };
        let schema = tool.parameters.map(RawValue::get).filter(|schema| *schema != "null");
        if schema.is_some_and(|schema| !schema.starts_with('{')) {
            return Err(invalid(&format!("{path}.parameters"), "must be an object"));
        }
        let description = tool.description.map(|description| description.0);
        if tool.kind == "custom" {
            custom.insert(name.clone().into_owned());
            tools.push(Tool { name, description, schema: Some(ONE_TEXT), strict: None });
        } else {
            tools.push(Tool { name, description, schema, strict: tool.strict });
        }
    }
    Ok((tools, custom))
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
}

/// The choice: a word, or one tool.
pub(super) fn choice(raw: &RawValue) -> Result<Option<ToolChoice<'_>>, ApiError> {
    let what = "must be `auto`, `required`, `none`, or an object that names a function";
    if raw.get().starts_with('"') {
        let word = parse::<Str<'_>>(raw, "tool_choice", what)?.0;
        return match &*word {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Any)),
            "none" => Ok(Some(ToolChoice::None)),
            _ => Err(invalid("tool_choice", what)),
        };
    }
    let choice: Choice<'_> = parse(raw, "tool_choice", what)?;
    match (&*choice.kind, choice.name) {
        ("function" | "custom", Some(name)) => Ok(Some(ToolChoice::Tool(name.0))),
        _ => Err(invalid("tool_choice", what)),
    }
}
