use super::*;
use rhumb_engine::{Deployment, Quant, gpu, shape};

const GROUP: Group = ("llama", "h100");

fn run(setting: &str, release: &'static str, ttft_ms: f64, tpot_ms: f64) -> Run {
    Run { group: GROUP, backend: "vllm", release, setting: setting.to_owned(), ttft_ms, tpot_ms }
}

fn floor(runs: &[Run]) -> Floor {
    let mut evidence = Evidence::default();
    evidence.measured(runs);
    evidence.floor()
}

fn check(spread: &Spread, points: u64, ttft: f64, tpot: f64) {
    assert_eq!((spread.ttft.points, spread.tpot.points), (points, points));
    let (found_ttft, found_tpot) = (spread.ttft.median_abs_error.unwrap(), spread.tpot.median_abs_error.unwrap());
    assert!((found_ttft - ttft).abs() < 1e-9, "{found_ttft} is not {ttft}");
    assert!((found_tpot - tpot).abs() < 1e-9, "{found_tpot} is not {tpot}");
}

#[test]
fn two_runs_of_a_setting_are_as_far_apart_as_their_ratio_says() {
    let found = floor(&[run("a", "1", 100.0, 10.0), run("a", "1", 120.0, 11.0), run("b", "1", 300.0, 30.0)]);
    check(&found.measured_twice["vllm"], 1, 0.2, 0.1);
    check(&found.measured_twice[ALL], 1, 0.2, 0.1);
    assert!(found.other_release.is_empty(), "there is one release");
    assert_eq!(found.measured_twice[ALL].groups, 1);
}

#[test]
fn a_run_written_with_fewer_decimals_is_a_copy() {
    let found = floor(&[run("a", "1", 100.12, 10.05), run("a", "1", 100.1234, 10.0491)]);
    assert!(found.measured_twice.is_empty(), "{found:?}");
}

#[test]
fn releases_are_compared_by_their_means_and_unstated_ones_not_at_all() {
    let found = floor(&[
        run("a", "1", 90.0, 10.0),
        run("a", "1", 160.0, 10.5),
        run("a", "2", 240.0, 10.0),
        run("a", UNSTATED, 900.0, 90.0),
        run("a", UNSTATED, 100.0, 90.0),
        run("b", "2", 500.0, 50.0),
    ]);
    // The mean of logarithms: √(90 × 160) = 120.
    check(&found.other_release["vllm"], 1, 1.0, 1.05_f64.sqrt() - 1.0);
    check(&found.measured_twice["vllm"], 1, 160.0 / 90.0 - 1.0, 0.05);
}

#[test]
fn backends_are_kept_apart_and_counted_together() {
    let other = |ttft_ms| Run { backend: "sglang", ..run("a", "1", ttft_ms, 10.0) };
    let found = floor(&[run("a", "1", 100.0, 10.0), run("a", "1", 110.0, 10.0), other(100.0), other(150.0)]);
    check(&found.measured_twice["vllm"], 1, 0.1, 0.0);
    check(&found.measured_twice["sglang"], 1, 0.5, 0.0);
    assert_eq!(found.measured_twice[ALL].ttft.points, 2);
}

fn sample(release: &'static str) -> Sample {
    let deployment = Deployment::new(gpu("h100").unwrap(), 1, shape("llama-3.1-8b").unwrap(), Quant::Fp8);
    Sample {
        line: 1,
        model: "llama".to_owned(),
        system: "h100".to_owned(),
        deployment: Deployment { release, ..deployment },
        measured: Measured::Serving {
            users: 8.0,
            input_tokens: 1024.0,
            output_tokens: 128.0,
            ttft_ms: 100.0,
            tpot_ms: 10.0,
        },
        rows: 1,
        fit: true,
    }
}

#[test]
fn a_known_offset_takes_off_what_a_cell_has_in_common_and_no_more() {
    let mut evidence = Evidence::default();
    // One cell is twice as slow throughout; the other errs by a fifth around a true middle.
    for (release, ttft_ms) in [("1", 200.0), ("1", 200.0), ("2", 80.0), ("2", 100.0), ("2", 120.0)] {
        evidence.predicted(&sample(release), Some(Prediction { ttft_ms, tpot_ms: 15.0, watts: 0.0 }));
    }
    let found = evidence.floor();
    check(&found.predicted["vllm"], 5, 0.2, 0.5);
    check(&found.offsets_known["vllm"], 5, 0.0, 0.0);
    assert!((found.offsets_known[ALL].ttft.p90_abs_error.unwrap() - 0.2).abs() < 1e-9);
}

#[test]
fn a_row_without_a_prediction_stays_a_miss_and_moves_no_offset() {
    let mut evidence = Evidence::default();
    for ttft_ms in [200.0, 200.0, 200.0] {
        evidence.predicted(&sample("1"), Some(Prediction { ttft_ms, tpot_ms: 10.0, watts: 0.0 }));
    }
    evidence.predicted(&sample("1"), None);
    let known = &evidence.floor().offsets_known["vllm"];
    check(known, 4, 0.0, 0.0);
    assert_eq!(known.ttft.p90_abs_error, None);
}

#[test]
fn the_conclusion_follows_the_figures() {
    let mut again = Vec::new();
    for at in 0..ENOUGH {
        let setting = at.to_string();
        again.extend([
            run(&setting, "1", 100.0, 10.0),
            run(&setting, "1", 104.0, 10.0),
            run(&setting, "2", 150.0, 10.1),
        ]);
    }
    let mut evidence = Evidence::default();
    evidence.measured(&again);
    evidence.predicted(&sample("1"), Some(Prediction { ttft_ms: 130.0, tpot_ms: 10.0, watts: 0.0 }));
    let page = evidence.floor().conclusion();
    assert!(
        page.contains(
            "Under vllm most of the TTFT miss is not noise: measured again, a first token comes within 4.0 %"
        )
    );
    assert!(
        page.contains("(above the target of 15.0 %) and a further one by 1.0 % (within the target of 9.0 %)"),
        "{page}"
    );
    assert!(page.contains("TTFT would be off by 0.0 % (within its target)"), "{page}");
    assert_eq!(floor(&[]).conclusion(), "", "nothing measured, nothing said");
}

/// Settings from which a backend's noise is told.
const ENOUGH: u64 = 30;
