//! The comparison table: every router on every benchmark, tuned on one part of its traffic and judged on the other.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use crate::figure::figure;
use crate::file::load;
use crate::lab::{Lab, Progress};
use crate::options::Options;
use crate::problem::LabError;
use crate::report::Report;
use crate::scenario::RouterName;
use crate::tune::Part;

/// The benchmarks of the comparison, in order.
pub const BENCHMARKS: [&str; 7] = ["b1", "b2", "b3", "b4", "b5", "b6", "b8"];

/// A figure of the table: its path in a report, its heading, what it is multiplied by, digits, and whether more is better.
struct Figure(&'static str, &'static str, f64, usize, bool);

const FIGURES: [Figure; 10] = [
    Figure("slo_attainment", "met the objectives, %", 100.0, 1, true),
    Figure("goodput_rps", "good answers/s", 1.0, 2, true),
    Figure("ttft_ms.p50", "TTFT p50, ms", 1.0, 0, false),
    Figure("ttft_ms.p95", "TTFT p95, ms", 1.0, 0, false),
    Figure("ttft_ms.p99", "TTFT p99, ms", 1.0, 0, false),
    Figure("e2e_ms.p95", "E2E p95, ms", 1.0, 0, false),
    Figure("lost", "lost", 1.0, 0, false),
    Figure("usd_per_mtok.metered", "USD/Mtok", 1.0, 4, false),
    Figure("joules_per_token", "J/token", 1.0, 4, false),
    Figure("prefix_hit", "prefix hit, %", 100.0, 1, true),
];

/// The whole comparison.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The first seed.
    pub seed: u64,
    /// Seeds of each router on each benchmark.
    pub seeds: u64,
    /// One report for each benchmark.
    pub benchmarks: Vec<Report>,
}

/// Runs the benchmarks on the part of their traffic that nothing was tuned on; `quick` takes at most so many requests.
///
/// # Errors
/// As of [`Lab::run`].
pub fn comparison(
    options: &Options,
    quick: Option<u64>,
    progress: &(dyn Fn(&str, Progress) + Sync),
) -> Result<Comparison, LabError> {
    let mut benchmarks = Vec::new();
    for name in BENCHMARKS {
        let mut loaded = load(name)?;
        let seed = Part::ToJudge.of(&mut loaded, options.seed)?;
        loaded.alone();
        let plan = &mut loaded.scenario.traffic;
        if let Some(most) = quick {
            plan.requests = Some(plan.requests.map_or(most, |r| r.min(most)));
        }
        let options = Options { seed, ..options.clone() };
        benchmarks.push(Lab::new(&loaded, &options)?.run(&|p| progress(name, p))?);
    }
    Ok(Comparison { seed: options.seed, seeds: options.seeds, benchmarks })
}

impl Comparison {
    /// The comparison as a page of Markdown.
    #[must_use]
    pub fn markdown(&self, command: &str) -> String {
        let mut out = String::new();
        let commit = self.benchmarks.first().map_or("", |b| b.commit.as_str());
        let _ = writeln!(
            out,
            "# The comparison\n\nEvery router on every benchmark, parameters tuned on the first half of its traffic and judged on \
             the second: means over {} seeds from {}, with half the width of the 95 % confidence interval. Commit `{commit}`. \
             Made by\n\n```sh\n{command}\n```\n\nBold: the best of a column, and whoever cannot be told from it (the \
             intervals touch). What each baseline is, and what was tuned: [baselines](baselines.md).\n",
            self.seeds, self.seed
        );
        self.summary(&mut out);
        self.head_to_head(&mut out);
        for report in &self.benchmarks {
            table(&mut out, report);
        }
        out
    }

    /// Where Rhumb stands, figure by figure.
    fn summary(&self, out: &mut String) {
        out.push_str(
            "## Where Rhumb stands\n\nRhumb over the best of the others; below 1 is better, but above 1 where more is \
                      better (marked ↑).\n\n| benchmark |",
        );
        let shown: Vec<&Figure> = FIGURES.iter().filter(|f| f.0 != "lost").collect();
        shown.iter().for_each(|f| {
            let _ = write!(out, " {}{} |", f.1, if f.4 { " ↑" } else { "" });
        });
        let _ = write!(out, "\n|---|{}\n", "---:|".repeat(shown.len()));
        for report in &self.benchmarks {
            let _ = write!(out, "| {} |", report.scenario);
            for Figure(path, .., more) in shown.iter().map(|f| &**f) {
                let others = report.routers.iter().filter(|(name, _)| **name != RouterName::Rhumb.name());
                let values: Vec<(f64, &str)> = others.filter_map(|(n, t)| Some((figure(t, path)?, *n))).collect();
                let best = if *more {
                    values.iter().max_by(|a, b| a.0.total_cmp(&b.0))
                } else {
                    values.iter().min_by(|a, b| a.0.total_cmp(&b.0))
                };
                let own = report.routers.get(RouterName::Rhumb.name()).and_then(|t| figure(t, path));
                match (own, best) {
                    (Some(own), Some((best, name))) if *best > 0.0 => {
                        let ratio = own / best;
                        let wins = if *more { ratio >= 1.0 } else { ratio <= 1.0 };
                        let bold = if wins { "**" } else { "" };
                        let _ = write!(out, " {bold}{ratio:.2}{bold} {name} |");
                    }
                    _ => out.push_str(" - |"),
                }
            }
            out.push('\n');
        }
        out.push('\n');
    }
}

impl Comparison {
    /// Against each of the others, in how many of the figures Rhumb is ahead.
    fn head_to_head(&self, out: &mut String) {
        out.push_str(
            "## Rhumb against each\n\nIn how many figures of the tables below Rhumb is ahead, level (the intervals touch) \
             and behind: the best of one column is seldom that of another.\n\n| | ahead | level | behind | behind in |\n\
             |---|---:|---:|---:|---|\n",
        );
        let own = RouterName::Rhumb.name();
        let others: BTreeSet<&str> =
            self.benchmarks.iter().flat_map(|b| b.routers.keys().copied()).filter(|name| *name != own).collect();
        for other in others {
            let (mut ahead, mut level, mut behind) = (0, 0, Vec::new());
            for report in &self.benchmarks {
                for f in &FIGURES {
                    let (Some((own, reach)), Some((value, half))) =
                        (interval(report, own, f), interval(report, other, f))
                    else {
                        continue;
                    };
                    let gain = if f.4 { own - value } else { value - own };
                    if gain.abs() <= reach + half {
                        level += 1;
                    } else if gain > 0.0 {
                        ahead += 1;
                    } else {
                        let heading = f.1.split(',').next().unwrap_or(f.1);
                        behind.push(format!("{} {heading}", report.scenario));
                    }
                }
            }
            let _ = writeln!(out, "| {other} | {ahead} | {level} | {} | {} |", behind.len(), behind.join(", "));
        }
        out.push('\n');
    }
}

/// A figure of a router and half the width of its interval.
fn interval(report: &Report, name: &str, f: &Figure) -> Option<(f64, f64)> {
    let value = figure(report.routers.get(name)?, f.0)?;
    Some((value, report.ci95.get(name).and_then(|t| figure(t, f.0)).unwrap_or(0.0)))
}

/// One benchmark: a row for each router.
fn table(out: &mut String, report: &Report) {
    let _ = writeln!(out, "## {}: {}\n", report.scenario, report.about);
    for line in &report.lines {
        let got = line.got.map_or("nothing".to_owned(), |v| format!("{v:.3}"));
        let _ = writeln!(out, "- {} {}, wanted {}: {got}", if line.pass { "✓" } else { "✗" }, line.line, line.want);
    }
    out.push_str("\n| |");
    FIGURES.iter().for_each(|f| {
        let _ = write!(out, " {} |", f.1);
    });
    let _ = write!(out, "\n|---|{}\n", "---:|".repeat(FIGURES.len()));
    for name in report.routers.keys() {
        let _ = write!(out, "| {name} |");
        for f in &FIGURES {
            let Some((value, half)) = interval(report, name, f) else {
                out.push_str(" - |");
                continue;
            };
            // The best end of the interval reaches the worst end of everybody else's best.
            let is_best = report
                .routers
                .keys()
                .filter_map(|n| interval(report, n, f))
                .all(|(v, h)| if f.4 { value + half >= v - h } else { value - half <= v + h });
            let bold = if is_best { "**" } else { "" };
            let _ = write!(out, " {bold}{:.*}{bold}", f.3, value * f.2);
            if !report.ci95.is_empty() {
                let _ = write!(out, " ±{:.*}", f.3, half * f.2);
            }
            out.push_str(" |");
        }
        out.push('\n');
    }
    out.push('\n');
}
