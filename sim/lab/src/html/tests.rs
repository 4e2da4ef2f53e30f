use std::collections::BTreeMap;

use rhumb_grid::position::SiteIndex;
use serde_json::{Value, json};

use crate::plots::{Flow, Plots, SiteDot, Stretch};
use crate::report::{Line, Report};
use crate::scenario::{RouterName, Slo};

const HOSTILE: &str = "</title><script>alert('1 & \"2\"')</script>\u{0}";

fn times(scale: f64) -> Value {
    json!({"mean": 1.2 * scale, "p50": scale, "p90": 2.0 * scale, "p95": 3.0 * scale, "p99": 5.0 * scale})
}

fn figures(scale: f64) -> Value {
    json!({
        "requests": 1_000, "lost": 3, "ttft_ms": times(200.0 * scale), "e2e_ms": times(4_000.0 * scale),
        "network_ms": times(40.0), "queue_ms": times(60.0 * scale), "prefill_ms": times(80.0),
        "goodput_rps": 20.0 / scale, "slo_attainment": 0.9, "usd_per_mtok": {"metered": 0.1 * scale},
        "joules_per_token": null,
    })
}

fn plots(scale: f64) -> Plots {
    let curve = |scale: f64| (0..=100).map(|i| scale * (1.0 + f64::from(i))).collect();
    let stretch = |i: u32| Stretch {
        from_s: f64::from(i),
        requests: 17,
        lost: u64::from(i.is_multiple_of(7)),
        goodput_rps: 16.0,
        ttft_p50_ms: f64::NAN,
        ttft_p95_ms: if i == 5 { f64::NAN } else { 300.0 * scale },
    };
    let site = |name: &str, latitude, answers| SiteDot { name: name.into(), latitude, longitude: 8.0, answers };
    Plots {
        ttft_ms: curve(10.0 * scale),
        e2e_ms: curve(200.0 * scale),
        timeline: (0..60).map(stretch).collect(),
        flows: vec![
            Flow { place: 0, site: SiteIndex(1), answers: 9 },
            Flow { place: 7, site: SiteIndex(9), answers: 1 },
        ],
        sites: vec![site(HOSTILE, 50.0, 0), site("b", 40.0, 9), site("nowhere", f64::NAN, 1)],
        gateways: vec![(50.0, 8.0), (f64::NAN, 0.0)],
    }
}

fn full() -> Report {
    let names = RouterName::ALL.map(RouterName::name);
    let scale = |i: usize| 1.0 + i as f64 / 3.0;
    let each = || names.iter().enumerate();
    Report {
        scenario: HOSTILE.into(),
        about: HOSTILE.into(),
        seed: 1,
        seeds: 3,
        commit: HOSTILE.into(),
        engines: std::collections::BTreeMap::new(),
        capacity_rps: 40.0,
        routers: each().map(|(i, n)| (*n, figures(scale(i)))).collect(),
        ci95: each().map(|(i, n)| (*n, figures(scale(i) / 20.0))).collect(),
        pass: false,
        lines: vec![Line { line: HOSTILE.into(), want: HOSTILE.into(), got: None, pass: false }],
        plots: each().map(|(i, n)| (*n, plots(scale(i)))).collect(),
        places: vec![(48.0, 2.0)],
        load: each().map(|(i, n)| (*n, vec![(0.5, 10.0), (1.0, 20.0 / scale(i)), (1.2, f64::NAN)])).collect(),
        faults: vec![(10.0, f64::INFINITY, HOSTILE.into()), (f64::NAN, f64::NAN, "never".into())],
        slo: Slo::default(),
        command: HOSTILE.into(),
    }
}

/// The markup as a tree; a page that is none fails.
fn parsed(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    roxmltree::Document::parse_with_options(page, options).unwrap_or_else(|why| panic!("{why}"))
}

fn count(document: &roxmltree::Document, tag: &str) -> usize {
    document.descendants().filter(|n| n.has_tag_name(("http://www.w3.org/1999/xhtml", tag))).count()
}

fn is_sound(page: &str) {
    let document = parsed(page);
    // A name that holds markup made none.
    assert_eq!(count(&document, "script"), 1);
    let mut ids: Vec<&str> = document.descendants().filter_map(|n| n.attribute("id")).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an identity is used twice");
    for node in document.descendants() {
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!value.contains("NaN") && !value.contains("inf"), "{name}={value}");
            let fetches = matches!(name, "src" | "href") && !value.starts_with('#');
            assert!(!fetches, "{name}={value} is fetched from elsewhere");
        }
    }
}

#[test]
fn a_full_page_is_sound_and_shows_everything() {
    let report = full();
    let page = super::page(&report);
    is_sound(&page);
    let document = parsed(&page);
    let pictures: Vec<_> = document.descendants().filter(|n| n.attribute("role") == Some("img")).collect();
    // Two curves, price, shares, timeline, load, and a map for each router.
    assert_eq!(pictures.len(), 6 + report.routers.len());
    for name in report.routers.keys() {
        assert!(page.contains(&format!(">{name}</")), "{name} is not on the page");
    }
    for title in pictures.iter().filter_map(|p| p.attribute("aria-labelledby")).flat_map(str::split_whitespace) {
        let named = document.descendants().find(|n| n.attribute("id") == Some(title)).and_then(|n| n.text());
        assert!(named.is_some_and(|text| text.len() > 5), "{title}: {named:?}");
    }
    assert!(page.contains("✗ FAIL") && page.contains("±"));
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    assert_eq!(super::page(&full()), super::page(&full()));
}

#[test]
fn what_is_missing_is_not_drawn() {
    let mut empty = full();
    (empty.routers, empty.ci95, empty.plots, empty.load) = Default::default();
    (empty.places, empty.faults, empty.lines) = Default::default();
    empty.capacity_rps = f64::NAN;
    let page = super::page(&empty);
    is_sound(&page);
    assert!(!page.contains("role=\"img\""));

    let mut bare = full();
    let nothing = || Plots {
        ttft_ms: vec![],
        e2e_ms: vec![f64::NAN; 101],
        timeline: vec![],
        flows: vec![],
        sites: vec![],
        gateways: vec![],
    };
    bare.routers = BTreeMap::from([("rhumb", Value::Null), ("nearest", json!({"lost": "many"}))]);
    bare.plots = bare.routers.keys().map(|n| (*n, nothing())).collect();
    bare.load = BTreeMap::from([("rhumb", vec![(f64::NAN, f64::NAN)])]);
    is_sound(&super::page(&bare));
    assert!(!super::page(&bare).contains("role=\"img\""));
}

#[test]
fn one_router_that_lost_everything_still_makes_a_page() {
    let mut report = full();
    report.routers.retain(|n, _| *n == "nearest");
    let plots = report.plots.get_mut("nearest").unwrap();
    for stretch in &mut plots.timeline {
        (stretch.ttft_p95_ms, stretch.goodput_rps, stretch.lost) = (f64::NAN, 0.0, stretch.requests);
    }
    is_sound(&super::page(&report));
}

#[test]
fn a_collapsed_router_squashes_nobody_and_a_level_figure_is_not_red() {
    let mut report = full();
    report.ci95 = BTreeMap::new();
    let names: Vec<_> = report.routers.keys().copied().collect();
    report.routers = names.iter().map(|n| (*n, figures(1.0))).collect();
    report.routers.insert("rhumb", figures(1.003));
    let level = super::page(&report);
    assert!(level.contains("level with") && !level.contains("class=\"behind\""), "0.3 % is nothing with one seed");
    report.routers.insert("rhumb", figures(1.1));
    assert!(super::page(&report).contains("class=\"behind\""));
    report.routers.insert("rhumb", figures(1.0));
    report.routers.insert("round-robin", figures(500.0));
    let (curve, timeline) = (plots(500.0), plots(500.0).timeline);
    report.plots = names.iter().map(|n| (*n, plots(1.0))).collect();
    report.plots.insert("round-robin", Plots { timeline, ..curve });
    let page = super::page(&report);
    is_sound(&page);
    // Two curves, speed and price, and where the time goes.
    assert_eq!(page.matches("Beyond the end of the axis: round-robin.").count(), 5);
}
