//! What a baseline sees: the same rows and predictions that bills are made from.

use rhumb_baselines::Candidate as Shown;
use rhumb_route::predict::Prediction;
use rhumb_route::row::{LocalLoad, Row};

/// A candidate as a baseline sees it.
#[must_use]
pub fn shown(row: &Row, local_load: &LocalLoad, p: &Prediction) -> Shown {
    Shown {
        endpoint: row.endpoint.0,
        rtt_ms: row.rtt_ms,
        running: p.running,
        waiting: p.waiting,
        seats: row.concurrency,
        uncached_tokens: p.uncached_tokens,
        cached_tokens: p.cached_tokens,
        backlog_tokens: local_load.backlog_tokens,
        prefill_ms: row.prefill_ms * row.ttft_correction,
        pace_ms: p.pace_ms,
        queue_ms: p.queue_ms,
        ttft_ms: p.ttft_p50_ms,
    }
}
