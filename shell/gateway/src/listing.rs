//! The models that a caller may use, as `GET /v1/models` lists them.

use rhumb_api::ApiError;
use rhumb_grid::config::Dialect;
use rhumb_grid::index::Grid;
use rhumb_openai::models;

use crate::auth::Caller;
use crate::epoch::ConfigEpoch;
use crate::routing;

/// The list: models, their other names, and names that stand for several models.
pub(crate) fn list(epoch: &ConfigEpoch, dialect: Dialect, caller: &Caller) -> String {
    let config = &epoch.grid.config;
    let allowed = caller.tenant.map(|t| &config.tenants[t].models).filter(|m| !m.is_empty());
    let names = config.models.iter().flat_map(|m| std::iter::once(&m.name).chain(&m.aliases));
    let all = names.chain(config.virtual_models.iter().map(|v| &v.name));
    let entries = all.filter(|name| allowed.is_none_or(|a| a.contains(name))).map(|name| entry(&epoch.grid, name));
    match dialect {
        Dialect::Chat | Dialect::Responses => models::list(&entries.map(|e| models::entry(&e)).collect::<Vec<_>>()),
        Dialect::Messages => {
            let entries: Vec<_> = entries.map(|e| rhumb_anthropic::models::entry(e.id, e.context_tokens)).collect();
            rhumb_anthropic::models::list(&entries).to_string()
        }
    }
}

/// One of them, by its name as it stands in the path.
///
/// # Errors
/// There is none of that name for this caller.
pub(crate) fn one(epoch: &ConfigEpoch, dialect: Dialect, caller: &Caller, name: &str) -> Result<String, ApiError> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    routing::models(epoch, caller, &name)?;
    let entry = entry(&epoch.grid, &name);
    Ok(match dialect {
        Dialect::Chat | Dialect::Responses => models::entry(&entry),
        Dialect::Messages => rhumb_anthropic::models::entry(entry.id, entry.context_tokens).to_string(),
    })
}

/// A model as clients read it: `root` is the model that an alias stands for.
fn entry<'a>(grid: &'a Grid, name: &'a str) -> models::Entry<'a> {
    let config = &grid.config;
    let members = grid.models_named(name).unwrap_or_default();
    let names: Vec<&str> = members.iter().map(|m| config.models[*m].name.as_str()).collect();
    let is_virtual = config.virtual_models.iter().any(|v| v.name == name);
    let served = config.endpoints.iter().flat_map(|e| &e.models).filter(|s| names.contains(&s.model.as_str()));
    models::Entry {
        id: name,
        owner: if is_virtual { "rhumb" } else { "grid" },
        root: names.first().copied().filter(|_| names.len() == 1 && !is_virtual),
        context_tokens: served.map(|s| s.context_tokens).max(),
    }
}
