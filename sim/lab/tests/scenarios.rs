//! Every scenario that is built in runs, its invariants checked after every event; bad ones end with what is wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use rhumb_lab::{Checks, Lab, LabError, Options, RouterName, Tracer, list, load};

fn options(routers: Vec<RouterName>) -> Options {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let data = std::env::var_os("RHUMB_DATA_DIR").map_or_else(|| here.join("../../../shared/data"), PathBuf::from);
    let data = data.is_dir().then_some(data);
    Options { routers, seed: 3, seeds: 1, data, check: true, threads: 2, commit: "test".into() }
}

#[test]
fn every_built_in_scenario_runs_and_keeps_its_invariants() {
    for (name, about) in list().unwrap() {
        assert!(!about.is_empty());
        let mut loaded = load(name).unwrap();
        let traffic = &mut loaded.scenario.traffic;
        traffic.requests = Some(traffic.requests.unwrap_or(600).min(600));
        traffic.seconds = traffic.seconds.map(|s| s.min(600.0));
        let options = options(vec![RouterName::Rhumb, RouterName::SingleRegion]);
        let lab = match Lab::new(&loaded, &options) {
            Err(LabError::Trace(why)) if options.data.is_none() => {
                println!("{name} is left out: {why}");
                continue;
            }
            lab => lab.unwrap(),
        };
        let report = lab.run(&|_| {}).unwrap();
        assert_eq!(report.routers.len(), 2, "{name}");
        assert!(report.routers["rhumb"]["requests"].as_u64().unwrap() > 50, "{name}");
    }
}

#[test]
fn the_demo_comes_out_as_it_is_promised() {
    let loaded = load("demo").unwrap();
    let mut options = options(Vec::new());
    (options.check, options.seed) = (false, 31);
    let report = Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap();
    assert!(report.pass, "{}", report.terminal());
    assert_eq!((report.routers.len(), report.lines.len()), (7, 7));
}

#[test]
fn a_run_can_be_seen_again_around_an_event() {
    let loaded = load("site-loss").unwrap();
    let options = options(vec![RouterName::Rhumb]);
    let mut loaded = loaded;
    loaded.scenario.traffic.requests = Some(300);
    let lab = Lab::new(&loaded, &options).unwrap();
    let mut watch = (Tracer::new(2_000, true), Checks::default());
    let ran = lab.watch(RouterName::Rhumb, 3, &mut watch).unwrap();
    assert_eq!(watch.0.events(), ran.events);
    assert!(watch.0.text.contains("\n>      2000  "), "{}", watch.0.text);
    assert!(watch.0.text.contains("running, "), "{}", watch.0.text);
}

fn scenario(change: impl FnOnce(&str) -> String) -> String {
    let whole = "about: a test\ngrid:\n  sites: aws\n  count: 4\n  gateways: 2\ntraffic:\n  workload: poisson\n  rps: 5\n  requests: 20\n";
    let dir = std::env::temp_dir().join(format!("rhumb-lab-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let text = change(whole);
    let path = dir.join(format!("{:x}.yaml", text.len() * 31 + usize::from(text.as_bytes()[text.len() / 2])));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn error(change: impl FnOnce(&str) -> String) -> String {
    let path = scenario(change);
    let options = options(vec![RouterName::Rhumb]);
    let run = || Lab::new(&load(&path)?, &options)?.run(&|_| {});
    let text = run().unwrap_err().to_string();
    std::fs::remove_file(path).unwrap();
    text
}

#[test]
fn a_scenario_of_ones_own_runs() {
    let path = scenario(str::to_owned);
    let (loaded, options) = (load(&path).unwrap(), options(vec![RouterName::Rhumb]));
    let report = Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap();
    assert_eq!(report.routers["rhumb"]["requests"], 20);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_fewest_gpus_are_those_that_are_enough_while_fewer_are_not() {
    let with = |engines: u32, least: &str| {
        let path = scenario(|s| {
            let busy = s.replace("rps: 5", "rps: 240").replace("requests: 20", "seconds: 30");
            busy.replace("count: 4", &format!("count: 2\n  engines_per_site: {engines}")) + least
        });
        let (loaded, options) = (load(&path).unwrap(), options(vec![RouterName::Rhumb]));
        std::fs::remove_file(path).unwrap();
        Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap().routers["rhumb"].clone()
    };
    let search =
        |most: u32| format!("least_gpus: {{engines_per_site: [1, {most}], metric: ttft_attainment, at_least: 0.95}}\n");
    let found = with(1, &search(16))["least_gpus"].as_u64().unwrap();
    assert!(found > 2 && found % 2 == 0, "{found}");
    let in_time = |gpus: u64| with(gpus as u32 / 2, "")["ttft_attainment"].as_f64().unwrap();
    assert!(in_time(found) >= 0.95 && in_time(found - 2) < 0.95, "{} {}", in_time(found), in_time(found - 2));
    assert!(with(1, &search(1))["least_gpus"].is_null(), "too few");
}

#[test]
fn alone_a_scenario_wants_nothing_of_what_is_left_out() {
    let mut loaded = load("b1").unwrap();
    assert!(loaded.scenario.pass.iter().any(|p| p.metric == "least_gpus"));
    loaded.alone();
    let s = &loaded.scenario;
    assert!(s.traffic.loads.is_empty() && s.least_gpus.is_none() && !s.pass.iter().any(|p| p.metric == "least_gpus"));
}

#[test]
fn round_trips_may_be_stated() {
    let path =
        scenario(|s| s.replace("count: 4\n  gateways: 2", "count: 2\n  gateways: 1") + "network: {rtt_ms: [7, 900]}\n");
    let (loaded, options) = (load(&path).unwrap(), options(vec![RouterName::Nearest, RouterName::SingleRegion]));
    std::fs::remove_file(path).unwrap();
    let report = Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap();
    assert_eq!(report.routers["nearest"]["by_site"].as_object().unwrap().len(), 1, "the near one");
    for router in ["nearest", "single-region"] {
        assert!(report.routers[router]["network_ms"]["p99"].as_f64().unwrap() < 400.0, "{router}");
    }
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/scenario.schema.json");
    let committed: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let command = "cargo run -q -p rhumb-lab --example schema > docs/reference/scenario.schema.json";
    assert!(committed == rhumb_lab::schema(), "run `{command}`");
}

#[test]
fn a_grid_of_ones_own_runs() {
    let config = "operators: [{name: o}]\nsites:\n  - {name: a, operator: o, country: DE, latitude: 50, longitude: 8}\n  \
                  - {name: b, operator: o, country: US, latitude: 39, longitude: -77}\nmodels: [{name: llama-3.1-8b}]\n\
                  endpoints:\n  - {name: a1, site: a, url: 'http://10.0.0.1:1', gpu: l40s, models: [{model: llama-3.1-8b}]}\n  \
                  - {name: b1, site: b, url: 'http://10.0.0.2:1', gpu: h100, models: [{model: llama-3.1-8b}]}\n";
    let example = PathBuf::from(scenario(|_| config.to_owned()));
    let with = |more: &str| {
        let text = format!(
            "about: mine\ngrid: {{sites: file, config: {}, gateways: 2}}\ntraffic: {{workload: poisson, requests: 60, seconds: 500{more}}}\n",
            example.display()
        );
        scenario(move |_| text.clone())
    };
    let options = options(vec![RouterName::Rhumb, RouterName::SingleRegion]);
    let run = |path: &str| Lab::new(&load(path)?, &options)?.run(&|_| {});
    let path = with("");
    let report = match run(&path) {
        Ok(report) => report,
        Err(why) => panic!("{why}"),
    };
    assert_eq!(report.routers["rhumb"]["lost"], 0, "{}", report.terminal());
    std::fs::remove_file(path).unwrap();
    let path = with(", model: nobody");
    let error = run(&path).unwrap_err().to_string();
    assert!(error.contains("there is no model `nobody`") && error.contains("right: one of "), "{error}");
    std::fs::remove_file(path).unwrap();
    let path = with("");
    std::fs::write(&example, config.replace("gpu: l40s, ", "")).unwrap();
    let error = run(&path).unwrap_err().to_string();
    assert!(error.contains("endpoint `a1`") && error.contains("has no engine model"), "{error}");
    std::fs::write(&example, config.replace("site: b,", "site: nowhere,")).unwrap();
    let error = run(&path).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(example).unwrap();
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let has = |text: String, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
    };
    let after = |key: &str, more: &str| {
        let (key, more) = (key.to_owned(), more.to_owned());
        move |s: &str| s.replace(&key, &(key.clone() + &more))
    };
    has(
        error(after("gateways: 2\n", "  gpus: [h1000]\n")),
        &[".yaml:6:9:", "there is no GPU `h1000`", "right: one of", "h100"],
    );
    has(error(after("gateways: 2\n", "  model: lama\n")), &["there is no model `lama`", "llama-3.1-8b"]);
    has(error(after("gateways: 2\n", "  gpus: [l4]\n  model: llama-3.1-70b\n")), &["does not fit", "at least "]);
    has(error(|s| s.replace("count: 4", "count: 400")), &["`count` is 400", "at most 32"]);
    has(
        error(|s| s.replace("workload: poisson", "workload: azure")),
        &["no workload is called \"azure\"", "azure-conv"],
    );
    has(error(|s| s.replace("poisson", "mine.csv")), &["mine.csv"]);
    has(error(|s| s.replace("  requests: 20\n", "")), &["the traffic has no end", "`seconds:` or `requests:`"]);
    has(error(|s| s.replace("rps: 5", "rps: -5")), &["rps"]);
    has(error(|s| s.replace("sites: aws", "sites: moon")), &["moon", "akamai"]);
    has(error(|s| s.to_owned() + "routers: [rhum]\n"), &["no choice `rhum`", "right: `rhumb`"]);
    has(
        error(|s| s.to_owned() + "faults:\n  - {site: nowhere, kind: refuse, from_s: 1}\n"),
        &["there is no site `nowhere`", ".yaml:11:12"],
    );
    has(error(|s| s.to_owned() + "pass:\n  - {metric: ttft.p95, at_most: 1}\n"), &["there is no figure `ttft.p95`"]);
    has(error(|s| s.to_owned() + "pass:\n  - {metric: lost}\n"), &["the line wants nothing"]);
    has(error(|s| s.replace("requests: 20", "seconds: 0.1").replace("rps: 5", "rps: 0.001")), &["brings no request"]);
    has(error(|_| "about: x\n".into()), &["missing key `grid`", "missing key `traffic`"]);
    let least = |range: &str| format!("least_gpus: {{engines_per_site: {range}, metric: lost, at_most: 0}}\n");
    has(error(|s| s.to_owned() + &least("[3, 2]")), &["from 3 to 2 engines", "the fewest first"]);
    has(error(|s| s.to_owned() + &least("[0, 2]")), &["engines_per_site"]);
    has(error(|s| s.to_owned() + &least("[1, 2]").replace("lost", "lots")), &["there is no figure `lots`"]);
    has(error(|s| s.replace("sites: aws\n  count: 4", "sites: demo") + &least("[1, 2]")), &["says itself", "`aws`"]);
    has(error(|s| s.to_owned() + "network: {rtt_ms: [1, 2]}\n"), &["2 round trips", "`gateways: 1` and `count: 2`"]);
    let unknown = load("edge-44").unwrap_err().to_string();
    has(unknown, &["there is no scenario `edge-44`", "edge-43"]);
    has(load("none/there.yaml").unwrap_err().to_string(), &["cannot read `none/there.yaml`"]);
}
