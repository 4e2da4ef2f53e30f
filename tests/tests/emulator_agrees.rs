//! The emulator runs on the simulator's engine: both agree on the same trace in order and in counts. How well they agree
//! in time is measured by `make bench`.

use rhumb_tests::agreement::{Seen, disordered, emulated, simulated, trace};

/// Requests this near to each other may change places: a busy machine is late.
const APART_MS: f64 = 250.0;

#[test]
fn emulator_and_simulator_agree_in_order_and_counts() {
    let rows = trace(40);
    let (sim, emu) = (simulated(&rows), emulated(&rows));
    let counts = |seen: &[Seen]| seen.iter().map(|s| s.tokens).collect::<Vec<_>>();
    let wanted: Vec<u32> = rows.iter().map(|r| r.output_tokens).collect();
    assert_eq!(counts(&sim), wanted);
    assert_eq!(counts(&emu), wanted);
    for (what, of) in [("first", (|s| s.first_ms) as fn(&Seen) -> f64), ("last", |s| s.last_ms)] {
        let (pairs, wrong) = disordered(&sim, &emu, APART_MS, of);
        assert!(pairs > 300, "{pairs} pairs are far enough apart to compare");
        assert_eq!(wrong, 0, "of {pairs} pairs, these came in another order by their {what} token");
    }
}
