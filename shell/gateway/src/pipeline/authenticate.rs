//! Stage 1: whose request it is, and what its head asks for.

use http::{HeaderMap, HeaderValue, header};
use rhumb_api::ApiError;
use rhumb_grid::config::Tenant;
use rhumb_grid::index::NamedRates;

use crate::auth::Caller;
use crate::epoch::ConfigEpoch;
use crate::inflate::{Coding, coding};
use crate::request_headers::{RequestHeaders, asked};

/// A head that is understood, with the policy that the request gets.
pub(crate) struct Head<'a> {
    pub(crate) caller: Caller,
    pub(crate) headers: RequestHeaders,
    pub(crate) policy: &'a NamedRates,
    /// How its body is encoded.
    pub(crate) coding: Option<Coding>,
    /// Its body is a form of this type.
    pub(crate) form: Option<HeaderValue>,
}

impl<'a> Head<'a> {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// There is no valid key, a header cannot be read, or the tenant may not have the policy.
    pub(crate) fn read(epoch: &'a ConfigEpoch, headers: &HeaderMap) -> Result<Self, ApiError> {
        let caller = caller(epoch, headers)?;
        let coding = coding(headers)?;
        let is_form =
            |kind: &&HeaderValue| kind.as_bytes().get(..10).is_some_and(|k| k.eq_ignore_ascii_case(b"multipart/"));
        let form = headers.get(header::CONTENT_TYPE).filter(is_form).cloned();
        let location = epoch.grid.config.gateway.location;
        let headers = asked(headers, epoch.numbers.tenant(caller.tenant), location)?;
        let tenant = caller.tenant.map(|t| &epoch.grid.config.tenants[t]);
        let policy = epoch.grid.policy_for(tenant, headers.policy.as_deref()).map_err(|allowed| {
            let text = format!("`x-rhumb-policy` must be one of: {}.", allowed.join(", "));
            ApiError::invalid(text).with_param("x-rhumb-policy")
        })?;
        Ok(Self { caller, headers, policy, coding, form })
    }

    /// The head of a line of a batch.
    ///
    /// # Errors
    /// The tenant's policy is not there any more.
    pub(crate) fn of_batch(epoch: &'a ConfigEpoch, caller: Caller) -> Result<Self, ApiError> {
        let tenant = caller.tenant.map(|t| &epoch.grid.config.tenants[t]);
        let policy = epoch.grid.policy_for(tenant, None).map_err(|_| ApiError::unauthorized())?;
        Ok(Self { caller, headers: RequestHeaders::of_batch(), policy, coding: None, form: None })
    }

    /// The tenant, where any are configured.
    pub(crate) fn tenant<'e>(&self, epoch: &'e ConfigEpoch) -> Option<&'e Tenant> {
        self.caller.tenant.map(|t| &epoch.grid.config.tenants[t])
    }
}

/// Whose key a head carries.
///
/// # Errors
/// None, or none that is known.
pub(crate) fn caller(epoch: &ConfigEpoch, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let caller = match headers.get(header::AUTHORIZATION) {
        Some(authorization) => epoch.keys.caller(Some(authorization.as_bytes())),
        None => {
            // Some clients have a header for the key alone.
            let key = ["x-api-key", "api-key"].iter().find_map(|name| headers.get(*name));
            epoch.keys.caller(key.map(|key| [b"Bearer ", key.as_bytes()].concat()).as_deref())
        }
    };
    caller.ok_or_else(ApiError::unauthorized)
}
