//! Whether the gateway lives, and whether it may be sent requests.

use http::{Response, StatusCode};
use rhumb_route::row::CandidateHealth;

use crate::answer::text;
use crate::body::Answer;
use crate::epoch::ConfigEpoch;

/// Whether it lives, and whether it may be sent requests.
pub(crate) fn health(epoch: &ConfigEpoch, path: &str) -> Response<Answer> {
    if path == "/health/live" { text("text/plain", "live\n".into()) } else { ready(epoch) }
}

/// Ready while any endpoint is not known to be unhealthy and the gateway's own background tasks run.
fn ready(epoch: &ConfigEpoch) -> Response<Answer> {
    let (of_endpoints, own): (Vec<_>, Vec<_>) =
        epoch.state.tasks.down().into_iter().partition(|kind| TASKS_OF_ENDPOINTS.contains(kind));
    let down =
        |kinds: &[&str]| format!("background tasks that have failed and are started again: {}\n", kinds.join(", "));
    let is_any_well = epoch.view.load().rows.iter().any(|r| r.health == CandidateHealth::Healthy);
    let said = match (is_any_well, own.is_empty(), of_endpoints.is_empty()) {
        (true, true, true) => return text("text/plain", "ready\n".into()),
        // What one endpoint makes fail takes the gateway from nobody.
        (true, true, false) => return text("text/plain", format!("ready; {}", down(&of_endpoints)).into()),
        (_, false, _) => down(&own),
        (false, true, _) => "every endpoint is unhealthy\n".to_owned(),
    };
    let mut response = text("text/plain", said.into());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Background tasks that there is one of for each endpoint, or name of one.
const TASKS_OF_ENDPOINTS: [&str; 4] = ["canary", "name", "probe", "scrape"];
