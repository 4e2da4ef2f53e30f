//! One value's part of the schema, read into a form that a walker can match on, and the words that describe it.

use crate::shown::listed;
use serde_json::Value as Json;

/// What kind of value the schema wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    List,
    Text,
    Number,
    Whole,
    Bool,
    /// One of a few words.
    Words,
}

/// The schema of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) kind: Kind,
    /// Whether no value at all is as good as leaving the key out.
    pub(crate) nullable: bool,
    /// The subschema that states the type; a description beside a reference stands in `outer`.
    inner: &'a Json,
    outer: &'a Json,
}

impl<'a> Shape<'a> {
    /// Reads a subschema of `root`.
    pub(crate) fn of(root: &'a Json, outer: &'a Json) -> Self {
        let (mut inner, mut nullable) = (outer, false);
        if let Some(options) = inner["anyOf"].as_array() {
            nullable = options.iter().any(|option| option["type"] == "null");
            inner = options.iter().find(|option| option["type"] != "null").unwrap_or(inner);
        }
        if let Some(target) = inner["$ref"].as_str() {
            inner = root.pointer(target.trim_start_matches('#')).unwrap_or(&Json::Null);
        }
        let types: Vec<&str> = match &inner["type"] {
            Json::Array(types) => types.iter().filter_map(Json::as_str).collect(),
            single => single.as_str().into_iter().collect(),
        };
        nullable |= types.contains(&"null");
        let kind = match types.iter().find(|name| **name != "null").copied() {
            _ if inner["oneOf"].is_array() || inner["enum"].is_array() => Kind::Words,
            Some("object") => Kind::Object,
            Some("array") => Kind::List,
            Some("number") => Kind::Number,
            Some("integer") => Kind::Whole,
            Some("boolean") => Kind::Bool,
            _ => Kind::Text,
        };
        Self { kind, nullable, inner, outer }
    }

    /// The keys of an object with their schemas.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&'a str, &'a Json)> + use<'a> {
        self.inner["properties"].as_object().into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    /// The schema of one key of an object.
    pub(crate) fn property(&self, name: &str) -> Option<&'a Json> {
        self.inner["properties"].get(name)
    }

    /// The schema of the values of an object whose keys are free.
    pub(crate) fn values(&self) -> Option<&'a Json> {
        Some(&self.inner["additionalProperties"]).filter(|schema| schema.is_object())
    }

    /// The keys that an object must have.
    pub(crate) fn required(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.inner["required"].as_array().into_iter().flatten().filter_map(Json::as_str)
    }

    /// The schema of a list's items.
    pub(crate) fn items(&self) -> &'a Json {
        &self.inner["items"]
    }

    /// The least number of items of a list.
    pub(crate) fn min_items(&self) -> usize {
        self.inner["minItems"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }

    /// The words to choose from.
    pub(crate) fn words(&self) -> Vec<&'a str> {
        let consts = self.inner["oneOf"].as_array().into_iter().flatten().filter_map(|option| option["const"].as_str());
        let plain = self.inner["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
        consts.chain(plain).collect()
    }

    /// The regular expression that a text must match.
    pub(crate) fn pattern(&self) -> Option<&'a str> {
        self.inner["pattern"].as_str()
    }

    /// The text that stands for an absent one, if it says anything.
    pub(crate) fn default_text(&self) -> Option<&'a str> {
        self.outer["default"].as_str().filter(|text| !text.is_empty())
    }

    /// The smallest and the largest number allowed.
    pub(crate) fn range(&self) -> (Option<f64>, Option<f64>) {
        (self.inner["minimum"].as_f64(), self.inner["maximum"].as_f64())
    }

    /// A value that this schema accepts, for what nothing else depends on.
    pub(crate) fn stand_in(&self) -> Option<crate::tree::Value> {
        use crate::tree::Value;
        match self.kind {
            Kind::Number => Some(Value::Float(self.range().0.unwrap_or(0.0))),
            Kind::Whole => self.inner["minimum"].as_i64().or(Some(0)).map(Value::Int),
            Kind::Words => self.words().first().map(|word| Value::Str((*word).to_owned())),
            Kind::Object | Kind::List | Kind::Text | Kind::Bool => None,
        }
    }

    /// The kind of value in words: `a whole number, 1 to 1024`.
    pub(crate) fn takes(&self) -> String {
        match self.kind {
            Kind::Object if self.values().is_some() => "keys with values".to_owned(),
            Kind::Object => format!("keys with values, of these: {}", listed(self.properties().map(|(name, _)| name))),
            Kind::List => "a list".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Number => format!("a number{}", self.range_words()),
            Kind::Whole => format!("a whole number{}", self.range_words()),
            Kind::Bool => "`true` or `false`".to_owned(),
            Kind::Words => format!("one of {}", listed(self.words())),
        }
    }

    /// What the value means: the first sentence of its description, then its range or its words.
    pub(crate) fn meaning(&self) -> String {
        let description = self.outer["description"].as_str().or(self.inner["description"].as_str()).unwrap_or_default();
        let description = description.replace('\n', " ");
        let sentence = description.split(". ").next().unwrap_or_default().trim_end_matches('.');
        let mut text = lowered(sentence);
        let extra = match self.kind {
            Kind::Number | Kind::Whole => self.range_words(),
            Kind::Words => format!(", one of {}", listed(self.words())),
            Kind::Object | Kind::List | Kind::Text | Kind::Bool => String::new(),
        };
        if !text.contains(&extra) {
            text.push_str(&extra);
        }
        text
    }

    fn range_words(&self) -> String {
        match self.range() {
            (Some(min), Some(max)) => format!(", {min} to {max}"),
            (Some(min), None) => format!(", {min} or more"),
            (None, Some(max)) => format!(", {max} or less"),
            (None, None) => String::new(),
        }
    }
}

/// A sentence as part of another one; an abbreviation keeps its capitals.
fn lowered(sentence: &str) -> String {
    let mut characters = sentence.chars();
    let (Some(first), rest) = (characters.next(), characters.as_str()) else { return String::new() };
    if rest.starts_with(|c: char| c.is_uppercase()) {
        return sentence.to_owned();
    }
    first.to_lowercase().chain(rest.chars()).collect()
}
