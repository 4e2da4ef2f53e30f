use alloc::vec;

use rhumb_grid::config::{Config, Preset, Router};
use rhumb_grid::index::Grid;
use rhumb_grid::rates::Rates;

use super::*;
use crate::decide::{Choice, Scratch, decide};
use crate::record::Kept;
use crate::row::{Able, CandidateHealth};
use crate::view::{EndpointState, LoadReport, View, Viewer};

struct Numbered;

impl Names for Numbered {
    fn config(&self) -> &str {
        "1-00"
    }

    fn endpoint(&self, index: EndpointIndex) -> &str {
        ["e0", "e1", "e2", "e3"][index.at()]
    }

    fn site(&self, _: SiteIndex) -> &str {
        "s"
    }

    fn model(&self, _: ModelIndex) -> &str {
        "m"
    }
}

fn view() -> View {
    let endpoint = |i: u32, price: f64| {
        serde_json::json!({"name": alloc::format!("e{i}"), "site": "s", "url": "http://x", "engine": "vllm", "models": [
            {"model": "m", "price": {"input_usd_per_mtok": price, "output_usd_per_mtok": price}}]})
    };
    let config = serde_json::json!({
        "sites": [{"name": "s", "operator": "o", "country": "DE", "latitude": 0, "longitude": 0, "rtt_ms": 5}],
        "models": [{"name": "m"}],
        "endpoints": [endpoint(0, 90.0), endpoint(1, 10.0), endpoint(2, 50.0), endpoint(3, 1.0)]
    });
    let config: Config = serde_json::from_value(config).unwrap();
    let mut states = vec![EndpointState::default(); 4];
    states[3].health = CandidateHealth::Unhealthy;
    let report = LoadReport { running: 1.0, waiting: 0.0, kv_use: None, watts: None, own_in_flight: 0.0, at_ms: 400 };
    states[1].report(report);
    states[1].rtt.add(7.0);
    states[1].rtt_at_ms = Some(1_000);
    Viewer::new(&Grid::new(config), |_, _| None).view(&states, 1_500)
}

fn facts(pin: Option<(EndpointIndex, ModelIndex)>) -> Facts {
    Facts {
        models: vec![ModelIndex(0)],
        prompt_tokens: 100.0,
        output_tokens: 100.0,
        max_tokens: None,
        bytes_per_token: 5.0,
        needs: Able::default(),
        countries: Vec::new(),
        client_ms: 3.0,
        affinity: None,
        pin,
        hits: Vec::new(),
        longest_tokens: 100.0,
        certain_tokens: 1.0,
    }
}

fn explained(pin: Option<(EndpointIndex, ModelIndex)>) -> (Record, Explanation) {
    let (view, facts) = (view(), facts(pin));
    let rates = Rates { switch_usd: 1.0, ..Rates::preset(Preset::Balanced) };
    let choice = Choice { rates, router: Router::Rhumb, seed: 1 };
    let decision = decide(&view, &facts, &choice, &mut Scratch::default());
    let record = Record::new(view.version, &view, facts.clone(), choice, &Kept::of(&decision));
    let e = explain("id", view.version, &view, &facts, &record, &Numbered);
    (record, e)
}

#[test]
fn the_chosen_comes_first_then_the_rest_by_bill_and_the_dropped_apart() {
    let (_, e) = explained(None);
    assert_eq!(e.chosen, Some(Place { site: "s".into(), endpoint: "e1".into(), model: "m".into() }));
    assert_eq!((e.reason.as_str(), e.decision.as_str(), e.view, e.truncated), ("cheapest", "id", 1, false));
    let order = |e: &Explanation| e.candidates.iter().map(|c| c.endpoint.clone()).collect::<Vec<_>>();
    assert_eq!(order(&e), ["e1", "e2", "e0"]);
    assert!(e.candidates.iter().all(|c| c.bill.total_usd == c.bill.lines.total_usd()));
    let dropped = Dropped { site: "s".into(), endpoint: "e3".into(), model: "m".into(), reason: "unhealthy".into() };
    assert_eq!(e.dropped, [dropped]);
    // A pin that is not the cheapest still comes first.
    let (_, e) = explained(Some((EndpointIndex(0), ModelIndex(0))));
    assert_eq!((order(&e), e.reason.as_str()), (vec!["e0".into(), "e1".into(), "e2".into()], "pinned"));
}

#[test]
fn ages_are_those_of_the_readings_and_null_without_one() {
    let (_, e) = explained(None);
    let ages = |i: usize| (e.candidates[i].ages_ms["engine"], e.candidates[i].ages_ms["rtt"]);
    assert_eq!(ages(0), (Some(1_100.0), Some(500.0)));
    assert_eq!(ages(1), (None, None));
    let p = &e.candidates[0].predicted;
    assert_eq!((p.network_ms.client, p.network_ms.site, p.running), (3.0, 7.0, 1.0));
    let text = serde_json::to_string(&e).unwrap();
    for key in [
        "\"tokens_usd\":",
        "\"total_usd\":",
        "\"ttft_ms\":{\"p50\":",
        "\"network_ms\":{\"client\":",
        "\"ages_ms\":{\"engine\":",
    ] {
        assert!(text.contains(key), "{key} in {text}");
    }
}

#[test]
fn a_record_alone_explains_what_it_kept() {
    let (record, full) = explained(None);
    let e = explain_record("id", &record, &Numbered);
    assert_eq!((e.truncated, e.dropped.len(), e.candidates), (true, 0, full.candidates));
}

#[test]
fn nothing_eligible_is_said_so() {
    let (view, mut f) = (view(), facts(None));
    f.countries = vec![*b"US"];
    let choice = Choice { rates: Rates::preset(Preset::Balanced), router: Router::Rhumb, seed: 1 };
    let record = Record::new(view.version, &view, f.clone(), choice, &[]);
    let e = explain("id", 1, &view, &f, &record, &Numbered);
    assert_eq!((e.chosen, e.reason.as_str(), e.dropped.len()), (None, "nothing_eligible", 4));
}
