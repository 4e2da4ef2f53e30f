//! `rhumb explain`.

use std::fmt::Write as _;
use std::path::PathBuf;

use rhumb_grid::Purpose;
use rhumb_grid::index::Grid;
use rhumb_route::explain::{Candidate, Explanation};

use crate::ask::Admin;
use crate::exit::{self, Failure, Outcome};
use crate::table::table;
use crate::{load, out};

/// Arguments of `rhumb explain`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of a live decision, as in the `x-rhumb-decision` header
    #[arg(required_unless_present = "request", conflicts_with = "request")]
    id: Option<String>,
    #[command(flatten)]
    admin: Admin,
    /// Decide on this chat request (JSON) against a configuration alone, without a gateway
    #[arg(long, requires = "config")]
    request: Option<PathBuf>,
    /// The configuration for --request
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let explanation = match (&args.id, &args.request, &args.config) {
        (Some(id), ..) => ask(&args.admin, id)?,
        (None, Some(request), Some(config)) => {
            let text = load::text(config).map_err(|e| Failure::new(exit::USAGE, e))?;
            // Nothing is sent, so that no secret of the environment is needed.
            let loaded = load::checked(config, &text, Purpose::Inspect).map_err(|e| Failure::new(exit::FOUND, e))?;
            let body = std::fs::read(request)
                .map_err(|e| Failure::new(exit::USAGE, format!("cannot read `{}`: {e}", request.display())))?;
            rhumb_gateway::dry_run(&Grid::new(loaded.config), &body)
                .map_err(|e| Failure::new(exit::USAGE, e.message))?
        }
        _ => return Err(Failure::new(exit::USAGE, "name a decision, or a --request and a --config")),
    };
    if args.json {
        out::line(serde_json::to_string(&explanation).map_err(|e| Failure::new(1, e))?)?;
    } else {
        out::print(human(&explanation))?;
    }
    Ok(exit::DONE)
}

/// Asks a gateway.
fn ask(admin: &Admin, id: &str) -> Result<Explanation, Failure> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Failure::new(exit::USAGE, format!("`{id}` is no decision id: it has 13 letters and digits")));
    }
    let answer = admin.ask("GET", &format!("/admin/v1/decisions/{id}"), b"")?;
    serde_json::from_slice(&answer).map_err(|e| admin.unreachable(&format!("its answer is not an explanation: {e}")))
}

/// Dollars with six digits after the point: a request costs far less than a cent.
fn usd(value: f64) -> String {
    format!("{value:.6}")
}

fn row(c: &Candidate, chosen: bool) -> Vec<String> {
    let mut cells = vec![c.site.clone(), c.endpoint.clone(), c.model.clone()];
    cells.push(if chosen { "chosen".into() } else { "kept".into() });
    cells.push(usd(c.bill.total_usd));
    cells.extend(c.bill.lines.lines().map(usd));
    let p = &c.predicted;
    cells.extend([
        format!("{:.0}", p.ttft_ms.p50),
        format!("{:.0}", p.ttft_ms.p95),
        format!("{:.0}+{:.0}", p.network_ms.client, p.network_ms.site),
        format!("{:.0}", p.queue_ms),
        format!("{:.0}", p.stalled_ms),
        format!("{:.0}", p.unseen_ms),
        format!("{:.0}", p.prefill_ms),
        age(c, "engine"),
        age(c, "rtt"),
    ]);
    cells
}

fn age(c: &Candidate, signal: &str) -> String {
    match c.ages_ms.get(signal).copied().flatten() {
        Some(ms) if ms < 10_000.0 => format!("{:.1}s", ms / 1e3),
        Some(ms) => format!("{:.0}s", ms / 1e3),
        None => "-".into(),
    }
}

const HEADER: [&str; 23] = [
    "site",
    "endpoint",
    "model",
    "verdict",
    ">total",
    ">tokens",
    ">egress",
    ">energy",
    ">carbon",
    ">waiting",
    ">pace",
    ">fit",
    ">headroom",
    ">power",
    ">ttft p50",
    ">p95",
    ">network",
    ">queue",
    ">stalled",
    ">unseen",
    ">prefill",
    ">load age",
    ">rtt age",
];

/// The bill as a table; money in US dollars, times in milliseconds.
pub(crate) fn human(e: &Explanation) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "decision  {}  on view {}", e.decision, e.view);
    if !e.config.is_empty() {
        let _ = writeln!(out, "config    {}", e.config);
    }
    match &e.chosen {
        Some(c) => {
            let _ = writeln!(out, "chosen    {} at {} ({}), because: {}", c.endpoint, c.site, c.model, e.reason);
        }
        None => {
            let _ = writeln!(out, "chosen    nothing: no candidate may serve this request");
        }
    }
    if e.truncated {
        let _ = writeln!(out, "note      the view is no longer retained: these are the best sixteen from the log");
    }
    if !e.candidates.is_empty() {
        let rows: Vec<_> = e.candidates.iter().enumerate().map(|(i, c)| row(c, i == 0)).collect();
        let _ = write!(out, "\nbill in USD, times in ms\n{}", table(&HEADER, &rows));
    }
    if !e.dropped.is_empty() {
        let rows: Vec<_> = e
            .dropped
            .iter()
            .map(|d| vec![d.site.clone(), d.endpoint.clone(), d.model.clone(), d.reason.clone()])
            .collect();
        let _ = write!(out, "\ndropped\n{}", table(&["site", "endpoint", "model", "reason"], &rows));
    }
    out
}
