//! `rhumb drain`.

use std::time::Duration;

use rhumb_gateway::EndpointNow;
use rhumb_grid::config::Accepts;

use crate::ask::Admin;
use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::out;
use rhumb_cli::table;

/// How often is looked while requests end.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `rhumb drain`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of a site or an endpoint; without one, every endpoint is shown and nothing changed
    name: Option<String>,
    /// Which requests it takes from now on: `none`, or `existing_only` for those of sessions that are pinned there
    #[arg(long, value_name = "STATE", default_value = "none", value_parser = narrower, requires = "name")]
    accepts: Accepts,
    /// Let it take all requests again that its configuration lets it take
    #[arg(long, requires = "name", conflicts_with = "accepts")]
    undo: bool,
    /// Return only when none of the gateway's requests is in flight there
    #[arg(long, requires = "name", conflicts_with = "undo")]
    wait: bool,
    #[command(flatten)]
    admin: Admin,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn narrower(name: &str) -> Result<Accepts, String> {
    let known = Accepts::named(name).filter(|a| *a != Accepts::NewAndExisting);
    known.ok_or_else(|| "it is `existing_only` or `none`; `--undo` opens it again".to_owned())
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut endpoints = match &args.name {
        None => read(args, &args.admin.ask("GET", "/admin/v1/endpoints", b"")?)?,
        Some(name) => {
            let accepts = if args.undo { Accepts::NewAndExisting } else { args.accepts };
            let body = serde_json::json!({ "name": name, "accepts": accepts }).to_string();
            read(args, &args.admin.ask("POST", "/admin/v1/drain", body.as_bytes())?)?
        }
    };
    let in_flight = |endpoints: &[EndpointNow]| endpoints.iter().map(|e| e.in_flight).sum::<f64>();
    let names: Vec<String> = endpoints.iter().map(|e| e.endpoint.clone()).collect();
    while args.wait && in_flight(&endpoints) > 0.0 {
        std::thread::park_timeout(LOOK_EVERY);
        endpoints = read(args, &args.admin.ask("GET", "/admin/v1/endpoints", b"")?)?;
        endpoints.retain(|e| names.contains(&e.endpoint));
    }
    if args.json {
        out::line(serde_json::to_string(&endpoints).map_err(|e| Failure::new(1, e))?)?;
    } else {
        out::print(human(&endpoints))?;
    }
    Ok(exit::DONE)
}

fn read(args: &Args, answer: &[u8]) -> Result<Vec<EndpointNow>, Failure> {
    serde_json::from_slice(answer).map_err(|e| args.admin.unreachable(&format!("its answer is no list: {e}")))
}

/// Whether an endpoint is well, and who says that it is not.
pub(crate) fn health(endpoint: &EndpointNow) -> String {
    endpoint.ill.as_ref().map_or("well".into(), |by| format!("unhealthy: {by}"))
}

fn human(endpoints: &[EndpointNow]) -> String {
    let row = |e: &EndpointNow| {
        vec![
            e.site.clone(),
            e.endpoint.clone(),
            e.accepts.name().to_owned(),
            health(e),
            format!("{:.0}", e.in_flight),
            e.window.map_or("-".into(), |w| format!("{w:.0}")),
        ]
    };
    let rows: Vec<Vec<String>> = endpoints.iter().map(row).collect();
    table(&["site", "endpoint", "accepts", "health", ">in flight", ">window"], &rows)
}
