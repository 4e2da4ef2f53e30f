//! Names of the grid by index, and the header values made of them once.

use std::sync::Arc;

use http::HeaderValue;
use rhumb_grid::index::Grid;
use rhumb_route::explain::Names;

/// Names by index.
#[derive(Debug, Clone)]
pub struct NameTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Vec<(String, HeaderValue)>,
    sites: Vec<(String, HeaderValue)>,
    models: Vec<(String, HeaderValue)>,
}

impl NameTable {
    /// The names of a grid.
    pub fn new(grid: &Grid) -> Self {
        // Model names may hold what a header may not; the checked configuration keeps the others to visible ASCII.
        let header = |name: &str| {
            let visible: String = name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
            HeaderValue::try_from(visible).unwrap_or(HeaderValue::from_static("_"))
        };
        let table = |names: Vec<&String>| names.into_iter().map(|n| (n.clone(), header(n))).collect();
        let c = &grid.config;
        Self(Arc::new(Inner {
            endpoints: table(c.endpoints.iter().map(|e| &e.name).collect()),
            sites: table(c.sites.iter().map(|s| &s.name).collect()),
            models: table(c.models.iter().map(|m| &m.name).collect()),
        }))
    }

    pub(crate) fn headers(&self, endpoint: u32, site: u32, model: u32) -> [HeaderValue; 3] {
        let of = |t: &[(String, HeaderValue)], i: u32| t[i as usize].1.clone();
        [of(&self.0.endpoints, endpoint), of(&self.0.sites, site), of(&self.0.models, model)]
    }
}

fn name(table: &[(String, HeaderValue)], index: u32) -> &str {
    table.get(index as usize).map_or("?", |(name, _)| name)
}

impl Names for NameTable {
    fn endpoint(&self, index: u32) -> &str {
        name(&self.0.endpoints, index)
    }

    fn site(&self, index: u32) -> &str {
        name(&self.0.sites, index)
    }

    fn model(&self, index: u32) -> &str {
        name(&self.0.models, index)
    }
}
