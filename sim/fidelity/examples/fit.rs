//! Fits the engine model to a data folder and writes its table of coefficients:
//! `cargo run --release -p rhumb-fidelity --example fit -- --data DIR [--out FILE]`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
    let Some(data) = after("--data") else {
        eprintln!("error: give the data folder with --data DIR");
        return ExitCode::from(2);
    };
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pure/engine/src/coefficients.rs");
    let out = after("--out").map_or(default, PathBuf::from);
    let fitted = match rhumb_fidelity::run_fit(&PathBuf::from(data)) {
        Ok(fitted) => fitted,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = std::fs::write(&out, &fitted.source) {
        eprintln!("error: {}: cannot be written: {error}", out.display());
        return ExitCode::from(2);
    }
    println!("{}: {} entries from {} measurements", out.display(), fitted.entries, fitted.points);
    ExitCode::SUCCESS
}
