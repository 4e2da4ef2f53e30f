//! A report as one self-contained page.

use crate::report::Report;

/// The page.
pub(crate) fn page(report: &Report) -> String {
    format!("<!doctype html><pre>{}</pre>", report.terminal())
}
