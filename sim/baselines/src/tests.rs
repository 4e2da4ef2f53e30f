//! Each baseline on a case small enough to be computed by hand.

use crate::{Baseline, Candidate, Policy, Request};

fn request(draw: u64) -> Request {
    Request { now_ms: 0, affinity: Some(7), prompt_tokens: 1_000.0, output_tokens: 100.0, draw }
}

/// A prompt of 1,000 tokens at 0.1 ms each; ten seats.
fn at(endpoint: u32, load: f64, cached: f64, rtt_ms: f64) -> Candidate {
    let (running, waiting) = (load.min(10.0), (load - 10.0).max(0.0));
    let (uncached, queue_ms) = (1_000.0 - cached, 50.0 * waiting);
    Candidate {
        endpoint,
        rtt_ms,
        running,
        waiting,
        seats: 10.0,
        uncached_tokens: uncached,
        cached_tokens: cached,
        backlog_tokens: 0.0,
        prefill_ms: 0.1,
        pace_ms: 10.0,
        queue_ms,
        ttft_ms: rtt_ms + queue_ms + 0.1 * uncached,
    }
}

fn keys(policy: &mut dyn Policy, draw: u64, candidates: &[Candidate]) -> Vec<f64> {
    let mut keys = Vec::new();
    policy.rank(&request(draw), candidates, &mut keys);
    assert_eq!(keys.len(), candidates.len());
    assert!(keys.iter().all(|k| k.is_finite()), "{keys:?}");
    keys
}

/// Endpoints in the order they would be tried.
fn order(policy: &mut dyn Policy, draw: u64, candidates: &[Candidate]) -> Vec<u32> {
    let keys = keys(policy, draw, candidates);
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| keys[*a].total_cmp(&keys[*b]));
    order.into_iter().map(|i| candidates[i].endpoint).collect()
}

fn default(baseline: Baseline) -> Box<dyn Policy> {
    let values: Vec<f64> = baseline.parameters().iter().map(|k| k.default).collect();
    baseline.policy(&values)
}

#[test]
fn every_rival_ranks_any_number_of_candidates_and_has_its_defaults_in_range() {
    for baseline in Baseline::ALL {
        for parameter in baseline.parameters() {
            assert!(
                (parameter.low..=parameter.high).contains(&parameter.default),
                "{} of {}",
                parameter.name,
                baseline.name()
            );
            let (low, high) = (parameter.at(0.0), parameter.at(1.0));
            assert!((low / parameter.low - 1.0).abs() < 1e-9 || low == parameter.low, "{low}");
            assert!((high / parameter.high - 1.0).abs() < 1e-9, "{high}");
        }
        for n in [0, 1, 2, 100] {
            let candidates: Vec<Candidate> = (0..n).map(|e| at(e, f64::from(e), 10.0, f64::from(e))).collect();
            keys(default(baseline).as_mut(), 1, &candidates);
        }
    }
}

#[test]
fn prequal_takes_the_quickest_of_the_cold_and_the_least_loaded_where_all_are_hot() {
    // Loads 1, 2, 9: the median is 2, so that 2 is hot, which would be the quickest.
    let candidates = [at(0, 1.0, 0.0, 80.0), at(1, 2.0, 0.0, 40.0), at(2, 9.0, 0.0, 1.0)];
    let mut median = Baseline::Prequal.policy(&[0.5, 16.0]);
    assert_eq!(order(median.as_mut(), 1, &candidates), [1, 0, 2]);
    let mut fewest = Baseline::Prequal.policy(&[0.0, 16.0]);
    assert_eq!(order(fewest.as_mut(), 1, &candidates), [0, 1, 2], "at quantile 0 requests in flight decide alone");
    let mut quickest = Baseline::Prequal.policy(&[1.0, 16.0]);
    assert_eq!(order(quickest.as_mut(), 1, &candidates), [2, 1, 0], "at quantile 1 latency does");
    // A pool of one is a draw.
    let firsts: Vec<u32> =
        (0..30).map(|d| order(Baseline::Prequal.policy(&[1.0, 1.0]).as_mut(), d, &candidates)[0]).collect();
    assert!((0..3).all(|e| firsts.contains(&e)), "{firsts:?}");
}

#[test]
fn affinity_stays_until_the_bound_and_moves_to_the_next_of_its_ring() {
    let mut policy = Baseline::Affinity.policy(&[1.25]);
    let even: Vec<Candidate> = (0..4).map(|e| at(e, 4.0, 0.0, 1.0)).collect();
    let ring = order(policy.as_mut(), 1, &even);
    assert_eq!(ring, order(policy.as_mut(), 2, &even), "whatever is drawn");
    // 1.25 × (16 + 1) / 4 = 5.3, so six at most: its own may have five, and not six.
    let loaded = |load: f64| -> Vec<Candidate> {
        even.iter().map(|c| if c.endpoint == ring[0] { at(c.endpoint, load, 0.0, 1.0) } else { *c }).collect()
    };
    assert_eq!(order(policy.as_mut(), 1, &loaded(5.0))[0], ring[0]);
    assert_eq!(order(policy.as_mut(), 1, &loaded(9.0)), [ring[1], ring[2], ring[3], ring[0]]);
}

#[test]
fn llm_d_adds_its_scorers_up() {
    // 3 × hit + 2 × shortness of the queue + 2 × free seats.
    let candidates = [at(0, 5.0, 500.0, 1.0), at(1, 0.0, 0.0, 1.0), at(2, 12.0, 1_000.0, 1.0)];
    let keys = keys(default(Baseline::LlmD).as_mut(), 1, &candidates);
    for (key, score) in keys.iter().zip([1.5 + 2.0 + 1.0, 0.0 + 2.0 + 2.0, 3.0 + 0.0 + 0.0]) {
        assert!((key + score).abs() < 1e-5, "{keys:?}");
    }
}

#[test]
fn sglang_follows_the_cache_until_loads_are_skewed() {
    let candidates = [at(0, 1.0, 100.0, 1.0), at(1, 3.0, 400.0, 1.0), at(2, 2.0, 0.0, 1.0)];
    let mut policy = Baseline::Sglang.policy(&[0.3, 64.0, 1.5]);
    assert_eq!(order(policy.as_mut(), 1, &candidates)[0], 1, "40 % are cached there");
    let mut picky = Baseline::Sglang.policy(&[0.5, 64.0, 1.5]);
    for (endpoint, tokens) in [(0, 10.0), (1, 30.0), (2, 20.0)] {
        picky.sent(&request(1), &Candidate { uncached_tokens: tokens, ..at(endpoint, 0.0, 0.0, 1.0) });
    }
    assert_eq!(order(picky.as_mut(), 1, &candidates), [0, 2, 1], "the smallest tree");
    let mut strict = Baseline::Sglang.policy(&[0.3, 1.0, 1.5]);
    assert_eq!(order(strict.as_mut(), 1, &candidates), [0, 2, 1], "3 - 1 > 1 and 3 > 1.5 × 1: the shortest queue");
}

#[test]
fn preble_exploits_what_is_mostly_cached_and_explores_otherwise() {
    let mut policy = Baseline::Preble.policy(&[180.0, 2.0]);
    let candidates = [at(0, 0.0, 600.0, 1.0), at(1, 0.0, 0.0, 1.0)];
    assert_eq!(order(policy.as_mut(), 1, &candidates)[0], 0, "600 of 1,000 are cached");
    // A request costs 1,000 × 0.1 + 100 × 10 / 10 = 200 ms where nothing is cached, and 140 ms at the first.
    for _ in 0..3 {
        policy.sent(&request(1), &candidates[0]);
    }
    assert_eq!(order(policy.as_mut(), 1, &candidates)[0], 1, "420 ms against 0 is out of balance: 2 × 140 is the most");
    let few = [at(0, 0.0, 400.0, 1.0), at(1, 0.0, 0.0, 1.0)];
    let mut policy = Baseline::Preble.policy(&[180.0, 2.0]);
    policy.sent(&request(1), &few[0]);
    // 160 + 160 against 0 + 200.
    assert_eq!(order(policy.as_mut(), 1, &few)[0], 1, "400 of 1,000 are no reason to stay");
    let later = Request { now_ms: 180_001, ..request(1) };
    let mut keys = Vec::new();
    policy.rank(&later, &few, &mut keys);
    assert!(keys[0] < keys[1], "what was sent before the window is forgotten: {keys:?}");
}

#[test]
fn lmetric_multiplies_new_tokens_and_batch() {
    // 1,000 × 1, 200 × 4 and 400 × 3.
    let candidates = [at(0, 0.0, 0.0, 1.0), at(1, 3.0, 800.0, 1.0), at(2, 2.0, 600.0, 1.0)];
    let keys = keys(default(Baseline::Lmetric).as_mut(), 1, &candidates);
    for (key, product) in keys.iter().zip([1_000.0, 800.0, 1_200.0]) {
        assert!((key - product).abs() < 1e-5, "{keys:?}");
    }
}

#[test]
fn dynamo_adds_prefill_and_decode_blocks_and_draws_at_a_temperature() {
    // Of 64 tokens each: 1,000 + 1,050 × 1, 200 + 1,050 × 2, 0 + 1,050 × 3.
    let candidates = [at(0, 0.0, 0.0, 1.0), at(1, 1.0, 800.0, 1.0), at(2, 2.0, 1_000.0, 1.0)];
    let keys = keys(default(Baseline::Dynamo).as_mut(), 1, &candidates);
    for (key, share) in keys.iter().zip([0.0, 250.0 / 1_100.0, 1.0]) {
        assert!((key - share).abs() < 1e-5, "{keys:?}");
    }
    let mut heavy = Baseline::Dynamo.policy(&[3.0, 0.0]);
    assert_eq!(order(heavy.as_mut(), 1, &candidates), [1, 2, 0], "4,050, 2,700, 3,150");
    let mut warm = Baseline::Dynamo.policy(&[1.0, 1.0]);
    let firsts: Vec<u32> = (0..400).map(|d| order(warm.as_mut(), d, &candidates)[0]).collect();
    // e^0 : e^-0.23 : e^-1 = 0.46 : 0.37 : 0.17.
    let share = |e| firsts.iter().filter(|f| **f == e).count() as f64 / 400.0;
    assert!((share(0) - 0.46).abs() < 0.08 && (share(2) - 0.17).abs() < 0.06, "{} {}", share(0), share(2));
}

#[test]
fn skywalker_leaves_its_region_only_when_that_is_full() {
    let mut policy = default(Baseline::SkyWalker);
    let near_free = [at(0, 9.0, 0.0, 3.0), at(1, 0.0, 900.0, 90.0)];
    assert_eq!(order(policy.as_mut(), 1, &near_free), [0, 1], "though the far one is idle and holds the prompt");
    let near_full = [at(0, 10.0, 0.0, 3.0), at(1, 3.0, 0.0, 90.0), at(2, 2.0, 0.0, 150.0)];
    assert_eq!(order(policy.as_mut(), 1, &near_full), [2, 1, 0]);
    let cached = [at(0, 2.0, 0.0, 3.0), at(1, 5.0, 600.0, 10.0), at(2, 1.0, 300.0, 10.0)];
    assert_eq!(order(policy.as_mut(), 1, &cached), [1, 2, 0], "a long prefix, then the fewest requests");
    let far = [at(0, 2.0, 0.0, 300.0), at(1, 1.0, 0.0, 400.0)];
    assert_eq!(order(policy.as_mut(), 1, &far)[0], 0, "the nearest is its region, however far");
}

#[test]
fn gorgo_adds_network_prefill_and_queue() {
    // 37 + 100, 279 + 10, and 1 + 100 + 2 × 50.
    let candidates = [at(0, 0.0, 0.0, 37.0), at(1, 0.0, 900.0, 279.0), at(2, 12.0, 0.0, 1.0)];
    let keys = keys(default(Baseline::Gorgo).as_mut(), 1, &candidates);
    for (key, ms) in keys.iter().zip([137.0, 289.0, 201.0]) {
        assert!((key - ms).abs() < 1e-5, "{keys:?}");
    }
    let mut blind = Baseline::Gorgo.policy(&[0.1, 1.0]);
    assert_eq!(order(blind.as_mut(), 1, &candidates)[0], 1, "27.9 + 10");
}

#[test]
fn locality_goes_from_near_to_far_and_past_what_is_pressed() {
    let mut policy = default(Baseline::Locality);
    let candidates = [at(0, 0.0, 0.0, 50.0), at(1, 8.0, 0.0, 3.0), at(2, 9.0, 900.0, 3.0), at(3, 0.0, 0.0, 300.0)];
    assert_eq!(order(policy.as_mut(), 1, &candidates), [1, 0, 3, 2], "9 of 10 seats is pressure");
    let same = [at(0, 0.0, 0.0, 10.0), at(1, 0.0, 0.0, 20.0)];
    let firsts: Vec<u32> = (0..40).map(|d| order(policy.as_mut(), d, &same)[0]).collect();
    assert!(firsts.contains(&0) && firsts.contains(&1), "in turn inside a tier");
}
