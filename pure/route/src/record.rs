//! A decision with the inputs that reproduce it, bit for bit.

use alloc::vec::Vec;

use rhumb_grid::config::Router;
use rhumb_grid::position::{EndpointIndex, ModelIndex};
use serde::{Deserialize, Serialize};

use crate::decide::{Choice, Decision, Scratch, World, decide};
use crate::facts::Facts;
use crate::row::{LocalLoad, Row};

/// What the log keeps of a decision: the request's facts, the choice, and the rows of the best candidates exactly as
/// they were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the view it was made on.
    pub view: u64,
    /// The request.
    pub facts: Facts,
    /// The policy, router and seed.
    pub choice: Choice,
    /// The kept candidates, by model in the order of the facts and as they were met.
    pub inputs: Vec<Input>,
}

/// One candidate as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The row.
    pub row: Row,
    /// What the gateway had under way there.
    pub local_load: LocalLoad,
}

/// A candidate that a decision kept, and what the gateway had under way there; its row is found by the view.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Index of the endpoint.
    pub endpoint: EndpointIndex,
    /// Index of the model.
    pub model: ModelIndex,
    /// The local load of the decision's time.
    pub local_load: LocalLoad,
}

impl Kept {
    /// The kept candidates of a decision, in its order.
    pub fn of(decision: &Decision) -> Vec<Self> {
        decision
            .targets
            .iter()
            .map(|t| Self { endpoint: t.endpoint, model: t.model, local_load: t.local_load })
            .collect()
    }
}

impl Record {
    /// Keeps what reproduces a decision: its [`Kept`] candidates, read from the rows it was made on.
    pub fn new(view: u64, world: &impl World, facts: Facts, choice: Choice, kept: &[Kept]) -> Self {
        let mut inputs = Vec::with_capacity(kept.len());
        for &model in &facts.models {
            if !kept.iter().any(|k| k.model == model) {
                continue;
            }
            for row in world.rows(model) {
                if let Some(k) = kept.iter().find(|k| (k.endpoint, k.model) == (row.endpoint, model)) {
                    inputs.push(Input { row: *row, local_load: k.local_load });
                }
            }
        }
        let mut choice = choice;
        if choice.router == Router::RoundRobin {
            // The turn counts every eligible candidate; here only those kept are left to count.
            let first = kept.first().map(|k| (k.endpoint, k.model));
            let at = inputs.iter().position(|i| Some((i.row.endpoint, i.row.model)) == first);
            choice.seed = at.unwrap_or(0) as u64;
        }
        Self { view, facts, choice, inputs }
    }

    /// Decides again on the kept inputs: the same targets in the same order, bit for bit. Counts of dropped and
    /// eligible candidates are those of the kept ones.
    pub fn replay(&self) -> Decision {
        self.replay_with(&self.choice)
    }

    /// Decides again under another policy.
    pub fn replay_with(&self, choice: &Choice) -> Decision {
        let world = Remembered::new(self);
        decide(&world, &self.facts, choice, &mut Scratch::default())
    }
}

/// The world as a record kept it.
pub(crate) struct Remembered {
    rows: Vec<Row>,
    local_loads: Vec<(EndpointIndex, LocalLoad)>,
}

impl Remembered {
    pub(crate) fn new(record: &Record) -> Self {
        Self {
            rows: record.inputs.iter().map(|i| i.row).collect(),
            local_loads: record.inputs.iter().map(|i| (i.row.endpoint, i.local_load)).collect(),
        }
    }
}

impl World for Remembered {
    fn rows(&self, model: ModelIndex) -> &[Row] {
        let start = self.rows.iter().position(|r| r.model == model).unwrap_or(0);
        let len = self.rows[start..].iter().take_while(|r| r.model == model).count();
        &self.rows[start..start + len]
    }

    fn local_load(&self, endpoint: EndpointIndex) -> LocalLoad {
        self.local_loads.iter().find(|(e, _)| *e == endpoint).map(|(_, o)| *o).unwrap_or_default()
    }
}

/// A number that differs when two decisions differ in any target, its order, or any bit of its bill or prediction.
pub fn fingerprint(decision: &Decision) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |word: u64| {
        // FNV-1a over words: the aim is to notice a difference, not to withstand an attacker.
        hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    };
    for t in &decision.targets {
        add(u64::from(t.endpoint.0) << 32 | u64::from(t.model.0));
        add(t.key.to_bits());
        add(t.bill.total_usd().to_bits());
        add(t.predicted.ttft_p50_ms.to_bits());
        add(t.predicted.ttft_p95_ms.to_bits());
        add(t.predicted.pace_ms.to_bits());
    }
    add(decision.reason as u64);
    hash
}
