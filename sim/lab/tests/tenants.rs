//! Tenants and priorities under load: an over-share tenant does not slow others, and work that can wait does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_lab::{Lab, Options, Report, RouterName, load};

const GRID: &str = "grid: {sites: aws, count: 4, gpus: [l40s], gateways: 2}\n\
                    traffic: {workload: poisson, utilisation: 1.0, seconds: 120, input_tokens: 800, output_tokens: 150}\n\
                    policy: {preset: interactive}\nslo: {ttft_ms: 1000, tpot_ms: 100}\n";

/// Runs a scenario of one's own.
fn run(name: &str, text: &str, seed: u64) -> Report {
    let path = std::env::temp_dir().join(format!("rhumb-tenants-{}-{name}.yaml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let loaded = load(&path.display().to_string());
    std::fs::remove_file(&path).unwrap();
    let loaded = loaded.unwrap();
    let options = Options {
        routers: vec![RouterName::Rhumb],
        seed,
        seeds: 1,
        data: None,
        check: true,
        threads: 1,
        commit: "test".into(),
    };
    Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap()
}

fn figure(report: &Report, path: &[&str]) -> f64 {
    path.iter().fold(&report.routers["rhumb"], |at, key| &at[*key]).as_f64().unwrap()
}

/// Five tenants that ask for this part of the capacity each; the over-share one for so many times as much.
fn beside(part: f64, loud: f64, seed: u64) -> Report {
    let tenants: String = (0..4).map(|i| format!("  - {{name: t{i}, share: {part}}}\n")).collect();
    let text = format!(
        "about: one tenant asks for more than its share\n{GRID}tenants:\n{tenants}  - {{name: loud, share: {}}}\n",
        part * loud
    );
    run(&format!("beside-{part}-{loud}-{seed}"), &text, seed)
}

/// By how much the 99th percentile of another tenant moves when one asks for ten times as much: the median of four tenants
/// over nine seeds. One of them may be bad: on one seed in ten or twenty a tenant at its share is taken for an over-share one for a while,
/// and loses 2 to 20 % of its requests.
fn moved(part: f64) -> f64 {
    let (mut moved, mut bad) = (Vec::new(), std::collections::BTreeMap::new());
    for seed in 1..=9 {
        let (calm, loud) = (beside(part, 1.0, seed), beside(part, 10.0, seed));
        let of = |r: &Report, tenant: &str, path: &[&str]| figure(r, &[&["by_tenant", tenant], path].concat());
        for tenant in ["t0", "t1", "t2", "t3"] {
            let requests = of(&loud, tenant, &["requests"]);
            assert_eq!(of(&calm, tenant, &["requests"]), requests, "the same requests");
            let lost = of(&loud, tenant, &["lost"]) / requests;
            let met = of(&loud, tenant, &["slo_attainment"]);
            if lost > 0.01 || met < 0.97 {
                bad.insert(seed, format!("{lost:.4} of the requests of {tenant} lost, {met:.3} met the objective"));
            }
        }
        let paid = of(&loud, "loud", &["lost"]) / of(&loud, "loud", &["requests"]);
        assert!(paid > 0.2, "the tenant over its share is rejected with Retry-After: {paid:.3}");
        let p99 = |r: &Report, tenant: &str| of(r, tenant, &["ttft_ms", "p99"]);
        moved.extend(["t0", "t1", "t2", "t3"].map(|tenant| p99(&loud, tenant) / p99(&calm, tenant)));
    }
    assert!(bad.len() <= 1, "{bad:?}");
    moved.sort_by(f64::total_cmp);
    println!("{part} of the capacity each: the 99th percentile moves by {moved:.2?}");
    f64::midpoint(moved[17], moved[18])
}

#[test]
fn one_tenant_at_ten_times_its_share_hardly_moves_the_others_at_theirs() {
    let moved = moved(0.19);
    assert!(moved <= 1.1, "{moved:.2}");
}

/// The grid goes from half idle to full, which alone makes a time to first token longer (longer steps, farther sites).
/// Ten per cent would take GPUs that are kept idle for those who might want them.
#[test]
fn where_half_is_idle_it_fills_that_and_costs_the_others_one_answer_in_a_hundred_at_most() {
    let moved = moved(0.1);
    // Over eighteen seeds it is 1.69.
    assert!(moved <= 1.8, "{moved:.2}");
}

#[test]
fn interactive_requests_keep_their_objective_while_batch_waits() {
    for batch in [1.0, 1.5] {
        let text = format!(
            "about: people and programs on the same GPUs\n{GRID}tenants:\n  - {{name: people, share: 0.5}}\n  \
               - {{name: programs, share: {batch}, policy: {{preset: batch}}, slo: {{ttft_ms: 600000, tpot_ms: 1000}}}}\n"
        );
        let report = run(&format!("waits-{batch}"), &text, 1);
        let people = |path: &[&str]| figure(&report, &[&["by_priority", "interactive"], path].concat());
        let (p99, lost) = (people(&["ttft_ms", "p99"]), people(&["lost"]));
        assert!(p99 <= 1_000.0 && lost == 0.0, "{p99} ms, {lost} lost");
        let programs = |path: &[&str]| figure(&report, &[&["by_priority", "batch"], path].concat());
        assert_eq!(programs(&["lost"]), 0.0);
        assert!(programs(&["ttft_ms", "p50"]) > 5_000.0, "they waited");
    }
}
