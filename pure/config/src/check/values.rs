//! Single values and pairs of them that contradict each other.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_document::path::Path;
use rhumb_document::patterns::country_fault;
use rhumb_document::shown::{listed, shown};
use rhumb_grid::config::{Config, Endpoint};
use rhumb_grid::steering::STEERING;
use rhumb_grid::tasks::Tasks;

use super::{Catalogue, Report, address};

pub(super) fn check(config: &Config, catalogue: &Catalogue<'_>, report: &mut Report<'_>) {
    listening(config, report);
    browsers(config, report);
    own_means(config, report);
    urls(config, report);
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        let path = Path::root().key("endpoints").index(index);
        if let Some(gpu) = &endpoint.gpu {
            catalogued(&path.key("gpu"), "GPU type", gpu, catalogue.gpus, report);
        }
        for (at, param) in endpoint.allow_params.iter().enumerate() {
            steering(&path.key("allow_params").index(at), param, report);
        }
        served(endpoint, &path, report);
    }
    for (index, model) in config.models.iter().enumerate() {
        if let Some(shape) = &model.shape {
            let path = Path::root().key("models").index(index).key("shape");
            catalogued(&path, "model shape", shape, catalogue.shapes, report);
        }
    }
    canaries(config, report);
    virtual_models(config, report);
    countries(config, report);
}

fn listening(config: &Config, report: &mut Report<'_>) {
    let gateway = Path::root().key("gateway");
    let read = |key: &str, text: &str, report: &mut Report<'_>| {
        let path = gateway.key(key);
        let found = address::listen(text, &report.quoted(&path, text));
        found.map_err(|(what, right)| report.value(&path, what, right)).ok()
    };
    let data = read("listen", &config.gateway.listen, report);
    let admin = read("admin_listen", &config.gateway.admin_listen, report);
    if data.is_some_and(|address| address.port() != 0) && data == admin {
        let what = format!("`admin_listen` and `listen` are both `{}`", shown(&config.gateway.listen));
        report.value(&gateway.key("admin_listen"), what, "another port for one of the two".to_owned());
    }
}

/// What is compared with a header that browsers write is written as they do.
fn browsers(config: &Config, report: &mut Report<'_>) {
    let gateway = Path::root().key("gateway");
    for (index, host) in config.gateway.admin_hosts.iter().enumerate() {
        if !address::is_host(host) {
            let path = gateway.key("admin_hosts").index(index);
            let what = format!("{} is no host name", report.quoted(&path, host));
            report.value(
                &path,
                what,
                "the name alone, without scheme, port or path, say `gateway.internal`".to_owned(),
            );
        }
    }
    for (index, origin) in config.gateway.cors_origins.iter().enumerate() {
        if !address::is_origin(origin) {
            let path = gateway.key("cors_origins").index(index);
            let what = format!("{} is no origin", report.quoted(&path, origin));
            report.value(&path, what, "`https://HOST` or `https://HOST:PORT` without a path, or `*`".to_owned());
        }
    }
}

fn own_means(config: &Config, report: &mut Report<'_>) {
    let gateway = Path::root().key("gateway");
    for (index, server) in config.gateway.dns_servers.iter().enumerate() {
        if server.parse::<std::net::SocketAddr>().is_err() {
            let path = gateway.key("dns_servers").index(index);
            let what = format!("{} is no address of a name server", report.quoted(&path, server));
            report.value(&path, what, "`ADDRESS:PORT`, say `10.0.0.10:53`".to_owned());
        }
    }
    if let Some(held) = config.gateway.max_held_mb
        && held << 20 < config.gateway.max_body_bytes
    {
        let what = format!("{held} MiB for all bodies, and `max_body_bytes` allows one of more");
        let right =
            format!("at least `{}`, or less in `max_body_bytes`", config.gateway.max_body_bytes.div_ceil(1 << 20));
        report.value(&gateway.key("max_held_mb"), what, right);
    }
}

fn urls(config: &Config, report: &mut Report<'_>) {
    let mut first: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        let endpoints = Path::root().key("endpoints").index(index);
        let path = endpoints.key("url");
        match address::base_url(&endpoint.url, &report.quoted(&path, &endpoint.url)) {
            Err((what, right)) => report.value(&path, what, right),
            Ok(url) => match first.get(&url) {
                None => {
                    first.insert(url, (report.line(&path), &endpoint.name));
                }
                Some((line, name)) => {
                    let name = shown(name);
                    let what = format!("endpoint `{name}` on line {line} has this URL already");
                    let right = format!("one endpoint for one server: list all its models at `{name}`");
                    report.value(&path, what, right);
                }
            },
        }
        super::upstream::check(endpoint, &endpoints, report);
    }
}

fn steering(path: &Path, param: &str, report: &mut Report<'_>) {
    if STEERING.contains(&param) {
        return;
    }
    let what = format!("{} is no parameter that is cut out of requests", report.quoted(path, param));
    let right = match report.suggestions.nearest(param, STEERING.iter().copied()) {
        Some(near) => format!("`{near}`"),
        None => format!("one of {}; any other is passed on without being named here", STEERING.join(", ")),
    };
    report.value(path, what, right);
}

pub(super) fn is_sendable(secret: &str) -> bool {
    !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic())
}

fn catalogued(path: &Path, kind: &str, name: &str, known: &[&str], report: &mut Report<'_>) {
    if known.contains(&name) {
        return;
    }
    let what = format!("no {kind} is named {}", report.quoted(path, name));
    let right = match report.suggestions.nearest(name, known.iter().copied()) {
        Some(near) => format!("`{near}`; `rhumb engine --list` prints all"),
        None => format!("one of {}; `rhumb engine --list` prints all", listed(known.iter().copied())),
    };
    report.value(path, what, right);
}

fn served(endpoint: &Endpoint, path: &Path, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for (at, served) in endpoint.models.iter().enumerate() {
        let path = path.key("models").index(at);
        if endpoint.gpu_hour_usd.is_some() && served.price.is_some() {
            let what = "a `price` at an endpoint that has `gpu_hour_usd`".to_owned();
            let right =
                "one of the two: `price` for what is paid by the token, `gpu_hour_usd` for GPUs paid by the hour";
            report.key(&path.key("price"), what, right.to_owned());
        }
        if !seen.insert((&served.model, &served.served_as)) {
            let path = path.key("model");
            let what = format!("model {} is served here already", report.quoted(&path, &served.model));
            report.value(&path, what, "each model once at one endpoint".to_owned());
        }
    }
}

fn canaries(config: &Config, report: &mut Report<'_>) {
    for (index, model) in config.models.iter().enumerate() {
        if !model.tasks().is_empty() && model.canary.is_some() {
            let path = Path::root().key("models").index(index).key("canary");
            let what = "a model that does not generate text cannot be asked a question".to_owned();
            report.key(&path, what, "no `canary`".to_owned());
        }
        let Some(canary) = &model.canary else { continue };
        for (key, text) in [("prompt", &canary.prompt), ("contains", &canary.contains)] {
            if text.trim().is_empty() {
                let path = Path::root().key("models").index(index).key("canary").key(key);
                report.value(
                    &path,
                    "it is empty".to_owned(),
                    "a question whose answer is known, and its answer".to_owned(),
                );
            }
        }
    }
}

fn virtual_models(config: &Config, report: &mut Report<'_>) {
    let tasks: BTreeMap<&str, Tasks> = config.models.iter().map(|it| (it.name.as_str(), it.tasks())).collect();
    for (index, model) in config.virtual_models.iter().enumerate() {
        let path = Path::root().key("virtual_models").index(index).key("models");
        let mut seen = BTreeSet::new();
        for (at, name) in model.models.iter().enumerate() {
            let path = path.index(at);
            if !seen.insert(name) {
                let what = format!("{} is in this list already", report.quoted(&path, name));
                report.value(&path, what, "each model once".to_owned());
                continue;
            }
            let Some(does) = tasks.get(name.as_str()).filter(|does| !does.is_empty()) else { continue };
            if model.models.iter().any(|other| tasks.get(other.as_str()).is_some_and(|others| others != does)) {
                let keys = does.keys().join("` and `");
                let what = format!(
                    "{} does `{keys}` instead of generating text, other models of the list do not",
                    report.quoted(&path, name)
                );
                report.value(&path, what, "a virtual model of its own for each task".to_owned());
            }
        }
    }
}

fn countries(config: &Config, report: &mut Report<'_>) {
    let settled: BTreeSet<String> = config.sites.iter().map(|site| site.country.to_ascii_uppercase()).collect();
    let policies = config.policies.iter().map(|it| ("policy", &it.countries)).enumerate();
    let tenants = config.tenants.iter().map(|it| ("tenant", &it.countries)).enumerate();
    for (index, (kind, countries)) in policies.chain(tenants) {
        let section = if kind == "policy" { "policies" } else { "tenants" };
        let path = Path::root().key(section).index(index).key("countries");
        let mut valid = true;
        for (at, country) in countries.iter().enumerate() {
            let path = path.index(at);
            if let Some((what, right)) = country_fault(country, &report.quoted(&path, country)) {
                report.value(&path, what, right);
                valid = false;
            }
        }
        if valid && !countries.is_empty() && countries.iter().all(|country| !settled.contains(country)) {
            let what = format!("no site stands in any country of this {kind}: it could never be served");
            let right = format!("countries that have a site: {}", listed(settled.iter().map(String::as_str)));
            report.key(&path, what, right);
        }
    }
}
