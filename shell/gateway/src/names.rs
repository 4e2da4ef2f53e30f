//! Names of the grid by index, and the header values made of them once.

use http::HeaderValue;
use rhumb_grid::index::Grid;
use rhumb_route::explain::Names;

/// Names by index, of one configuration.
#[derive(Debug)]
pub(crate) struct NameTable {
    /// Version of the configuration.
    config: String,
    endpoints: Vec<(String, HeaderValue)>,
    sites: Vec<(String, HeaderValue)>,
    models: Vec<(String, HeaderValue)>,
}

impl NameTable {
    /// The names of a grid, and the version of its configuration.
    pub(crate) fn new(grid: &Grid, config: String) -> Self {
        // Model names may hold what a header may not; the checked configuration keeps the others to visible ASCII.
        let header = |name: &str| {
            let visible: String = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
            HeaderValue::try_from(visible).unwrap_or(HeaderValue::from_static("_"))
        };
        let table = |names: Vec<&String>| names.into_iter().map(|n| (n.clone(), header(n))).collect();
        let c = &grid.config;
        Self {
            config,
            endpoints: table(c.endpoints.iter().map(|e| &e.name).collect()),
            sites: table(c.sites.iter().map(|s| &s.name).collect()),
            models: table(c.models.iter().map(|m| &m.name).collect()),
        }
    }

    pub(crate) fn headers(&self, endpoint: u32, site: u32, model: u32) -> [HeaderValue; 3] {
        let of = |t: &[(String, HeaderValue)], i: u32| t[i as usize].1.clone();
        [of(&self.endpoints, endpoint), of(&self.sites, site), of(&self.models, model)]
    }
}

fn name(table: &[(String, HeaderValue)], index: u32) -> &str {
    table.get(index as usize).map_or("?", |(name, _)| name)
}

impl Names for NameTable {
    fn config(&self) -> &str {
        &self.config
    }

    fn endpoint(&self, index: u32) -> &str {
        name(&self.endpoints, index)
    }

    fn site(&self, index: u32) -> &str {
        name(&self.sites, index)
    }

    fn model(&self, index: u32) -> &str {
        name(&self.models, index)
    }
}
