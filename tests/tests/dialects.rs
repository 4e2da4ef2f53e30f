//! docs/reference/dialects.md says of each pitfall which test holds it: they all exist.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let named = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('('));
            found.extend(named.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_pitfall_has_a_test_or_a_reason() {
    let page = std::fs::read_to_string(root().join("docs/reference/dialects.md")).unwrap();
    let mut found = BTreeSet::new();
    for folder in ["wire", "tests", "shell/gateway", "shell/store"] {
        tests_below(&root().join(folder), &mut found);
    }
    let rows: Vec<Vec<&str>> = page
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|row| row.len() == 5 && row[1].parse::<u32>().is_ok())
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=59).collect::<Vec<u32>>());
    for row in rows {
        let named: Vec<&str> = row[3].split('`').skip(1).step_by(2).filter(|name| name.len() > 20).collect();
        assert!(!named.is_empty() || row[3].starts_with("cannot occur: "), "pitfall {}: {}", row[1], row[3]);
        for name in named {
            assert!(found.contains(name), "pitfall {}: there is no test `{name}`", row[1]);
        }
    }
}
