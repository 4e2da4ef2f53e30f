//! Figures of a report, found by their path.

use serde_json::Value;

/// The figure at a path such as `ttft_ms.p95`.
pub(crate) fn figure(report: &Value, path: &str) -> Option<f64> {
    path.split('.').try_fold(report, |at, key| at.get(key))?.as_f64()
}

/// Whether a path names a figure.
pub(crate) fn is_figure(report: &Value, path: &str) -> bool {
    path.split('.').try_fold(report, |at, key| at.get(key)).is_some_and(|v| !v.is_object())
}

/// Whether a figure keeps to its limits.
pub(crate) fn within(value: f64, at_least: Option<f64>, at_most: Option<f64>) -> bool {
    at_most.is_none_or(|limit| value <= limit) && at_least.is_none_or(|limit| value >= limit)
}
