//! Full load for a long time: memory stays, and the books agree at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use rhumb_rng::Rng;
use rhumb_tests::config::Config;
use rhumb_tests::gateway::Gateway;
use rhumb_tests::wait;
use tokio::net::TcpStream;

use crate::client::{Ask, Call, Leave, connect, connect_h2};
use crate::engine::{self, Cancels};
use crate::report::Report;
use crate::{config, load};

/// Clients at once.
const CLIENTS: usize = 440;
/// Most growth, as a share.
const WANT: f64 = 0.02;
/// Time between two new configurations.
const RELOAD: Duration = Duration::from_secs(60);
/// Of each tenant: so few that all of them are pinned within five minutes. A table that fills is no leak.
const SESSIONS: usize = 2_000;
/// A receive buffer that is soon full, in bytes.
const NARROW: u32 = 4 << 10;

/// What clients saw.
#[derive(Default)]
struct Seen {
    whole: AtomicU64,
    left: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    broken: AtomicU64,
}

pub(crate) fn run(report: &mut Report, minutes: f64) {
    let cancels = Arc::new(Cancels::default());
    let engines = engine::start(4, &cancels);
    let with_tenants = |weight: u32| {
        let tenant =
            |n: usize| format!("  - {{name: tenant-{n}, weight: {weight}, keys: [{{name: k, key: {}}}]}}\n", key(n));
        config(&engines).scrape(1_000).tail(&format!("tenants:\n{}", (0..TENANTS).map(tenant).collect::<String>()))
    };
    let gateway = with_tenants(1).start();
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    // Whatever a process opens once is open after the first requests.
    clients(&gateway, &seen, &stop, Duration::from_secs(2)).join().expect("clients end");
    let at_rest = || {
        gateway.await_rest();
        // Idle connections to endpoints are kept for a few seconds.
        wait::until_true("connections end", || gateway.metric("rhumb_connections") <= 1.0);
        std::thread::park_timeout(Duration::from_secs(6));
        gateway.descriptors()
    };
    let before = at_rest();
    let time = Duration::from_secs_f64(minutes * 60.0);
    let mut samples = Vec::new();
    let (work_s, seconds) = load::timed(&gateway, || {
        let clients = clients(&gateway, &seen, &stop, time);
        samples = watch(&gateway, time, |n| with_tenants(1 + n % 2));
        clients.join().expect("clients end");
    });
    let after = at_rest();
    let minute = samples.len() as f64 / minutes;
    let mib = |from: f64, to: f64| {
        let part = &samples[(from * minute) as usize..(to * minute) as usize];
        part.iter().sum::<u64>() as f64 / part.len() as f64 / f64::from(1 << 20)
    };
    // Five minutes of thirty.
    let part = minutes / 6.0;
    let (early, late) = (mib(part, 2.0 * part), mib(minutes - part, minutes));
    let growth = late / early - 1.0;
    let text = format!(
        "{early:.1} MiB in minutes {part:.0} to {:.0}, {late:.1} MiB in the last {part:.0}: {:+.2} %",
        2.0 * part,
        growth * 100.0
    );
    report.line(&format!("memory over {minutes} minutes"), &text, "<= 2 %", growth <= WANT);
    let each: Vec<String> = (0..minutes as usize).map(|m| format!("{:.0}", mib(m as f64, m as f64 + 1.0))).collect();
    report.note("its mean in each minute, MiB", &each.join(" "));
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let (whole, left, refused) = (count(&seen.whole), count(&seen.left), count(&seen.refused));
    let (cut, broken) = (count(&seen.cut), count(&seen.broken));
    let load = format!(
        "{:.0} requests a second of {CLIENTS} clients: {whole} answered, {left} left, {refused} refused, {cut} broken by \
         engines; {:.2} cores",
        (whole + left + refused + cut) as f64 / seconds,
        work_s / seconds
    );
    report.note("under the load of", &load);
    report.line("answers that end otherwise", &broken.to_string(), "0", broken == 0);
    report.line("descriptors at rest", &format!("{after}"), &format!("<= {before}, as before"), after <= before);
    let refused = gateway.metric("rhumb_config_reloads_total{result=\"refused\"}");
    let taken = gateway.metric("rhumb_config_reloads_total{result=\"ok\"}");
    report.line("configurations", &format!("{taken} taken, {refused} refused"), "0 refused", refused == 0.0);
    let log = std::fs::metadata(gateway.data_dir().join("rhumb.db")).map_or(0, |m| m.len());
    let totals = gateway.stop_counted();
    let text = format!("{} rows, {} MiB", totals.rows, log >> 20);
    report.line("one row for each request, the same tokens, nothing in flight", &text, "held", true);
}

/// Samples memory each second, and writes a new configuration now and then.
fn watch(gateway: &Gateway, time: Duration, version: impl Fn(u32) -> Config) -> Vec<u64> {
    let (start, mut samples, mut reloads) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < time {
        let next = start + Duration::from_secs(samples.len() as u64 + 1);
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|l| !l.is_zero()) {
            std::thread::park_timeout(left);
        }
        samples.push(gateway.memory());
        if start.elapsed() >= RELOAD * (reloads + 1) {
            reloads += 1;
            let beside = gateway.file().with_extension("new");
            std::fs::write(&beside, gateway.text_of(&version(reloads))).expect("the folder is ours");
            std::fs::rename(beside, gateway.file()).expect("the folder is ours");
            gateway.signal("HUP");
        }
    }
    samples
}

const TENANTS: usize = 5;

fn key(tenant: usize) -> String {
    format!("soak-key-{tenant}-0123456789")
}

/// Clients on a thread of their own for so long.
fn clients(gateway: &Gateway, seen: &Arc<Seen>, stop: &Arc<AtomicBool>, time: Duration) -> std::thread::JoinHandle<()> {
    let (address, seen, stop) = (gateway.address, Arc::clone(seen), Arc::clone(stop));
    stop.store(false, Ordering::Relaxed);
    std::thread::spawn(move || {
        load::runtime().block_on(async move {
            let all = (0..CLIENTS).map(|n| tokio::spawn(ask_often(address, n, Arc::clone(&seen), Arc::clone(&stop))));
            let all: Vec<_> = all.collect();
            tokio::time::sleep(time).await;
            stop.store(true, Ordering::Relaxed);
            for client in all {
                client.await.expect("a client does not panic");
            }
        });
    })
}

/// What a client keeps between requests.
struct Own {
    rng: Rng,
    address: SocketAddr,
    h1: Option<TcpStream>,
    h2: Option<SendRequest<Bytes>>,
}

async fn ask_often(address: SocketAddr, number: usize, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    let mut own = Own { rng: Rng::labelled(number as u64, "memory"), address, h1: None, h2: None };
    while !stop.load(Ordering::Relaxed) {
        let counter = match own.ask(number).await {
            Ok(Outcome::Whole) => &seen.whole,
            Ok(Outcome::Left) => &seen.left,
            Ok(Outcome::Refused) => &seen.refused,
            Ok(Outcome::Cut) => &seen.cut,
            Err(_) => {
                own.h2 = None;
                &seen.broken
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

enum Outcome {
    Whole,
    Left,
    Refused,
    /// The engine broke it off, and so was it told.
    Cut,
}

impl Own {
    /// One request of a kind drawn by chance, and what becomes of it.
    async fn ask(&mut self, number: usize) -> std::io::Result<Outcome> {
        let draw = self.rng.unit();
        let (id, tokens, every) = (self.rng.bits() >> 1, 20 + self.rng.below(180), 1 + self.rng.below(8));
        let what = match draw {
            d if d < 0.02 => "fail",
            d if d < 0.03 => "cut",
            _ => "say",
        };
        let stream = (0.02..0.85).contains(&draw);
        // Prompts differ, so that whatever is remembered of them fills up.
        let prompt = format!("id={id};do={what};tokens={tokens};every={every};{}", "word ".repeat(self.rng.below(400)));
        let session = format!("session-{}", self.rng.below(SESSIONS));
        let mut ask = Ask::chat(&prompt, stream, 1_000)
            .with("authorization", &format!("Bearer {}", key(number % TENANTS)))
            .with("x-rhumb-session", &session);
        match self.rng.below(100) {
            0 => ask.body.truncate(40),
            1 => ask.headers[0].1 = "Bearer of-nobody".to_owned(),
            2 => ask.body = ask.body.replacen("tiny", "unknown", 1),
            _ => {}
        }
        let is_slow = stream && self.rng.below(100) < 3;
        let mut call = self.call(&ask, number, is_slow).await?;
        if call.status != 200 {
            call.all().await?;
            self.h1 = call.connection();
            return Ok(Outcome::Refused);
        }
        if is_slow {
            // It takes next to nothing, until the gateway cannot but wait.
            tokio::time::sleep(Duration::from_millis(1_000)).await;
        }
        if stream && self.rng.below(100) < 15 {
            call.read_for(Duration::from_secs_f64(self.rng.unit() * 0.3)).await;
            let how = if self.rng.below(2) == 0 { Leave::Close } else { Leave::Reset };
            call.leave(how);
            return Ok(Outcome::Left);
        }
        let ended = call.all().await;
        if what == "cut" {
            return Ok(Outcome::Cut);
        }
        ended?;
        let whole = if stream { call.is_done() } else { call.whole };
        // A connection is used about ten times.
        self.h1 = call.connection().filter(|_| self.rng.below(10) > 0);
        if whole { Ok(Outcome::Whole) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn call(&mut self, ask: &Ask, number: usize, is_slow: bool) -> std::io::Result<Call> {
        if is_slow {
            return Call::h1(connect(self.address, Some(NARROW)).await?, ask).await;
        }
        if number.is_multiple_of(3) {
            if self.h2.is_none() || self.rng.below(50) == 0 {
                self.h2 = Some(connect_h2(self.address).await?);
            }
            let client = self.h2.clone().ok_or(std::io::ErrorKind::NotConnected)?;
            return Call::h2(client, ask).await;
        }
        let stream = match self.h1.take() {
            Some(stream) => stream,
            None => connect(self.address, None).await?,
        };
        Call::h1(stream, ask).await
    }
}
