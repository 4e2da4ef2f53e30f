//! Time of a decision of each rival over 10 to 1,000 eligible endpoints, predictions included. A rival goes by its place in
//! [`Rival::ALL`], from 0.

use divan::{Bencher, black_box};
use rhumb_bench::{ManyEndpoints, choice, facts};
use rhumb_rivals::{Candidate, Request, Rival};
use rhumb_route::decide::decide_by;
use rhumb_world::shown;

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 100, 1_000], consts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])]
fn rival<const NUMBER: usize>(bencher: Bencher<'_, '_>, endpoints: u32) {
    let rival = Rival::ALL[NUMBER];
    let defaults: Vec<f64> = rival.knobs().iter().map(|k| k.default).collect();
    let (world, facts, mut policy) = (ManyEndpoints::new(endpoints), facts(), rival.policy(&defaults));
    let mut seed = 0;
    bencher.bench_local(|| {
        seed += 1;
        let decision = decide_by(&world, black_box(&facts), &choice(seed).rates, |candidates, keys| {
            let request = Request {
                now_ms: seed,
                affinity: facts.affinity,
                prompt_tokens: facts.prompt_tokens,
                output_tokens: facts.output_tokens,
                draw: seed,
            };
            let shown: Vec<Candidate> = candidates.iter().map(|c| shown(c.row, &c.overlay, &c.predicted)).collect();
            policy.rank(&request, &shown, keys);
        });
        black_box(decision).targets.len()
    });
}
