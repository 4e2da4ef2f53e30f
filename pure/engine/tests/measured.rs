//! The engine model against a public measurement it should reproduce.
//!
//! Source: casys-kaist/LLMServingSim (MIT), vLLM 0.19, Llama-3.1-8B in 16 bits on one RTX PRO 6000, 300 ShareGPT
//! requests over 29.1 s, `max_num_seqs` 128, `max_num_batched_tokens` 2048. The constants below are aggregates of
//! that run: means of ten equal groups of the sorted lengths, mean TTFT, mean time per output token, total time.
//! The load here has the same length distributions, paired and spread evenly, so only means are compared.

use rhumb_engine::{Engine, Limits, Perf, Request, gpu, shape};

const PROMPT_TOKENS: [u32; 10] = [312, 387, 482, 572, 668, 787, 912, 1114, 1326, 2015];
const OUTPUT_TOKENS: [u32; 10] = [523, 540, 562, 583, 608, 666, 727, 764, 769, 784];
const REQUESTS: u64 = 300;
const ARRIVAL_SPAN_US: u64 = 29_121_193;
const MEASURED_TTFT_MS: f64 = 7097.2;
const MEASURED_TPOT_MS: f64 = 32.46;
const MEASURED_TOTAL_MS: f64 = 65_825.6;

fn load() -> Vec<(u64, Request)> {
    let mut load = Vec::new();
    for id in 0..REQUESTS {
        // 3 and 7 are coprime to 10, so that both lengths cycle through all groups, differently.
        let prompt_tokens = PROMPT_TOKENS[(id * 3 % 10) as usize];
        let output_tokens = OUTPUT_TOKENS[((id * 7 + id / 10) % 10) as usize];
        let arrival_us = id * ARRIVAL_SPAN_US / (REQUESTS - 1);
        load.push((arrival_us, Request { id, prompt_blocks: Vec::new(), prompt_tokens, output_tokens }));
    }
    load
}

#[test]
fn sharegpt_on_an_rtx_pro_6000_is_within_an_eighth_of_vllm() {
    let perf = Perf::new(gpu("rtx-pro-6000").unwrap(), 1, shape("llama-3.1-8b").unwrap(), 2.0).unwrap();
    let mut engine = Engine::new(perf, Limits::default());
    let load = load();
    let (mut first_us, mut last_us) = (vec![0; load.len()], vec![0; load.len()]);
    let (mut now_us, mut next) = (0, 0);
    while next < load.len() || !engine.is_idle() {
        if engine.is_idle() {
            now_us = now_us.max(load[next].0);
        }
        while next < load.len() && load[next].0 <= now_us {
            engine.submit(load[next].1.clone()).unwrap();
            next += 1;
        }
        let step = engine.step();
        now_us += step.duration_us;
        for token in step.emitted {
            if token.first {
                first_us[token.id as usize] = now_us;
            }
            last_us[token.id as usize] = now_us;
        }
    }
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / REQUESTS as f64;
    let ttft_ms = mean(&mut load.iter().zip(&first_us).map(|((arrival, _), first)| (first - arrival) as f64 / 1e3));
    let tpot_ms = mean(
        &mut load
            .iter()
            .enumerate()
            .map(|(i, (_, request))| (last_us[i] - first_us[i]) as f64 / 1e3 / f64::from(request.output_tokens - 1)),
    );
    let total_ms = now_us as f64 / 1e3;
    println!("TTFT {ttft_ms:.1} ms, TPOT {tpot_ms:.2} ms, total {total_ms:.0} ms");
    for (model, measured) in [(ttft_ms, MEASURED_TTFT_MS), (tpot_ms, MEASURED_TPOT_MS), (total_ms, MEASURED_TOTAL_MS)] {
        assert!((model / measured - 1.0).abs() < 0.125, "{model} against {measured}");
    }
}
