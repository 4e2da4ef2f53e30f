//! Who is drawn, in which order and how.

use serde_json::Value;

use crate::plots::Plots;
use crate::report::Report;
use crate::scenario::RouterName;

/// A router as pictures know it.
pub(super) struct Router<'a> {
    pub(super) name: &'a str,
    /// Style class: colour and dash pattern, the same in every picture of every page.
    pub(super) class: String,
    /// Identity of its box.
    pub(super) box_id: String,
    pub(super) figures: &'a Value,
    pub(super) ci95: Option<&'a Value>,
    pub(super) plots: Option<&'a Plots>,
}

impl Router<'_> {
    /// A figure of it that is a finite number.
    pub(super) fn figure(&self, path: &str) -> Option<f64> {
        crate::figure::figure(self.figures, path).filter(|v| v.is_finite())
    }

    /// Half the width of the confidence interval of a figure.
    pub(super) fn half(&self, path: &str) -> Option<f64> {
        self.ci95.and_then(|ci| crate::figure::figure(ci, path)).filter(|v| v.is_finite())
    }
}

/// The routers of a report, rhumb first.
pub(super) fn routers(report: &Report) -> Vec<Router<'_>> {
    let mut out: Vec<Router> = report
        .routers
        .iter()
        .enumerate()
        .map(|(i, (name, figures))| Router {
            name,
            class: class(name),
            box_id: format!("show-{i}"),
            figures,
            ci95: report.ci95.get(name),
            plots: report.plots.get(name),
        })
        .collect();
    out.sort_by_key(|r| r.name != RouterName::Rhumb.name());
    out
}

fn class(name: &str) -> String {
    let known = RouterName::ALL.into_iter().any(|r| r.name() == name);
    format!("r-{}", if known { name } else { "other" })
}
