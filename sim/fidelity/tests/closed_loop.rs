//! The closed form against the engine it stands for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_engine::{Backend, Deployment, Engine, Limits, Perf, Quant, Request, Step, gpu, shape};
use rhumb_fidelity::closed_loop;

/// Mean time per token and to the first one in a run of the engine, all users starting together, once the first
/// answers are out; ms.
fn run(perf: Perf, users: u32, input_tokens: u32, output_tokens: u32) -> (f64, f64) {
    let limits = Limits { max_num_seqs: users, max_batched_tokens: 8192 + users, block_tokens: 16 };
    let mut engine = Engine::new(perf, limits);
    // Lengths vary by a tenth, as benchmarks draw them: equal ones would march in step for ever.
    let request = |id: u64| {
        let draw = |tokens: u32, salt: u64| tokens - tokens / 10 + (id * 7919 + salt) as u32 % (tokens / 5).max(1);
        Request {
            id,
            prompt_blocks: Vec::new(),
            prompt_tokens: draw(input_tokens, 11),
            output_tokens: draw(output_tokens, 17),
        }
    };
    let turns = u64::from(users) * 6;
    let (mut sent, mut now_us) = (0, 0);
    let (mut start, mut first) = (vec![0; turns as usize], vec![0; turns as usize]);
    let (mut tpot_ms, mut ttft_ms, mut counted) = (0.0, 0.0, 0.0);
    let mut step = Step::default();
    for _ in 0..users {
        engine.submit(request(sent)).unwrap();
        sent += 1;
    }
    while !engine.is_idle() {
        engine.step_into(&mut step);
        now_us += step.duration_us;
        for token in &step.emitted {
            let at = token.id as usize;
            if token.first {
                first[at] = now_us;
            }
            if !token.finished {
                continue;
            }
            // Neither the start nor the end of the run, where fewer run.
            if token.id >= 2 * u64::from(users) && token.id < 5 * u64::from(users) {
                let further = f64::from(request(token.id).output_tokens - 1);
                tpot_ms += (now_us - first[at]) as f64 / 1e3 / further;
                ttft_ms += (first[at] - start[at]) as f64 / 1e3;
                counted += 1.0;
            }
            if sent < turns {
                start[sent as usize] = now_us;
                engine.submit(request(sent)).unwrap();
                sent += 1;
            }
        }
    }
    (tpot_ms / counted, ttft_ms / counted)
}

#[test]
fn the_closed_form_is_what_the_engine_does() {
    let deployments = [("h100", 4, "llama-3.1-70b"), ("b200", 4, "minimax-m2.5"), ("h200", 8, "deepseek-v3")];
    for (board, gpus, model) in deployments {
        for backend in [Backend::Vllm, Backend::TensorRt] {
            let (gpu, shape) = (gpu(board).unwrap(), shape(model).unwrap());
            let deployment = Deployment { backend, ..Deployment::new(gpu, gpus, shape, Quant::Fp8) };
            let perf = Perf::deploy(&deployment).unwrap();
            for (users, input_tokens, output_tokens) in [(4, 1024, 1024), (32, 1024, 512), (16, 8192, 512)] {
                let (tpot_ms, ttft_ms) = run(perf, users, input_tokens, output_tokens);
                let form = closed_loop(
                    &perf,
                    &deployment.values(),
                    f64::from(users),
                    f64::from(input_tokens),
                    f64::from(output_tokens),
                );
                let case = format!("{board} {model} {backend:?} {users} users, {input_tokens}:{output_tokens}");
                println!("{case}: TPOT {tpot_ms:.2} {:.2}, TTFT {ttft_ms:.1} {:.1}", form.tpot_ms, form.steady_ttft_ms);
                assert!((form.tpot_ms / tpot_ms - 1.0).abs() < 0.1, "{case}: {} against {tpot_ms}", form.tpot_ms);
                assert!(
                    (form.steady_ttft_ms / ttft_ms - 1.0).abs() < 0.35,
                    "{case}: {} against {ttft_ms}",
                    form.steady_ttft_ms
                );
            }
        }
    }
}
