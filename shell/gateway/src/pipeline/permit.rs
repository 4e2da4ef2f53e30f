//! Stage 3: what the policy and the tenant permit, held against what the body asks for.

use rhumb_api::{ApiError, Request};
use rhumb_grid::config::Priority;
use rhumb_grid::position::ModelIndex;
use rhumb_grid::service::Service;
use rhumb_grid::tasks::Tasks;
use rhumb_openai::request::{Api, Scan};

use crate::epoch::ConfigEpoch;
use crate::load_shedding::LoadShed;
use crate::pipeline::authenticate::Head;
use crate::routing;

/// What a request may have.
pub(crate) struct Permitted {
    /// The models that may serve it.
    pub(crate) models: Vec<ModelIndex>,
    pub(crate) priority: Priority,
}

/// Permits a request, or says why not.
///
/// # Errors
/// It asks for more than its policy allows, for a model or a priority that its tenant may not have, or the gateway takes none
/// of its priority now.
pub(crate) fn permit(epoch: &ConfigEpoch, api: Api, head: &Head<'_>, scan: &Scan) -> Result<Permitted, ApiError> {
    let service = &head.policy.service;
    within_limits(api, service, &scan.request)?;
    let models = routing::models(epoch, &head.caller, &scan.request.model)?;
    let priority = head.headers.priority(service, head.tenant(epoch), scan.request.tier)?;
    if !epoch.state.limits.level().takes(priority) {
        return Err(epoch.state.limits.turn_away(LoadShed::Priority(priority)));
    }
    Ok(Permitted { models, priority })
}

/// What would multiply the work of one request is limited before anything is sent anywhere.
pub(crate) fn within_limits(api: Api, service: &Service, request: &Request) -> Result<(), ApiError> {
    let refuse = |field: &str, most: u64| {
        let text = format!("`{field}` may be at most {most} under this policy.");
        Err(ApiError::invalid(text).with_param(field))
    };
    if !api.generates() {
        // Images are made one by one; of what else is no text there is one answer.
        let is_many = api.tasks() == Tasks::IMAGES && request.n > service.max_choices;
        return if is_many { refuse("n", service.max_choices) } else { Ok(()) };
    }
    if request.n > service.max_choices {
        return refuse("n", service.max_choices);
    }
    if request.sequences() > service.max_sequences {
        let most = service.max_sequences;
        let text = format!("`prompt` asks for {} answers: at most {most} under this policy.", request.sequences());
        return Err(ApiError::invalid(text).with_param("prompt"));
    }
    match (service.max_answer_tokens, request.longest_answer) {
        (Some(most), Some((field, asked))) if asked > most => refuse(field, most),
        _ => Ok(()),
    }
}
