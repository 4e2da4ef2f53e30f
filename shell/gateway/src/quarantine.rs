//! Requests that keep killing engines, told by what they say.

use rhumb_flow::quarantine::Quarantine;

use crate::live::lock;
use crate::request::own_hash;
use crate::shared::Shared;

/// The request is not to be tried.
pub(crate) fn holds(shared: &Shared, body: &[u8], tenant: Option<usize>) -> bool {
    about(shared, body, tenant, |quarantine, fingerprint| quarantine.holds(shared.now_ms(), fingerprint))
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
    let fingerprint = fingerprint(shared, body, tenant);
    ask(&mut lock(&shared.lasting.quarantine), fingerprint)
}

/// What the request is told by.
pub(crate) fn fingerprint(shared: &Shared, body: &[u8], tenant: Option<usize>) -> u64 {
    own_hash(body, shared.numbers.tenant(tenant))
}
