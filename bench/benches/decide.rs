//! Time and allocations of a decision over 10 to 10,000 eligible endpoints, and of the scan before it.

use divan::{AllocProfiler, Bencher, black_box};
use rhumb_json::Limits;
use rhumb_lab::{Decider, ManyEndpoints, RouterName, facts};
use rhumb_openai::request::{Api, block_hashes, scan};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn decision(bencher: Bencher<'_, '_>, endpoints: u32) {
    let (world, facts, mut router) = (ManyEndpoints::new(endpoints), facts(), Decider::of(RouterName::Rhumb));
    let mut seed = 0;
    bencher.bench_local(|| {
        seed += 1;
        black_box(router.decide(&world, black_box(&facts), seed))
    });
}

#[divan::bench(args = [400, 32_768, 262_144])]
fn scan_and_hash(bencher: Bencher<'_, '_>, prompt_bytes: usize) {
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}],"stream":true}}"#,
        "word ".repeat(prompt_bytes / 5)
    );
    let mut hashes = Vec::new();
    bencher.bench_local(|| {
        let s = scan(Api::Chat, black_box(body.as_bytes()), Limits::default(), &[]).expect("a valid request");
        block_hashes(body.as_bytes(), &s, 0, 8_192, &mut hashes);
        hashes.len()
    });
}
