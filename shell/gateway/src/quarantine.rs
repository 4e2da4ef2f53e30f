//! Requests that keep killing engines, told by what they say.

use rhumb_flow::quarantine::Quarantine;

use crate::live::lock;
use crate::request::own_hash;
use crate::shared::Shared;

/// The request is not to be tried.
pub(crate) fn holds(shared: &Shared, body: &[u8], tenant: Option<usize>) -> bool {
    about(shared, body, tenant, |quarantine, fingerprint| quarantine.holds(shared.now_ms(), fingerprint))
}

/// An endpoint has died of it lately.
pub(crate) fn suspects(shared: &Shared, body: &[u8], tenant: Option<usize>) -> bool {
    about(shared, body, tenant, |quarantine, fingerprint| quarantine.suspects(shared.now_ms(), fingerprint))
}

/// An endpoint answered it.
pub(crate) fn cleared(shared: &Shared, body: &[u8], tenant: Option<usize>) {
    about(shared, body, tenant, Quarantine::cleared);
}

/// Asks about a request. Its hash is taken only while any is suspected, so that it costs nothing else.
fn about<T: Default>(
    shared: &Shared,
    body: &[u8],
    tenant: Option<usize>,
    ask: impl FnOnce(&mut Quarantine, u64) -> T,
) -> T {
    if lock(&shared.lasting.quarantine).is_empty() {
        return T::default();
    }
    let fingerprint = own_hash(body, shared.numbers.tenant(tenant));
    ask(&mut lock(&shared.lasting.quarantine), fingerprint)
}

/// The endpoint died of it, as it looks; true when it is not to be tried any more.
pub(crate) fn struck(shared: &Shared, body: &[u8], tenant: Option<usize>, endpoint: u32) -> bool {
    let fingerprint = own_hash(body, shared.numbers.tenant(tenant));
    let held =
        lock(&shared.lasting.quarantine).struck(shared.now_ms(), fingerprint, shared.numbers.endpoint(endpoint).0);
    if held {
        tracing::warn!("a request is quarantined: engines break off while they read it");
    }
    held
}
