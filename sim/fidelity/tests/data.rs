//! The committed table against the data folder, and what bad data lead to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use rhumb_fidelity::{Options, run_fit, run_report};

/// The data folder beside the repository, when it is there.
fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    [root.join("../shared/data"), root.join("shared/data")].into_iter().find(|folder| folder.is_dir())
}

fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder
}

fn refusal(name: &str, file: &str, text: &[u8]) -> String {
    let data = vec![folder(name, &[(file, text)])];
    run_report(&Options { data }).unwrap_err().to_string()
}

const HEADER: &str = "silicon_concurrency,backend,backend_version,model_path,system,precision,mode,isl,osl,\
                      gemm_quant_mode,moe_quant_mode,batch_size,tp_size,attention_dp_size,moe_tp_size,moe_ep_size,\
                      silicon_ttft_ms,silicon_tpot_ms";
const ROW: &str = "8,vllm,,meta-llama/Llama-3.1-70B,h100_sxm,fp8,agg,1024,1024,fp8,fp8,8,4,1,4,1,96,12.1";

#[test]
fn the_committed_coefficients_are_what_the_fit_makes() {
    let Some(data) = data() else {
        eprintln!("no data folder beside the repository: not checked");
        return;
    };
    let fitted = run_fit(&data).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pure/engine/src/coefficients.rs");
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(fitted.source == committed, "run `rhumb-lab fit --data DIR --out pure/engine/src/coefficients.rs`");
}

#[test]
fn a_missing_column_is_named() {
    let text = HEADER.replace("isl,", "") + "\n";
    let refusal = refusal("missing_column", "silicon_ttft_tpot.csv", text.as_bytes());
    assert!(refusal.contains("silicon_ttft_tpot.csv: line 1: column `isl` is missing; expected"), "{refusal}");
}

#[test]
fn a_negative_value_is_named_with_its_line() {
    let text = format!("{HEADER}\n{ROW}\n{}\n", ROW.replace("12.1", "-12.1"));
    let refusal = refusal("negative", "silicon_ttft_tpot.csv", text.as_bytes());
    assert!(refusal.contains("line 3: field `silicon_tpot_ms` is `-12.1`; expected a number above zero"), "{refusal}");
}

#[test]
fn a_word_where_a_number_belongs_and_a_short_row_are_named() {
    let text = format!("{HEADER}\n{}\n", ROW.replace(",4,1,4,1,", ",four,1,4,1,"));
    let word = refusal("word", "silicon_ttft_tpot.csv", text.as_bytes());
    assert!(word.contains("line 2: field `tp_size` is `four`"), "{word}");
    let short = refusal("short", "silicon_ttft_tpot.csv", format!("{HEADER}\n8,vllm\n").as_bytes());
    assert!(short.contains("line 2") && short.contains("as many fields as the header"), "{short}");
}

#[test]
fn a_truncated_archive_is_named() {
    let Some(data) = data() else { return };
    let whole = std::fs::read(data.join("perf/silicon_ttft_tpot.csv.zst")).unwrap();
    let refusal = refusal("truncated", "silicon_ttft_tpot.csv.zst", &whole[..whole.len() / 2]);
    assert!(refusal.contains("silicon_ttft_tpot.csv.zst: the archive cannot be unpacked after"), "{refusal}");
    assert!(refusal.contains("expected a complete zstandard file"), "{refusal}");
}

#[test]
fn an_empty_folder_is_refused() {
    let data = vec![folder("empty", &[])];
    let refusal = run_report(&Options { data }).unwrap_err().to_string();
    assert!(refusal.contains("none of silicon_ttft_tpot.csv"), "{refusal}");
}

#[test]
fn foreign_rows_are_judged_by_the_committed_table_and_unknown_ones_count_as_misses() {
    let unknown = ROW.replace("meta-llama/Llama-3.1-70B", "somebody/Else-9B");
    let apart = ROW.replace(",agg,", ",disagg,");
    let text = format!("{HEADER}\n{ROW}\n{ROW}\n{unknown}\n{apart}\n");
    let data = vec![folder("foreign", &[("silicon_ttft_tpot.csv", text.as_bytes())])];
    let report = run_report(&Options { data }).unwrap();
    assert_eq!(report.tpot.points, 3, "the disaggregated row does not count");
    assert!(report.tpot.median_abs_error.unwrap() < 0.3);
    assert_eq!(report.tpot.p90_abs_error, None, "a row left out is a miss without bound");
    assert_eq!(report.excluded.len(), 2);
    let json = serde_json::to_value(&report).unwrap();
    for key in ["ttft", "tpot", "e2e", "power"] {
        assert!(json[key]["points"].is_u64() && json[key].get("median_abs_error").is_some(), "{key}");
    }
    assert!(json["by_group"].is_array() && json["excluded"][0]["points"].is_u64());
    assert!(report.markdown().contains("# Fidelity") && report.terminal().contains("TPOT, seen"));
}

#[test]
fn the_report_says_how_far_two_runs_of_one_setting_lie_apart() {
    let row = ROW.replace("vllm,,", "vllm,0.19.0,");
    let text = format!("{HEADER}\n{row}\n{}\n", row.replace(",96,12.1", ",120,12.1"));
    let data = vec![folder("twice", &[("silicon_ttft_tpot.csv", text.as_bytes())])];
    let json = serde_json::to_value(run_report(&Options { data }).unwrap()).unwrap();
    let again = &json["floor"]["measured_twice"]["vllm"];
    assert_eq!(again["ttft"]["points"], 1);
    assert!((again["ttft"]["median_abs_error"].as_f64().unwrap() - 0.25).abs() < 1e-9, "{again}");
    assert_eq!(json["floor"]["predicted"]["all"]["tpot"]["points"], 2);
}
