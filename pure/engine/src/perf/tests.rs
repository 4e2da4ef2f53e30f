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

#[test]
fn more_work_never_takes_less_time() {
    for (board, model) in
        [("h100", "llama-3.1-8b"), ("b200", "gpt-oss-120b"), ("l4", "tiny"), ("h200", "qwen3-30b-a3b")]
    {
        let perf = perf(board, 1, model, 1.0);
        let mut last_ms = 0.0;
        for doublings in 0..13 {
            let seqs = 1_u32 << doublings;
            let step_ms = perf.step_ms(0, seqs, u64::from(seqs) * 1000);
            assert!(step_ms > last_ms, "{board} {model} {seqs}");
            assert!(perf.step_ms(512, seqs, u64::from(seqs) * 1000) > step_ms);
            last_ms = step_ms;
        }
    }
}

#[test]
fn no_step_is_faster_than_reading_its_bytes() {
    for spec in crate::gpus() {
        let llama = shape("llama-3.1-8b").unwrap();
        let Some(perf) = Perf::new(spec, 1, llama, 1.0) else { continue };
        let bytes = llama.params_b * 1e9 + 64.0 * 1000.0 * perf.kv_bytes_per_token();
        let floor_ms = bytes / (spec.memory_gb_per_s * 1e6);
        assert!(perf.step_ms(0, 64, 64_000) > floor_ms, "{}", spec.name);
    }
}

#[test]
fn what_was_never_measured_says_so() {
    use crate::Basis;
    assert_eq!(perf("h100", 1, "llama-3.1-8b", 2.0).basis(), Basis::Measured);
    assert_eq!(perf("l40s", 1, "llama-3.1-8b", 2.0).basis(), Basis::ModelMeasured);
    assert_eq!(perf("h100", 1, "tiny", 2.0).basis(), Basis::GpuMeasured);
    assert_eq!(perf("l4", 1, "tiny", 2.0).basis(), Basis::FirstPrinciples);
    assert!(Basis::FirstPrinciples.describe().contains("never measured: first principles"));
}

#[test]
fn latent_kv_is_copied_to_every_board_unless_attention_is_data_parallel() {
    use crate::{Deployment, Quant};
    let (b200, deepseek) = (gpu("b200").unwrap(), shape("deepseek-v3").unwrap());
    let tensor = Deployment::new(b200, 8, deepseek, Quant::Fp8);
    let data = Deployment { attention_ranks: 8, ..tensor };
    let (tensor, data) = (Perf::deploy(&tensor).unwrap(), Perf::deploy(&data).unwrap());
    assert!((tensor.kv_bytes_per_token() / data.kv_bytes_per_token() - 8.0).abs() < 1e-9);
    assert!(data.kv_capacity_tokens() > 3 * tensor.kv_capacity_tokens());
}

#[test]
fn the_power_of_any_step_lies_between_idle_and_the_limit() {
    for spec in crate::gpus() {
        let Some(perf) = Perf::new(spec, 1, shape("llama-3.1-8b").unwrap(), 1.0) else { continue };
        for (prefill_tokens, decode_seqs) in [(0, 1), (0, 512), (8192, 0), (2048, 64)] {
            let prefill_pairs = f64::from(prefill_tokens) * 1000.0;
            let kv_tokens = u64::from(decode_seqs) * 1000;
            let watts = perf.work_watts(&StepWork { prefill_tokens, prefill_pairs, decode_seqs, kv_tokens });
            assert!(watts > perf.idle_watts() && watts <= perf.max_watts(), "{} {watts}", spec.name);
        }
    }
}
