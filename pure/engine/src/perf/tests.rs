use super::*;
use crate::{gpu, shape};

fn perf(gpu_name: &str, gpus: u32, shape_name: &str, bytes: f64) -> Perf {
    Perf::new(gpu(gpu_name).unwrap(), gpus, shape(shape_name).unwrap(), bytes).unwrap()
}

#[test]
fn what_does_not_fit_is_refused_and_the_need_is_named() {
    let (h100, llama) = (gpu("h100").unwrap(), shape("llama-3.3-70b").unwrap());
    assert!(Perf::new(h100, 1, llama, 2.0).is_none());
    assert_eq!(Perf::gpus_needed(h100, llama, 2.0), Some(2));
    assert_eq!(Perf::gpus_needed(gpu("h200").unwrap(), llama, 1.0), Some(1));
}

#[test]
fn kv_capacity_of_an_rtx_4090_is_near_what_vllm_reports() {
    // vLLM 0.19 runs out of KV at some 45 sequences of 900 tokens (LLMServingSim, RTX 4090, Llama-3.1-8B).
    let tokens = perf("rtx-4090", 1, "llama-3.1-8b", 2.0).kv_capacity_tokens();
    assert!((35_000..50_000).contains(&tokens), "{tokens}");
}

#[test]
fn the_router_line_meets_the_step_it_stands_for() {
    for name in ["llama-3.1-8b", "qwen3-30b-a3b"] {
        let perf = perf("rtx-pro-6000", 1, name, 2.0);
        let line = perf.decode_base_ms() + 64.0 * perf.decode_ms_per_seq(1000.0);
        assert!((line / perf.step_ms(0, 64, 64_000) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn tensor_parallel_is_faster_but_less_than_in_proportion() {
    let (one, four) = (perf("h100", 1, "llama-3.1-8b", 2.0), perf("h100", 4, "llama-3.1-8b", 2.0));
    assert!(four.decode_base_ms() < one.decode_base_ms());
    assert!(four.decode_base_ms() > one.decode_base_ms() / 4.0);
    assert!(four.prefill_tokens_per_ms() < 4.0 * one.prefill_tokens_per_ms());
}

#[test]
fn a_small_batch_of_a_mixture_reads_few_experts() {
    let perf = perf("h100", 1, "qwen3-30b-a3b", 1.0);
    assert!(perf.step_ms(0, 1, 0) < perf.step_ms(0, 128, 0) / 3.0);
}

#[test]
fn energy_per_token_falls_with_the_batch_as_measured() {
    // ML.ENERGY, H100, Llama-3.1-8B chat: 0.455 J/token at batch 8, 0.070 at 512.
    let perf = perf("h100", 1, "llama-3.1-8b", 2.0);
    let (small, large) = (perf.joules_per_decode_token(8.0), perf.joules_per_decode_token(512.0));
    assert!((small / 0.455 - 1.0).abs() < 0.35, "{small}");
    assert!((large / 0.070 - 1.0).abs() < 0.5, "{large}");
}

#[test]
fn power_lies_between_idle_and_the_limit() {
    let perf = perf("h100", 2, "llama-3.1-8b", 2.0);
    assert_eq!(perf.watts(0.0, 64), perf.idle_watts());
    assert!(perf.watts(1.0, 100_000) <= perf.max_watts());
    assert!(perf.watts(1.0, 512) / perf.watts(1.0, 8) < 1.45);
}
