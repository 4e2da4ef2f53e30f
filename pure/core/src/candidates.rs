//! Ranked targets as admission sees them.

use rhumb_flow::admission::Candidate;
use rhumb_grid::position::EndpointIndex;
use rhumb_route::decide::Target;

/// Targets as candidates for admission, given the number that admission knows the endpoint of each by and how many of
/// this gateway's requests are in flight there.
pub fn candidates<'a>(
    targets: &'a [Target],
    number: impl Fn(EndpointIndex) -> u32 + Clone + 'a,
    in_flight: impl Fn(EndpointIndex) -> f64 + Clone + 'a,
) -> impl Iterator<Item = Candidate> + Clone + 'a {
    targets.iter().map(move |t| Candidate {
        endpoint: number(t.endpoint),
        in_flight: in_flight(t.endpoint),
        queue_ms: t.predicted.queue_ms,
        crowd_ms: t.predicted.crowd_ms,
        prefill_ms: t.predicted.prefill_ms,
        ttft_ms: t.predicted.ttft_p95_ms - t.predicted.queue_ms,
    })
}

/// The time to first token to be expected of the first target apart from the wait, ms: the queue is what is waited for.
#[must_use]
pub fn unqueued_ttft_ms(targets: &[Target]) -> f64 {
    targets.first().map_or(0.0, |t| t.predicted.ttft_p50_ms - t.predicted.queue_ms)
}
