//! A session of the Realtime API: it has a place of an endpoint for as long as it lasts, and is passed on as it is.

use rhumb_api::Usage;
use rhumb_openai::realtime::usage;
use rhumb_record::Outcome;
use rhumb_server::tls::Wire;
use rhumb_upstream::Upgraded;
use rhumb_websocket::{Limits, SessionEnd, Side, relay};

use crate::request_record::RequestRecord;

/// A session that an endpoint has opened. Dropping it closes it there, and frees its place.
pub(crate) struct Session {
    engine: Side<Upgraded>,
    record: Box<RequestRecord>,
}

impl Session {
    pub(crate) fn new(engine: Side<Upgraded>, record: Box<RequestRecord>) -> Self {
        Self { engine, record }
    }

    /// Passes its messages on until it ends.
    pub(crate) async fn relay(self, client: Side<Wire>, limits: Limits, leave: impl Future<Output = ()>) {
        let Self { engine, mut record } = self;
        let mut used: Option<Usage> = None;
        let heard = |message: &str| {
            if let Some(of_response) = usage(message) {
                used = Some(sum(used.unwrap_or_default(), of_response));
            }
        };
        let end = relay(client, engine, limits, leave, heard).await;
        let outcome = match end {
            SessionEnd::Closed => Outcome::Complete,
            SessionEnd::ClientGone => Outcome::ClientGone,
            SessionEnd::Broken => {
                record.broke_off();
                Outcome::Broken
            }
        };
        // How fast it went says nothing of the endpoint: it waits for people.
        record.streamed(outcome, used, 0);
    }
}

/// What the responses of a session have used together.
fn sum(a: Usage, b: Usage) -> Usage {
    Usage {
        prompt_tokens: a.prompt_tokens.saturating_add(b.prompt_tokens),
        cached_tokens: a.cached_tokens.saturating_add(b.cached_tokens),
        output_tokens: a.output_tokens.saturating_add(b.output_tokens),
    }
}
