//! Runs the demo alone.
use clap::Parser;
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    demo: rhumb_demo::DemoArgs,
}
fn main() -> std::process::ExitCode {
    match rhumb_demo::run(Cli::parse().demo) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {error}");
            2.into()
        }
    }
}
