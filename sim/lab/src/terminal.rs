//! A report as a table for a terminal.

use std::fmt::Write;

use serde_json::Value;

use crate::figure::figure;
use crate::report::Report;

/// Columns: heading, path of the figure, digits after the point.
pub(crate) const COLUMNS: [(&str, &str, usize); 13] = [
    ("requests", "requests", 0),
    ("lost", "lost", 0),
    ("TTFT p50 ms", "ttft_ms.p50", 0),
    ("p95", "ttft_ms.p95", 0),
    ("p99", "ttft_ms.p99", 0),
    ("network p50", "network_ms.p50", 0),
    ("queue p95", "queue_ms.p95", 0),
    ("E2E p50 ms", "e2e_ms.p50", 0),
    ("goodput/s", "goodput_rps", 1),
    ("SLO %", "slo_attainment", 1),
    ("USD/Mtok metered", "usd_per_mtok.metered", 4),
    ("provisioned", "usd_per_mtok.provisioned", 4),
    ("J/token", "joules_per_token", 3),
];

impl Report {
    /// The report as a table for a terminal.
    #[must_use]
    pub fn terminal(&self) -> String {
        table(self)
    }
}

/// The table, the pass lines, and how to see them again.
fn table(report: &Report) -> String {
    let mut rows: Vec<Vec<String>> =
        vec![std::iter::once("router").chain(COLUMNS.iter().map(|c| c.0)).map(str::to_owned).collect()];
    for (name, figures) in &report.routers {
        let ci = report.ci95.get(name);
        let cell = |(heading, path, digits): &(&str, &str, usize)| {
            let scale = if *heading == "SLO %" { 100.0 } else { 1.0 };
            let Some(value) = figure(figures, path) else { return "-".to_owned() };
            let mut text = format!("{:.*}", *digits, value * scale);
            if let Some(half) = ci.and_then(|ci| figure(ci, path)) {
                let _ = write!(text, " ±{:.*}", *digits, half * scale);
            }
            text
        };
        rows.push(std::iter::once((*name).to_owned()).chain(COLUMNS.iter().map(cell)).collect());
    }
    let mut out = format!("{}: {}\n", report.scenario, report.about);
    let seeds = if report.seeds == 1 { String::new() } else { format!("..{}", report.seed + report.seeds - 1) };
    let _ = writeln!(
        out,
        "seed {}{seeds}, commit {}, capacity {:.1} requests/s\n",
        report.seed, report.commit, report.capacity_rps
    );
    lay_out(&rows, &mut out);
    parts(report, &mut out);
    least(report, &mut out);
    out.push('\n');
    for (engine, basis) in &report.engines {
        let _ = writeln!(out, "engine model  {engine}: {basis}");
    }
    if !report.lines.is_empty() {
        out.push('\n');
    }
    for line in &report.lines {
        let verdict = if line.pass { "pass" } else { "FAIL" };
        let got = line.got.map_or_else(|| "nothing".to_owned(), |g| format!("{g:.4}"));
        let _ = writeln!(out, "{verdict}  {}: {got}, wanted {}", line.line, line.want);
    }
    out
}

/// The fewest GPUs of each router, where they were searched for.
fn least(report: &Report, out: &mut String) {
    let row = |(name, figures): (&&'static str, &Value)| {
        let found = figures.get("least_gpus")?;
        let half = report.ci95.get(name).and_then(|ci| figure(ci, "least_gpus"));
        let found = match (found.as_f64(), half) {
            (None, _) => "more than were tried".to_owned(),
            (Some(gpus), None) => format!("{gpus:.0}"),
            (Some(gpus), Some(half)) => format!("{gpus:.1} ±{half:.1}"),
        };
        Some(vec![(*name).to_owned(), found])
    };
    let mut rows: Vec<Vec<String>> = report.routers.iter().filter_map(row).collect();
    if !rows.is_empty() {
        rows.insert(0, vec!["fewest GPUs that are enough".to_owned(), String::new()]);
        out.push('\n');
        lay_out(&rows, out);
    }
}

/// Rows in columns, the first to the left and the others to the right.
fn lay_out(rows: &[Vec<String>], out: &mut String) {
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[i] - cell.chars().count());
            let _ = if i == 0 { write!(out, "{cell}{pad}") } else { write!(out, "  {pad}{cell}") };
        }
        out.push('\n');
    }
}

/// Columns of the parts of a router's requests.
const PARTS: [(&str, &str, usize); 7] = [
    ("requests", "requests", 0),
    ("lost", "lost", 0),
    ("TTFT p50 ms", "ttft_ms.p50", 0),
    ("p99", "ttft_ms.p99", 0),
    ("E2E p50 ms", "e2e_ms.p50", 0),
    ("goodput/s", "goodput_rps", 1),
    ("SLO %", "slo_attainment", 1),
];

/// The figures of tenants and priorities, where the scenario has them.
fn parts(report: &Report, out: &mut String) {
    let mut rows = Vec::new();
    for (router, figures) in &report.routers {
        for by in ["by_tenant", "by_priority"] {
            for (name, group) in figures.get(by).and_then(Value::as_object).into_iter().flatten() {
                let cell = |(heading, path, digits): &(&str, &str, usize)| {
                    let scale = if *heading == "SLO %" { 100.0 } else { 1.0 };
                    figure(group, path).map_or_else(|| "-".to_owned(), |v| format!("{:.*}", *digits, v * scale))
                };
                let what = if by == "by_tenant" { "tenant" } else { "priority" };
                rows.push(std::iter::once(format!("{router}, {what} {name}")).chain(PARTS.iter().map(cell)).collect());
            }
        }
    }
    if !rows.is_empty() {
        rows.insert(0, std::iter::once("of these").chain(PARTS.iter().map(|c| c.0)).map(str::to_owned).collect());
        out.push('\n');
        lay_out(&rows, out);
    }
}
