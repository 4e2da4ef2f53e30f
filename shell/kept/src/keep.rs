//! How one response is kept.

use std::sync::Arc;

use rhumb_responses::kept::{Wanted, status, unkept};
use rhumb_store::responses::{KeptResponse, ResponseStore, Unavailable};

use crate::Recalled;

/// A response as it is kept.
#[derive(Clone)]
pub struct Keep {
    store: ResponseStore,
    tenant: Arc<str>,
    id: String,
    created_s: u64,
    wanted: Wanted,
}

impl Keep {
    pub(crate) fn new(store: &ResponseStore, tenant: &Arc<str>, created_s: u64, recalled: &Recalled) -> Self {
        let (id, wanted) = (recalled.id.clone(), recalled.wanted.clone());
        Self { store: store.clone(), tenant: Arc::clone(tenant), id, created_s, wanted }
    }

    /// Its identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Keeps the response in a state, as JSON, with the events that it was told by.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) async fn put(&self, object: &str, events: Option<Vec<u8>>) -> Result<(), Unavailable> {
        let response = KeptResponse {
            id: self.id.clone(),
            tenant: self.tenant.to_string(),
            previous: self.wanted.previous.clone(),
            conversation: self.wanted.conversation.clone(),
            created_s: self.created_s,
            status: status(object),
            input: self.wanted.input.to_string(),
            object: object.to_owned(),
            events,
        };
        self.store.keep(response).await
    }

    /// Keeps the response at its end. Where that cannot be, its client gets it all the same, and is told by what it says of
    /// itself: the response as it says so.
    pub async fn end(&self, object: &str) -> Option<String> {
        let why = self.put(object, None).await.err()?;
        tracing::error!("response `{}`: {why}", self.id);
        Some(unkept(object))
    }
}
