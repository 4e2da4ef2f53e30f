//! Floors let candidates be skipped: those that cannot win, and nothing else.

use proptest::prelude::*;
use rhumb_grid::config::Preset;

use super::tests::{Rows, bits, choice, facts, request, router, row, run, world};
use super::*;

/// A world that knows its floors.
struct Floored<'a>(&'a Rows, Vec<Vec<Floors>>);

impl<'a> Floored<'a> {
    fn new(rows: &'a Rows) -> Self {
        Self(rows, (0..3).map(|model| crate::floor::floors(rows.rows(model))).collect())
    }
}

impl World for Floored<'_> {
    fn rows(&self, model: u32) -> &[Row] {
        self.0.rows(model)
    }

    fn overlay(&self, endpoint: u32) -> Overlay {
        self.0.overlay(endpoint)
    }

    fn floors(&self, model: u32) -> &[Floors] {
        &self.1[model as usize]
    }
}

/// Hundreds of candidates, so that floors have something to skip; in no order of distance.
fn wide_world() -> impl Strategy<Value = Rows> {
    (100u32..500, any::<u64>(), 0.0..1f64).prop_map(|(n, seed, spread)| {
        let draw = |e: u32, purpose: u32| unit(mix(seed.wrapping_add(u64::from(purpose) << 32), e));
        let rows = (0..n).map(|e| Row {
            rtt_ms: 3.0 + 300.0 * draw(e, 1),
            input_usd: 1e-7 * (1.0 + spread * draw(e, 2)),
            prefill_ms: 0.05 * (1.0 + spread * draw(e, 3)),
            reported: (12.0 * draw(e, 4)).floor(),
            own_at_report: (4.0 * draw(e, 7)).floor(),
            ttft_correction: 1.0 + spread * draw(e, 5),
            load_age_ms: 2_000.0 * draw(e, 6),
            model: e % 3,
            ..row(e)
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by_key(|r| r.model);
        Rows::new(rows)
    })
}

#[test]
fn far_candidates_are_not_looked_at() {
    let mut rows: Vec<Row> = (0..4_000).map(|e| Row { rtt_ms: f64::from(e) / 10.0, ..row(e) }).collect();
    rows[3_999].ill = true;
    let world = Rows::new(rows);
    let d = run(&Floored::new(&world), &facts(), &choice());
    assert!(d.skipped > 2_000, "{} of 4,000 skipped", d.skipped);
    assert_eq!(d.eligible + d.skipped, 4_000);
}

proptest! {
    #[test]
    fn what_is_skipped_changes_nothing(w in wide_world(), f in request(), seed: u64, preset in 0usize..6, router in router()) {
        let c = Choice { rates: Rates::preset(Preset::ALL[preset].1), seed, router };
        let (all, some) = (run(&w, &f, &c), run(&Floored::new(&w), &f, &c));
        prop_assert_eq!(bits(&some), bits(&all));
        prop_assert_eq!(some.reason, all.reason);
        prop_assert!(some.skipped == 0 || router == Router::Rhumb);
    }

    #[test]
    fn no_bill_is_below_its_floor(w in world(), f in request(), preset in 0usize..6) {
        let rates = Rates::preset(Preset::ALL[preset].1);
        for (model, floors) in Floored::new(&w).1.iter().enumerate() {
            let rows = w.rows(model as u32);
            for (at, row) in rows.iter().enumerate() {
                let floor = &floors[at / CHUNK];
                if let Ok((_, bill)) = evaluate(row, &w.overlay(row.endpoint), &f, &rates) {
                    prop_assert!(bill.total_usd() >= floor.chunk.total_usd(&f, &rates));
                    prop_assert!(floor.chunk.total_usd(&f, &rates) >= floor.rest.total_usd(&f, &rates) * (1.0 - 1e-12));
                }
            }
        }
    }
}
