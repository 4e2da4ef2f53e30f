//! Properties of the batching engine that hold for any load.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use rhumb_engine::{Engine, Limits, Perf, Request, Step, SubmitError, gpu, shape};

fn engine(kv_tokens: u64, limits: Limits) -> Engine {
    let perf = Perf::new(gpu("l4").unwrap(), 1, shape("tiny").unwrap(), 2.0).unwrap();
    Engine::new(perf.with_kv_capacity_tokens(kv_tokens), limits)
}

/// A request of family `family`: requests of one family share their prompts as far as these go.
fn request(id: u64, family: u64, prompt_tokens: u32, output_tokens: u32) -> Request {
    let prompt_blocks = (0..u64::from(prompt_tokens / 16)).map(|block| (family << 32) | block).collect();
    Request { id, prompt_blocks, prompt_tokens, output_tokens }
}

fn run_to_idle(engine: &mut Engine) -> Vec<Step> {
    let mut steps = Vec::new();
    while !engine.is_idle() {
        steps.push(engine.step());
        assert!(steps.len() < 1_000_000, "no progress");
    }
    steps
}

#[derive(Debug, Clone)]
enum Op {
    Submit { family: u64, prompt_tokens: u32, output_tokens: u32 },
    Cancel(u64),
    Step,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0u64..4, 1u32..300, 1u32..60)
            .prop_map(|(family, prompt_tokens, output_tokens)| Op::Submit { family, prompt_tokens, output_tokens }),
        1 => (0u64..40).prop_map(Op::Cancel),
        6 => Just(Op::Step),
    ];
    prop::collection::vec(op, 1..120)
}

/// Runs the operations, then to the end; returns every step and what was asked of each request not cancelled.
fn play(ops: &[Op], limits: Limits) -> (Engine, Vec<Step>, BTreeMap<u64, u32>) {
    let mut engine = engine(640, limits);
    let (mut steps, mut asked, mut next) = (Vec::new(), BTreeMap::new(), 0);
    for op in ops {
        match op {
            Op::Submit { family, prompt_tokens, output_tokens } => {
                engine.submit(request(next, *family, *prompt_tokens, *output_tokens)).unwrap();
                asked.insert(next, *output_tokens);
                next += 1;
            }
            Op::Cancel(id) => {
                if engine.cancel(*id) {
                    asked.remove(id);
                }
            }
            Op::Step => steps.push(engine.step()),
        }
        let pool = engine.pool();
        assert!(pool.held_blocks() + pool.idle_blocks() <= pool.capacity_blocks());
        assert!(engine.running() <= limits.max_num_seqs as usize);
    }
    steps.extend(run_to_idle(&mut engine));
    (engine, steps, asked)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_gets_exactly_its_tokens_and_everything_is_freed(
        ops in ops(), max_num_seqs in 1u32..9, max_batched_tokens in 1u32..400,
    ) {
        let limits = Limits { max_num_seqs, max_batched_tokens, block_tokens: 16 };
        let (engine, steps, asked) = play(&ops, limits);
        let mut emitted: BTreeMap<u64, u32> = BTreeMap::new();
        for step in &steps {
            let work = step.work;
            prop_assert!(work.prefill_tokens + work.decode_seqs <= max_batched_tokens);
            prop_assert!(step.emitted.is_empty() || step.duration_us > 0);
            for token in &step.emitted {
                let count = emitted.entry(token.id).or_insert(0);
                prop_assert_eq!(token.first, *count == 0);
                *count += 1;
                if let Some(output_tokens) = asked.get(&token.id) {
                    prop_assert_eq!(token.finished, *count == *output_tokens);
                }
            }
        }
        for (id, output_tokens) in &asked {
            prop_assert_eq!(emitted.get(id), Some(output_tokens));
        }
        prop_assert_eq!(emitted.values().sum::<u32>() as u64, engine.counters().generation_tokens);
        prop_assert_eq!(engine.kv_use(), 0.0);
    }

    #[test]
    fn the_same_input_gives_the_same_output(ops in ops()) {
        let first = play(&ops, Limits::default());
        let second = play(&ops, Limits::default());
        prop_assert_eq!(first.1, second.1);
        prop_assert_eq!(first.0.counters(), second.0.counters());
    }

    #[test]
    fn requests_start_in_order_of_arrival(lengths in prop::collection::vec((1u32..300, 1u32..60), 1..40)) {
        let mut engine = engine(640, Limits { max_num_seqs: 4, max_batched_tokens: 128, block_tokens: 16 });
        for (id, (prompt_tokens, output_tokens)) in lengths.iter().enumerate() {
            engine.submit(request(id as u64, id as u64, *prompt_tokens, *output_tokens)).unwrap();
        }
        let mut firsts: Vec<u64> = Vec::new();
        for step in run_to_idle(&mut engine) {
            firsts.extend(step.emitted.iter().filter(|token| token.first).map(|token| token.id));
        }
        prop_assert!(firsts.is_sorted(), "{:?}", firsts);
    }
}

#[test]
fn a_shared_prefix_is_computed_once() {
    let mut engine = engine(4096, Limits::default());
    engine.submit(request(1, 7, 512, 4)).unwrap();
    let cold: u32 = run_to_idle(&mut engine).iter().map(|step| step.work.prefill_tokens).sum();
    engine.submit(request(2, 7, 512, 4)).unwrap();
    let steps = run_to_idle(&mut engine);
    let warm: u32 = steps.iter().map(|step| step.work.prefill_tokens).sum();
    assert_eq!((cold, warm), (512, 16), "the last block is computed again for its output");
    assert_eq!(steps[0].admitted[0].cached_tokens, 496);
    assert_eq!((engine.counters().prefix_query_tokens, engine.counters().prefix_hit_tokens), (1024, 496));
}

#[test]
fn memory_pressure_preempts_the_newest_and_finishes_all() {
    let mut engine = engine(320, Limits::default());
    for id in 0..3 {
        engine.submit(request(id, id, 90, 100)).unwrap();
    }
    let steps = run_to_idle(&mut engine);
    let preempted: Vec<u64> = steps.iter().flat_map(|step| step.preempted.clone()).collect();
    assert!(!preempted.is_empty() && !preempted.contains(&0), "{preempted:?}");
    assert_eq!(engine.counters().finished, 3);
    assert_eq!(engine.counters().generation_tokens, 300);
}

#[test]
fn cancelling_frees_the_memory_and_the_place() {
    let mut engine = engine(640, Limits { max_num_seqs: 1, ..Limits::default() });
    engine.submit(request(1, 1, 200, 50)).unwrap();
    engine.submit(request(2, 2, 200, 50)).unwrap();
    let _ = engine.step();
    assert_eq!((engine.running(), engine.waiting()), (1, 1));
    assert!(engine.cancel(2) && engine.cancel(1) && !engine.cancel(1));
    assert!(engine.is_idle());
    assert_eq!(engine.kv_use(), 0.0);
    assert_eq!(engine.step(), Step { watts: engine.perf().idle_watts(), ..Step::default() });
}

#[test]
fn what_can_never_run_is_refused_at_once() {
    let mut engine = engine(320, Limits::default());
    let refusal = SubmitError::TooLarge { needed_tokens: 329, capacity_tokens: 320 };
    assert_eq!(engine.submit(request(1, 1, 300, 30)), Err(refusal));
    assert_eq!(engine.submit(request(1, 1, 0, 30)), Err(SubmitError::Empty));
    assert!(engine.submit(request(1, 1, 300, 21)).is_ok());
}

#[test]
fn a_long_prompt_is_computed_in_chunks_beside_decodes() {
    let mut engine = engine(8192, Limits { max_batched_tokens: 256, ..Limits::default() });
    engine.submit(request(1, 1, 64, 40)).unwrap();
    let _ = engine.step();
    engine.submit(request(2, 2, 1000, 2)).unwrap();
    let step = engine.step();
    assert_eq!((step.work.decode_seqs, step.work.prefill_tokens), (1, 255));
    assert_eq!(step.emitted.len(), 1, "the long prompt is not done, the other sequence goes on");
}

#[test]
fn an_engine_says_how_far_an_answer_is() {
    let mut engine = engine(640, Limits::default());
    engine.submit(request(7, 0, 20, 3)).unwrap();
    let mut seen = vec![engine.generated_tokens(7)];
    while !engine.is_idle() {
        let _ = engine.step();
        seen.push(engine.generated_tokens(7));
    }
    // With its last token it is forgotten.
    assert_eq!((seen, engine.generated_tokens(8)), (vec![0, 1, 2, 0], 0));
}
