//! Rows of the log, as a store takes them: complete in themselves.

use std::sync::Arc;

use rhumb_grid::position::{EndpointIndex, ModelIndex};
use rhumb_record::{Named, Outcome, Stored, encode_record, encode_row};

use crate::entry::{Ended, Intent};

/// View, endpoint, model: what a stored row of a view is found by, within a run.
pub(crate) type ViewKey = (u64, EndpointIndex, ModelIndex);

/// A request's row, complete in itself: it holds no view.
pub(crate) struct RequestRow {
    pub(crate) id: u64,
    pub(crate) at_unix_ms: u64,
    pub(crate) tenant: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) api: &'static str,
    pub(crate) model: String,
    pub(crate) policy: Arc<str>,
    /// Version of the view it was decided on.
    pub(crate) view: u64,
    /// Version of the configuration.
    pub(crate) config: String,
    /// Names of the site, the endpoint and the model that served it; empty where none did.
    pub(crate) served: [String; 3],
    pub(crate) end: Ended,
    /// A row that says it is running has been handed over before.
    pub(crate) was_running: bool,
    pub(crate) record: Vec<u8>,
}

/// One candidate's row of a view.
pub(crate) struct ViewRow {
    pub(crate) key: ViewKey,
    pub(crate) row: Vec<u8>,
}

impl Ended {
    /// What stands in the place of an end that has not come.
    fn not_yet(id: u64) -> Self {
        Self {
            id,
            outcome: Outcome::Running,
            status: 0,
            attempts: 0,
            served: None,
            prompt_tokens: 0,
            cached_tokens: 0,
            completion_tokens: 0,
            estimated: true,
            usd: 0.0,
            ttft_ms: None,
            total_ms: 0.0,
        }
    }
}

impl RequestRow {
    /// The row of a decision whose request runs.
    pub(crate) fn running(run: u64, intent: &Intent) -> Self {
        Self::new(run, intent, Ended::not_yet(intent.id), false)
    }

    /// The row of a request that has ended.
    pub(crate) fn new(run: u64, i: &Intent, end: Ended, was_running: bool) -> Self {
        let record = encode_record(Stored {
            run,
            view: i.view.version,
            facts: i.facts.clone(),
            choice: i.choice,
            kept: i.kept.clone(),
            fingerprint: i.fingerprint,
        });
        let served = end.served.map(|(endpoint, model)| {
            let site = i.view.rows(model).iter().find(|r| r.endpoint == endpoint).map(|r| i.names.site(r.site));
            [site.unwrap_or_default(), i.names.endpoint(endpoint), i.names.model(model)].map(str::to_owned)
        });
        Self {
            id: i.id,
            at_unix_ms: i.at_unix_ms,
            tenant: Arc::clone(&i.tenant),
            key: Arc::clone(&i.key),
            api: i.api,
            model: i.model.clone(),
            policy: Arc::clone(&i.policy),
            view: i.view.version,
            config: i.names.config().to_owned(),
            served: served.unwrap_or_default(),
            end,
            was_running,
            record,
        }
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.model.len()
            + self.config.len()
            + self.served.iter().map(String::len).sum::<usize>()
            + self.record.len()
    }
}

impl ViewRow {
    /// The row of a candidate that a decision kept; none if the view has it not.
    pub(crate) fn of(i: &Intent, (_, endpoint, model): ViewKey) -> Option<Self> {
        let row = i.view.rows(model).iter().find(|r| r.endpoint == endpoint)?;
        let names = Named {
            endpoint: row.endpoint,
            endpoint_name: i.names.endpoint(row.endpoint).into(),
            site: row.site,
            site_name: i.names.site(row.site).into(),
            model: row.model,
            model_name: i.names.model(row.model).into(),
        };
        Some(Self { key: (i.view.version, endpoint, model), row: encode_row(*row, &names) })
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.row.len()
    }
}

/// Rows that are written together or not at all.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) views: Vec<ViewRow>,
    /// Rows of requests that run.
    pub(crate) running: Vec<RequestRow>,
    /// Rows of requests that have ended.
    pub(crate) ended: Vec<RequestRow>,
}

/// Decisions from this time on are made on this view or on later ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViewNote {
    pub(crate) at_unix_ms: u64,
    pub(crate) view: u64,
}
