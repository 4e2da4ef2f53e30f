//! Numbers that stay. Positions in the lists of a configuration change with it; what the gateway has learnt, counted and
//! promised under a name does not, and is kept by these instead.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rhumb_core::facts::Estimates;
use rhumb_flow::admission::{QueueClass, QueueClasses};
use rhumb_flow::hedge::Hedging;
use rhumb_grid::config::Endpoint;
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex, TenantIndex};
use rhumb_route::workload::WorkloadStats;

use crate::live::Live;

/// Numbers of one kind of thing, so that none is taken for that of another kind, nor for a position in a configuration.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(pub(crate) u32);

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                Self(number)
            }
        }
    };
}

number! {
    /// What an endpoint is called for as long as the gateway runs, whatever its position.
    EndpointNumber
}

number! {
    /// The same of a site.
    SiteNumber
}

number! {
    /// The same of a model.
    ModelNumber
}

number! {
    /// The same of a tenant.
    TenantNumber
}

number! {
    /// The same of the models that one name stands for.
    ClassNumber
}

impl EndpointNumber {
    /// As a place in a list by number.
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// Numbers by name, given in turn and never again for another name: whatever still holds one means the same by it.
#[derive(Debug)]
struct Register<K, N>(BTreeMap<K, N>);

impl<K, N> Default for Register<K, N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, N: Copy + From<u32>> Register<K, N> {
    fn number(&mut self, name: K) -> N {
        let next = N::from(self.0.len() as u32);
        *self.0.entry(name).or_insert(next)
    }

    fn numbers(&mut self, names: impl Iterator<Item = K>) -> Vec<N> {
        names.map(|name| self.number(name)).collect()
    }
}

/// An endpoint is the same as before when its name, its address and its kind of engine are.
type Identity = (String, String, u8);

fn identity(e: &Endpoint) -> Identity {
    (e.name.clone(), e.url.clone(), e.engine as u8)
}

/// Every name that a configuration of this gateway has had. It keeps what was learnt of an endpoint that is gone, so
/// that a change that is taken back finds it again: some hundred bytes for each.
#[derive(Default)]
pub(crate) struct Known {
    endpoints: Register<Identity, EndpointNumber>,
    sites: Register<String, SiteNumber>,
    models: Register<String, ModelNumber>,
    tenants: Register<String, TenantNumber>,
    /// By the numbers of the models that are wanted.
    queue_classes: Register<Vec<ModelNumber>, ClassNumber>,
    live: Vec<Arc<Live>>,
    estimates: BTreeMap<(u32, ModelNumber), Arc<Mutex<Estimates>>>,
    hedging: BTreeMap<ModelNumber, Arc<Mutex<Hedging>>>,
    workload: BTreeMap<ModelNumber, Arc<Mutex<WorkloadStats>>>,
}

/// The numbers of a configuration, by position, and back.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) endpoints: Vec<EndpointNumber>,
    pub(crate) sites: Vec<SiteNumber>,
    pub(crate) models: Vec<ModelNumber>,
    tenants: Vec<TenantNumber>,
    queue_classes: Vec<QueueClass>,
    endpoint_at: BTreeMap<EndpointNumber, EndpointIndex>,
    model_at: BTreeMap<ModelNumber, ModelIndex>,
}

/// Idle connections are kept by keys that are unique in the process, because several gateways may share it.
static POOL_KEYS: AtomicUsize = AtomicUsize::new(0);

impl Known {
    /// The numbers of a configuration and its queue classes, new ones for what is new.
    pub(crate) fn numbers(&mut self, grid: &Grid, queue_classes: &QueueClasses) -> Numbers {
        let c = &grid.config;
        let endpoints = self.endpoints.numbers(c.endpoints.iter().map(identity));
        self.live
            .resize_with(self.endpoints.0.len(), || Arc::new(Live::new(POOL_KEYS.fetch_add(1, Ordering::Relaxed))));
        let models = self.models.numbers(c.models.iter().map(|m| m.name.clone()));
        let mut by_class: Vec<(QueueClass, ClassNumber)> = queue_classes
            .iter()
            .map(|(wanted, queue_class)| {
                (queue_class, self.queue_classes.number(wanted.iter().map(|m| models[*m]).collect()))
            })
            .collect();
        by_class.sort_unstable();
        Numbers {
            endpoint_at: endpoints.iter().copied().zip(EndpointIndex::all()).collect(),
            model_at: models.iter().copied().zip(ModelIndex::all()).collect(),
            sites: self.sites.numbers(c.sites.iter().map(|s| s.name.clone())),
            tenants: self.tenants.numbers(c.tenants.iter().map(|t| t.name.clone())),
            queue_classes: by_class.into_iter().map(|(_, number)| number.0).collect(),
            endpoints,
            models,
        }
    }

    /// Endpoints by number.
    pub(crate) fn live(&self) -> &[Arc<Live>] {
        &self.live
    }

    /// What is expected of requests, by the numbers of tenant and model.
    pub(crate) fn estimates(&mut self, of: (u32, ModelNumber)) -> Arc<Mutex<Estimates>> {
        Arc::clone(self.estimates.entry(of).or_default())
    }

    /// When a second try is due for a model, and how many may be.
    pub(crate) fn hedging(&mut self, model: ModelNumber) -> Arc<Mutex<Hedging>> {
        Arc::clone(self.hedging.entry(model).or_default())
    }

    /// What the requests for a model are like.
    pub(crate) fn workload(&mut self, model: ModelNumber) -> Arc<Mutex<WorkloadStats>> {
        Arc::clone(self.workload.entry(model).or_default())
    }

    /// Queue classes that have a number.
    pub(crate) fn queue_classes(&self) -> usize {
        self.queue_classes.0.len()
    }
}

impl Numbers {
    /// The number of an endpoint.
    pub(crate) fn endpoint(&self, endpoint: EndpointIndex) -> EndpointNumber {
        self.endpoints[endpoint]
    }

    /// The endpoint with a number, if this configuration has it.
    pub(crate) fn endpoint_at(&self, number: EndpointNumber) -> Option<EndpointIndex> {
        self.endpoint_at.get(&number).copied()
    }

    /// The model with a number, if this configuration has it.
    pub(crate) fn model_at(&self, number: ModelNumber) -> Option<ModelIndex> {
        self.model_at.get(&number).copied()
    }

    /// A tenant's number, from 1; 0 is nobody's.
    pub(crate) fn tenant(&self, tenant: Option<TenantIndex>) -> u32 {
        tenant.map_or(0, |t| self.tenants[t].0 + 1)
    }

    /// A queue class of the configuration by its number.
    pub(crate) fn queue_class(&self, queue_class: QueueClass) -> QueueClass {
        self.queue_classes[queue_class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(endpoints: &[(&str, &str)], models: &[&str], tenants: &[&str]) -> Grid {
        let endpoint = |(name, url): &(&str, &str)| serde_json::json!({"name": name, "site": "s", "url": url, "models": [{"model": models[0]}]});
        let config = serde_json::json!({
            "sites": [{"name": "s", "operator": "o", "country": "DE", "latitude": 0, "longitude": 0}],
            "models": models.iter().map(|m| serde_json::json!({"name": m})).collect::<Vec<_>>(),
            "virtual_models": [{"name": "auto", "models": models}],
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "tenants": tenants.iter().map(|t| serde_json::json!({"name": t, "keys": [{"name": "k", "key": t}]})).collect::<Vec<_>>(),
        });
        Grid::new(serde_json::from_value(config).unwrap())
    }

    #[test]
    fn names_keep_their_numbers_wherever_they_stand() {
        let mut known = Known::default();
        let mut number = |g: &Grid| known.numbers(g, &QueueClasses::of(g));
        let first = number(&grid(&[("a", "http://a"), ("b", "http://b")], &["m", "n"], &["t", "u"]));
        let second = number(&grid(&[("c", "http://c"), ("b", "http://b"), ("a", "http://x")], &["n"], &["u"]));
        assert_eq!(first.endpoints, [0, 1].map(EndpointNumber));
        assert_eq!(second.endpoints, [2, 1, 3].map(EndpointNumber), "another address is another endpoint");
        assert_eq!(
            (second.endpoint_at(EndpointNumber(1)), second.endpoint_at(EndpointNumber(0))),
            (Some(EndpointIndex(1)), None)
        );
        assert_eq!(
            [first.model_at(ModelNumber(1)), second.model_at(ModelNumber(1))],
            [1, 0].map(|m| Some(ModelIndex(m)))
        );
        assert_eq!(
            (first.tenant(Some(TenantIndex(1))), second.tenant(Some(TenantIndex(0))), second.tenant(None)),
            (2, 2, 0)
        );
        // A model's queue class is the same one, and that of both models no one's any more.
        assert_eq!(second.queue_classes.iter().filter(|l| first.queue_classes.contains(l)).count(), 1);
        let back = number(&grid(&[("a", "http://a"), ("b", "http://b")], &["m", "n"], &["t", "u"]));
        assert_eq!((back.endpoints, back.queue_classes), (first.endpoints, first.queue_classes));
    }
}
