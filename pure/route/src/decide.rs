//! Filter, predict, bill, pick.

use alloc::vec::Vec;
use core::cmp::Ordering;

use rhumb_grid::config::{Accepts, Router};
use rhumb_grid::position::{EndpointIndex, ModelIndex, SiteIndex};
use rhumb_grid::rates::Rates;
use serde::{Deserialize, Serialize};

pub use self::by::{Candidate, decide_by};
use crate::bill::{Bill, before_miss, bill, with_miss};
use crate::compact_row::{BoundInputs, CompactRow};
use crate::facts::Facts;
use crate::lower_bound::{CHUNK, LowerBound, LowerBounds};
use crate::predict::{Prediction, predict};
use crate::row::{CandidateHealth, LocalLoad, Row};

/// What the router can see of the grid.
pub trait World {
    /// The candidates of a model, side by side.
    fn rows(&self, model: ModelIndex) -> &[Row];
    /// What this gateway has under way at an endpoint now.
    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad;
    /// What the candidates of a model cost at least, chunk by chunk; empty where nothing is known, and then every
    /// candidate is looked at.
    fn lower_bounds(&self, _model: ModelIndex) -> &[LowerBounds] {
        &[]
    }
    /// Glances at the candidates of a model, side by side as they are; empty where there are none.
    fn compact_rows(&self, _model: ModelIndex) -> &[CompactRow] {
        &[]
    }
}

/// Why a candidate was dropped. Load is not among the reasons: old or missing load widens an estimate and never drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Drop {
    /// It cannot take the images, audio or tools of the request, or answers another API.
    Modality,
    /// The prompt and the answer do not fit its context, by a count that cannot be wrong.
    Context,
    /// Its country is not among those allowed.
    Residency,
    /// It is confirmed unhealthy.
    Unhealthy,
    /// Its site has no power left.
    Power,
    /// It is being drained: it takes no requests, or those of its own sessions only.
    Draining,
    /// It refuses the gateway's credential.
    Credential,
    /// It does not have the model.
    ModelMissing,
    /// It speaks no dialect in which the request can be put.
    Dialect,
}

impl Drop {
    /// Every reason.
    pub const ALL: [Drop; Self::COUNT] = [
        Drop::Modality,
        Drop::Context,
        Drop::Residency,
        Drop::Unhealthy,
        Drop::Power,
        Drop::Draining,
        Drop::Credential,
        Drop::ModelMissing,
        Drop::Dialect,
    ];

    /// How many there are.
    pub const COUNT: usize = 9;

    /// A candidate dropped for this is tried all the same when there is no other: a bad one beats none.
    pub fn spares_the_last(self) -> bool {
        matches!(self, Self::Unhealthy | Self::Credential | Self::ModelMissing)
    }

    /// The reason's code in logs, metrics and errors.
    pub fn code(self) -> &'static str {
        match self {
            Self::Modality => "modality",
            Self::Context => "context_length",
            Self::Residency => "residency",
            Self::Unhealthy => "unhealthy",
            Self::Power => "power_cap",
            Self::Draining => "draining",
            Self::Credential => "credential",
            Self::ModelMissing => "model_missing",
            Self::Dialect => "dialect",
        }
    }
}

/// A candidate that may serve the request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Index of the endpoint.
    pub endpoint: EndpointIndex,
    /// Index of its site.
    pub site: SiteIndex,
    /// Index of the model.
    pub model: ModelIndex,
    /// Its bill.
    pub bill: Bill,
    /// What it is expected to do.
    pub predicted: Prediction,
    /// What the ranking goes by: the bill's total, or a baseline's key.
    pub key: f64,
    /// What this gateway had under way there.
    pub local_load: LocalLoad,
}

/// Why the first target is first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// Its bill is the lowest.
    Cheapest,
    /// Its bill is as good as the lowest, and the affinity key or chance preferred it.
    NearEqual,
    /// The session is pinned to it, and nothing is enough better.
    Pinned,
    /// The session was pinned elsewhere, and this is enough better.
    MovedForBill,
    /// The session was pinned to a candidate that was dropped.
    MovedForDrop,
    /// A baseline chose it.
    Baseline,
    /// Nothing may serve it.
    #[default]
    Nothing,
    /// Every candidate that could serve it is known to fail: the least bad is tried.
    LastResort,
}

impl Reason {
    /// The reason's code in logs and output.
    pub fn code(self) -> &'static str {
        match self {
            Self::Cheapest => "cheapest",
            Self::NearEqual => "near_equal",
            Self::Pinned => "pinned",
            Self::MovedForBill => "moved_for_bill",
            Self::MovedForDrop => "moved_for_drop",
            Self::Baseline => "baseline",
            Self::Nothing => "nothing_eligible",
            Self::LastResort => "last_resort",
        }
    }
}

/// The ranked targets of one request. The order after the first is the failover order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// At most [`KEPT`], the best first.
    pub targets: Vec<Target>,
    /// So many of the targets lead whose context the request is expected to fit; all of them where it fits none. The others
    /// are for when those have failed.
    pub fitting: usize,
    /// Candidates looked at that may serve.
    pub eligible: u32,
    /// Candidates not looked at: they cost more than the last target here at a compact, or for their distance alone.
    pub skipped: u32,
    /// Candidates dropped, by the order of [`Drop::ALL`].
    pub drops: [u32; Drop::COUNT],
    /// Why the first is first.
    pub reason: Reason,
    /// The largest context among the candidates that were dropped for theirs.
    pub largest_context: u32,
}

impl Decision {
    /// A candidate failed a gate.
    fn dropped(&mut self, drop: Drop, row: &Row) {
        self.drops[drop as usize] += 1;
        if drop == Drop::Context {
            self.largest_context = self.largest_context.max(row.context_tokens);
        }
    }

    /// Nothing may serve it, and some candidates were dropped only because they are known to fail.
    fn spares_the_last(&self) -> bool {
        self.eligible == 0 && Drop::ALL.iter().any(|d| d.spares_the_last() && self.drops[*d as usize] > 0)
    }
}

/// Targets kept of one decision.
pub const KEPT: usize = 16;

/// Bills this close to the lowest, as a share of it, count as equal.
pub const NEAR: f64 = 0.01;

/// The arguments of a decision that are not of the world or the request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Exchange rates.
    pub rates: Rates,
    /// How targets are chosen.
    pub router: Router,
    /// Decides between near-equals; for [`Router::RoundRobin`] the turn.
    pub seed: u64,
}

/// Holds one candidate against the gates and, if it passes, predicts and bills it.
///
/// # Errors
/// The gate it fails. Gates of authority fail closed.
pub fn evaluate(
    row: &Row,
    local_load: &LocalLoad,
    facts: &Facts,
    rates: &Rates,
    gates: Gates,
) -> Result<(Prediction, Bill), Drop> {
    gates.check(row, facts)?;
    let p = predict(row, local_load, facts);
    let b = bill(row, &p, facts, rates);
    Ok((p, b))
}

/// How strictly candidates are held against the gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    /// As they are.
    Strict,
    /// Without that of health: nothing else is left.
    LastResort,
}

impl Gates {
    /// The hard gates, in the order of their cost.
    fn check(self, row: &Row, facts: &Facts) -> Result<(), Drop> {
        let (needs, able) = (facts.needs, row.able);
        if (needs.vision && !able.vision)
            || (needs.audio && !able.audio)
            || (needs.tools && !able.tools)
            || !able.tasks.serve(needs.tasks)
        {
            return Err(Drop::Modality);
        }
        if !able.dialects.meet(needs.dialects) {
            return Err(Drop::Dialect);
        }
        if !facts.countries.is_empty() && !facts.countries.contains(&row.country) {
            return Err(Drop::Residency);
        }
        if facts.never_fits(row) {
            return Err(Drop::Context);
        }
        self.health(row.health)?;
        if row.site_watts + row.seq_watts > row.site_watts_max {
            return Err(Drop::Power);
        }
        match row.accepts {
            Accepts::NewAndExisting => Ok(()),
            Accepts::ExistingOnly if facts.pin == Some((row.endpoint, row.model)) => Ok(()),
            Accepts::ExistingOnly | Accepts::None => Err(Drop::Draining),
        }
    }

    fn health(self, health: CandidateHealth) -> Result<(), Drop> {
        let drop = match health {
            CandidateHealth::Healthy => return Ok(()),
            // A wrong answer is worse than none.
            CandidateHealth::WrongAnswers => return Err(Drop::Unhealthy),
            CandidateHealth::Unhealthy => Drop::Unhealthy,
            CandidateHealth::CredentialRefused => Drop::Credential,
            CandidateHealth::ModelMissing => Drop::ModelMissing,
        };
        if self == Self::LastResort { Ok(()) } else { Err(drop) }
    }
}

/// Working memory of [`decide`], kept by the caller so that a decision allocates nothing per candidate.
#[derive(Debug, Default)]
pub struct Scratch {
    seen: Vec<Seen>,
    spans: Vec<Span>,
}

/// One candidate after the first pass. The local load is kept because the live one moves on.
#[derive(Debug, Clone, Copy)]
struct Seen {
    key: f64,
    load: f64,
    local_load: LocalLoad,
    /// The request is expected to fit its context.
    fits: bool,
}

/// Candidates of one model that were looked at and stand side by side, in the view and among those seen.
#[derive(Debug, Clone, Copy)]
struct Span {
    model: ModelIndex,
    /// Of the first among those seen.
    start: usize,
    /// Of the first among the rows of its model.
    row: usize,
    len: usize,
}

impl Scratch {
    /// The candidate of a model at this place is the next to be seen, and stands beside the one before it or not.
    fn see(&mut self, model: ModelIndex, row: usize, side_by_side: bool) {
        match self.spans.last_mut().filter(|_| side_by_side) {
            Some(span) => span.len += 1,
            None => self.spans.push(Span { model, start: self.seen.len(), row, len: 1 }),
        }
    }

    /// Every candidate seen with its place and its row.
    fn rows<'a>(&'a self, world: &'a impl World) -> impl Iterator<Item = (usize, &'a Row)> {
        self.spans.iter().flat_map(move |s| (s.start..).zip(&world.rows(s.model)[s.row..s.row + s.len]))
    }

    /// The row that was met as the `at`-th.
    fn row<'a>(&self, world: &'a impl World, at: usize) -> &'a Row {
        let span = &self.spans[self.spans.partition_point(|s| s.start <= at) - 1];
        &world.rows(span.model)[span.row + at - span.start]
    }
}

/// Ranks the candidates of a request. Where each that could serve it is known to fail, they are ranked all the same.
pub fn decide(world: &impl World, facts: &Facts, choice: &Choice, scratch: &mut Scratch) -> Decision {
    let out = decide_with(world, facts, choice, scratch, Gates::Strict);
    if !out.spares_the_last() {
        return out;
    }
    let last = decide_with(world, facts, choice, scratch, Gates::LastResort);
    if last.eligible == 0 { out } else { Decision { reason: Reason::LastResort, ..last } }
}

fn decide_with(world: &impl World, facts: &Facts, choice: &Choice, scratch: &mut Scratch, gates: Gates) -> Decision {
    let mut out = Decision {
        targets: Vec::new(),
        fitting: 0,
        eligible: 0,
        skipped: 0,
        drops: [0; Drop::COUNT],
        reason: Reason::Nothing,
        largest_context: 0,
    };
    let bound_inputs = BoundInputs::new(facts, &choice.rates);
    let mut look = Look { best: Best::new(), tight: Best::new(), pin: None, bound_inputs, gates };
    scratch.seen.clear();
    scratch.spans.clear();
    for &model in &facts.models {
        look.at_model(world, model, facts, choice, scratch, &mut out);
    }
    // An estimate refuses nothing: where the request is expected to fit nowhere, it may fit all the same.
    let fits = look.best.len > 0;
    let (mut best, tight) = if fits { (look.best, look.tight) } else { (look.tight, Best::new()) };
    let pin = look.pin.filter(|pin| scratch.seen[*pin].fits == fits);
    match choice.router {
        Router::RoundRobin => best = in_turn(&scratch.seen, out.eligible, choice.seed, fits),
        Router::PowerOfTwo => best.less_loaded_of_two_first(&scratch.seen),
        Router::Rhumb | Router::Nearest | Router::LeastRequest | Router::Random => {}
    }
    out.reason = best.choose(world, facts, choice, scratch, pin);
    out.fitting = best.len;
    best.append(&tight);
    out.targets.reserve_exact(best.len);
    for &(key, at) in best.kept() {
        let (row, local_load) = (scratch.row(world, at), scratch.seen[at].local_load);
        if let Ok((predicted, bill)) = evaluate(row, &local_load, facts, &choice.rates, gates) {
            let Row { endpoint, site, model, .. } = *row;
            out.targets.push(Target { endpoint, site, model, bill, predicted, key, local_load });
        }
    }
    out
}

/// The first pass over the candidates.
struct Look {
    /// Those whose context the request is expected to fit.
    best: Best,
    /// Those whose context it may exceed: they come after.
    tight: Best,
    /// The place of the pinned candidate, once it was met.
    pin: Option<usize>,
    bound_inputs: BoundInputs,
    gates: Gates,
}

impl Look {
    /// Looks at the candidates of a model, chunk by chunk, but for those that cannot be kept.
    fn at_model(
        &mut self,
        world: &impl World,
        model: ModelIndex,
        facts: &Facts,
        choice: &Choice,
        scratch: &mut Scratch,
        out: &mut Decision,
    ) {
        let (rows, lower_bounds, compact_rows) =
            (world.rows(model), world.lower_bounds(model), world.compact_rows(model));
        for (chunk, here) in rows.chunks(CHUNK).enumerate() {
            if let Some(lower_bounds) = lower_bounds.get(chunk) {
                if self.is_enough(&lower_bounds.rest, facts, choice) {
                    out.skipped += (rows.len() - chunk * CHUNK) as u32;
                    return;
                }
                if self.is_enough(&lower_bounds.chunk, facts, choice) {
                    out.skipped += here.len() as u32;
                    continue;
                }
            }
            let compact_rows = compact_rows.get(chunk * CHUNK..).unwrap_or_default();
            let mut side_by_side = false;
            for (i, row) in here.iter().enumerate() {
                if compact_rows.get(i).is_some_and(|g| self.is_pruned(world, model, g, facts, choice)) {
                    (out.skipped, side_by_side) = (out.skipped + 1, false);
                    continue;
                }
                scratch.see(model, chunk * CHUNK + i, side_by_side);
                side_by_side = true;
                self.at(row, world.local_load(row.endpoint), facts, choice, &mut scratch.seen, out);
            }
        }
    }

    /// No candidate with at least this bill can be kept, or be as good as the best. A pin that was not met yet keeps the
    /// search on: why it was left is part of the record.
    fn is_enough(&self, lower_bound: &LowerBound, facts: &Facts, choice: &Choice) -> bool {
        choice.router == Router::Rhumb
            && (facts.pin.is_none() || self.pin.is_some())
            && self.best.is_beyond(lower_bound.total_usd(facts, &choice.rates))
    }

    /// The lower bound shows that the candidate is no better than those kept.
    fn is_pruned(
        &self,
        world: &impl World,
        model: ModelIndex,
        compact: &CompactRow,
        facts: &Facts,
        choice: &Choice,
    ) -> bool {
        choice.router == Router::Rhumb
            && self.best.len == KEPT
            && facts.pin != Some((compact.endpoint, model))
            && self.best.is_beyond(self.bound_inputs.least_usd(compact, &world.local_load(compact.endpoint)))
    }

    fn at(
        &mut self,
        row: &Row,
        local_load: LocalLoad,
        facts: &Facts,
        choice: &Choice,
        seen: &mut Vec<Seen>,
        out: &mut Decision,
    ) {
        let (at, fits) = (seen.len(), facts.fits(row));
        let best = if fits { &mut self.best } else { &mut self.tight };
        let (key, load) = match self.gates.check(row, facts) {
            Ok(()) => {
                let p = predict(row, &local_load, facts);
                let least = before_miss(row, &p, facts, &choice.rates);
                let is_pin = facts.pin == Some((row.endpoint, row.model));
                let turn = out.eligible;
                out.eligible += 1;
                let load = p.running + p.waiting;
                if choice.router == Router::Rhumb && !is_pin && best.is_beyond(least.total_usd()) {
                    (f64::INFINITY, load)
                } else {
                    let key = key(choice, row, &local_load, &with_miss(least, &p, &choice.rates), turn);
                    best.offer(key, at);
                    if is_pin {
                        self.pin = Some(at);
                    }
                    (key, load)
                }
            }
            Err(drop) => {
                out.dropped(drop, row);
                (f64::INFINITY, 0.0)
            }
        };
        seen.push(Seen { key, load, local_load, fits });
    }
}

/// What the ranking goes by.
fn key(choice: &Choice, row: &Row, local_load: &LocalLoad, bill: &Bill, turn: u32) -> f64 {
    match choice.router {
        Router::Rhumb => bill.total_usd(),
        Router::RoundRobin => f64::from(turn),
        // Sites are told apart by their round trip; inside one, requests in flight decide.
        Router::Nearest => row.rtt_ms * 1e6 + local_load.in_flight,
        Router::LeastRequest => local_load.in_flight,
        Router::Random | Router::PowerOfTwo => unit(mix(choice.seed, row.endpoint)),
    }
}

/// The eligible candidates whose context the request is expected to fit, or not, in turn, starting where the seed says.
fn in_turn(seen: &[Seen], eligible: u32, seed: u64, fits: bool) -> Best {
    let mut best = Best::new();
    let Some(first) = seed.checked_rem(u64::from(eligible)) else { return best };
    let order = |turn: f64| (turn - first as f64 + f64::from(eligible)) % f64::from(eligible);
    for (at, s) in seen.iter().enumerate().filter(|(_, s)| s.key < f64::INFINITY && s.fits == fits) {
        best.offer(order(s.key), at);
    }
    best
}

/// The best candidates so far, the best first, equal ones in the order they were met.
struct Best {
    kept: [(f64, usize); KEPT],
    len: usize,
}

impl Best {
    fn new() -> Self {
        Self { kept: [(f64::INFINITY, 0); KEPT], len: 0 }
    }

    fn kept(&self) -> &[(f64, usize)] {
        &self.kept[..self.len]
    }

    /// A bill that is neither among those kept nor near the lowest.
    fn is_beyond(&self, usd: f64) -> bool {
        self.len == KEPT && usd > self.kept[KEPT - 1].0.max(self.kept[0].0 * (1.0 + NEAR))
    }

    /// Puts others behind these, as far as there is room.
    fn append(&mut self, others: &Self) {
        let len = (self.len + others.len).min(KEPT);
        let room = len - self.len;
        self.kept[self.len..len].copy_from_slice(&others.kept[..room]);
        self.len = len;
    }

    fn offer(&mut self, key: f64, at: usize) {
        // Not-a-number compares with nothing and is left out, as is what is no better than the worst kept.
        if key.partial_cmp(&self.kept[KEPT - 1].0) != Some(Ordering::Less) {
            return;
        }
        let i = self.kept[..self.len].partition_point(|k| k.0 <= key);
        self.len = (self.len + 1).min(KEPT);
        self.kept[i..self.len].rotate_right(1);
        self.kept[i] = (key, at);
    }

    /// Power of two choices (Mitzenmacher, 2001): of the first two, which chance drew, the one with less to do leads.
    fn less_loaded_of_two_first(&mut self, seen: &[Seen]) {
        if self.len >= 2 && seen[self.kept[1].1].load < seen[self.kept[0].1].load {
            self.kept.swap(0, 1);
        }
    }

    /// Moves the chosen candidate to the front.
    fn choose(
        &mut self,
        world: &impl World,
        facts: &Facts,
        choice: &Choice,
        scratch: &Scratch,
        pin: Option<usize>,
    ) -> Reason {
        let seen = &scratch.seen;
        if self.len == 0 {
            return Reason::Nothing;
        }
        if choice.router != Router::Rhumb {
            return Reason::Baseline;
        }
        let (lowest, cheapest) = self.kept[0];
        let near = lowest * (1.0 + NEAR);
        let (chosen, reason) = match (facts.pin, pin) {
            (Some(_), Some(pin)) if seen[pin].key <= near => (pin, Reason::Pinned),
            (Some(_), Some(_)) => (cheapest, Reason::MovedForBill),
            (moved, _) => {
                let favoured = favoured(world, facts, choice, scratch, near, seen[cheapest].fits).unwrap_or(cheapest);
                let reason = match moved {
                    Some(_) => Reason::MovedForDrop,
                    None if favoured == cheapest => Reason::Cheapest,
                    None => Reason::NearEqual,
                };
                (favoured, reason)
            }
        };
        // A pin that was left is part of why: the record must show it however far down it ranks.
        if let Some(pin) = pin {
            let i = self.place_of(pin);
            self.kept[i] = (seen[pin].key, pin);
        }
        let i = self.place_of(chosen);
        self.kept[..=i].rotate_right(1);
        self.kept[0] = (seen[chosen].key, chosen);
        reason
    }

    /// Where a candidate stands among the kept, or the last place, which it may take.
    fn place_of(&self, at: usize) -> usize {
        self.kept().iter().position(|k| k.1 == at).unwrap_or(self.len - 1)
    }
}

/// Among the near-equals, the one that the affinity key prefers (rendezvous hashing: the highest hash of key and
/// endpoint, so that the loss of one endpoint moves its own sessions only), or that chance prefers, by free seats.
fn favoured(
    world: &impl World,
    facts: &Facts,
    choice: &Choice,
    scratch: &Scratch,
    near: f64,
    fits: bool,
) -> Option<usize> {
    let mut best: Option<(f64, usize)> = None;
    for (at, row) in scratch.rows(world) {
        let s = &scratch.seen[at];
        if s.key <= near && s.fits == fits {
            let score = match facts.affinity {
                Some(affinity) => unit(mix(affinity, row.endpoint)),
                None => unit(mix(choice.seed, row.endpoint)) / (1.0 + s.load),
            };
            if best.is_none_or(|(b, _)| score > b) {
                best = Some((score, at));
            }
        }
    }
    best.map(|(_, at)| at)
}

/// A hash of a key and an endpoint (Steele, Lea and Flood's SplitMix64 finaliser).
fn mix(key: u64, endpoint: EndpointIndex) -> u64 {
    let mut z = key ^ (u64::from(endpoint.0) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash as a number in 0..1.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

mod by;
#[cfg(test)]
mod lower_bound_tests;
#[cfg(test)]
mod tests;
