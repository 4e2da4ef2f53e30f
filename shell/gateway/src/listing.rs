//! The models that a caller may use, as `GET /v1/models` lists them.

use rhumb_grid::index::Grid;
use rhumb_openai::error::{ApiError, quote};

use crate::auth::Caller;
use crate::epoch::ConfigEpoch;
use crate::routing;

/// The list: models, their other names, and names that stand for several models.
pub(crate) fn models(epoch: &ConfigEpoch, caller: &Caller) -> String {
    let config = &epoch.grid.config;
    let allowed = caller.tenant.map(|t| &config.tenants[t].models).filter(|m| !m.is_empty());
    let names = config.models.iter().flat_map(|m| std::iter::once(&m.name).chain(&m.aliases));
    let all = names.chain(config.virtual_models.iter().map(|v| &v.name));
    let entries: Vec<String> =
        all.filter(|name| allowed.is_none_or(|a| a.contains(name))).map(|name| entry(&epoch.grid, name)).collect();
    format!("{{\"object\":\"list\",\"data\":[{}]}}", entries.join(","))
}

/// One of them, by its name as it stands in the path.
///
/// # Errors
/// There is none of that name for this caller.
pub(crate) fn model(epoch: &ConfigEpoch, caller: &Caller, name: &str) -> Result<String, ApiError> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    routing::models(epoch, caller, &name)?;
    Ok(entry(&epoch.grid, &name))
}

/// A model as clients read it: `root` is the model that an alias stands for, and the longest prompt plus answer stands
/// under the names of vLLM and of OpenRouter.
fn entry(grid: &Grid, name: &str) -> String {
    let config = &grid.config;
    let members = grid.models_named(name).unwrap_or_default();
    let names: Vec<&str> = members.iter().map(|m| config.models[*m as usize].name.as_str()).collect();
    let is_virtual = config.virtual_models.iter().any(|v| v.name == name);
    let owner = if is_virtual { "rhumb" } else { "grid" };
    let mut out = format!("{{\"id\":{},\"object\":\"model\",\"created\":0,\"owned_by\":\"{owner}\"", quote(name));
    if let ([root], false) = (&names[..], is_virtual) {
        out.push_str(&format!(",\"root\":{}", quote(root)));
    }
    let served = config.endpoints.iter().flat_map(|e| &e.models).filter(|s| names.contains(&s.model.as_str()));
    if let Some(tokens) = served.map(|s| s.context_tokens).max() {
        out.push_str(&format!(",\"max_model_len\":{tokens},\"context_length\":{tokens}"));
    }
    out.push('}');
    out
}
