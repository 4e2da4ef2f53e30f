//! What is built for others: the binary's profile, and the container.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

fn text(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_release_binary_is_stripped() {
    let manifest = text("Cargo.toml");
    let profile = manifest.split("[profile.release]").nth(1).unwrap();
    assert!(profile.contains("strip = \"symbols\""), "{profile}");
}

#[test]
fn the_container_is_built_from_the_lock_file_with_the_stated_rust_and_runs_without_rights() {
    let (manifest, container) = (text("Cargo.toml"), text("deploy/Containerfile"));
    let rust = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(container.contains(&format!("FROM rust:{rust}-")), "the toolchain is {rust}");
    assert!(container.contains("cargo build --release --locked -p rhumb"));
    let user = container.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    // A number: an orchestrator can see that it is not root.
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
    assert!(text(".dockerignore").contains("/target") && !text("SECURITY.md").is_empty());
}
