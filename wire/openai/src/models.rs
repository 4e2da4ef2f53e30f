//! The list of models: `GET /v1/models`, as clients read it and as endpoints write it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::error::quote;

/// A model as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name.
    pub id: &'a str,
    /// Whose it is.
    pub owner: &'a str,
    /// The model that this name stands for, if it is one.
    pub root: Option<&'a str>,
    /// The longest prompt plus answer, tokens.
    pub context_tokens: Option<u32>,
}

/// A model. The longest prompt plus answer stands under the names of vLLM and of OpenRouter.
pub fn entry(model: &Entry<'_>) -> String {
    let (id, owner) = (quote(model.id), quote(model.owner));
    let mut out = format!("{{\"id\":{id},\"object\":\"model\",\"created\":0,\"owned_by\":{owner}");
    // Writing to a string cannot fail.
    if let Some(root) = model.root {
        let _ = write!(out, ",\"root\":{}", quote(root));
    }
    if let Some(tokens) = model.context_tokens {
        let _ = write!(out, ",\"max_model_len\":{tokens},\"context_length\":{tokens}");
    }
    out.push('}');
    out
}

/// The list of these models.
pub fn list(entries: &[String]) -> String {
    format!("{{\"object\":\"list\",\"data\":[{}]}}", entries.join(","))
}

/// A model as an endpoint describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name there.
    pub id: String,
    /// The longest prompt plus answer, tokens, where it is said.
    pub context_tokens: Option<u32>,
}

/// The models that an endpoint lists, with what it says of them under the names of vLLM, SGLang and OpenRouter; `None` where it has
/// no list that can be read whole.
pub fn described(body: &[u8]) -> Option<Vec<Described>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let context = |model: &Value| {
        let tokens = ["max_model_len", "context_length"].iter().find_map(|key| model[*key].as_u64());
        tokens.and_then(|tokens| u32::try_from(tokens).ok()).filter(|tokens| *tokens > 0)
    };
    let models = answer["data"].as_array()?.iter();
    let models =
        models.filter_map(|m| Some(Described { id: m["id"].as_str()?.to_owned(), context_tokens: context(m) }));
    let models: Vec<Described> = models.collect();
    (!models.is_empty() && answer["has_more"] != true).then_some(models)
}

/// The names that an endpoint lists; `None` where it has no list that can be read whole. One page of several says nothing of
/// what stands on the others.
pub fn listed(body: &[u8]) -> Option<Vec<String>> {
    Some(described(body)?.into_iter().map(|model| model.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_says_of_its_models_is_read_in_every_form() {
        let of = |text: &str| described(text.as_bytes());
        let model = |id: &str, context_tokens| Described { id: id.to_owned(), context_tokens };
        let vllm =
            r#"{"object":"list","data":[{"id":"a","max_model_len":8192},{"id":"b","context_length":1},{"id":7}]}"#;
        assert_eq!(of(vllm), Some(vec![model("a", Some(8_192)), model("b", Some(1))]));
        let odd = r#"{"data":[{"id":"a","max_model_len":-1},{"id":"b","max_model_len":99999999999},{"id":"c","max_model_len":0}]}"#;
        assert!(of(odd).unwrap().iter().all(|m| m.context_tokens.is_none()));
        for text in ["", "[]", r#"{"data":[]}"#, r#"{"data":[{"id":"x"}],"has_more":true}"#] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
