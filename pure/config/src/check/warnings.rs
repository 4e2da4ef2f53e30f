//! What has not the effect that whoever wrote it expects. The file can be used all the same.

use std::collections::BTreeMap;

use rhumb_document::path::Path;
use rhumb_document::shown::listed;
use rhumb_grid::config::{Config, Endpoint, Model};

use super::{Catalogue, Report};

pub(super) fn check(config: &Config, catalogue: &Catalogue<'_>, report: &mut Report<'_>) {
    power(config, catalogue, report);
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        let path = Path::root().key("endpoints").index(index).key("planned_utilisation");
        if endpoint.gpu_hour_usd.is_none() && report.states(&path) {
            let what = "`planned_utilisation` has no effect without `gpu_hour_usd`".to_owned();
            report.warning(&path, what, "`gpu_hour_usd` at this endpoint, or neither of the two".to_owned());
        }
    }
}

/// The power of an endpoint is estimated from its GPU and the shape of its model.
fn power(config: &Config, catalogue: &Catalogue<'_>, report: &mut Report<'_>) {
    let models: BTreeMap<&str, &Model> = config.models.iter().map(|it| (it.name.as_str(), it)).collect();
    let has_shape = |name: &str| {
        let shape = models.get(name).map_or(name, |model| model.shape.as_deref().unwrap_or(name));
        catalogue.shapes.contains(&shape)
    };
    let is_unknown = |it: &&Endpoint| it.gpu.is_none() || !it.models.iter().any(|served| has_shape(&served.model));
    let mut unknown: BTreeMap<&str, Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in config.endpoints.iter().filter(is_unknown) {
        unknown.entry(&endpoint.site).or_default().push(endpoint);
    }
    for (index, site) in config.sites.iter().enumerate() {
        let Some(endpoints) = unknown.get(site.name.as_str()) else { continue };
        let names = listed(endpoints.iter().map(|it| it.name.as_str()));
        let right = match endpoints.iter().any(|it| it.gpu.is_none()) {
            true => "`gpu:` at each of them: `rhumb engine --list` prints the names",
            false => "`shape:` at their models: `rhumb engine --list` prints the names",
        };
        let priced = config.gateway.carbon_usd_per_tonne > 0.0 && site.carbon_g_per_kwh > 0.0;
        for (key, is_stated, effect) in [
            ("power_kw", site.power_kw.is_some(), "does not limit"),
            ("energy_usd_per_kwh", site.energy_usd_per_kwh > 0.0, "adds nothing to the bill of"),
            ("carbon_g_per_kwh", priced, "adds nothing to the bill of"),
        ] {
            if is_stated {
                let path = Path::root().key("sites").index(index).key(key);
                let what = format!("`{key}` {effect} {names}: their power is not known");
                report.warning(&path, what, right.to_owned());
            }
        }
    }
}
