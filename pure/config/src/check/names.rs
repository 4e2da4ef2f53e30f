//! Names: present, sendable, and each taken once.

use std::collections::BTreeMap;

use rhumb_document::path::Path;
use rhumb_grid::config::{Config, Preset};

use super::Report;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let root = Path::root();
    let list = |key: &str, names: Vec<&str>| -> Vec<(Path, String)> {
        let path = root.key(key);
        names.iter().enumerate().map(|(index, name)| (path.index(index).key("name"), (*name).to_owned())).collect()
    };
    let operators = list("operators", config.operators.iter().map(|it| it.name.as_str()).collect());
    let sites = list("sites", config.sites.iter().map(|it| it.name.as_str()).collect());
    let endpoints = list("endpoints", config.endpoints.iter().map(|it| it.name.as_str()).collect());
    let policies = list("policies", config.policies.iter().map(|it| it.name.as_str()).collect());
    let tenants = list("tenants", config.tenants.iter().map(|it| it.name.as_str()).collect());
    let models = model_names(config);
    for (kind, names) in [
        ("operator", &operators),
        ("site", &sites),
        ("endpoint", &endpoints),
        ("policy", &policies),
        ("tenant", &tenants),
        ("model", &models),
    ] {
        unique(kind, names, report);
        // These three travel in `x-rhumb-*` headers.
        let header = matches!(kind, "site" | "endpoint" | "policy");
        names.iter().for_each(|(path, name)| usable(path, name, header, report));
    }
    for (index, tenant) in config.tenants.iter().enumerate() {
        let keys = root.key("tenants").index(index).key("keys");
        let names: Vec<(Path, String)> =
            tenant.keys.iter().enumerate().map(|(at, key)| (keys.index(at).key("name"), key.name.clone())).collect();
        unique("key of this tenant", &names, report);
        names.iter().for_each(|(path, name)| usable(path, name, false, report));
    }
    for (path, name) in &policies {
        if Preset::ALL.iter().any(|(preset, _)| preset == name) {
            let what = format!("policy {} has the name of a preset", report.quoted(path, name));
            let right = format!("another name, with `preset: {name}` to begin from its values");
            report.value(path, what, right);
        }
    }
}

/// Everything a client can write in `model`: one namespace of models, aliases and virtual models.
fn model_names(config: &Config) -> Vec<(Path, String)> {
    let mut names = Vec::new();
    for (index, model) in config.models.iter().enumerate() {
        let path = Path::root().key("models").index(index);
        names.push((path.key("name"), model.name.clone()));
        for (at, alias) in model.aliases.iter().enumerate() {
            names.push((path.key("aliases").index(at), alias.clone()));
        }
    }
    for (index, model) in config.virtual_models.iter().enumerate() {
        names.push((Path::root().key("virtual_models").index(index).key("name"), model.name.clone()));
    }
    names
}

fn unique(kind: &str, names: &[(Path, String)], report: &mut Report<'_>) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, name) in names {
        let Some(line) = first.get(name.as_str()).copied() else {
            first.insert(name, report.line(path));
            continue;
        };
        let what = format!("another {kind} is named {} already, on line {line}", report.quoted(path, name));
        let right = match kind {
            "model" => "a name of its own: models, aliases and virtual models share one list of names".to_owned(),
            _ => "a name of its own".to_owned(),
        };
        report.value(path, what, right);
    }
}

fn usable(path: &Path, name: &str, header: bool, report: &mut Report<'_>) {
    if name.trim().is_empty() {
        report.value(path, "a name without a character".to_owned(), "at least one letter or digit".to_owned());
    } else if name.trim() != name || name.chars().any(char::is_control) {
        let what = format!("{} has a space at an end, or a control character", report.quoted(path, name));
        report.value(path, what, format!("`{}`", rhumb_document::shown::shown(name.trim())));
    } else if header && !name.is_ascii() {
        let what = format!("{} cannot be sent in a header", report.quoted(path, name));
        report.value(path, what, "letters without accents, digits, `-`, `_` and `.`".to_owned());
    }
}
