//! Every configuration in `examples/` is right, and sends a first request where its comment says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rhumb_tests::gateway::binary;
use rhumb_tests::temp::TempDir;

/// The file, a model of it, and where a short request for that goes first.
const EXAMPLES: [(&str, &str, &str); 6] = [
    ("rhumb.yaml", "llama-3.1-8b", "frankfurt-vllm"),
    ("one-box.yaml", "small", "engine"),
    ("three-clouds.yaml", "llama-3.1-70b", "london-vllm"),
    ("carrier-edge.yaml", "llama-3.1-8b", "munich"),
    ("hosted-spill.yaml", "llama-3.1-70b", "own-vllm"),
    ("gateways-in-a-row.yaml", "llama-3.1-8b", "europe-gateway"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// What the program says, with every variable set that the files name.
fn said(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(binary());
    for name in ["ACME", "PRODUCT", "ANALYTICS", "CONSUMERS", "PUBLIC_SECTOR", "PROVIDER", "RESEARCH"] {
        command.env(format!("{name}_KEY"), format!("{name}-0123456789"));
    }
    for name in ["EUROPE", "AMERICA", "CLIENT"] {
        command.env(format!("{name}_KEY"), format!("{name}-0123456789"));
    }
    let output = command.args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn each_is_right_and_routes_as_it_says() {
    let dir = TempDir::new();
    let request = dir.path().join("request.json");
    for (file, model, first) in EXAMPLES {
        let path = folder().join(file);
        let path = path.to_str().unwrap();
        let (code, out, errors) = said(&["check", path]);
        assert!(code == 0 && out.contains(": ok, ") && errors.is_empty(), "{file}: {out}{errors}");
        let body = serde_json::json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
        std::fs::write(&request, body.to_string()).unwrap();
        let (code, out, errors) = said(&["explain", "--request", request.to_str().unwrap(), "-c", path]);
        assert_eq!(code, 0, "{file}: {errors}");
        let chosen = out.lines().find_map(|l| l.strip_prefix("chosen")).unwrap().trim();
        assert!(chosen.starts_with(&format!("{first} at ")), "{file}: {chosen}");
    }
}

#[test]
fn none_is_left_out() {
    let files = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let named: BTreeSet<String> = EXAMPLES.iter().map(|(file, ..)| (*file).to_owned()).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), named);
}
