//! Baselines run by name, with their parameters, on the same bytes each time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_lab::{BENCHMARKS, Lab, Options, Part, RouterName, load, tune};

fn options(routers: Vec<RouterName>) -> Options {
    Options { routers, seed: 3, seeds: 1, data: None, check: true, threads: 2, commit: "test".into() }
}

/// The benchmark that needs no data, in small.
fn small(routers: Vec<RouterName>, requests: u64) -> String {
    let mut loaded = load("b5").unwrap();
    loaded.scenario.traffic.requests = Some(requests);
    let report = Lab::new(&loaded, &options(routers)).unwrap().run(&|_| {}).unwrap();
    serde_json::to_string(&report).unwrap()
}

#[test]
fn every_router_runs_a_benchmark_and_gives_the_same_bytes_again() {
    let all = RouterName::ALL.to_vec();
    let report = small(all.clone(), 400);
    assert!(report == small(all, 400));
    for router in RouterName::ALL {
        assert!(report.contains(&format!("\"{}\":{{", router.name())), "{}", router.name());
    }
}

/// What tuning found is read with every benchmark, so that a wrong name or value would show here.
#[test]
fn every_benchmark_loads_with_what_tuning_found() {
    for name in BENCHMARKS {
        let loaded = load(name).unwrap();
        assert!(loaded.scenario.routers.contains(&RouterName::Rhumb), "{name}");
        assert!(!loaded.scenario.pass.is_empty(), "{name}");
    }
}

#[test]
fn a_knob_that_does_not_exist_or_is_out_of_range_is_named() {
    let path = std::env::temp_dir().join(format!("rhumb-parameters-{}.yaml", std::process::id()));
    let base = "about: a\ngrid: {sites: aws, count: 2}\ntraffic: {workload: azure-sample, requests: 10}\n";
    let wrong = |parameters: &str, wants: &[&str]| {
        std::fs::write(&path, format!("{base}parameters: {parameters}\n")).unwrap();
        let why = load(&path.display().to_string()).unwrap_err().to_string();
        assert!(wants.iter().all(|w| why.contains(w)), "{why}");
    };
    wrong("[{router: gorgo, parameter: network, value: 2}]", &["`gorgo` has no parameter `network`", "network_weight"]);
    wrong("[{router: llm-d, parameter: kv_weight, value: 11}]", &["`kv_weight` is 11", "from 0 to 10"]);
    wrong("[{router: maglev, parameter: bound, value: 1}]", &["maglev"]);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn tuning_keeps_the_defaults_unless_something_is_better_and_looks_at_its_own_part_only() {
    let mut loaded = load("b5").unwrap();
    loaded.scenario.traffic.requests = Some(300);
    let once = |trials| {
        let mut loaded = load("b5").unwrap();
        loaded.scenario.traffic.requests = Some(300);
        tune(&mut loaded, &options(Vec::new()), RouterName::Gorgo, trials).unwrap()
    };
    let defaults = once(1);
    assert_eq!(defaults.parameters["network_weight"], 1.0);
    let best = once(6);
    assert!(best.score >= defaults.score && best.default_score == defaults.score, "{best:?}");
    assert_eq!(best, once(6));
    assert_ne!(Part::ToTune.of(&mut loaded, 3).unwrap(), Part::ToJudge.of(&mut loaded, 3).unwrap());
    let mut trace = load("b2").unwrap();
    let whole_s = trace.scenario.traffic.seconds.unwrap();
    assert_eq!(Part::ToJudge.of(&mut trace, 3).unwrap(), 3);
    let plan = &trace.scenario.traffic;
    assert_eq!((plan.from_s, plan.seconds), (whole_s / 2.0, Some(whole_s / 2.0)));
}
