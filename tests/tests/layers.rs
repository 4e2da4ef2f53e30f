//! The layers of the house, held against the dependency tree: what decides is pure.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The crates of a layer: folder name and package name.
fn members(layer: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = std::fs::read_dir(root().join(layer)) else { return Vec::new() };
    let mut out: Vec<(PathBuf, String)> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.join("Cargo.toml").is_file())
        .map(|p| {
            let manifest = std::fs::read_to_string(p.join("Cargo.toml")).unwrap();
            let name = manifest.lines().find_map(|l| l.strip_prefix("name = ")).unwrap().trim_matches('"').to_owned();
            (p, name)
        })
        .collect();
    out.sort();
    out
}

/// Every crate that ends up in a package, build scripts' included.
fn linked(package: &str) -> BTreeSet<String> {
    let out = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "-p",
            package,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect()
}

/// What can sleep, dial, store, or give a random number.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "mio",
    "socket2",
    "async-nats",
    "kube",
    "rand",
    "getrandom",
    "fastrand",
    "rusqlite",
    "rustls",
    "reqwest",
    "chrono",
    "time",
    "tracing",
    "libc",
    "crossbeam-channel",
    "rayon",
];

#[test]
fn pure_and_sim_reach_nothing_impure() {
    let layers: Vec<_> = members("pure").into_iter().chain(members("sim")).collect();
    assert!(layers.len() >= 4, "the layers were found");
    for (_, package) in layers {
        let tree = linked(&package);
        assert!(tree.contains(&package), "no tree was printed for `{package}`");
        for banned in IMPURE {
            assert!(!tree.contains(*banned), "`{package}` reaches `{banned}`");
        }
    }
}

/// A canary: the same look at an impure crate finds something.
#[test]
fn the_look_would_notice() {
    assert!(linked("rhumb-gateway").contains("tokio"));
}

#[test]
fn layers_depend_downwards_only() {
    let of = |layer: &str| members(layer).into_iter().map(|(_, n)| n).collect::<BTreeSet<_>>();
    let (pure, wire, sim, shell, bin) = (of("pure"), of("wire"), of("sim"), of("shell"), of("bin"));
    let forbid = |from: &BTreeSet<String>, to: &[&BTreeSet<String>]| {
        for package in from {
            let tree = linked(package);
            for above in to.iter().copied().flatten().filter(|a| *a != package) {
                assert!(!tree.contains(above), "`{package}` must not depend on `{above}`");
            }
        }
    };
    forbid(&pure, &[&wire, &sim, &shell, &bin]);
    forbid(&wire, &[&sim, &shell, &bin]);
    forbid(&sim, &[&shell, &bin]);
    forbid(&shell, &[&bin]);
    for package in &wire {
        let allowed = |p: &String| p == "rhumb-grid" || !pure.contains(p);
        assert!(linked(package).iter().all(allowed), "`{package}` may use no more of `pure` than `grid`");
    }
}

#[test]
fn what_decides_cannot_even_name_a_clock() {
    for crate_name in ["grid", "rng", "core", "engine", "route", "flow"] {
        let lib = std::fs::read_to_string(root().join("pure").join(crate_name).join("src/lib.rs")).unwrap();
        assert!(lib.contains("#![no_std]"), "pure/{crate_name} is no_std");
    }
}
