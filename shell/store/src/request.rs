//! A row of the log on its way to the disk.

use std::sync::Arc;

use rhumb_route::explain::Names;

use crate::entry::{Ended, Intent, Named, Outcome, StoredRecord, StoredRow};
use crate::error::StoreError;

/// First byte of a stored record: which layout follows.
const LAYOUT: u8 = 4;

/// The layout before, which is still read: its facts knew one length of a prompt.
const LAYOUT_BEFORE: u8 = 3;

/// View, endpoint, model: what a stored row of a view is found by, within a run.
pub(crate) type ViewKey = (u64, u32, u32);

/// A request's row, complete in itself: it holds no view.
pub(crate) struct RequestRow {
    pub(crate) id: u64,
    pub(crate) at_unix_ms: u64,
    pub(crate) tenant: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) api: &'static str,
    pub(crate) model: String,
    pub(crate) policy: Arc<str>,
    pub(crate) names: Arc<dyn Names + Send + Sync>,
    /// Version of the view it was decided on.
    pub(crate) view: u64,
    /// The site that served it.
    pub(crate) site: Option<u32>,
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
        // The fields of a `StoredRecord` in their order, which postcard writes like the struct, without copying them.
        let record = encode(&(run, i.view.version, &i.facts, i.choice, &i.kept, i.fingerprint));
        let site = end
            .served
            .and_then(|(endpoint, model)| i.view.rows(model).iter().find(|r| r.endpoint == endpoint).map(|r| r.site));
        Self {
            id: i.id,
            at_unix_ms: i.at_unix_ms,
            tenant: Arc::clone(&i.tenant),
            key: Arc::clone(&i.key),
            api: i.api,
            model: i.model.clone(),
            policy: Arc::clone(&i.policy),
            names: Arc::clone(&i.names),
            view: i.view.version,
            site,
            end,
            was_running,
            record,
        }
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.model.len() + self.record.len()
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
        Some(Self { key: (i.view.version, endpoint, model), row: encode(&StoredRow { row: *row, names }) })
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.row.len()
    }
}

fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    // A vector takes whatever is written to it.
    postcard::to_extend(value, vec![LAYOUT]).unwrap_or_default()
}

/// What a request's own record says, in the layout of this version or of the one before.
pub(crate) fn decode_record(blob: &[u8]) -> Result<StoredRecord, StoreError> {
    let record = match blob.split_first() {
        Some((&LAYOUT, body)) => postcard::from_bytes(body),
        Some((&LAYOUT_BEFORE, body)) => postcard::from_bytes(body).map(StoredRecord::from_before),
        _ => return Err(StoreError::Layout),
    };
    record.map_err(|_| StoreError::Layout)
}

/// What a row of a view says: both layouts write it alike.
pub(crate) fn decode_row(blob: &[u8]) -> Result<StoredRow, StoreError> {
    match blob.split_first() {
        Some((&(LAYOUT | LAYOUT_BEFORE), body)) => postcard::from_bytes(body).map_err(|_| StoreError::Layout),
        _ => Err(StoreError::Layout),
    }
}
