//! `rhumb-lab` at the command line, alone and by way of `rhumb sim`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use rhumb_tests::gateway::{binary, lab_binary};
use rhumb_tests::temp::TempDir;

fn run(program: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(program).args(args).env_remove("RHUMB_DATA_DIR").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn lab(args: &[&str]) -> (i32, String, String) {
    run(Path::new(&lab_binary()), args)
}

#[test]
fn the_whole_comparison_is_the_same_bytes_again() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !data.is_dir() {
        println!("the comparison is left out: there is no {}", data.display());
        return;
    }
    let once = || lab(&["compare", "--quick", "--seeds", "2", "--data", data.to_str().unwrap()]);
    let (code, page, errors) = once();
    assert_eq!(code, 0, "{errors}");
    assert!(["b1", "b8", "rhumb", "gorgo", "Rhumb against each"].iter().all(|w| page.contains(w)), "{page}");
    assert!(once().1 == page);
}

#[test]
fn what_a_decision_takes_is_timed_for_every_router() {
    let (code, page, errors) = lab(&["decisions", "--requests", "10", "--json"]);
    assert!(code == 0 || code == 3, "{errors}");
    let report: serde_json::Value = serde_json::from_str(&page).unwrap();
    for router in ["rhumb", "gorgo", "round-robin"] {
        assert!(report["routers"][router]["1000"]["p99_us"].as_f64().unwrap() > 0.0, "{router}");
    }
    assert_eq!(report["lines"].as_array().map(Vec::len), Some(2));
}

#[test]
fn commands_of_the_lab_are_handed_over_by_rhumb_sim() {
    let rhumb = |args: &[&str]| run(Path::new(&binary()), &[&["sim"], args].concat());
    assert_eq!(rhumb(&["fit"]), lab(&["fit"]));
    let (code, out, said) = rhumb(&["league", "--seeds", "1"]);
    assert!(code == 2 && out.is_empty() && said.contains("1 is not in 2..=1000"), "{said}");
    // A program that stands alone says where they are.
    let dir = TempDir::new();
    let alone = dir.path().join("rhumb");
    std::fs::copy(binary(), &alone).unwrap();
    let (code, _, said) = run(&alone, &["sim", "tune"]);
    assert!(code == 2 && said.contains("`tune` is a command of `rhumb-lab`") && said.contains("make build"), "{said}");
}
