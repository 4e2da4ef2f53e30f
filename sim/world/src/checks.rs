//! The invariants of a world, by name. Tests check them after every event.

use std::collections::BTreeMap;

use rhumb_grid::position::ModelIndex;

use crate::watch::{Breach, Decided, Moment, Watch};

/// Checks every invariant.
///
/// - *Conserved*: every request that entered has left or is under way.
/// - *TokensConserved*: an answer, whole or broken off, has exactly the tokens that came out of its engine.
/// - *KvWithinCapacity*: no engine holds more KV blocks than it has.
/// - *BatchWithinLimits*: no step runs more sequences or computes more tokens than the scheduler allows.
/// - *NoFuture*: no decision uses a reading that has not arrived yet, and time never runs backwards.
/// - *Oracle*: what a router is told of an answer's length is the same for all requests it has not seen end since.
#[derive(Debug, Default)]
pub struct Checks {
    last_us: u64,
    /// Tokens that came out of engines, by the engine's name for the request.
    emitted: BTreeMap<u64, u32>,
    /// What each gateway, tenant and model expected of answers last, and how many requests had left then.
    expected: BTreeMap<(u32, u32, ModelIndex), (f64, u64)>,
    left: u64,
    /// Checks made.
    pub made: u64,
}

fn must(holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(Breach { invariant, detail: detail() }) }
}

impl Watch for Checks {
    fn decided(&mut self, d: &Decided<'_>) -> Result<(), Breach> {
        must(d.newest_reading_us <= d.now_us, "NoFuture", || {
            format!("a reading of {} µs was used at {} µs", d.newest_reading_us, d.now_us)
        })?;
        let Some(model) = d.facts.models.first() else { return Ok(()) };
        let entry = self.expected.entry((d.gateway, d.tenant, *model)).or_insert((d.facts.output_tokens, self.left));
        let same = entry.0 == d.facts.output_tokens || entry.1 != self.left;
        let before = std::mem::replace(entry, (d.facts.output_tokens, self.left)).0;
        must(same, "Oracle", || {
            format!(
                "gateway {} expected {before} tokens, then {} with no answer between",
                d.gateway, d.facts.output_tokens
            )
        })
    }

    fn happened(&mut self, m: &Moment<'_>) -> Result<(), Breach> {
        self.made += 1;
        must(m.now_us >= self.last_us, "NoFuture", || format!("{} µs came after {} µs", m.now_us, self.last_us))?;
        (self.last_us, self.left) = (m.now_us, m.left);
        must(m.entered == m.left + m.under_way, "Conserved", || {
            format!("entered {}, left {}, under way {}", m.entered, m.left, m.under_way)
        })?;
        if let Some((endpoint, engine, step)) = m.engine {
            let pool = engine.pool();
            must(pool.held_blocks() + pool.idle_blocks() <= pool.capacity_blocks(), "KvWithinCapacity", || {
                let (held, idle) = (pool.held_blocks(), pool.idle_blocks());
                format!("endpoint {} holds {held} + {idle} of {} blocks", endpoint.0, pool.capacity_blocks())
            })?;
            if let Some(step) = step {
                let limits = engine.limits();
                let tokens = step.work.prefill_tokens + step.work.decode_seqs;
                let seqs = step.emitted.len();
                must(
                    tokens <= limits.max_batched_tokens && seqs <= limits.max_num_seqs as usize,
                    "BatchWithinLimits",
                    || format!("endpoint {} computed {tokens} tokens for {seqs} sequences", endpoint.0),
                )?;
                for token in &step.emitted {
                    *self.emitted.entry(token.id).or_insert(0) += 1;
                }
            }
        }
        self.token_count(m)
    }
}

impl Checks {
    fn token_count(&mut self, m: &Moment<'_>) -> Result<(), Breach> {
        let Some((ticket, output_tokens)) = m.ended else { return Ok(()) };
        let emitted = self.emitted.remove(&ticket.id()).unwrap_or(0);
        must(emitted == output_tokens, "TokensConserved", || {
            format!("an answer of {output_tokens} tokens took {emitted} out of its engine")
        })
    }
}
