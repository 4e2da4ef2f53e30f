//! `rhumb replay`.

use std::path::PathBuf;

use rhumb_grid::config::Preset;
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use rhumb_record::{Named, parse_id};
use rhumb_route::decide::Choice;
use rhumb_route::explain::{Names, explain_record};
use rhumb_route::record::fingerprint;
use rhumb_store::{ReadStore as _, Reader};

use crate::explain::human;
use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::out;

/// Arguments of `rhumb replay`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of a logged decision, as in the `x-rhumb-decision` header
    id: String,
    /// Folder of the decision log (`gateway.data_dir`)
    #[arg(long, default_value = "rhumb-data")]
    data_dir: PathBuf,
    /// Decide under this preset instead (interactive, balanced, economy, batch, closest, fastest)
    #[arg(long)]
    policy: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

struct Logged {
    names: Vec<Named>,
    config: String,
}

impl Names for Logged {
    fn config(&self) -> &str {
        &self.config
    }

    fn endpoint(&self, index: EndpointIndex) -> &str {
        self.names.iter().find(|n| n.endpoint == index).map_or("?", |n| &n.endpoint_name)
    }

    fn site(&self, index: SiteIndex) -> &str {
        self.names.iter().find(|n| n.site == index).map_or("?", |n| &n.site_name)
    }

    fn model(&self, index: ModelIndex) -> &str {
        self.names.iter().find(|n| n.model == index).map_or("?", |n| &n.model_name)
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let id = parse_id(&args.id)
        .ok_or_else(|| Failure::new(exit::USAGE, format!("`{}` is no decision id: it has 13 characters", args.id)))?;
    let reader = Reader::open(&args.data_dir).map_err(|e| Failure::new(exit::MISSING, e))?;
    let found = reader.row(id).map_err(|e| Failure::new(exit::USAGE, e))?;
    let missing = || {
        Failure::new(
            exit::MISSING,
            format!("decision `{}` is not in the log (it may be a second old, or pruned)", args.id),
        )
    };
    let row = found.ok_or_else(missing)?;
    let mut record = row.logged.record.clone();
    let same = match &args.policy {
        None => Some(fingerprint(&record.replay()) == row.logged.fingerprint),
        Some(name) => {
            let preset = Preset::ALL.iter().find(|(n, _)| n == name).map(|(_, p)| *p);
            let names = Preset::ALL.map(|(n, _)| n).join(", ");
            let preset =
                preset.ok_or_else(|| Failure::new(exit::USAGE, format!("`{name}` is no preset; they are {names}")))?;
            record.choice = Choice { rates: Rates::preset(preset), ..record.choice };
            None
        }
    };
    let explanation = explain_record(&args.id, &record, &Logged { names: row.logged.names, config: row.config });
    if args.json {
        let all = serde_json::json!({
            "identical": same, "outcome": row.outcome, "served_by": row.endpoint, "policy": row.policy,
            "explanation": explanation
        });
        out::line(all)?;
    } else {
        match same {
            Some(true) => {
                let ended = match row.outcome.as_str() {
                    "running" => "the request has not ended".to_owned(),
                    outcome => format!("the request ended: {outcome}"),
                };
                let by = if row.endpoint.is_empty() { String::new() } else { format!(", served by {}", row.endpoint) };
                out::line(format_args!("replay    identical, bit for bit; {ended}{by}"))?;
            }
            Some(false) => out::line(format_args!("replay    DIFFERENT from the logged decision"))?,
            None => out::line(format_args!("replay    under another policy than the logged `{}`", row.policy))?,
        }
        out::print(human(&explanation))?;
    }
    Ok(if same == Some(false) { exit::FOUND } else { exit::DONE })
}
