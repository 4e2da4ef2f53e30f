//! Names that refer to something: it exists, and nothing is left that no name reaches.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use rhumb_document::path::Path;
use rhumb_document::shown::{listed, shown};
use rhumb_grid::config::{Config, Preset};

use super::Report;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    places(config, report);
    models(config, report);
    policies(config, report);
}

/// One kind of thing that can be referred to.
struct Known<'a> {
    kind: &'a str,
    /// Where a missing one would be declared.
    section: &'a str,
    /// In the order of the file, which messages keep.
    names: Vec<&'a str>,
    /// The same names, to find one among thousands.
    set: BTreeSet<&'a str>,
    /// The first of the names, as messages list them.
    listed: OnceCell<String>,
}

impl<'a> Known<'a> {
    fn new(kind: &'a str, section: &'a str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        Self { kind, section, set: names.iter().copied().collect(), names, listed: OnceCell::new() }
    }

    fn listed(&self) -> &str {
        self.listed.get_or_init(|| listed(self.names.iter().copied()))
    }

    fn has(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    fn refer(&self, path: &Path, name: &str, report: &mut Report<'_>) {
        if self.has(name) {
            return;
        }
        let what = format!("no {} is named {}", self.kind, report.quoted(path, name));
        let right = match report.suggestions.nearest(name, self.names.iter().copied()) {
            Some(near) => format!("`{}`", shown(near)),
            None if self.set.iter().all(|name| name.is_empty()) => {
                format!("declare it: `{}:`, then `  - name: ...`", self.section)
            }
            None if self.names.len() == 1 => {
                format!("`{}`, or declare it under `{}`", shown(self.names[0]), self.section)
            }
            None => format!("one of {}, or declare it under `{}`", self.listed(), self.section),
        };
        report.value(path, what, right);
    }
}

fn places(config: &Config, report: &mut Report<'_>) {
    let operators = Known::new("operator", "operators", config.operators.iter().map(|it| it.name.as_str()));
    for (index, site) in config.sites.iter().enumerate() {
        operators.refer(&Path::root().key("sites").index(index).key("operator"), &site.operator, report);
    }
    let sites = Known::new("site", "sites", config.sites.iter().map(|it| it.name.as_str()));
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        sites.refer(&Path::root().key("endpoints").index(index).key("site"), &endpoint.site, report);
    }
}

fn models(config: &Config, report: &mut Report<'_>) {
    let known = Known::new("model", "models", config.models.iter().map(|it| it.name.as_str()));
    let aliases: BTreeMap<&str, &str> =
        config.models.iter().flat_map(|it| it.aliases.iter().map(|alias| (alias.as_str(), it.name.as_str()))).collect();
    let virtuals = || config.virtual_models.iter().map(|it| it.name.as_str());
    let virtual_names: BTreeSet<&str> = virtuals().collect();
    let mut served = BTreeSet::new();
    let refer = |path: &Path, name: &str, known: &Known<'_>, report: &mut Report<'_>| {
        if let Some(model) = aliases.get(name).filter(|_| !known.has(name)) {
            let what = format!("{} is an alias, for clients only", report.quoted(path, name));
            report.value(path, what, format!("the model's own name, `{}`", shown(model)));
        } else if virtual_names.contains(name) && !known.has(name) {
            let what = format!("{} is a virtual model, for clients only", report.quoted(path, name));
            report.value(path, what, "the names of the models that it stands for".to_owned());
        } else {
            known.refer(path, name, report);
        }
    };
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        for (at, model) in endpoint.models.iter().enumerate() {
            let path = Path::root().key("endpoints").index(index).key("models").index(at).key("model");
            refer(&path, &model.model, &known, report);
            // An alias in the place of a name is one problem, not two.
            let name = model.model.as_str();
            let meant = aliases.get(name).filter(|_| !known.has(name));
            served.insert(meant.copied().unwrap_or(name));
        }
    }
    for (index, model) in config.virtual_models.iter().enumerate() {
        for (at, name) in model.models.iter().enumerate() {
            refer(&Path::root().key("virtual_models").index(index).key("models").index(at), name, &known, report);
        }
    }
    let all = Known::new("model", "models", known.names.iter().copied().chain(virtuals()));
    for (index, tenant) in config.tenants.iter().enumerate() {
        for (at, name) in tenant.models.iter().enumerate() {
            refer(&Path::root().key("tenants").index(index).key("models").index(at), name, &all, report);
        }
    }
    unserved(config, &served, report);
}

fn unserved(config: &Config, served: &BTreeSet<&str>, report: &mut Report<'_>) {
    // A misspelt name already has its problem; the model that it means is not also an unserved one.
    let real: BTreeSet<&str> = config.models.iter().map(|it| it.name.as_str()).collect();
    let slips: BTreeSet<&str> = served
        .iter()
        .filter(|name| !real.contains(*name))
        .filter_map(|name| report.suggestions.nearest(name, real.iter().copied()))
        .collect();
    if report.suggestions.are_used_up() {
        // So many names are misspelt that which models they mean is not known.
        return;
    }
    for (index, model) in config.models.iter().enumerate() {
        if !served.contains(model.name.as_str()) && !slips.contains(model.name.as_str()) {
            let path = Path::root().key("models").index(index).key("name");
            let what = format!("no endpoint serves model {}", report.quoted(&path, &model.name));
            let right =
                format!("`- model: {}` under the `models` of an endpoint, or remove this model", shown(&model.name));
            report.value(&path, what, right);
        }
    }
}

fn policies(config: &Config, report: &mut Report<'_>) {
    let own = config.policies.iter().map(|it| it.name.as_str()).filter(|name| !is_preset(name));
    let known = Known::new("policy", "policies", own.chain(Preset::ALL.iter().map(|(name, _)| *name)));
    let mut reached = BTreeSet::from([config.gateway.policy.as_str()]);
    known.refer(&Path::root().key("gateway").key("policy"), &config.gateway.policy, report);
    for (index, tenant) in config.tenants.iter().enumerate() {
        let path = Path::root().key("tenants").index(index);
        if let Some(policy) = &tenant.policy {
            known.refer(&path.key("policy"), policy, report);
            reached.insert(policy);
        }
        for (at, policy) in tenant.allow_policies.iter().enumerate() {
            known.refer(&path.key("allow_policies").index(at), policy, report);
            reached.insert(policy);
        }
    }
    if config.tenants.is_empty() {
        // Whoever reaches an open gateway may ask for any policy.
        return;
    }
    let slips: BTreeSet<&str> = reached
        .iter()
        .filter(|name| !known.has(name))
        .filter_map(|name| report.suggestions.nearest(name, known.names.iter().copied()))
        .collect();
    if report.suggestions.are_used_up() {
        return;
    }
    for (index, policy) in config.policies.iter().enumerate() {
        let name = policy.name.as_str();
        if !reached.contains(name) && !slips.contains(name) && !is_preset(name) {
            let path = Path::root().key("policies").index(index).key("name");
            let what = format!("nothing reaches policy {}", report.quoted(&path, name));
            let name = shown(name);
            let right = format!("`policy: {name}` or `allow_policies: [{name}]` at a tenant, or remove this policy");
            report.value(&path, what, right);
        }
    }
}

fn is_preset(name: &str) -> bool {
    Preset::ALL.iter().any(|(preset, _)| *preset == name)
}
