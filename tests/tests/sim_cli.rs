//! `rhumb sim` at the command line: what it prints, where, and how it exits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

fn sim(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(rhumb_tests::gateway::binary())
        .arg("sim")
        .args(args)
        .env_remove("RHUMB_DATA_DIR")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

const QUICK: [&str; 6] = ["edge-43", "--requests", "400", "--router", "rhumb", "--json"];

#[test]
fn the_same_seed_prints_the_same_bytes() {
    let (code, first, _) = sim(&QUICK);
    assert!(code == 0 || code == 3);
    assert_eq!(first, sim(&QUICK).1);
    assert_ne!(first, sim(&[&QUICK[..], &["--seed", "2"]].concat()).1);
}

#[test]
fn json_has_the_promised_shape() {
    let report: serde_json::Value = serde_json::from_str(&sim(&QUICK).1).unwrap();
    for key in ["scenario", "seed", "commit", "routers", "pass", "lines"] {
        assert!(report.get(key).is_some(), "{key}");
    }
    let rhumb = &report["routers"]["rhumb"];
    for key in [
        "requests",
        "lost",
        "ttft_ms",
        "e2e_ms",
        "goodput_rps",
        "slo_attainment",
        "usd_per_mtok",
        "joules_per_token",
        "prefix_hit",
    ] {
        assert!(rhumb.get(key).is_some(), "{key}");
    }
    assert_eq!((&report["scenario"], &rhumb["requests"]), (&"edge-43".into(), &400.into()));
    for line in report["lines"].as_array().unwrap() {
        for key in ["line", "want", "got", "pass"] {
            assert!(line.get(key).is_some(), "{key} in {line}");
        }
    }
}

#[test]
fn scenarios_are_listed_and_runs_seen_again() {
    let (code, listed, _) = sim(&["list"]);
    assert!(code == 0 && listed.lines().count() >= 8 && listed.starts_with("demo "), "{listed}");
    let (code, shown, errors) = sim(&["replay", "1", "--scenario", "demo", "--at", "500", "--trace"]);
    assert_eq!(code, 0, "{errors}");
    assert!(shown.contains("\n>       500  ") && shown.contains("every invariant held over "), "{shown}");
    let (code, _, errors) = sim(&["replay", "1", "--at", "999999999"]);
    assert!(code == 2 && errors.contains("events: give --at a number up to that"), "{errors}");
}

#[test]
fn bad_input_ends_with_two_and_no_report() {
    let cases: [(&[&str], &str); 8] = [
        (&["edge-44"], "there is no scenario `edge-44`"),
        (&["demo", "--router", "rhum"], "the routers are rhumb, single-region"),
        (&["demo", "--seeds", "0"], "0 is not in 1..=1000"),
        (&["conversations"], "set RHUMB_DATA_DIR or pass `--data DIR`"),
        (&["conversations", "--data", "/nowhere"], "/nowhere/traces/"),
        (&["--json", "b10"], "write it directly after `rhumb sim`"),
        (&["fit"], "rhumb sim data"),
        (&["/nowhere/x.yaml"], "cannot read `/nowhere/x.yaml`"),
    ];
    for (args, says) in cases {
        let (code, out, errors) = sim(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {errors}");
        assert!(errors.contains(says), "{args:?}: {errors}");
    }
}

#[test]
fn a_page_is_written_whole() {
    let path = std::env::temp_dir().join(format!("rhumb-sim-{}.html", std::process::id()));
    let (code, _, errors) = sim(&["demo", "--html", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    let page = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    assert!(!page.contains("http://") || !page.contains("<script src"), "the page needs nothing from outside");
    let (code, _, errors) = sim(&["demo", "--html", "/nowhere/x.html"]);
    assert!(code == 2 && errors.contains("cannot write `/nowhere/x.html`"), "{errors}");
}

#[test]
fn the_data_that_is_needed_is_named_with_its_source_and_licence() {
    let (code, shown, _) = sim(&["data"]);
    assert_eq!(code, 0);
    let first = shown.lines().next().unwrap();
    assert!(first.starts_with("Runs without a data folder: demo, ") && first.contains("edge-43"), "{shown}");
    assert_eq!(shown.matches("  licence  ").count(), shown.matches("\n  for ").count(), "{shown}");
    for word in
        ["traces/mooncake_conversation.jsonl.zst", "Apache-2.0", "CC-BY-4.0", "AzurePublicDataset", "rhumb-lab compare"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(sim(&["data", "--data", "/nowhere"]).1.contains("(missing)"));
}
