//! Stage 4: guards look at a request that is accepted, before anything is sent anywhere. One that refuses it ends it, with a
//! row in the log.

use rhumb_api::ApiError;
use rhumb_flow::session::{Reached, Session};
use rhumb_grid::config::SessionLimits;
use rhumb_record::Outcome;
use rhumb_sessions::Begins;

use crate::auth::Caller;
use crate::epoch::ConfigEpoch;
use crate::quarantine;
use crate::request_headers::SESSION_LIMIT;

/// What a guard looks at.
pub(crate) struct Guarded<'a> {
    pub(crate) epoch: &'a ConfigEpoch,
    pub(crate) caller: &'a Caller,
    pub(crate) body: &'a [u8],
    /// What its session may come to.
    pub(crate) limits: SessionLimits,
    /// Its session, where it has one.
    pub(crate) session: Option<(u64, &'a str)>,
    /// Times in a row that it tells of the same call.
    pub(crate) repeats: u64,
}

/// Why a request is not sent, and how that is recorded.
pub(crate) type Refusal = Box<(Outcome, ApiError)>;

type Guard = fn(&Guarded<'_>) -> Result<(), Refusal>;

/// The guards, in the order in which they are asked. What the last lets through is a step of its session.
const GUARDS: [Guard; 2] = [quarantined, within_session];

/// Asks every guard.
///
/// # Errors
/// One refuses the request.
pub(crate) fn ask(guarded: &Guarded<'_>) -> Result<(), Refusal> {
    GUARDS.iter().try_for_each(|guard| guard(guarded))
}

/// Engines die of it.
fn quarantined(guarded: &Guarded<'_>) -> Result<(), Refusal> {
    let Guarded { epoch, caller, body, .. } = guarded;
    if quarantine::holds(epoch, body, caller.tenant) {
        return Err(Box::new((Outcome::Quarantined, ApiError::quarantined())));
    }
    Ok(())
}

/// Its session may go on.
fn within_session(guarded: &Guarded<'_>) -> Result<(), Refusal> {
    let Guarded { epoch, caller, limits, repeats, .. } = guarded;
    let (name, begun) = match guarded.session {
        Some((session, name)) => {
            let begins = Begins { session, name, tenant: &caller.tenant_name, limits, repeats: *repeats };
            (name, epoch.state.sessions.begin(&begins))
        }
        // A loop shows without it.
        None => {
            let limits = SessionLimits { max_repeats: limits.max_repeats, ..SessionLimits::default() };
            ("", Session::new(0).begin(&limits, *repeats, 0))
        }
    };
    begun.map_err(|reached| Box::new((Outcome::Limited, stopped(name, reached))))
}

/// A session is beyond a limit, as its client is told. To try again changes nothing.
fn stopped(name: &str, reached: Reached) -> ApiError {
    let name: String = name.chars().take(64).collect();
    let key = format!("`max_{}`", reached.name());
    let text = match reached {
        Reached::Repeats(n) => format!(
            "The conversation calls the same tools with the same arguments {n} times in a row, which is the limit ({key}): \
             the agent goes round in a loop."
        ),
        Reached::Steps(n) => format!(
            "The session `{name}` has made {n} requests, which is its limit ({key}): begin another, or have the limit raised."
        ),
        Reached::Tokens(n) => format!(
            "The session `{name}` has used {n} tokens, which is its limit ({key}): begin another, or have the limit raised."
        ),
        Reached::Usd(usd) => format!(
            "The session `{name}` has cost {usd} USD, which is its limit ({key}): begin another, or have the limit raised."
        ),
        Reached::Seconds(n) => format!(
            "The session `{name}` has lasted {n} s, which is its limit ({key}): begin another, or have the limit raised."
        ),
    };
    ApiError::forbidden("session_limit_reached", text).with_param(SESSION_LIMIT)
}
