//! Requests that keep killing engines, told by what they say.

use rhumb_flow::quarantine::Quarantine;
use rhumb_grid::position::TenantIndex;

use crate::epoch::ConfigEpoch;
use crate::lock::lock;
use crate::request_headers::own_hash;

/// The request is not to be tried.
pub(crate) fn holds(epoch: &ConfigEpoch, body: &[u8], tenant: Option<TenantIndex>) -> bool {
    about(epoch, body, tenant, |quarantine, fingerprint| quarantine.holds(epoch.now_ms(), fingerprint))
}

/// An endpoint answered it.
pub(crate) fn cleared(epoch: &ConfigEpoch, body: &[u8], tenant: Option<TenantIndex>) {
    about(epoch, body, tenant, Quarantine::cleared);
}

/// Asks about a request. Its hash is taken only while any is suspected, so that it costs nothing else.
fn about<T: Default>(
    epoch: &ConfigEpoch,
    body: &[u8],
    tenant: Option<TenantIndex>,
    ask: impl FnOnce(&mut Quarantine, u64) -> T,
) -> T {
    if lock(&epoch.state.quarantine).is_empty() {
        return T::default();
    }
    let fingerprint = fingerprint(epoch, body, tenant);
    ask(&mut lock(&epoch.state.quarantine), fingerprint)
}

/// What the request is told by.
pub(crate) fn fingerprint(epoch: &ConfigEpoch, body: &[u8], tenant: Option<TenantIndex>) -> u64 {
    own_hash(body, epoch.numbers.tenant(tenant))
}
