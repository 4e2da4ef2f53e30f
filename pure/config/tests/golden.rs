//! The example loads, the committed schema is current, and what a newcomer reads about broken files is as reviewed.
//!
//! `RHUMB_BLESS=1 cargo test -p rhumb-config --test golden` writes the golden files anew.
#![expect(clippy::disallowed_methods, reason = "a test reads fixtures and its own switch")]

use std::fs;
use std::path::{Path, PathBuf};

use rhumb_config::{Catalogue, Purpose, load, render, schema};

const CATALOGUE: Catalogue<'static> = Catalogue {
    gpus: &["h100", "l4", "h100-sxm-80gb", "a100-sxm-80gb", "l40s-48gb"],
    shapes: &["llama-3.1-8b", "llama-3.1-70b", "qwen3-32b"],
};

fn env(name: &str) -> Option<String> {
    matches!(name, "ACME_KEY" | "PROVIDER_KEY").then(|| format!("{name}-0123456789"))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares with a golden file, or writes it.
fn golden(path: &Path, found: &str) {
    if std::env::var("RHUMB_BLESS").is_ok() {
        fs::write(path, found).expect("the golden file can be written");
    }
    assert_eq!(found, read(path), "{} differs: RHUMB_BLESS=1 writes it anew", path.display());
}

#[test]
fn the_example_loads() {
    let text = read(&repository().join("examples/rhumb.yaml"));
    let config = match load(&text, &env, &CATALOGUE, Purpose::Serve) {
        Ok(loaded) if !loaded.warnings.is_empty() => panic!("{:?}", loaded.warnings),
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", render("examples/rhumb.yaml", &text, &problems)),
    };
    assert_eq!((config.sites.len(), config.endpoints.len()), (3, 3));
    assert_eq!(config.virtual_models[0].name, "auto");
    assert_eq!(config.tenants[0].keys[0].key.as_deref(), Some("ACME_KEY-0123456789"));
}

#[test]
fn the_example_needs_its_variables() {
    let text = read(&repository().join("examples/rhumb.yaml"));
    let problems = load(&text, &|_| None, &CATALOGUE, Purpose::Serve).expect_err("the variables are not set");
    assert_eq!(problems.len(), 2, "{problems:?}");
    let loaded = load(&text, &|_| None, &CATALOGUE, Purpose::Inspect).expect("the file itself is right");
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}

#[test]
fn the_committed_schema_is_current() {
    let path = repository().join("docs/reference/rhumb.schema.json");
    let committed: serde_json::Value = serde_json::from_str(&read(&path)).expect("JSON");
    let command = "cargo run -q -p rhumb-config --example schema > docs/reference/rhumb.schema.json";
    assert_eq!(committed, schema::json_schema(), "write it anew with `{command}`");
}

#[test]
fn broken_files_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/broken");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).expect("a folder").map(|it| it.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let text = read(&file);
        let problems = load(&text, &env, &CATALOGUE, Purpose::Serve).expect_err("a broken file");
        let shown = render("rhumb.yaml", &text, &problems);
        for secret in ["hunter2", "correct-horse", "3141592653", "0123456789"] {
            assert!(!shown.contains(secret), "{}: {shown}", file.display());
        }
        golden(&file.with_extension("txt"), &shown);
    }
}

#[test]
fn problems_are_json_too() {
    let problems = load("sites: 5\n", &env, &CATALOGUE, Purpose::Serve).expect_err("broken");
    let json = serde_json::to_value(&problems).expect("JSON");
    let first = &json[0];
    let keys: Vec<&str> = first.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["column", "length", "line", "path", "right", "severity", "what"]);
}
