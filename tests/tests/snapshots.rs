//! What the command lines print, as it was reviewed. `RHUMB_BLESS=1 cargo test -p rhumb-tests --test snapshots` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use rhumb_tests::gateway::{binary, lab_binary};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/three-clouds.yaml");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots")
}

/// Both streams and the exit code, as a text.
fn said(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .env("PRODUCT_KEY", "product-0123456789")
        .env("ANALYTICS_KEY", "analytics-0123456789")
        .env_remove("RHUMB_DATA_DIR")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, errors) = (text(output.stdout), text(output.stderr));
    let shown = format!("{out}{errors}exit code {}\n", output.status.code().unwrap());
    shown.replace(EXAMPLE, "three-clouds.yaml")
}

fn is_as_reviewed(name: &str, program: &Path, args: &[&str]) {
    let (found, path) = (said(program, args), folder().join(format!("{name}.txt")));
    if std::env::var_os("RHUMB_BLESS").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&path, &found).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, reviewed, "{} differs: RHUMB_BLESS=1 writes it anew", path.display());
}

#[test]
fn help_of_every_command() {
    let (rhumb, lab) = (binary(), lab_binary());
    is_as_reviewed("rhumb", &rhumb, &["--help"]);
    for command in
        ["demo", "up", "add", "check", "explain", "drain", "sessions", "top", "replay", "log", "sim", "engine"]
    {
        is_as_reviewed(&format!("rhumb-{command}"), &rhumb, &[command, "--help"]);
    }
    is_as_reviewed("rhumb-lab", &lab, &["--help"]);
    for command in ["compare", "tune", "fidelity", "fit", "decisions"] {
        is_as_reviewed(&format!("rhumb-lab-{command}"), &lab, &[command, "--help"]);
    }
}

#[test]
fn what_newcomers_meet_first() {
    let rhumb = binary();
    is_as_reviewed("check-ok", &rhumb, &["check", EXAMPLE]);
    is_as_reviewed("check-missing", &rhumb, &["check", "no-such-file.yaml"]);
    is_as_reviewed("unknown-command", &rhumb, &["chek"]);
    is_as_reviewed("explain-nobody-there", &rhumb, &["explain", "0123456789abc", "--admin", "http://127.0.0.1:1"]);
    is_as_reviewed("replay-no-log", &rhumb, &["replay", "0123456789abc", "--data-dir", "no-such-folder"]);
    is_as_reviewed("log-no-log", &rhumb, &["log", "status", "--data-dir", "no-such-folder"]);
    is_as_reviewed("sim-unknown-scenario", &rhumb, &["sim", "edge-44"]);
    is_as_reviewed("engine-unknown-gpu", &rhumb, &["engine", "--gpu", "h1000", "--model", "llama-3.1-8b"]);
    let request = folder().join("request.json");
    is_as_reviewed("explain-request", &rhumb, &["explain", "--request", request.to_str().unwrap(), "-c", EXAMPLE]);
}
