//! The same seed gives the same report, byte for byte, however many threads made it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_lab::{Lab, Options, RouterName, load};

fn report(threads: usize, seed: u64) -> String {
    let mut loaded = load("edge-43").unwrap();
    loaded.scenario.traffic.requests = Some(1_500);
    let options = Options {
        routers: vec![RouterName::Rhumb, RouterName::Nearest, RouterName::PowerOfTwo],
        seed,
        seeds: 2,
        data: None,
        check: false,
        threads,
        commit: "test".into(),
    };
    let report = Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap();
    serde_json::to_string(&report).unwrap() + &report.html()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let first = report(1, 5);
    assert!(first == report(2, 5), "two threads gave another report than one");
    assert!(first != report(2, 6));
}
