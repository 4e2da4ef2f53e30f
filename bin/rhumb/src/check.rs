//! `rhumb check`.

use std::path::PathBuf;

use crate::exit::{self, Outcome};
use crate::load;

/// Arguments of `rhumb check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration to check
    file: Option<PathBuf>,
    /// Print the problems as JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the configuration instead
    #[arg(long, conflicts_with = "file")]
    schema: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.schema {
        println!("{:#}", rhumb_grid::schema::json_schema());
        return Ok(exit::DONE);
    }
    let Some(file) = &args.file else {
        return Err(exit::Failure::new(exit::USAGE, "name a file: `rhumb check rhumb.yaml`"));
    };
    let text = load::text(file).map_err(|e| exit::Failure::new(exit::USAGE, e))?;
    let loaded = load::check(&text);
    let problems = match &loaded {
        Ok(_) => &[][..],
        Err(problems) => problems,
    };
    if args.json {
        println!("{}", serde_json::json!({ "file": file, "problems": problems }));
    } else if let Ok(config) = &loaded {
        println!(
            "{}: ok, {} sites, {} endpoints, {} models, {} tenants",
            file.display(),
            config.sites.len(),
            config.endpoints.len(),
            config.models.len(),
            config.tenants.len()
        );
    } else {
        print!("{}", rhumb_grid::render(&file.display().to_string(), &text, problems));
    }
    Ok(if problems.is_empty() { exit::DONE } else { exit::FOUND })
}
