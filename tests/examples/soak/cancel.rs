//! How long a cancel takes from the client to the engine, with 500 streams at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use rhumb_rng::Rng;

use crate::client::{Ask, Call, Leave, connect, connect_h2};
use crate::engine::{self, Cancels};
use crate::report::{Report, at};
use crate::{config, load};

/// Streams at once.
const STREAMS: usize = 500;
/// Streams on one connection of HTTP/2.
const ON_ONE: usize = 16;
/// A token of each stream comes every so many milliseconds.
const EVERY_MS: u64 = 50;
/// Longest stay of a client after the first content, ms; the mean is half of it.
const STAY_MS: f64 = 4_000.0;
const SECONDS: u64 = 40;
/// Within this, ms.
const WANT_MS: f64 = 250.0;

pub(crate) fn run(report: &mut Report) {
    let cancels = Arc::new(Cancels::default());
    let gateway = config(&engine::start(4, &cancels)).start();
    let address = gateway.address;
    let ids = Arc::new(AtomicU64::new(0));
    let client = Arc::clone(&cancels);
    let (work_s, seconds) = load::timed(&gateway, || {
        load::runtime().block_on(async move {
            let mut shared = Vec::new();
            for _ in 0..STREAMS / 3 / ON_ONE + 1 {
                shared.push(connect_h2(address).await.expect("the gateway takes connections"));
            }
            let until = tokio::time::Instant::now() + Duration::from_secs(SECONDS);
            let slots = (0..STREAMS).map(|slot| {
                let way = (slot % 3 == 2).then(|| shared[slot / 3 / ON_ONE].clone());
                let (ids, cancels) = (Arc::clone(&ids), Arc::clone(&client));
                tokio::spawn(tokio::time::timeout_at(until, come_and_go(address, slot, way, ids, cancels)))
            });
            for slot in slots.collect::<Vec<_>>() {
                let _ = slot.await;
            }
        });
    });
    rhumb_tests::wait::until_true("every cancel is seen", || cancels.unseen() == 0);
    let mut ms = cancels.take();
    ms.sort_by(f64::total_cmp);
    let p99 = at(&ms, 0.99);
    let text = format!(
        "p50 {:.1}, p99 {p99:.1}, longest {:.1} ms; {} cancels of {STREAMS} streams of {} tokens a second; \
         the gateway took {:.2} cores",
        at(&ms, 0.5),
        at(&ms, 1.0),
        ms.len(),
        1_000 / EVERY_MS,
        work_s / seconds
    );
    report.line("a cancel reaches the engine", &text, "p99 <= 250 ms", p99 <= WANT_MS && ms.len() > 1_000);
    gateway.stop();
}

/// Asks, reads for a while from the first content on, leaves, and comes again.
async fn come_and_go(
    address: SocketAddr,
    slot: usize,
    way: Option<SendRequest<Bytes>>,
    ids: Arc<AtomicU64>,
    cancels: Arc<Cancels>,
) {
    let mut rng = Rng::labelled(slot as u64, "cancel");
    let how = if slot.is_multiple_of(3) { Leave::Close } else { Leave::Reset };
    // Not all at once.
    tokio::time::sleep(Duration::from_secs_f64(rng.unit() * STAY_MS / 1e3)).await;
    loop {
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let ask = Ask::chat(&format!("id={id};do=say;tokens=100000;every={EVERY_MS};"), true, 100_000);
        let call = match &way {
            Some(client) => Call::h2(client.clone(), &ask).await,
            None => match connect(address, None).await {
                Ok(stream) => Call::h1(stream, &ask).await,
                Err(e) => Err(e),
            },
        };
        let mut call = call.expect("an answer");
        assert!(call.status == 200 && call.content().await.expect("a stream"), "{}", call.status);
        call.read_for(Duration::from_secs_f64(rng.unit() * STAY_MS / 1e3)).await;
        cancels.left(id);
        call.leave(how);
    }
}
