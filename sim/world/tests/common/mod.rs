//! A small grid and users by chance, for tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of this")]

use rhumb_chance::Rng;
use rhumb_engine::{Limits, Perf, gpu, shape};
use rhumb_grid::config::{Config, Location, Preset, Router};
use rhumb_grid::index::Grid;
use rhumb_grid::rates::Rates;
use rhumb_grid::service::Service;
use rhumb_world::{Ask, Clients, EngineSpec, GatewayAt, Jitter, Place, Setup, Telemetry};

const SITES: [(&str, &str, f64, f64); 6] = [
    ("fra", "DE", 50.1, 8.7),
    ("iad", "US", 39.0, -77.5),
    ("nrt", "JP", 35.7, 139.7),
    ("gru", "BR", -23.5, -46.6),
    ("sin", "SG", 1.3, 103.9),
    ("lhr", "GB", 51.5, -0.1),
];

/// So many sites of so many L4 engines each, a gateway at the first two, users at every site.
pub(crate) fn setup(sites: usize, engines: usize, router: Router) -> Setup {
    let list: Vec<serde_json::Value> = SITES[..sites]
        .iter()
        .map(|(name, country, latitude, longitude)| {
            serde_json::json!({"name": name, "operator": "o", "country": country, "latitude": latitude,
                "longitude": longitude, "energy_usd_per_kwh": 0.1, "carbon_g_per_kwh": 300})
        })
        .collect();
    let endpoints: Vec<serde_json::Value> = (0..sites * engines)
        .map(|e| {
            serde_json::json!({"name": format!("e{e}"), "site": SITES[e / engines].0, "url": "http://127.0.0.1:1",
                "engine": "vllm", "gpu": "l4", "max_concurrency": 64, "models": [{"model": "llama-3.1-8b",
                "quantization": "fp8", "price": {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.2}}]})
        })
        .collect();
    let config: Config = serde_json::from_value(serde_json::json!({
        "operators": [{"name": "o"}], "sites": list, "models": [{"name": "llama-3.1-8b"}], "endpoints": endpoints
    }))
    .unwrap();
    let at = |i: usize| Location { latitude: SITES[i].2, longitude: SITES[i].3 };
    let gateways: Vec<GatewayAt> =
        (0..2.min(sites)).map(|i| GatewayAt { name: SITES[i].0.into(), location: at(i) }).collect();
    let rtt = |a: usize, b: usize| if a == b { 2.0 } else { 30.0 + 20.0 * (a.abs_diff(b)) as f64 };
    let perf = Perf::new(gpu("l4").unwrap(), 1, shape("llama-3.1-8b").unwrap(), 1.0).unwrap();
    Setup {
        grid: Grid::new(config),
        router,
        rates: Rates { first_token_timeout_ms: 4_000, ..Rates::preset(Preset::Interactive) },
        service: Service::preset(Preset::Batch),
        tenants: Vec::new(),
        clients: Clients::default(),
        rtt_ms: (0..gateways.len()).flat_map(|g| (0..sites).map(move |s| rtt(g, s))).collect(),
        places: (0..sites).map(|s| Place { gateway: (s % gateways.len()) as u32, rtt_ms: 10.0 + s as f64 }).collect(),
        gateways,
        engines: vec![EngineSpec { perf, limits: Limits::default() }; sites * engines],
        names: vec![vec![0]],
        jitter: Jitter::default(),
        telemetry: Telemetry::default(),
        faults: Vec::new(),
        energy: Vec::new(),
        seed: 7,
    }
}

/// So many requests by chance, at so many a second.
pub(crate) fn asks(count: usize, rps: f64, places: usize, seed: u64) -> Vec<Ask> {
    let (mut gaps, mut lengths) = (Rng::labelled(seed, "gaps"), Rng::labelled(seed, "lengths"));
    let mut at_us = 0.0;
    (0..count)
        .map(|i| {
            at_us += gaps.exponential(1e6 / rps);
            let family = lengths.bits() % 5;
            let input_tokens = lengths.geometric(600.0).min(6_000);
            Ask {
                at_us: at_us as u64,
                place: lengths.below(places) as u32,
                name: 0,
                tenant: 0,
                input_tokens,
                output_tokens: lengths.geometric(80.0).min(1_000),
                session: (family < 3).then(|| lengths.bits() % 20),
                blocks: (0..u64::from(input_tokens / 16)).map(|b| family << 32 | b).collect(),
                tag: i as u64,
            }
        })
        .collect()
}
