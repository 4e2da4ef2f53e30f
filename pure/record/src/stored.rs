//! What is stored of a decision.

use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_route::decide::Choice;
use rhumb_route::facts::Facts;
use rhumb_route::record::Kept;
use serde::{Deserialize, Serialize};

/// A record is of a layout that this version does not know, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the decision log cannot be read by this version")]
pub struct Damaged;

/// What a request's own record says; the rows it was decided on are stored apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Tells the views of one run of the gateway from those of another.
    pub run: u64,
    /// Version of the view within that run.
    pub view: u64,
    /// The request.
    pub facts: Facts,
    /// The policy, router and seed.
    pub choice: Choice,
    /// The candidates kept.
    pub kept: Vec<Kept>,
    /// The decision's fingerprint.
    pub fingerprint: u64,
}

/// The names that indices stood for, because a configuration changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Index of the endpoint.
    pub endpoint: EndpointIndex,
    /// Its name.
    pub endpoint_name: String,
    /// Index of its site.
    pub site: SiteIndex,
    /// The site's name.
    pub site_name: String,
    /// Index of the model.
    pub model: ModelIndex,
    /// Its name.
    pub model_name: String,
}
