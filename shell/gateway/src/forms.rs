//! A request in the forms in which endpoints take it: put in chat completions, which all engines speak, and as its client wrote it.

use bytes::Bytes;
use rhumb_api::ApiError;
use rhumb_grid::dialects::Dialects;
use rhumb_grid::position::ModelIndex;
use rhumb_grid::steering::STEERING;
use rhumb_json::Limits;
use rhumb_kept::Recalled;
use rhumb_openai::request::{Api, Scan, scan};
use rhumb_passing::refers_to_kept;
use rhumb_responses::passing::needs_keeping;

use crate::epoch::ConfigEpoch;
use crate::operation::Operation;
use crate::resource_limits::Held;
use crate::translation::{Translated, translate};

/// A body with what was read of it.
pub(crate) struct Form {
    pub(crate) api: Api,
    pub(crate) body: Bytes,
    pub(crate) scan: Scan,
}

impl Form {
    /// The client's own, in a dialect that some endpoint of this grid speaks.
    fn own(epoch: &ConfigEpoch, operation: Operation, body: &Bytes) -> Option<Self> {
        let api = operation.own_api().filter(|api| epoch.upstreams.iter().any(|u| u.speaks.has(api.dialect())))?;
        if refers_to_kept(body) || api == Api::Responses && needs_keeping(body) {
            return None;
        }
        let scan = scan(api, body, Limits::default(), STEERING).ok()?;
        Some(Self { api, body: body.clone(), scan })
    }

    /// One of these models is served where it can go.
    fn is_spoken(&self, epoch: &ConfigEpoch, models: &[ModelIndex]) -> bool {
        let dialect = self.api.dialect();
        epoch.upstreams.iter().any(|u| u.speaks.has(dialect) && models.iter().any(|m| u.served_as[*m].is_some()))
    }
}

/// A request, translated as far as it has to be and can be.
pub(crate) struct Forms {
    /// What is decided by, and what endpoints get that do not get the other: a translation, unless there can be none.
    pub(crate) translated: Translated,
    /// As its client wrote it, for those that speak its dialect.
    pub(crate) own: Option<Form>,
}

impl Forms {
    /// Puts a request in them. What is kept between requests is known to this gateway alone, so what builds on it is translated.
    ///
    /// # Errors
    /// It cannot be read, or says what no endpoint of its model understands.
    pub(crate) fn new(
        epoch: &ConfigEpoch,
        operation: Operation,
        body: Bytes,
        recalled: Option<&Recalled>,
        held: &mut Held<'_>,
    ) -> Result<Self, ApiError> {
        let own = recalled.is_none().then(|| Form::own(epoch, operation, &body)).flatten();
        match (translate(operation, body, recalled, held), own) {
            (Ok(translated), own) => Ok(Self { translated, own }),
            (Err(error), Some(own)) => {
                let models = epoch.grid.models_named(&own.scan.request.model).unwrap_or_default();
                if !own.is_spoken(epoch, models) {
                    return Err(error);
                }
                Ok(Self { translated: Translated::not_at_all(own.body.clone(), own.api), own: None })
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The dialects that an endpoint may speak to get it.
    pub(crate) fn dialects(&self) -> Dialects {
        let dialects = Dialects::of(self.translated.api.dialect());
        self.own.as_ref().map_or(dialects, |own| dialects.with(own.api.dialect()))
    }
}
