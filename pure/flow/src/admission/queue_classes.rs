//! The queue classes of a grid.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use rhumb_grid::config::Endpoint;
use rhumb_grid::index::Grid;
use rhumb_grid::position::ModelIndex;

use super::{Admission, QueueClass};
use crate::window::Window;

/// Which queue class the requests for a set of models wait in.
#[derive(Debug, Clone, Default)]
pub struct QueueClasses(BTreeMap<Vec<ModelIndex>, QueueClass>);

impl QueueClasses {
    /// One queue class for each model and each virtual model of a grid; an alias shares its model's.
    #[must_use]
    pub fn of(grid: &Grid) -> Self {
        let mut queue_classes = BTreeMap::new();
        for models in grid.model_names().filter_map(|name| grid.models_named(name)) {
            let next = queue_classes.len() as QueueClass;
            queue_classes.entry(models.to_vec()).or_insert(next);
        }
        Self(queue_classes)
    }

    /// The queue class of the models that one name stands for.
    #[must_use]
    pub fn queue_class(&self, models: &[ModelIndex]) -> Option<QueueClass> {
        self.0.get(models).copied()
    }

    /// The queue classes, each with the models it is for.
    pub fn iter(&self) -> impl Iterator<Item = (&[ModelIndex], QueueClass)> {
        self.0.iter().map(|(models, queue_class)| (models.as_slice(), *queue_class))
    }

    /// For each endpoint of the grid, the queue classes it serves.
    #[must_use]
    pub fn served(&self, grid: &Grid) -> Vec<Vec<QueueClass>> {
        let models: BTreeMap<&str, ModelIndex> =
            grid.config.models.iter().map(|m| m.name.as_str()).zip(ModelIndex::all()).collect();
        let served = |e: &Endpoint| {
            let own: Vec<ModelIndex> = e.models.iter().filter_map(|s| models.get(s.model.as_str()).copied()).collect();
            let serves = |wanted: &[ModelIndex]| wanted.iter().any(|m| own.contains(m));
            self.0.iter().filter(|(wanted, _)| serves(wanted)).map(|(_, queue_class)| *queue_class).collect()
        };
        grid.config.endpoints.iter().map(served).collect()
    }
}

/// Requests that an endpoint is stated to run at once; without end where nothing is held.
#[must_use]
pub fn stated(grid: &Grid, endpoint: &Endpoint) -> f64 {
    if grid.config.gateway.hold { f64::from(endpoint.max_concurrency) } else { f64::INFINITY }
}

impl Admission {
    /// Admission to the endpoints of a grid.
    #[must_use]
    pub fn over(grid: &Grid, queue_classes: &QueueClasses) -> Self {
        let gateway = &grid.config.gateway;
        let windows: Vec<Window> = grid.config.endpoints.iter().map(|e| Window::new(stated(grid, e))).collect();
        Self::new(windows, queue_classes.served(grid), queue_classes.0.len(), gateway.max_queue as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_virtual_models_have_lanes_and_aliases_share_them() {
        let site =
            |n: &str| serde_json::json!({"name": n, "operator": "o", "country": "DE", "latitude": 0, "longitude": 0});
        let endpoint = |n: &str, models: &[&str]| {
            let models: Vec<_> = models.iter().map(|m| serde_json::json!({"model": m})).collect();
            serde_json::json!({"name": n, "site": "a", "url": "http://x", "models": models})
        };
        let grid = Grid::new(
            serde_json::from_value(serde_json::json!({
                "sites": [site("a")],
                "models": [{"name": "small", "aliases": ["s"]}, {"name": "large"}],
                "virtual_models": [{"name": "auto", "models": ["large", "small"]}],
                "endpoints": [endpoint("one", &["small"]), endpoint("two", &["small", "large"]), endpoint("three", &["large"])],
            }))
            .unwrap(),
        );
        let queue_classes = QueueClasses::of(&grid);
        let named = |name: &str| queue_classes.queue_class(grid.models_named(name).unwrap()).unwrap();
        assert_eq!((queue_classes.0.len(), named("s")), (3, named("small")));
        let mut served = queue_classes.served(&grid);
        served.iter_mut().for_each(|l| l.sort_unstable());
        let sorted = |names: &[&str]| {
            let mut l: Vec<QueueClass> = names.iter().map(|n| named(n)).collect();
            l.sort_unstable();
            l
        };
        assert_eq!(
            served,
            [sorted(&["small", "auto"]), sorted(&["small", "large", "auto"]), sorted(&["large", "auto"])]
        );
        assert_eq!(queue_classes.queue_class(&[ModelIndex(9)]), None);
    }
}
