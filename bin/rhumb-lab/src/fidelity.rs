//! `rhumb-lab fidelity` and `rhumb-lab fit`: the engine model against measurements.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use rhumb_cli::exit::{self, Failure, Outcome};
use rhumb_cli::lab::{Data, default_dir, no_data};
use rhumb_cli::out;

/// Arguments of `rhumb-lab fidelity`.
#[derive(clap::Args)]
pub(crate) struct Fidelity {
    /// Folder of measurements; give it several times for several. What the model was fitted to is judged by fits that
    /// leave it out, all else by the model as it is; default: RHUMB_DATA_DIR
    #[arg(long = "data", value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Print the page that stands in docs/fidelity.md
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Arguments of `rhumb-lab fit`.
#[derive(clap::Args)]
pub(crate) struct Fit {
    #[command(flatten)]
    data: Data,
    /// File to write instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Reports the error of the engine model.
pub(crate) fn fidelity(args: &Fidelity) -> Outcome {
    let mut data = args.dirs.clone();
    data.extend(default_dir().filter(|_| data.is_empty()));
    if data.is_empty() {
        return Err(no_data());
    }
    if std::io::stderr().is_terminal() {
        out::note("fitting the model once for each group it is judged on: some minutes");
    }
    let report =
        rhumb_fidelity::run_report(&rhumb_fidelity::Options { data }).map_err(|e| Failure::new(exit::USAGE, e))?;
    if args.json {
        out::line(serde_json::to_string_pretty(&report).expect("the report has string keys and finite numbers"))?;
    } else if args.markdown {
        out::print(report.markdown())?;
    } else {
        out::print(report.terminal())?;
    }
    Ok(if report.targets.iter().all(|t| t.met) { exit::DONE } else { exit::FOUND })
}

/// Fits the engine model.
pub(crate) fn fit(args: &Fit) -> Outcome {
    let fitted = rhumb_fidelity::run_fit(&args.data.required()?).map_err(|e| Failure::new(exit::USAGE, e))?;
    out::note(format_args!("{} coefficients from {} measurements", fitted.entries, fitted.points));
    match &args.out {
        None => out::print(fitted.source)?,
        Some(path) => std::fs::write(path, &fitted.source)
            .map_err(|why| Failure::new(exit::USAGE, format!("cannot write `{}`: {why}", path.display())))?,
    }
    Ok(exit::DONE)
}
