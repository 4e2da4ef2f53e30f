//! `rhumb check`.

use std::path::PathBuf;

use rhumb_config::{Loaded, Purpose};

use crate::{load, out};
use rhumb_cli::exit::{self, Failure, Outcome};

/// Arguments of `rhumb check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration to check
    #[arg(default_value = "rhumb.yaml")]
    file: PathBuf,
    /// Print problems and warnings as JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the configuration instead
    #[arg(long, conflicts_with = "file")]
    schema: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.schema {
        out::line(format_args!("{:#}", rhumb_config::schema::json_schema()))?;
        return Ok(exit::DONE);
    }
    let file = args.file.display().to_string();
    let text = load::text(&args.file).map_err(|e| Failure::new(exit::USAGE, e))?;
    let loaded = load::check(&text, Purpose::Inspect);
    let problems = match &loaded {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => problems,
    };
    if args.json {
        let (problems, more) = rhumb_config::listed(problems);
        out::line(serde_json::json!({ "file": file, "problems": problems, "more": more }))?;
    } else {
        if !problems.is_empty() {
            out::print(rhumb_config::render(&file, &text, problems))?;
        }
        if let Ok(Loaded { config, .. }) = &loaded {
            out::line(format_args!(
                "{file}: ok, {} sites, {} endpoints, {} models, {} tenants",
                config.sites.len(),
                config.endpoints.len(),
                config.models.len(),
                config.tenants.len()
            ))?;
        }
    }
    Ok(if loaded.is_ok() { exit::DONE } else { exit::FOUND })
}
