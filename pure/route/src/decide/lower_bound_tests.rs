//! LowerBounds let candidates be skipped: those that cannot win, and nothing else.

use proptest::prelude::*;
use rhumb_grid::config::Preset;

use super::tests::{Rows, bits, choice, facts, request, router, row, run, world};
use super::*;

/// A world that knows its lower bounds, and has compact rows.
struct Floored<'a>(&'a Rows, Vec<Vec<LowerBounds>>, Vec<Vec<CompactRow>>);

impl<'a> Floored<'a> {
    fn new(rows: &'a Rows) -> Self {
        let compact_rows = |model| rows.rows(model).iter().map(CompactRow::of).collect();
        Self(
            rows,
            (0..3).map(ModelIndex).map(|model| crate::lower_bound::lower_bounds(rows.rows(model))).collect(),
            (0..3).map(ModelIndex).map(compact_rows).collect(),
        )
    }
}

impl World for Floored<'_> {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        self.0.rows(model)
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        self.0.local_load(endpoint)
    }

    fn lower_bounds(&self, model: ModelIndex) -> &[LowerBounds] {
        &self.1[model]
    }

    fn compact_rows(&self, model: ModelIndex) -> &[CompactRow] {
        &self.2[model]
    }
}

/// Hundreds of candidates, so that lower bounds have something to skip; in no order of distance.
fn wide_world() -> impl Strategy<Value = Rows> {
    (100u32..500, any::<u64>(), 0.0..1f64).prop_map(|(n, seed, spread)| {
        let draw = |e: u32, purpose: u32| unit(mix(seed.wrapping_add(u64::from(purpose) << 32), EndpointIndex(e)));
        let rows = (0..n).map(|e| Row {
            rtt_ms: 3.0 + 300.0 * draw(e, 1),
            input_usd: 1e-7 * (1.0 + spread * draw(e, 2)),
            prefill_ms: 0.05 * (1.0 + spread * draw(e, 3)),
            reported: (12.0 * draw(e, 4)).floor(),
            own_at_report: (4.0 * draw(e, 7)).floor(),
            others_tokens: 2_000.0 * draw(e, 8),
            stalled_ms: 500.0 * (draw(e, 9) - 0.5).max(0.0),
            unseen_ms: 300.0 * (draw(e, 10) - 0.5).max(0.0),
            others_per_ms: 0.004 * (draw(e, 11) - 0.5).max(0.0),
            ttft_correction: 1.0 + spread * draw(e, 5),
            load_age_ms: 2_000.0 * draw(e, 6),
            model: ModelIndex(e % 3),
            ..row(e)
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by_key(|r| r.model);
        Rows::new(rows)
    })
}

#[test]
fn near_candidates_that_are_busy_are_pruned_by_their_lower_bound() {
    // Behind those that are far and idle, as a view has them, stand others that are near and full of this gateway's own
    // requests: what is known without those would have them all looked at.
    let near = |e: u32| Row { rtt_ms: 1.0, reported: 5_000.0, own_at_report: 5_000.0, ..row(e) };
    let rows =
        (0..4_000).map(|e| if e < 1_000 { Row { rtt_ms: 100.0 + f64::from(e) / 20.0, ..row(e) } } else { near(e) });
    let mut world = Rows::new(rows.collect());
    let own = |e: u32| LocalLoad { in_flight: if e < 1_000 { 0.0 } else { 5_000.0 }, backlog_tokens: 0.0 };
    world.local_loads = (0..4_000).map(own).collect();
    let d = run(&Floored::new(&world), &facts(), &choice());
    assert!(d.targets.iter().all(|t| t.endpoint.0 < 1_000));
    assert!(d.eligible < 1_000 && d.eligible + d.skipped == 4_000, "{} looked at", d.eligible);
}

#[test]
fn far_candidates_are_not_looked_at() {
    let mut rows: Vec<Row> = (0..4_000).map(|e| Row { rtt_ms: f64::from(e) / 10.0, ..row(e) }).collect();
    rows[3_999].health = CandidateHealth::Unhealthy;
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
        for (model, lower_bounds) in ModelIndex::all().zip(&Floored::new(&w).1) {
            let rows = w.rows(model);
            for (at, row) in rows.iter().enumerate() {
                let lower_bound = &lower_bounds[at / CHUNK];
                if let Ok((_, bill)) = evaluate(row, &w.local_load(row.endpoint), &f, &rates, Gates::Strict) {
                    prop_assert!(bill.total_usd() >= lower_bound.chunk.total_usd(&f, &rates));
                    let compact = BoundInputs::new(&f, &rates).least_usd(&CompactRow::of(row), &w.local_load(row.endpoint));
                    prop_assert!(bill.total_usd() >= compact && compact >= 0.0);
                    prop_assert!(lower_bound.chunk.total_usd(&f, &rates) >= lower_bound.rest.total_usd(&f, &rates) * (1.0 - 1e-12));
                }
            }
        }
    }
}
