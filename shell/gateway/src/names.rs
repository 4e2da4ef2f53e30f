//! Names of the grid by index, and the header values made of them once.

use std::sync::Arc;

use http::HeaderValue;
use rhumb_grid::index::Grid;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_route::explain::Names;

/// Names by index, of one configuration.
#[derive(Debug)]
pub(crate) struct NameTable {
    /// Version of the configuration.
    config: String,
    /// Many configurations may differ in anything but these, and decisions are kept for a while after theirs.
    tables: Arc<Tables>,
}

#[derive(Debug, PartialEq, Eq)]
struct Tables {
    endpoints: Vec<(String, HeaderValue)>,
    sites: Vec<(String, HeaderValue)>,
    models: Vec<(String, HeaderValue)>,
}

impl NameTable {
    /// The names of a grid, and the version of its configuration, which came after that of `before`.
    pub(crate) fn new(grid: &Grid, config: String, before: Option<&Self>) -> Self {
        // Model names may hold what a header may not; the checked configuration keeps the others to visible ASCII.
        let header = |name: &str| {
            let visible: String = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
            HeaderValue::try_from(visible).unwrap_or(HeaderValue::from_static("_"))
        };
        let table = |names: Vec<&String>| names.into_iter().map(|n| (n.clone(), header(n))).collect();
        let c = &grid.config;
        let tables = Tables {
            endpoints: table(c.endpoints.iter().map(|e| &e.name).collect()),
            sites: table(c.sites.iter().map(|s| &s.name).collect()),
            models: table(c.models.iter().map(|m| &m.name).collect()),
        };
        let same = before.filter(|b| *b.tables == tables).map(|b| Arc::clone(&b.tables));
        Self { config, tables: same.unwrap_or_else(|| Arc::new(tables)) }
    }

    pub(crate) fn headers(&self, endpoint: EndpointIndex, site: SiteIndex, model: ModelIndex) -> [HeaderValue; 3] {
        let Tables { endpoints, sites, models } = &*self.tables;
        [&endpoints[endpoint], &sites[site], &models[model]].map(|(_, header)| header.clone())
    }
}

fn name(table: &[(String, HeaderValue)], index: usize) -> &str {
    table.get(index).map_or("?", |(name, _)| name)
}

impl Names for NameTable {
    fn config(&self) -> &str {
        &self.config
    }

    fn endpoint(&self, index: EndpointIndex) -> &str {
        name(&self.tables.endpoints, index.at())
    }

    fn site(&self, index: SiteIndex) -> &str {
        name(&self.tables.sites, index.at())
    }

    fn model(&self, index: ModelIndex) -> &str {
        name(&self.tables.models, index.at())
    }
}
