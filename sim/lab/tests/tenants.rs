//! Tenants and priorities under load: who is loud does not slow others, and who can wait does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rhumb_lab::{Lab, Options, Report, RouterName, load};

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
    let report = Lab::new(&loaded, &options).unwrap().run(&|_| {}).unwrap();
    println!("{}", report.terminal());
    report
}

fn figure(report: &Report, path: &[&str]) -> f64 {
    path.iter().fold(&report.routers["rhumb"], |at, key| &at[*key]).as_f64().unwrap()
}

/// Tenants at 80 % of capacity together; the loud one asks for so many times its share.
fn beside(loud: f64, seed: u64) -> Report {
    let tenants: String = (0..8).map(|i| format!("  - {{name: t{i}, share: 0.1}}\n")).collect();
    let text = format!(
        "about: one tenant asks for more than its share\n\
         grid: {{sites: aws, count: 4, gpus: [l40s], gateways: 2}}\n\
         traffic: {{workload: poisson, utilisation: 1.0, seconds: 120, input_tokens: 800, output_tokens: 150}}\n\
         policy: {{preset: interactive}}\n\
         slo: {{ttft_ms: 1000, tpot_ms: 100}}\n\
         tenants:\n{tenants}  - {{name: loud, share: {}}}\n",
        0.1 * loud
    );
    run(&format!("beside-{loud}-{seed}"), &text, seed)
}

#[test]
fn one_tenant_at_ten_times_its_share_does_not_slow_another() {
    let mut moved: Vec<f64> = (1..=2)
        .map(|seed| {
            let (calm, loud) = (beside(1.0, seed), beside(10.0, seed));
            let p99 = |r: &Report| figure(r, &["by_tenant", "t0", "ttft_ms", "p99"]);
            let requests = |r: &Report| figure(r, &["by_tenant", "t0", "requests"]);
            assert_eq!(requests(&calm), requests(&loud), "the same requests");
            println!("{} ms, then {} ms", p99(&calm), p99(&loud));
            p99(&loud) / p99(&calm)
        })
        .collect();
    moved.sort_by(f64::total_cmp);
    println!("{moved:?}");
    assert!(moved[2] <= 1.1, "{moved:?}");
}

#[test]
fn interactive_requests_keep_their_objective_while_batch_waits() {
    for (interactive, batch) in [(0.5, 1.0), (0.7, 1.3)] {
        let text = format!(
            "about: people and programs on the same GPUs\n\
             grid: {{sites: aws, count: 4, gpus: [l40s], gateways: 2}}\n\
             traffic: {{workload: poisson, utilisation: 1.0, seconds: 120, input_tokens: 800, output_tokens: 150}}\n\
             policy: {{preset: interactive}}\n\
             slo: {{ttft_ms: 1000, tpot_ms: 100}}\n\
             tenants:\n  - {{name: people, share: {interactive}}}\n  \
               - {{name: programs, share: {batch}, policy: {{preset: batch}}, slo: {{ttft_ms: 600000, tpot_ms: 1000}}}}\n"
        );
        let report = run(&format!("waits-{interactive}"), &text, 1);
        let p99 = figure(&report, &["by_priority", "interactive", "ttft_ms", "p99"]);
        println!("p99 {p99}");
        assert!(p99 <= 9000.0, "{p99} ms");
    }
}
