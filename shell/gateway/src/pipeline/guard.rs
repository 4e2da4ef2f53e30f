//! Stage 4: guards look at a request that is accepted, before anything is sent anywhere. One that refuses it ends it, with a
//! row in the log.

use rhumb_api::ApiError;
use rhumb_record::Outcome;

use crate::auth::Caller;
use crate::epoch::ConfigEpoch;
use crate::quarantine;

/// What a guard looks at.
pub(crate) struct Guarded<'a> {
    pub(crate) epoch: &'a ConfigEpoch,
    pub(crate) caller: &'a Caller,
    pub(crate) body: &'a [u8],
}

/// Why a request is not sent, and how that is recorded.
pub(crate) type Refusal = Box<(Outcome, ApiError)>;

type Guard = fn(&Guarded<'_>) -> Result<(), Refusal>;

/// The guards, in the order in which they are asked.
const GUARDS: [Guard; 1] = [quarantined];

/// Asks every guard.
///
/// # Errors
/// One refuses the request.
pub(crate) fn ask(guarded: &Guarded<'_>) -> Result<(), Refusal> {
    GUARDS.iter().try_for_each(|guard| guard(guarded))
}

/// Engines die of it.
fn quarantined(guarded: &Guarded<'_>) -> Result<(), Refusal> {
    let Guarded { epoch, caller, body } = guarded;
    if quarantine::holds(epoch, body, caller.tenant) {
        return Err(Box::new((Outcome::Quarantined, ApiError::quarantined())));
    }
    Ok(())
}
