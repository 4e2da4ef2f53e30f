//! Tools and the choice among them.

use std::borrow::Cow;

use rhumb_api::ApiError;
use rhumb_conversation::fields::{Str, invalid, parse, shortened};
use rhumb_conversation::{Dropped, Tool, ToolChoice};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Str<'a>>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(borrow, default)]
    description: Option<Str<'a>>,
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default)]
    cache_control: Option<IgnoredAny>,
    #[serde(default)]
    defer_loading: Option<bool>,
    #[serde(default)]
    input_examples: Option<IgnoredAny>,
    #[serde(default)]
    allowed_callers: Option<IgnoredAny>,
}

/// Tools that the client runs. One that only Anthropic's servers run, or whose schema only its models know, cannot be carried on.
pub(super) fn tools<'a>(raw: &'a RawValue, dropped: &mut Dropped) -> Result<Vec<Tool<'a>>, ApiError> {
    let all: Vec<&RawValue> = parse(raw, "tools", "must be an array of tools")?;
    let tool = |(n, raw): (usize, &'a RawValue)| {
        let path = format!("tools[{n}]");
        let tool: Wire<'a> = parse(raw, &path, "must be an object with `name` and `input_schema`")?;
        if let Some(kind) = tool.kind.as_ref().filter(|kind| kind.0 != "custom") {
            let kind = shortened(&kind.0);
            let what = format!(
                "is the tool `{kind}`, which only Anthropic's own servers and models know: leave it out, or describe it with an \
                 `input_schema`"
            );
            return Err(invalid(&path, &what));
        }
        let Some(name) = tool.name.filter(|name| !name.0.is_empty()) else {
            return Err(invalid(&format!("{path}.name"), "is missing"));
        };
        for (is_there, name) in [
            (tool.cache_control.is_some(), "cache_control"),
            (tool.defer_loading == Some(true), "tools.defer_loading"),
            (tool.input_examples.is_some(), "tools.input_examples"),
            (tool.allowed_callers.is_some(), "tools.allowed_callers"),
        ] {
            if is_there {
                dropped.add(name);
            }
        }
        let schema = tool.input_schema.map(RawValue::get).filter(|schema| *schema != "null");
        if schema.is_some_and(|schema| !schema.starts_with('{')) {
            return Err(invalid(&format!("{path}.input_schema"), "must be an object"));
        }
        Ok(Tool { name: name.0, description: tool.description.map(|d| d.0), schema, strict: tool.strict })
    };
    all.into_iter().enumerate().map(tool).collect()
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Str<'a>>,
    #[serde(default)]
    disable_parallel_tool_use: bool,
}

/// The choice, and whether one tool at a time may be called only.
pub(super) fn choice(raw: &RawValue) -> Result<(Option<ToolChoice<'_>>, bool), ApiError> {
    let choice: Choice<'_> = parse(raw, "tool_choice", "must be an object with `type`")?;
    let what = match &*choice.kind {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => match choice.name {
            Some(name) => ToolChoice::Tool(name.0),
            None => return Err(invalid("tool_choice.name", "is missing")),
        },
        _ => return Err(invalid("tool_choice.type", "must be `auto`, `any`, `tool` or `none`")),
    };
    Ok((Some(what), choice.disable_parallel_tool_use))
}
