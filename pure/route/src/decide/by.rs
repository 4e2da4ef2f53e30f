//! The same candidates behind the same gates, in an order of somebody else's.

use alloc::vec::Vec;

use super::{Best, Decision, Gates, Reason, Target, World};
use crate::bill::bill;
use crate::facts::Facts;
use crate::predict::{Prediction, predict};
use crate::row::{LocalLoad, Row};
use rhumb_grid::rates::Rates;

/// A candidate that may serve.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What is known of it.
    pub row: &'a Row,
    /// What this gateway has under way there.
    pub local_load: LocalLoad,
    /// What it is expected to do.
    pub predicted: Prediction,
}

/// Ranks the candidates of a request by keys that `rank` gives for them, in their order: the lowest first, and those last whose
/// context the request may exceed.
pub fn decide_by(
    world: &impl World,
    facts: &Facts,
    rates: &Rates,
    rank: impl FnOnce(&[Candidate<'_>], &mut Vec<f64>),
) -> Decision {
    let (mut out, mut candidates) = candidates(world, facts, Gates::Strict);
    let mut reason = Reason::Baseline;
    if out.spares_the_last() {
        (out, candidates) = self::candidates(world, facts, Gates::LastResort);
        reason = Reason::LastResort;
    }
    let (mut keys, mut best, mut tight) = (Vec::with_capacity(candidates.len()), Best::new(), Best::new());
    rank(&candidates, &mut keys);
    for (at, key) in keys.iter().enumerate() {
        if facts.fits(candidates[at].row) { best.offer(*key, at) } else { tight.offer(*key, at) }
    }
    out.fitting = if best.len > 0 { best.len } else { tight.len };
    best.append(&tight);
    out.targets.reserve_exact(best.len);
    for &(key, at) in best.kept() {
        let Candidate { row, local_load, predicted } = candidates[at];
        let Row { endpoint, site, model, .. } = *row;
        let bill = bill(row, &predicted, facts, rates);
        out.targets.push(Target { endpoint, site, model, bill, predicted, key, local_load });
    }
    out.reason = if out.targets.is_empty() { Reason::Nothing } else { reason };
    out
}

/// The candidates that pass the gates, and the count of those that do not.
fn candidates<'a>(world: &'a impl World, facts: &Facts, gates: Gates) -> (Decision, Vec<Candidate<'a>>) {
    let (mut out, mut candidates) = (Decision::default(), Vec::new());
    for &model in &facts.models {
        for row in world.rows(model) {
            match gates.check(row, facts) {
                Ok(()) => {
                    let local_load = world.local_load(row.endpoint);
                    candidates.push(Candidate { row, local_load, predicted: predict(row, &local_load, facts) });
                }
                Err(drop) => out.dropped(drop, row),
            }
        }
    }
    out.eligible = candidates.len() as u32;
    (out, candidates)
}
