use rhumb_grid::config::Config;

use super::*;

fn grid(extra_site: &str) -> Grid {
    let text = alloc::format!(
        r#"{{
        "gateway": {{"location": {{"latitude": 50.1, "longitude": 8.7}}, "carbon_usd_per_tonne": 100}},
        "sites": [
            {{"name": "fra", "operator": "o", "country": "DE", "latitude": 50.1, "longitude": 8.7, "rtt_ms": 4, "power_kw": 1,
              "pue": 1.5, "energy_usd_per_kwh": 0.36, "carbon_g_per_kwh": 360, "egress_usd_per_gb": 0.05}},
            {{"name": "sin", "operator": "o", "country": "SG", "latitude": 1.3, "longitude": 103.8{extra_site}}}
        ],
        "models": [{{"name": "small", "quality": 0.5}}, {{"name": "large", "vision": true}}],
        "endpoints": [
            {{"name": "fra-1", "site": "fra", "url": "http://a", "engine": "vllm", "max_concurrency": 7, "models": [
                {{"model": "large", "context_tokens": 100, "price": {{"input_usd_per_mtok": 2, "output_usd_per_mtok": 8}}}},
                {{"model": "small", "price": {{"input_usd_per_mtok": 2, "cached_usd_per_mtok": 1, "output_usd_per_mtok": 8}}}}]}},
            {{"name": "sin-1", "site": "sin", "url": "http://b", "models": [{{"model": "small"}}]}}
        ]
    }}"#
    );
    Grid::new(serde_json::from_str::<Config>(&text).unwrap())
}

fn no_perf(_: &Endpoint, _: &Served) -> Option<Perf> {
    None
}

fn h100(_: &Endpoint, _: &Served) -> Option<Perf> {
    Perf::new(rhumb_engine::gpu::gpu("h100")?, 1, rhumb_engine::shape::shape("llama-3.1-8b")?, 2.0)
}

#[test]
fn rows_stand_by_model_with_their_configuration() {
    let mut viewer = Viewer::new(&grid(""), no_perf);
    viewer.set_best_first(false);
    let view = viewer.view(&[EndpointState::default(); 2], 0);
    assert_eq!(view.version, 1);
    let ids = |m| view.rows(ModelIndex(m)).iter().map(|r| (r.endpoint.0, r.site.0, r.model.0)).collect::<Vec<_>>();
    assert_eq!((ids(0), ids(1), ids(2)), (alloc::vec![(0, 0, 0), (1, 1, 0)], alloc::vec![(0, 0, 1)], Vec::new()));
    let small = view.rows(ModelIndex(0))[0];
    assert_eq!((small.input_usd, small.cached_usd, small.output_usd), (2e-6, 1e-6, 8e-6));
    assert_eq!((small.country, small.concurrency, small.context_tokens, small.quality), (*b"DE", 7.0, 131_072, 0.5));
    assert_eq!(small.egress_usd, 0.05e-9);
    assert!((small.joule_usd - 0.36 * 1.5 / 3.6e6).abs() < 1e-18);
    assert!((small.carbon_usd - 360.0 * 1.5 * 1e-4 / 3.6e6).abs() < 1e-18);
    assert_eq!((small.rtt_ms, small.rtt_age_ms, small.site_watts_max), (4.0, NEVER_MS, 1000.0));
    assert_eq!((small.load_age_ms, small.reported), (NEVER_MS, 0.0));
    let large = view.rows(ModelIndex(1))[0];
    assert_eq!((large.context_tokens, large.cached_usd, large.able.vision), (100, 2e-6, true));
    let far = view.rows(ModelIndex(0))[1];
    assert!(far.rtt_ms > 150.0 && far.rtt_ms < 220.0, "{}", far.rtt_ms);
    assert_eq!((far.site_watts_max, far.load_age_ms), (f64::INFINITY, 0.0));
}

#[test]
fn those_with_room_stand_before_those_without() {
    let mut viewer = Viewer::new(&grid(""), h100);
    let mut states = [EndpointState::default(); 2];
    let first = |viewer: &mut Viewer, states: &[EndpointState]| viewer.view(states, 0).rows(ModelIndex(0))[0].endpoint;
    let near = first(&mut viewer, &states);
    states[near].own_in_flight = 10_000.0;
    assert_ne!(first(&mut viewer, &states), near);
}

#[test]
fn speeds_come_from_the_engine_model() {
    let mut viewer = Viewer::new(&grid(""), h100);
    let row = viewer.view(&[EndpointState::default(); 2], 0).rows(ModelIndex(0))[0];
    let p = h100(&grid("").config.endpoints[0], &grid("").config.endpoints[0].models[0]).unwrap();
    assert_eq!(row.prefill_ms, 1.0 / p.prefill_tokens_per_ms());
    assert_eq!((row.step_ms, row.step_ms_per_seq), (p.decode_base_ms(), p.decode_ms_per_seq(1000.0)));
    assert_eq!((row.prefill_joules, row.step_joules), (p.joules_per_prefill_token(), p.joules_per_decode_token(1.0)));
    assert!((row.seq_watts - (p.max_watts() - p.idle_watts()) / 128.0).abs() < 1e-9);
}

#[test]
fn readings_carry_their_age() {
    let mut viewer = Viewer::new(&grid(""), no_perf);
    viewer.set_best_first(false);
    let mut states = [EndpointState::default(); 2];
    let (running, waiting, own_in_flight) = (3.0, 2.0, 4.0);
    states[0].report(LoadReport { running, waiting, kv_use: None, watts: None, own_in_flight, at_ms: 1_000 });
    states[0].stalled_ms = 70.0;
    let mut workload = WorkloadStats::default();
    (0..50).for_each(|_| workload.sent(4_000.0));
    viewer.set_workload(ModelIndex(0), workload);
    states[0].rtt.add(12.0);
    states[0].rtt_at_ms = Some(500);
    states[0].health = CandidateHealth::Unhealthy;
    states[0].ttft.observe(20.0, 10.0, 1.0);
    states[0].pace.observe(30.0, 10.0, 1.0);
    states[0].others_second_usd.add(0.1);
    let row = viewer.view(&states, 4_000).rows(ModelIndex(0))[0];
    assert_eq!((row.reported, row.own_at_report, row.load_age_ms), (5.0, 4.0, 3_000.0));
    // Of two that wait, one in five is another gateway's.
    assert!((row.others_tokens - 0.4 * workload.prompt_tokens()).abs() < 1e-9);
    // Half of its load is taken for true at once: nothing else has been reported.
    assert_eq!((row.others_per_ms, row.stalled_ms), (workload.per_ms(0.5), 70.0));
    assert_eq!(row.unseen_ms, workload.left_ms(row.others_per_ms, row.prefill_ms));
    assert_eq!((row.rtt_ms, row.rtt_age_ms, row.health), (12.0, 3_500.0, CandidateHealth::Unhealthy));
    assert_eq!((row.ttft_correction, row.pace_correction), (states[0].ttft.factor(), states[0].pace.factor()));
    assert_eq!(row.others_second_usd, states[0].others_second_usd.mean());
    assert_eq!(viewer.view(&states, 500).rows(ModelIndex(0))[0].load_age_ms, 0.0);
    assert_eq!(viewer.view(&states, 500).version, 3);
}

#[test]
fn endpoints_of_a_site_share_its_round_trip() {
    let mut config = grid("").config;
    let mut second = config.endpoints[0].clone();
    second.name = "fra-2".into();
    config.endpoints.push(second);
    let mut viewer = Viewer::new(&Grid::new(config), no_perf);
    let mut states = [EndpointState::default(); 3];
    states[0].rtt.add(12.0);
    states[2].rtt.add(11.0);
    (states[0].rtt_at_ms, states[2].rtt_at_ms) = (Some(0), Some(0));
    let rtts = |v: &View| {
        let mut rows = v.rows(ModelIndex(0)).to_vec();
        rows.sort_by_key(|r| r.endpoint);
        rows.iter().map(|r| r.rtt_ms).collect::<Vec<_>>()
    };
    let view = viewer.view(&states, 0);
    assert_eq!((rtts(&view)[0], rtts(&view)[2]), (11.0, 11.0));
    assert!(rtts(&view)[1] > 100.0);
    states[0].rtt.add(5.0);
    assert_eq!(rtts(&viewer.view(&states, 0))[2], 5.0);
}

#[test]
fn power_is_what_is_reported_else_what_is_modelled() {
    let mut viewer = Viewer::new(&grid(""), h100);
    let p = h100(&grid("").config.endpoints[0], &grid("").config.endpoints[0].models[0]).unwrap();
    let mut states = [EndpointState::default(); 2];
    states[1].own_in_flight = 4.0;
    viewer.view(&states, 0);
    assert_eq!(viewer.sites()[0].watts, p.watts(0.0, 0));
    assert_eq!(viewer.sites()[1].watts, p.watts(1.0, 4));
    let report =
        LoadReport { running: 0.0, waiting: 0.0, kv_use: None, watts: Some(900.0), own_in_flight: 0.0, at_ms: 0 };
    states[0].report(report);
    let row = viewer.view(&states, 1_000).rows(ModelIndex(0))[0];
    assert_eq!((row.site_watts, viewer.sites()[0].watts), (900.0, 900.0));
    assert!(row.power_usd > 0.0, "0.9 of the envelope is above the target");
    let dear = viewer.view(&states, 2_000).rows(ModelIndex(0))[0].power_usd;
    assert!((dear - 2.0 * row.power_usd).abs() < 1e-15);
    assert_eq!(viewer.sites()[1].power.usd_per_joule(), 0.0);
}
