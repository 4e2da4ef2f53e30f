//! What a connection goes on with after it has opened a WebSocket.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, header};
use hyper::body::Incoming;
use rhumb_api::ApiError;

use crate::cors;
use crate::epoch::ConfigEpoch;
use crate::session::Session;

/// What the answer that opens a WebSocket carries to its connection.
#[derive(Clone)]
pub(crate) enum Opened {
    /// Responses are asked for, with the head of the handshake.
    Responses(Arc<HeaderMap>),
    /// A session with an engine, until the connection takes it.
    Session(Arc<Mutex<Option<Box<Session>>>>),
}

impl Opened {
    pub(crate) fn session(session: Box<Session>) -> Self {
        Self::Session(Arc::new(Mutex::new(Some(session))))
    }
}

/// A browser asks nobody before it opens a socket to another origin: the gateway has to.
///
/// # Errors
/// A page of an origin asks that may not.
pub(crate) fn from_own_page(epoch: &ConfigEpoch, request: &Request<Incoming>) -> Result<(), ApiError> {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) && cors::origin(&epoch.grid.config.gateway, headers).is_none() {
        let text =
            "Pages of this origin may not open a WebSocket: the operator can list it under `gateway.cors_origins`.";
        return Err(ApiError::forbidden("origin_not_allowed", text));
    }
    Ok(())
}
