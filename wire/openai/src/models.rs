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

/// The names that an endpoint lists; `None` where it has no list that can be read whole. One page of several says nothing of
/// what stands on the others.
pub fn listed(body: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let models = answer["data"].as_array()?;
    let ids: Vec<String> = models.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect();
    (!ids.is_empty() && answer["has_more"] != true).then_some(ids)
}
