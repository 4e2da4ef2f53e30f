//! WebSockets of clients: the handshake; responses, whose requests come in lanes; sessions that are passed on to an engine. Where a
//! response is made is not known here.

mod handshake;
mod lanes;
mod metered;
mod relay;
mod socket;

use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use rhumb_api::ApiError;
use rhumb_responses::socket::Create;

pub use self::handshake::{accept, asking, is_asked};
pub use self::metered::Room;
pub use self::relay::{SessionEnd, Side, relay};
pub use self::socket::{Limits, serve};

/// The event stream of a response, as pieces of it come.
pub type Events = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Bytes>> + Send>;

/// Who makes the responses that are asked for over one socket.
pub trait Responder: Clone + Send + Sync + 'static {
    /// Has one made. Dropping what is returned calls it off.
    ///
    /// # Errors
    /// The request is refused.
    fn respond(&self, create: Create) -> impl Future<Output = Result<Made, ApiError>> + Send;
}

/// A response on its way.
pub struct Made {
    /// Its events.
    pub events: Events,
    /// Hears the response, as JSON, when it has ended.
    pub ended: Box<dyn FnOnce(&str) + Send>,
}
