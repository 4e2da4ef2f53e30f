//! `rhumb explain`.

use std::fmt::Write as _;
use std::path::PathBuf;

use rhumb_config::Purpose;
use rhumb_grid::index::Grid;
use rhumb_route::explain::{Candidate, Explanation};

use crate::ask::Admin;
use crate::{load, out};
use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::{table, table_within};

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

/// Longest line of a table: what a terminal has at least.
const WIDTH: usize = 80;

/// Dollars with six digits after the point: a request costs far less than a cent.
fn usd(value: f64) -> String {
    format!("{value:.6}")
}

fn age(c: &Candidate, signal: &str) -> String {
    match c.ages_ms.get(signal).copied().flatten() {
        Some(ms) if ms < 10_000.0 => format!("{:.1}s", ms / 1e3),
        Some(ms) => format!("{:.0}s", ms / 1e3),
        None => "-".into(),
    }
}

/// What is paid with money: tokens, egress, energy, carbon, power.
fn money(c: &Candidate) -> [f64; 5] {
    let bill = &c.bill.lines;
    [bill.tokens_usd, bill.egress_usd, bill.energy_usd, bill.carbon_usd, bill.power_usd]
}

/// What nobody pays and the policy gives a value: waiting, pace, fit, headroom.
fn imputed(c: &Candidate) -> [f64; 4] {
    let bill = &c.bill.lines;
    [bill.waiting_usd, bill.pace_usd, bill.fit_usd, bill.headroom_usd]
}

/// The candidates in a table of figures, each under its number.
fn numbered(out: &mut String, title: &str, header: &[&str], of: &[Candidate], row: impl Fn(&Candidate) -> Vec<String>) {
    let rows: Vec<Vec<String>> =
        (1..).zip(of).map(|(i, c)| std::iter::once(format!("{i}")).chain(row(c)).collect()).collect();
    let header: Vec<&str> = std::iter::once(">#").chain(header.iter().copied()).collect();
    let _ = write!(out, "\n{title}\n{}", table(&header, &rows));
}

fn tables(out: &mut String, candidates: &[Candidate]) {
    let text = |values: &[f64]| values.iter().map(|v| usd(*v)).collect::<Vec<_>>();
    let sum = |values: &[f64]| usd(values.iter().sum());
    let rows: Vec<Vec<String>> = (1..)
        .zip(candidates)
        .map(|(i, c)| {
            let figures = [usd(c.bill.total_usd), sum(&money(c)), sum(&imputed(c))];
            std::iter::once(format!("{i}")).chain(figures).chain([c.endpoint.clone()]).collect()
        })
        .collect();
    let bill = table(&[">#", ">total", ">money", ">imputed", "endpoint"], &rows);
    let _ = write!(out, "\nbill in USD: money is paid, imputed is what waiting and the like are worth\n{bill}");
    numbered(out, "where", &["model", "site", "context"], candidates, |c| {
        let fits = if c.may_exceed_context { "may be too short" } else { "fits" };
        vec![c.model.clone(), c.site.clone(), fits.to_owned()]
    });
    let header = [">tokens", ">egress", ">energy", ">carbon", ">power"];
    numbered(out, "money, USD", &header, candidates, |c| text(&money(c)));
    let header = [">waiting", ">pace", ">fit", ">headroom"];
    numbered(out, "imputed, USD", &header, candidates, |c| text(&imputed(c)));
    let header = [">TTFT p50", ">p95", ">network", ">queue", ">stalled", ">unseen", ">prefill"];
    numbered(out, "expected, ms (network: of the client and of the site)", &header, candidates, |c| {
        let p = &c.predicted;
        vec![
            format!("{:.0}", p.ttft_ms.p50),
            format!("{:.0}", p.ttft_ms.p95),
            format!("{:.0}+{:.0}", p.network_ms.client, p.network_ms.site),
            format!("{:.0}", p.queue_ms),
            format!("{:.0}", p.stalled_ms),
            format!("{:.0}", p.unseen_ms),
            format!("{:.0}", p.prefill_ms),
        ]
    });
    numbered(out, "age of what it rests on", &[">load", ">round trip"], candidates, |c| {
        vec![age(c, "engine"), age(c, "rtt")]
    });
}

/// The bill as tables of 80 columns at most; money in US dollars, times in milliseconds.
pub(crate) fn human(e: &Explanation) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "decision  {}  on view {}", e.decision, e.view);
    if !e.config.is_empty() {
        let _ = writeln!(out, "config    {}", e.config);
    }
    match &e.chosen {
        Some(c) => {
            let _ = writeln!(out, "chosen    {} at {} ({})\nbecause   {}", c.endpoint, c.site, c.model, e.reason);
        }
        None => {
            let _ = writeln!(out, "chosen    nothing: no candidate may serve this request");
        }
    }
    if e.truncated {
        let _ = writeln!(out, "note      the view is no longer retained: these are the best sixteen from the log");
    }
    if !e.candidates.is_empty() {
        tables(&mut out, &e.candidates);
    }
    if !e.dropped.is_empty() {
        let rows: Vec<_> = e
            .dropped
            .iter()
            .map(|d| vec![d.reason.clone(), d.endpoint.clone(), d.site.clone(), d.model.clone()])
            .collect();
        let dropped = table_within(&["reason", "endpoint", "site", "model"], &rows, &[0, 0, 2, 1], WIDTH);
        let _ = write!(out, "\ndropped\n{dropped}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(endpoint: &str) -> Candidate {
        serde_json::from_value(serde_json::json!({
            "site": "frankfurt-am-main-west-2", "endpoint": endpoint, "model": "meta-llama/Llama-3.1-70B-Instruct",
            "bill": {"tokens_usd": 0.001, "egress_usd": 0.002, "energy_usd": 0.003, "carbon_usd": 0.004, "waiting_usd": 0.1,
                     "pace_usd": 0.2, "fit_usd": 0.3, "headroom_usd": 0.4, "power_usd": 0.005, "total_usd": 1.015},
            "predicted": {"ttft_ms": {"p50": 12_345.0, "p95": 123_456.0}, "network_ms": {"client": 186.0, "site": 92.0},
                          "queue_ms": 54_321.0, "stalled_ms": 1_000.0, "unseen_ms": 999.0, "prefill_ms": 40_000.0,
                          "pace_ms": 20.0, "cached_tokens": 0.0, "running": 1.0, "waiting": 0.0},
            "ages_ms": {"engine": 1_500.0, "rtt": null}
        }))
        .expect("a candidate")
    }

    #[test]
    fn an_explanation_fits_eighty_columns_and_tells_money_from_what_is_imputed() {
        let candidates = vec![candidate("frankfurt-h100-cluster-number-17"), candidate("b")];
        let dropped = rhumb_route::explain::Dropped {
            site: "s".repeat(30),
            endpoint: "e".repeat(30),
            model: "m".repeat(30),
            reason: "data_residency".into(),
        };
        let e = Explanation {
            decision: "0123456789abc".into(),
            config: "1-0a1b2c3d4e5f".into(),
            view: 7,
            chosen: None,
            reason: "lowest bill".into(),
            candidates,
            dropped: vec![dropped],
            truncated: false,
        };
        let shown = human(&e);
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
        let sums = shown.lines().find(|line| line.contains("frankfurt-h100-cluster-number-17")).expect("a row");
        assert!(sums.contains("1.015000  0.015000  1.000000"), "{shown}");
        assert!(shown.contains("123456   186+92  54321     1000     999    40000"), "{shown}");
        assert!(shown.contains("data_residency") && shown.contains("1.5s           -"), "{shown}");
    }
}
