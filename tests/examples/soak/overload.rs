//! Emulated engines under more load than they can take: goodput, and who waits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rhumb_emulator::{EmulatorConfig, Link, spawn};
use rhumb_engine::{Limits, Perf, gpu, shape};
use rhumb_rng::Rng;
use rhumb_tests::config::Config;
use rhumb_tests::{MODEL, wait};

use crate::client::{Ask, Call, connect};
use crate::load;
use crate::report::{Report, at};

const ENGINES: usize = 2;
/// Requests that an engine runs at once; others it queues.
const SEATS: u32 = 128;
const SHAPE: &str = "llama-3.1-8b";
const GPU: &str = "l40s";
/// Bytes of a prompt: 300 tokens.
const PROMPT_BYTES: usize = 1_200;
/// Tokens of an answer, at least and at most; no two end together for long.
const ANSWER: (usize, usize) = (20, 100);
/// Objective for the time to first token, ms.
pub(crate) const SLO_MS: f64 = 500.0;
/// Offered, as shares of the capacity.
const SWEEP: [f64; 4] = [0.6, 0.9, 1.2, 2.0];
/// A rate is offered for so long before it is measured, and so long while it is.
const BEFORE: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(45);

/// Engines on a thread of their own until the process ends.
pub(crate) fn engines() -> Vec<SocketAddr> {
    let listeners: Vec<std::net::TcpListener> =
        (0..ENGINES).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let addresses = listeners.iter().map(|l| l.local_addr().expect("it is bound")).collect();
    std::thread::spawn(move || {
        let runtime = load::runtime();
        runtime.block_on(async move {
            let perf = Perf::new(gpu(GPU).expect("in the table"), 1, shape(SHAPE).expect("in the table"), 2.0);
            for (number, listener) in listeners.into_iter().enumerate() {
                let config = EmulatorConfig {
                    name: format!("engine-{number}"),
                    model: MODEL.to_owned(),
                    perf: perf.expect("it fits"),
                    limits: Limits { max_num_seqs: SEATS, ..Limits::default() },
                    context_tokens: 100_000,
                    default_output_tokens: 1,
                    seed: number as u64,
                    speedup: 1.0,
                };
                spawn(config, vec![Link { listener, rtt: Duration::ZERO }]).expect("it listens");
            }
            std::future::pending::<()>().await;
        });
    });
    addresses
}

/// A gateway over them.
pub(crate) fn config(engines: &[SocketAddr]) -> Config {
    let config = crate::config(engines).model(&format!("shape: {SHAPE}")).scrape(1_000);
    let config = config.policy("preset: interactive").policy(&format!("ttft_slo_ms: {SLO_MS}"));
    (0..engines.len()).fold(config, |config, e| {
        config.endpoint(e, |e| {
            e.concurrency = SEATS;
            e.more = format!(", gpu: {GPU}");
        })
    })
}

/// A request that no other is like.
fn ask(rng: &mut Rng) -> Ask {
    let text: String = (0..PROMPT_BYTES / 16).map(|_| format!("{:015x} ", rng.bits() >> 4)).collect();
    let tokens = ANSWER.0 + rng.below(ANSWER.1 - ANSWER.0 + 1);
    Ask::chat(&format!("[[answer {tokens} tokens]] {text}"), true, tokens as u32)
}

/// How one answer was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// From its moment, which is not when the machine came to it, to its first content, ms.
    pub(crate) ttft_ms: Option<f64>,
    /// It came to its end.
    pub(crate) whole: bool,
}

impl Seen {
    fn is_good(&self) -> bool {
        self.whole && self.ttft_ms.is_some_and(|ms| ms <= SLO_MS)
    }
}

async fn seen(address: SocketAddr, ask: Ask, at: Instant) -> Seen {
    let mut seen = Seen { ttft_ms: None, whole: false };
    let asking = async {
        let mut call = Call::h1(connect(address, None).await?, &ask).await?;
        if call.status == 200 && call.content().await? {
            seen.ttft_ms = Some(at.elapsed().as_secs_f64() * 1e3);
            call.all().await?;
            seen.whole = call.is_done();
        }
        Ok::<(), std::io::Error>(())
    };
    // Whoever is refused, or cut off, has no good answer; that is all there is to know.
    let _ = asking.await;
    seen
}

/// Those who come.
#[derive(Clone)]
pub(crate) struct Stream {
    /// Names the draw.
    pub(crate) name: &'static str,
    /// So many a second.
    pub(crate) per_s: f64,
    /// What they say in their heads.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// Offers these streams together, open loop, and gives what each saw of the measured time.
pub(crate) fn offer(
    address: SocketAddr,
    streams: &[Stream],
    seed: u64,
    before: Duration,
    measured: Duration,
) -> Vec<Vec<Seen>> {
    load::runtime().block_on(async {
        let start = Instant::now();
        let coming = streams.iter().cloned().map(|stream| {
            tokio::spawn(async move {
                let mut rng = Rng::labelled(seed, stream.name);
                let (mut due, mut calls) = (Duration::ZERO, Vec::new());
                loop {
                    due += Duration::from_secs_f64(rng.exponential(1.0 / stream.per_s));
                    if due > before + measured {
                        return calls;
                    }
                    let mut ask = ask(&mut rng);
                    ask.headers.extend(stream.headers.iter().cloned());
                    tokio::time::sleep_until((start + due).into()).await;
                    let call = tokio::spawn(seen(address, ask, start + due));
                    if due > before {
                        calls.push(call);
                    }
                }
            })
        });
        let coming: Vec<_> = coming.collect();
        let end = tokio::time::Instant::from_std(start + before + measured + Duration::from_secs(15));
        let mut all = Vec::new();
        for calls in coming {
            let mut these = Vec::new();
            for call in calls.await.expect("no client panics") {
                // Who waits still has no answer.
                let waited = tokio::time::timeout_at(end, call).await;
                these.push(waited.map_or(Seen { ttft_ms: None, whole: false }, |s| s.expect("no client panics")));
            }
            all.push(these);
        }
        all
    })
}

/// Answers a second of engines that are always full, asked directly.
pub(crate) fn capacity(engines: &[SocketAddr]) -> f64 {
    let (warm, time) = (Duration::from_secs(4), Duration::from_secs(16));
    load::runtime().block_on(async {
        let start = Instant::now();
        let clients = (0..ENGINES * SEATS as usize).map(|n| {
            let address = engines[n % ENGINES];
            tokio::spawn(async move {
                let (mut rng, mut count) = (Rng::labelled(n as u64, "capacity"), 0);
                loop {
                    let whole = seen(address, ask(&mut rng), Instant::now()).await.whole;
                    assert!(whole, "an engine answers");
                    match start.elapsed() {
                        t if t > warm + time => return count,
                        t => count += u32::from(t > warm),
                    }
                }
            })
        });
        let mut all = 0;
        for client in clients.collect::<Vec<_>>() {
            all += client.await.expect("no client panics");
        }
        f64::from(all) / time.as_secs_f64()
    })
}

/// Time to first token of those who had one, in order, ms.
pub(crate) fn ttft(seen: &[Seen]) -> Vec<f64> {
    let mut ms: Vec<f64> = seen.iter().filter_map(|s| s.ttft_ms).collect();
    ms.sort_by(f64::total_cmp);
    ms
}

pub(crate) fn run(report: &mut Report, engines: &[SocketAddr], capacity: f64) {
    let gateway = config(engines).start();
    let mut good = Vec::new();
    for (seed, share) in SWEEP.into_iter().enumerate() {
        let all = Stream { name: "all", per_s: share * capacity, headers: Vec::new() };
        let mut seen = Vec::new();
        let (work_s, seconds) = load::timed(&gateway, || {
            seen = offer(gateway.address, &[all], seed as u64, BEFORE, MEASURED).remove(0);
        });
        let per_s = seen.iter().filter(|s| s.is_good()).count() as f64 / MEASURED.as_secs_f64();
        let (ms, count) = (ttft(&seen), seen.len() as f64);
        let text = format!(
            "{per_s:.1} good answers a second of {:.1}, {:.0} % without one, TTFT p50 {:.0}, p99 {:.0} ms; {:.2} cores",
            count / MEASURED.as_secs_f64(),
            100.0 * (1.0 - ms.len() as f64 / count),
            at(&ms, 0.5),
            at(&ms, 0.99),
            work_s / seconds
        );
        report.note(&format!("at {share:.1} of the capacity"), &text);
        good.push(per_s);
    }
    let (peak, last) = (good.iter().copied().fold(0.0, f64::max), good[good.len() - 1]);
    let text = format!("{:.0} % of its peak", 100.0 * last / peak);
    report.line("goodput at twice the capacity", &text, ">= 90 %", last >= 0.9 * peak);
    let people = Stream { name: "people", per_s: 0.5 * capacity, headers: Vec::new() };
    let headers = vec![("x-rhumb-policy", "batch".to_owned())];
    let programs = Stream { name: "programs", per_s: 1.5 * capacity, headers };
    let mut seen = offer(gateway.address, &[people, programs], 100, BEFORE, MEASURED);
    let (programs, people) = (seen.remove(1), seen.remove(0));
    let (ms, lost) = (ttft(&people), people.iter().filter(|s| s.ttft_ms.is_none()).count());
    let p99 = at(&ms, 0.99);
    let text = format!(
        "p50 {:.0}, p99 {p99:.0} ms, {lost} of {} without an answer; {:.1} answers a second to programs",
        at(&ms, 0.5),
        people.len(),
        programs.iter().filter(|s| s.whole).count() as f64 / MEASURED.as_secs_f64()
    );
    let holds = p99 <= SLO_MS && lost == 0;
    let want = "p99 <= 500 ms, nobody without an answer";
    report.line("people at half of the capacity, programs at 1.5: TTFT of people", &text, want, holds);
    // Programs that still wait have left now.
    let waiting = |p: &str| gateway.metric(&format!("rhumb_queue_length{{priority=\"{p}\"}}"));
    let gone = || waiting("batch") + waiting("interactive") + gateway.metric("rhumb_connections") == 0.0;
    wait::until_true("nobody waits", gone);
    gateway.stop();
}
