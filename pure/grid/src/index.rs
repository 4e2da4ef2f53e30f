//! A checked configuration with its names turned into numbers.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::config::{Config, Preset, Tenant};
use crate::position::{ModelIndex, SiteIndex};
use crate::rates::Rates;
use crate::service::Service;

/// The grid as the router sees it. Indices are positions in the configuration's lists.
#[derive(Debug, Clone)]
pub struct Grid {
    /// The configuration it was made from.
    pub config: Config,
    /// For each endpoint, its site.
    pub endpoint_site: Vec<SiteIndex>,
    /// For each tenant, the countries that its requests may be served in; empty means anywhere.
    pub tenant_countries: Vec<Vec<[u8; 2]>>,
    names: BTreeMap<String, Vec<ModelIndex>>,
    policies: BTreeMap<String, NamedRates>,
}

/// A policy under its name.
#[derive(Debug, Clone)]
pub struct NamedRates {
    /// Its name.
    pub name: Arc<str>,
    /// Its numbers.
    pub rates: Rates,
    /// What its requests may ask for.
    pub service: Service,
    /// Countries it allows; empty means anywhere.
    pub countries: Vec<[u8; 2]>,
}

/// A country code as two bytes.
pub fn country(code: &str) -> [u8; 2] {
    let b = code.as_bytes();
    [b.first().copied().unwrap_or(0), b.get(1).copied().unwrap_or(0)]
}

impl Grid {
    /// Indexes a configuration that has been checked. What dangles is left out.
    pub fn new(config: Config) -> Self {
        let mut names: BTreeMap<String, Vec<ModelIndex>> = BTreeMap::new();
        for (i, m) in ModelIndex::all().zip(&config.models) {
            for name in core::iter::once(&m.name).chain(&m.aliases) {
                names.insert(name.clone(), vec![i]);
            }
        }
        for v in &config.virtual_models {
            let members = v.models.iter().filter_map(|n| names.get(n)).flatten().copied().collect();
            names.insert(v.name.clone(), members);
        }
        let mut sites: BTreeMap<&str, SiteIndex> = BTreeMap::new();
        for (i, s) in SiteIndex::all().zip(&config.sites) {
            sites.entry(&s.name).or_insert(i);
        }
        let endpoint_site =
            config.endpoints.iter().map(|e| sites.get(e.site.as_str()).copied().unwrap_or(SiteIndex(0))).collect();
        let mut policies = BTreeMap::new();
        for (name, preset) in Preset::ALL {
            let (rates, service) = (Rates::preset(preset), Service::preset(preset));
            let named = NamedRates { name: name.into(), rates, service, countries: Vec::new() };
            policies.insert(name.to_owned(), named);
        }
        for p in &config.policies {
            let countries = p.countries.iter().map(|c| country(c)).collect();
            let (rates, service) = (Rates::of(p), Service::of(p));
            policies.insert(p.name.clone(), NamedRates { name: p.name.as_str().into(), rates, service, countries });
        }
        let countries = |t: &Tenant| t.countries.iter().map(|c| country(c)).collect();
        let tenant_countries = config.tenants.iter().map(countries).collect();
        Self { config, endpoint_site, tenant_countries, names, policies }
    }

    /// The models a name stands for.
    pub fn models_named(&self, name: &str) -> Option<&[ModelIndex]> {
        self.names.get(name).map(Vec::as_slice)
    }

    /// Every name a client may write in `model`, sorted.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<&NamedRates> {
        self.policies.get(name)
    }

    /// The policy of a request: the one asked for if the tenant may ask for it, else the tenant's, else the gateway's.
    ///
    /// # Errors
    /// The policies that may be asked for, when the one asked for is not among them.
    pub fn policy_for<'a>(
        &'a self,
        tenant: Option<&Tenant>,
        asked: Option<&str>,
    ) -> Result<&'a NamedRates, Vec<&'a str>> {
        let own = tenant.and_then(|t| t.policy.as_deref()).unwrap_or(&self.config.gateway.policy);
        let allowed = |name: &str| {
            name == own
                || match tenant {
                    None => true,
                    Some(t) if t.allow_policies.is_empty() => Preset::ALL.iter().any(|(p, _)| *p == name),
                    Some(t) => t.allow_policies.iter().any(|p| p == name),
                }
        };
        let wanted = asked.unwrap_or(own);
        match self.policies.get(wanted) {
            Some(p) if allowed(wanted) => Ok(p),
            _ => Err(self.policies.keys().map(String::as_str).filter(|n| allowed(n)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let config = serde_json::json!({
            "sites": [
                {"name": "a", "operator": "o", "country": "DE", "latitude": 0, "longitude": 0},
                {"name": "b", "operator": "o", "country": "US", "latitude": 0, "longitude": 0}
            ],
            "models": [{"name": "small", "aliases": ["s"]}, {"name": "large"}],
            "virtual_models": [{"name": "auto", "models": ["large", "small"]}],
            "endpoints": [{"name": "b1", "site": "b", "url": "http://x", "models": [{"model": "small"}]}],
            "policies": [{"name": "eu", "countries": ["DE"], "preset": "batch"}]
        });
        Grid::new(serde_json::from_value(config).unwrap())
    }

    #[test]
    fn names_stand_for_models() {
        let g = grid();
        assert_eq!(g.models_named("s"), Some([ModelIndex(0)].as_slice()));
        assert_eq!(g.models_named("auto"), Some([1, 0].map(ModelIndex).as_slice()));
        assert_eq!(g.models_named("none"), None);
        assert_eq!(g.model_names().collect::<Vec<_>>(), ["auto", "large", "s", "small"]);
        assert_eq!(g.endpoint_site, [SiteIndex(1)]);
        assert_eq!(country("DE"), *b"DE");
    }

    #[test]
    fn a_tenant_asks_only_for_what_it_may() {
        let g = grid();
        let name = |t: Option<&Tenant>, asked| g.policy_for(t, asked).map(|p| &*p.name);
        let tenant = |policy: Option<&str>, allow: &[&str]| Tenant {
            name: "t".into(),
            keys: Vec::new(),
            policy: policy.map(Into::into),
            allow_policies: allow.iter().map(|&s| s.into()).collect(),
            models: Vec::new(),
            countries: Vec::new(),
            weight: 1.0,
            highest_priority: crate::config::Priority::Interactive,
            session_limits: crate::config::SessionLimits::default(),
        };
        assert_eq!(name(None, None), Ok("balanced"));
        assert_eq!(name(None, Some("eu")), Ok("eu"));
        assert_eq!(name(Some(&tenant(None, &[])), Some("batch")), Ok("batch"));
        assert_eq!(name(Some(&tenant(Some("eu"), &[])), None), Ok("eu"));
        assert_eq!(name(Some(&tenant(Some("eu"), &[])), Some("eu")), Ok("eu"));
        assert_eq!(name(Some(&tenant(None, &["eu"])), Some("batch")), Err(vec!["balanced", "eu"]));
        assert_eq!(name(Some(&tenant(None, &[])), Some("eu")).map_err(|e| e.len()), Err(6));
        assert_eq!(g.policy("eu").unwrap().countries, [*b"DE"]);
    }
}
