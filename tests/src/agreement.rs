//! The emulator and the simulator on the same trace: the same engine, once against the clock and over sockets, once in
//! virtual time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rhumb_emulator::{EmulatorConfig, Link, spawn};
use rhumb_engine::{Limits, Perf, gpu, shape};
use rhumb_grid::config::{Config, Location, Preset, Router};
use rhumb_grid::index::Grid;
use rhumb_grid::position::ModelIndex;
use rhumb_grid::rates::Rates;
use rhumb_grid::service::Service;
use rhumb_world::{Arrival, Clients, End, EngineSpec, GatewayAt, Jitter, Place, Setup, Telemetry, run};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One request of the trace.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Since the start, seconds.
    pub arrival_s: f64,
    /// Length of the prompt.
    pub input_tokens: u32,
    /// Length of the answer.
    pub output_tokens: u32,
}

/// One request as one of the two saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// From arrival to the first token, ms.
    pub ttft_ms: f64,
    /// From arrival to the last, ms.
    pub e2e_ms: f64,
    /// When the first token came, ms since the start.
    pub first_ms: f64,
    /// When the last token came.
    pub last_ms: f64,
    /// Tokens of the answer.
    pub tokens: u32,
}

const MODEL: &str = "llama-3.1-8b";

fn perf() -> Perf {
    Perf::new(gpu("l4").unwrap(), 1, shape(MODEL).unwrap(), 1.0).unwrap()
}

fn limits() -> Limits {
    Limits { max_num_seqs: 16, ..Limits::default() }
}

/// What the simulator makes of the trace: one site, one engine, no distance.
///
/// # Panics
/// The world cannot be made: the test is at fault.
pub fn simulated(rows: &[Row]) -> Vec<Seen> {
    let config: Config = serde_json::from_value(serde_json::json!({
        "operators": [{"name": "o"}],
        "sites": [{"name": "s", "operator": "o", "country": "DE", "latitude": 50, "longitude": 8}],
        "models": [{"name": MODEL}],
        "endpoints": [{"name": "e", "site": "s", "url": "http://127.0.0.1:1", "engine": "vllm", "gpu": "l4",
                       "models": [{"model": MODEL, "quantization": "fp8"}]}]
    }))
    .unwrap();
    let setup = Setup {
        grid: Grid::new(config),
        choosing: Router::LeastRequest.into(),
        rates: Rates::preset(Preset::Batch),
        service: Service::preset(Preset::Batch),
        tenants: Vec::new(),
        clients: Clients::default(),
        hedges: false,
        canaries: false,
        gateways: vec![GatewayAt { name: "g".into(), location: Location { latitude: 50.0, longitude: 8.0 } }],
        places: vec![Place { gateway: 0, rtt_ms: 0.0 }],
        rtt_ms: vec![0.0],
        engines: vec![EngineSpec { perf: perf(), limits: limits() }],
        names: vec![vec![ModelIndex(0)]],
        jitter: Jitter { share: 0.0, asymmetry: 0.0 },
        telemetry: Telemetry::default(),
        faults: Vec::new(),
        energy: Vec::new(),
        seed: 0,
    };
    let asks = rows.iter().map(|r| Arrival {
        at_us: (r.arrival_s * 1e6) as u64,
        place: 0,
        name: 0,
        tenant: 0,
        input_tokens: r.input_tokens,
        output_tokens: r.output_tokens,
        session: None,
        blocks: Vec::new(),
        tag: 0,
    });
    let mut ran = run(&setup, &mut asks.collect::<Vec<_>>().into_iter(), &mut ()).unwrap();
    ran.outcomes.sort_by_key(|o| o.at_us);
    assert!(ran.outcomes.iter().all(|o| o.end == End::Complete));
    let seen = |o: &rhumb_world::Outcome| {
        let (at_ms, ttft_ms, e2e_ms) = (o.at_us as f64 / 1e3, f64::from(o.ttft_ms), f64::from(o.e2e_ms));
        Seen { ttft_ms, e2e_ms, first_ms: at_ms + ttft_ms, last_ms: at_ms + e2e_ms, tokens: o.output_tokens }
    };
    ran.outcomes.iter().map(seen).collect()
}

/// What a client of the emulator sees of the trace, in real time.
///
/// # Panics
/// The emulator or a connection fails.
pub fn emulated(rows: &[Row]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let out = runtime.block_on(async {
        let config = EmulatorConfig {
            name: "agreement".into(),
            model: MODEL.into(),
            perf: perf(),
            limits: limits(),
            context_tokens: 100_000,
            default_output_tokens: 1,
            seed: 0,
            speedup: 1.0,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let emulator = spawn(config, vec![Link { listener, rtt: Duration::ZERO }]).unwrap();
        let address = emulator.addresses()[0];
        let seen = Arc::new(Mutex::new(vec![None; rows.len()]));
        let start = Instant::now() + Duration::from_millis(50);
        let mut clients = tokio::task::JoinSet::new();
        for (i, row) in rows.iter().copied().enumerate() {
            let seen = Arc::clone(&seen);
            clients.spawn(async move {
                tokio::time::sleep_until((start + Duration::from_secs_f64(row.arrival_s)).into()).await;
                let answer = ask(TcpStream::connect(address).await.unwrap(), i, row, start).await;
                seen.lock().unwrap()[i] = Some(answer);
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        emulator.shutdown();
        Arc::into_inner(seen).unwrap().into_inner().unwrap()
    });
    out.into_iter().map(Option::unwrap).collect()
}

/// A prompt takes four bytes a token, begins like no other, and says how long its answer shall be.
fn prompt(i: usize, row: Row) -> String {
    let head = format!("[[answer {} tokens]] {i:04} ", row.output_tokens);
    let bytes = (row.input_tokens as usize * 4).max(head.len());
    format!("{head}{}", "x".repeat(bytes - head.len()))
}

async fn ask(stream: TcpStream, i: usize, row: Row, start: Instant) -> Seen {
    let body =
        serde_json::json!({"model": MODEL, "stream": true, "messages": [{"role": "user", "content": prompt(i, row)}]});
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(read).lines();
    let (mut first, mut last, mut tokens) = (None, start, 0);
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains(r#""content":""#) && !line.contains(r#""content":"""#) {
            last = Instant::now();
            first.get_or_insert(last);
            tokens += 1;
        }
    }
    let ms = |at: Instant| at.saturating_duration_since(start).as_secs_f64() * 1e3;
    let (first_ms, last_ms, at_ms) = (ms(first.unwrap()), ms(last), row.arrival_s * 1e3);
    Seen { ttft_ms: first_ms - at_ms, e2e_ms: last_ms - at_ms, first_ms, last_ms, tokens }
}

/// Pairs of requests that the two order differently, of those that are more than `apart_ms` apart in the simulation.
pub fn disordered(simulated: &[Seen], emulated: &[Seen], apart_ms: f64, of: fn(&Seen) -> f64) -> (usize, usize) {
    let (mut pairs, mut wrong) = (0, 0);
    for i in 0..simulated.len() {
        for j in i + 1..simulated.len() {
            let gap = of(&simulated[i]) - of(&simulated[j]);
            if gap.abs() > apart_ms {
                pairs += 1;
                wrong += usize::from((of(&emulated[i]) - of(&emulated[j])).signum() != gap.signum());
            }
        }
    }
    (pairs, wrong)
}

/// A trace by chance that keeps the engine busy without drowning it.
pub fn trace(count: usize) -> Vec<Row> {
    let mut rng = rhumb_rng::Rng::labelled(11, "agreement");
    let mut arrival_s = 0.0;
    let row = |_| {
        arrival_s += rng.exponential(0.25);
        Row {
            arrival_s,
            input_tokens: rng.geometric(400.0).clamp(16, 1_500),
            output_tokens: rng.geometric(30.0).clamp(2, 120),
        }
    };
    (0..count).map(row).collect()
}
