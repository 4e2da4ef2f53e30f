//! A small grid and users by chance, for tests.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "each test file uses a part of this, fails by panicking, and runs the seeds that whoever runs it says"
)]

use rhumb_engine::{Limits, Perf, gpu, shape};
use rhumb_grid::config::{Config, Location, Preset};
use rhumb_grid::index::Grid;
use rhumb_grid::position::{ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use rhumb_grid::service::Service;
use rhumb_rng::Rng;
use rhumb_world::{
    Arrival, Choosing, Clients, End, EngineSpec, Fault, FaultKind, GatewayAt, Jitter, Outcome, Place, Ran, Setup,
    Source, Telemetry, Tenant,
};

const SITES: [(&str, &str, f64, f64); 6] = [
    ("fra", "DE", 50.1, 8.7),
    ("iad", "US", 39.0, -77.5),
    ("nrt", "JP", 35.7, 139.7),
    ("gru", "BR", -23.5, -46.6),
    ("sin", "SG", 1.3, 103.9),
    ("lhr", "GB", 51.5, -0.1),
];

/// So many sites of so many L4 engines each, a gateway at the first two, users at every site.
pub(crate) fn setup(sites: usize, engines: usize, choosing: impl Into<Choosing>) -> Setup {
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
        choosing: choosing.into(),
        rates: Rates { first_token_timeout_ms: 4_000, ..Rates::preset(Preset::Interactive) },
        service: Service::preset(Preset::Batch),
        tenants: Vec::new(),
        clients: Clients::default(),
        hedges: false,
        canaries: false,
        rtt_ms: (0..gateways.len()).flat_map(|g| (0..sites).map(move |s| rtt(g, s))).collect(),
        places: (0..sites).map(|s| Place { gateway: (s % gateways.len()) as u32, rtt_ms: 10.0 + s as f64 }).collect(),
        gateways,
        engines: vec![EngineSpec { perf, limits: Limits::default() }; sites * engines],
        names: vec![vec![ModelIndex(0)]],
        jitter: Jitter::default(),
        telemetry: Telemetry::default(),
        faults: Vec::new(),
        energy: Vec::new(),
        seed: 7,
    }
}

/// The seeds that a test runs: so many, or what `RHUMB_SEEDS` says, a number or a range of them.
pub(crate) fn seeds(usually: u64) -> std::ops::Range<u64> {
    let Some(text) = std::env::var("RHUMB_SEEDS").ok().filter(|t| !t.is_empty()) else { return 0..usually };
    let number = |t: &str| t.parse().expect("RHUMB_SEEDS is a number of seeds, or a range such as 7..8");
    text.split_once("..").map_or_else(|| 0..number(&text), |(from, to)| number(from)..number(to))
}

/// A fault of a whole site from one time to another.
pub(crate) fn fault(site: u32, kind: FaultKind, from_s: f64, until_s: f64) -> Fault {
    Fault {
        from_us: (from_s * 1e6) as u64,
        until_us: (until_s * 1e6) as u64,
        site: SiteIndex(site),
        endpoints: None,
        kind,
    }
}

/// So many requests by chance, at so many a second.
pub(crate) fn asks(count: usize, rps: f64, places: usize, seed: u64) -> Vec<Arrival> {
    let (mut gaps, mut lengths) = (Rng::labelled(seed, "gaps"), Rng::labelled(seed, "lengths"));
    let mut at_us = 0.0;
    (0..count)
        .map(|i| {
            at_us += gaps.exponential(1e6 / rps);
            let family = lengths.bits() % 5;
            let input_tokens = lengths.geometric(600.0).min(6_000);
            Arrival {
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

/// People with an objective of a second, and programs that have time: tenants 0 and 1.
pub(crate) fn beside_programs(setup: &Setup) -> Vec<Tenant> {
    let tenant = |name: &str, preset| Tenant {
        name: name.into(),
        rates: Rates { ttft_slo_ms: 1_000.0, first_token_timeout_ms: 60_000, ..setup.rates },
        service: Service::preset(preset),
        weight: 1.0,
    };
    vec![tenant("people", Preset::Interactive), tenant("programs", Preset::Batch)]
}

/// Every other of the requests is a program's, with a prompt of up to so many tokens that an L4 needs ten seconds.
pub(crate) fn people_and_programs(asks: Vec<Arrival>, rng: &mut Rng) -> Vec<Arrival> {
    let turned = asks.into_iter().map(|ask| match ask.tag % 2 {
        0 => ask,
        _ => Arrival {
            tenant: 1,
            input_tokens: 2_000 + rng.below(30_000) as u32,
            blocks: Vec::new(),
            session: None,
            ..ask
        },
    });
    turned.collect()
}

/// Users who ask, read the answer (or the error), think, and ask again: so many of them, for so long.
pub(crate) struct Crowd {
    next: std::collections::VecDeque<Arrival>,
    rng: Rng,
    think_us: f64,
    until_us: u64,
    places: usize,
}

impl Crowd {
    pub(crate) fn new(clients: usize, think_s: f64, until_s: f64, places: usize, seed: u64) -> Self {
        let (rng, think_us, until_us) = (Rng::labelled(seed, "crowd"), think_s * 1e6, (until_s * 1e6) as u64);
        let mut crowd = Self { next: std::collections::VecDeque::new(), rng, think_us, until_us, places };
        let mut first: Vec<Arrival> = (0..clients as u64).filter_map(|client| crowd.ask(client, 0)).collect();
        first.sort_by_key(|ask| ask.at_us);
        crowd.next = first.into();
        crowd
    }

    fn ask(&mut self, client: u64, after_us: u64) -> Option<Arrival> {
        let at_us = after_us + self.rng.exponential(self.think_us) as u64;
        let (input_tokens, output_tokens) = (self.rng.geometric(300.0).min(3_000), self.rng.geometric(40.0).min(400));
        (at_us < self.until_us).then(|| Arrival {
            at_us,
            place: (client % self.places as u64) as u32,
            name: 0,
            tenant: 0,
            input_tokens,
            output_tokens,
            session: None,
            blocks: Vec::new(),
            tag: client,
        })
    }
}

impl Source for Crowd {
    fn next_arrival(&mut self) -> Option<Arrival> {
        self.next.pop_front()
    }

    fn ended(&mut self, tag: u64, at_us: u64) -> Option<Arrival> {
        self.ask(tag, at_us)
    }
}

/// Answers a second that met the objective for the first token, by when they were asked for.
pub(crate) fn goodput(ran: &Ran, slo_ms: f32, from_s: f64, until_s: f64) -> f64 {
    let asked = (from_s * 1e6) as u64..(until_s * 1e6) as u64;
    let good = |o: &&Outcome| asked.contains(&o.at_us) && o.end == End::Complete && o.ttft_ms <= slo_ms;
    ran.outcomes.iter().filter(good).count() as f64 / (until_s - from_s)
}

/// What must hold at the end of every run (O2 to O4 of the fault catalogue): nothing in flight, one end for each
/// request, no negative bill.
pub(crate) fn oracles(ran: &Ran) -> Result<(), String> {
    let left = ran.left_over;
    if left.in_flight != 0.0 || left.backlog_tokens.abs() > 1e-3 || left.waiting != 0 || left.in_engines != 0 {
        return Err(format!("something is left over: {left:?}"));
    }
    if let Some(o) = ran.outcomes.iter().find(|o| !o.usd.is_finite() || o.usd < 0.0) {
        return Err(format!("a bill below zero: {o:?}"));
    }
    let tried: u64 = ran.outcomes.iter().map(|o| u64::from(o.attempts)).sum();
    let sent: u64 = ran.outcomes.iter().map(|o| u64::from(o.sends)).sum();
    // A client that leaves before the gateway has its request has sent it all the same.
    let (tried_is, sent_is) = (tried == ran.attempts, sent >= ran.sent);
    if !tried_is || !sent_is {
        return Err(format!("{tried} attempts of {}, {sent} sendings of {} have an end", ran.attempts, ran.sent));
    }
    Ok(())
}
