//! Judges the engine model: `cargo run --release -p rhumb-fidelity --example report -- --data DIR [--data DIR]
//! [--json | --markdown]`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |pair: &[String]| (pair[0] == "--data").then(|| PathBuf::from(&pair[1]));
    let data: Vec<PathBuf> = arguments.windows(2).filter_map(named).collect();
    if data.is_empty() {
        eprintln!("error: give a data folder with --data DIR");
        return ExitCode::from(2);
    }
    let report = match rhumb_fidelity::run_report(&rhumb_fidelity::Options { data }) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if asked("--json") {
        println!("{}", serde_json::to_string_pretty(&report).expect("a report has no map with other than text keys"));
    } else if asked("--markdown") {
        print!("{}", report.markdown());
    } else {
        print!("{}", report.terminal());
    }
    ExitCode::SUCCESS
}
