//! How well the emulator (real time, over sockets) and the simulator (virtual time) agree on one trace.

use rhumb_tests::agreement::{Seen, disordered, emulated, simulated, trace};

fn main() {
    let rows = trace(150);
    let (sim, emu) = (simulated(&rows), emulated(&rows));
    println!("emulator against simulator, {} requests on one L4", rows.len());
    for (name, of) in [("TTFT", (|s| s.ttft_ms) as fn(&Seen) -> f64), ("E2E", |s| s.e2e_ms)] {
        let mut off: Vec<f64> = sim.iter().zip(&emu).map(|(s, e)| of(e) / of(s) - 1.0).collect();
        off.sort_by(f64::total_cmp);
        let at = |share: f64| off[((off.len() - 1) as f64 * share) as usize] * 100.0;
        println!(
            "{name:5} emulated over simulated: p5 {:+.1} %, median {:+.1} %, p95 {:+.1} %",
            at(0.05),
            at(0.5),
            at(0.95)
        );
    }
    for (name, of) in [("first", (|s| s.first_ms) as fn(&Seen) -> f64), ("last", |s| s.last_ms)] {
        let (pairs, wrong) = disordered(&sim, &emu, 50.0, of);
        println!("order of {name} tokens: {wrong} of {pairs} pairs more than 50 ms apart differ");
    }
    let tokens = |seen: &[Seen]| seen.iter().map(|s| u64::from(s.tokens)).sum::<u64>();
    println!("tokens: simulated {}, emulated {}", tokens(&sim), tokens(&emu));
}
